//! What a quantizer leaves of a tensor: quantized and dequantized again, in f32.
//!
//! One trait for rules, block formats and NF4, so that a straight-through estimator, a quality
//! figure or a training loop takes any of them. [`weights`] and [`activations`] are those a config
//! asks for; [`source_weight`] and [`source_activation`] are what the source does instead.
use crate::config::lowbit::{LowBitActivationFormat, LowBitQuantizationConfig, LowBitWeightFormat};
use crate::format::{BlockFormat, FP16, Levels, nf4::Nf4};
use crate::invalid::Invalid;
use crate::op::hadamard::hadamard_f32;
use crate::plan::{stored_activation, stored_weight};
use crate::rule::{Groups, Rule, burn_dragon, dequantize_groups, quantize_groups};
use std::borrow::Cow;

/// A quantizer and the way back.
pub trait FakeQuantize: Sync + std::fmt::Debug {
    /// The values that are left of `x`, row-major in `shape`, whose last dimension is a row.
    fn fake_quantize(&self, x: &[f32], shape: &[usize]) -> Result<Vec<f32>, Invalid>;
}

/// A rule for codes of some levels. Three dimensions are the weight `[H, rows, columns]`, four the
/// activation `[B, H, T, E]`; in any other number there are no heads.
///
/// A rotated rule quantizes the rows as the orthonormal Hadamard transform `H` leaves them and turns
/// them back: `H^-1 Q(H x)`, each transform rounded to f32 once. Rows that are no power of two are
/// an error then.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ByRule {
    /// The rule.
    pub rule: Rule,
    /// The codes it chooses from.
    pub levels: Levels,
}

impl FakeQuantize for ByRule {
    fn fake_quantize(&self, x: &[f32], shape: &[usize]) -> Result<Vec<f32>, Invalid> {
        Invalid::check_len("x", x.len(), shape)?;
        let groups = match shape.len() {
            4 => Groups::activation(&self.rule, shape)?,
            _ => Groups::weight(&self.rule, shape)?,
        };
        let row_len = shape.last().copied().unwrap_or(1);
        let rows = match self.rule.rotated {
            true => Cow::Owned(hadamard_f32(x, row_len)?),
            false => Cow::Borrowed(x),
        };
        let q = quantize_groups(&self.rule, self.levels, &rows, &groups);
        let values = dequantize_groups(&self.rule, (&q.codes, &q.shared), &groups);
        match self.rule.rotated {
            true => hadamard_f32(&values, row_len),
            false => Ok(values),
        }
    }
}

/// A block format; rows are whole blocks.
#[derive(Clone, Copy, Debug)]
pub struct ByBlocks(pub &'static dyn BlockFormat);

impl FakeQuantize for ByBlocks {
    fn fake_quantize(&self, x: &[f32], shape: &[usize]) -> Result<Vec<f32>, Invalid> {
        Invalid::check_len("x", x.len(), shape)?;
        let (row_len, block_len) = (shape.last().copied().unwrap_or(1), self.0.block_len());
        if !row_len.is_multiple_of(block_len) {
            let allowed = format!("a multiple of {block_len}, the block of {}", self.0.name());
            return Err(Invalid::new("row_len", row_len, allowed));
        }
        self.0.decode(&self.0.encode(x)?)
    }
}

/// NF4 and FP4 take blocks of the flat tensor, as bitsandbytes does.
impl FakeQuantize for Nf4 {
    fn fake_quantize(&self, x: &[f32], shape: &[usize]) -> Result<Vec<f32>, Invalid> {
        Invalid::check_len("x", x.len(), shape)?;
        Ok(self.quantize(x).dequantize())
    }
}

/// What a config leaves of weights in this format: its protocol's rule under its grouping
/// ([`LowBitQuantizationConfig::weight_rule`]); `fp16` rounds. Weights are `[H, rows, columns]` or
/// `[rows, columns]`.
///
/// Errors name the group size that its grouping needs and lacks.
pub fn weights(
    config: &LowBitQuantizationConfig,
    format: LowBitWeightFormat,
) -> Result<Box<dyn FakeQuantize>, Invalid> {
    by_rule(stored_weight(format).map(|f| f.levels()), |levels| config.weight_rule(levels))
}

/// What a config leaves of activations in its `act_format`, as [`weights`] does of weights
/// ([`LowBitQuantizationConfig::activation_rule`]). Activations are `[B, H, T, E]` or rows.
pub fn activations(config: &LowBitQuantizationConfig) -> Result<Box<dyn FakeQuantize>, Invalid> {
    let levels = stored_activation(config.act_format).map(|f| f.levels());
    by_rule(levels, |levels| config.activation_rule(levels))
}

/// The source's weight formats under its own rule: one scale a tensor, whatever the config says of
/// protocol and grouping. Its fp16 leaves f32 as it is; ours rounds.
pub fn source_weight(format: LowBitWeightFormat) -> Box<dyn FakeQuantize> {
    by_source(stored_weight(format).map(|f| f.levels()))
}

/// The source's activation formats under its own rule; see [`source_weight`].
pub fn source_activation(format: LowBitActivationFormat) -> Box<dyn FakeQuantize> {
    by_source(stored_activation(format).map(|f| f.levels()))
}

/// The rule for these levels; half precision where there are none.
fn by_rule(
    levels: Option<Levels>,
    rule: impl Fn(Levels) -> Result<Rule, Invalid>,
) -> Result<Box<dyn FakeQuantize>, Invalid> {
    Ok(match levels {
        Some(levels) => Box::new(ByRule { rule: rule(levels)?, levels }),
        None => Box::new(ByBlocks(&FP16)),
    })
}

fn by_source(levels: Option<Levels>) -> Box<dyn FakeQuantize> {
    match levels {
        Some(levels) => Box::new(ByRule { rule: burn_dragon(levels), levels }),
        None => Box::new(ByBlocks(&FP16)),
    }
}
