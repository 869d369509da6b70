//! What a quantizer leaves of a tensor: quantized and dequantized again, in f32.
//!
//! One trait for rules, block formats and NF4, so that a straight-through estimator, a quality
//! figure or a training loop takes any of them.
use crate::config::lowbit::{LowBitActivationFormat, LowBitWeightFormat};
use crate::format::{BlockFormat, FP16, Levels, nf4::Nf4};
use crate::invalid::Invalid;
use crate::rule::{Groups, Rule, burn_dragon, quantize_groups};

/// A quantizer and the way back.
pub trait FakeQuantize: Sync + std::fmt::Debug {
    /// The values that are left of `x`, row-major in `shape`, whose last dimension is a row.
    fn fake_quantize(&self, x: &[f32], shape: &[usize]) -> Result<Vec<f32>, Invalid>;
}

/// A rule for codes of some levels. Three dimensions are the weight `[H, rows, columns]`, four the
/// activation `[B, H, T, E]`; in any other number there are no heads.
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
        let groups = match *shape {
            [batch, heads, tokens, features] => {
                Groups::activation_heads(&self.rule, [batch, heads, tokens, features])?
            }
            [heads, rows, columns] => Groups::weight_heads(&self.rule, [heads, rows, columns])?,
            _ => {
                let columns = shape.last().copied().unwrap_or(1);
                Groups::matrix(&self.rule, (x.len() / columns.max(1), columns))?
            }
        };
        let q = quantize_groups(&self.rule, self.levels, x, &groups);
        let mut values = vec![0.0; x.len()];
        for (group, shared) in q.shared.iter().enumerate() {
            for at in groups.positions(group) {
                values[at] = self.rule.value(q.codes[at], shared);
            }
        }
        Ok(values)
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

/// The source's weight formats under its own rule. Its fp16 leaves f32 as it is; ours rounds.
pub fn of_weight(format: LowBitWeightFormat) -> Box<dyn FakeQuantize> {
    let levels = match format {
        LowBitWeightFormat::Fp16 => return Box::new(ByBlocks(&FP16)),
        LowBitWeightFormat::Int8 => Levels::Int8,
        LowBitWeightFormat::Sign1 => Levels::Sign,
        LowBitWeightFormat::Ternary158 | LowBitWeightFormat::Packed2 => Levels::Ternary,
    };
    Box::new(ByRule { rule: burn_dragon(levels), levels })
}

/// The source's activation formats under its own rule; see [`of_weight`] for fp16.
pub fn of_activation(format: LowBitActivationFormat) -> Box<dyn FakeQuantize> {
    let levels = match format {
        LowBitActivationFormat::Fp16 => return Box::new(ByBlocks(&FP16)),
        LowBitActivationFormat::Int8 => Levels::Int8,
        LowBitActivationFormat::Int4Exp => Levels::Int4,
        LowBitActivationFormat::Uint8PosExp => Levels::Uint8,
    };
    Box::new(ByRule { rule: burn_dragon(levels), levels })
}
