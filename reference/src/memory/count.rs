//! Bytes that the formats store, counted.
//!
//! ```text
//! weights       x, y [n_head, n_embd, z]: n_head * z rows of n_embd codes; residual
//!               [latent_total, n_embd]: n_embd rows of latent_total codes; z = latent_total / n_head
//! inputs        x [batch, 1, time, n_embd], y [batch, n_head, time, n_embd],
//!               residual [batch, n_head, time, z]; rows of the last dimension
//! bytes         rows * ceil(row_len * bits / 8) + 4 * scales; 16-bit values have no scale
//! scales        per_tensor 1; per_token batch * time, whatever the heads; per_group
//!               ceil(row_len / size) a row; per_head_group ceil(heads / size) a tensor or token
//! rho           n_layer states [batch, n_head, z, n_embd], each a payload of its codec; the
//!               longest one where the length depends on the values
//! ```
//!
//! A cache keeps the inputs of all targeted projections of all layers. A cache that recomputes
//! keeps the inputs of the layers alone (`x`, targeted or not) and rho as it was when the window
//! began; the rest is rebuilt from these, one layer at a time, in the workspace.
use super::{Buckets, ModelShape, RecomputePolicy, SavedInventory, SavedTensor, activation_bits};
use crate::config::lowbit::{
    LowBitActivationFormat, LowBitActivationGrouping, LowBitQuantizationConfig, LowBitRhoConfig,
    LowBitSavedActivationMode as SavedMode, LowBitWeightFormat, LowBitWeightGrouping,
    RhoCompressionConfig,
};
use crate::invalid::Invalid;
use crate::plan::{Projection, ProjectionPlan, stored_weight};
use crate::rho::{RHO_FORMATS, RhoCodec, RhoFormat, StateShape, rho_compression, rho_precision};

/// What a runtime holds instead of, or beside, packed codes. Nothing by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Bytes a code of the unpacked copies kept beside packed weights. The source keeps 5 on a
    /// GPU: an i32 and a quarter of an i8x4 word of four bytes.
    pub weight_copies: u64,
    /// Bytes a code of rho where codes are held unpacked; `None` where they are packed. The source
    /// holds them in 4 (i32) or 8 (i64).
    pub rho_code: Option<u64>,
}

/// A tensor whose rows are the last dimension.
struct Rows {
    dims: [usize; 4],
}

impl Rows {
    /// `[batch, heads, time, width]`.
    fn input(shape: &ModelShape, projection: Projection) -> Option<Rows> {
        let (heads, width) = match projection {
            Projection::X => (1, shape.n_embd),
            Projection::Y => (shape.n_head, shape.n_embd),
            Projection::Residual => (shape.n_head, shape.latent_total.checked_div(shape.n_head)?),
        };
        Some(Rows { dims: [shape.batch_size, heads, shape.time_steps, width] })
    }

    fn elements(&self) -> Option<u64> {
        product(&self.dims)
    }

    /// Bytes in an activation format, with the scales of the config's grouping.
    fn bytes(
        &self,
        format: LowBitActivationFormat,
        quant: &LowBitQuantizationConfig,
    ) -> Option<u64> {
        let [batch, heads, time, width] = self.dims;
        let row = (width as u64).checked_mul(activation_bits(format))?.div_ceil(8);
        let codes = product(&self.dims[..3])?.checked_mul(row)?;
        let scales = match (format, quant.act_grouping) {
            (LowBitActivationFormat::Fp16, _) => 0,
            (_, LowBitActivationGrouping::PerToken) => product(&[batch, time])?,
            (_, LowBitActivationGrouping::PerGroup) => {
                product(&[batch, heads, time, width.div_ceil(size(quant.act_group_size))])?
            }
            (_, LowBitActivationGrouping::PerHeadGroup) => {
                product(&[batch, time, heads.div_ceil(size(quant.act_heads_per_group))])?
            }
        };
        codes.checked_add(scales.checked_mul(4)?)
    }
}

/// A group's size; there and above 0 in every config that was validated.
fn size(size: Option<usize>) -> usize {
    size.unwrap_or(1).max(1)
}

fn product(factors: &[usize]) -> Option<u64> {
    factors.iter().try_fold(1u64, |product, factor| product.checked_mul(*factor as u64))
}

/// The sum, unless one of them or the sum is not a number.
fn sum(parts: impl IntoIterator<Item = Option<u64>>) -> Option<u64> {
    parts.into_iter().try_fold(0u64, |sum, part| sum.checked_add(part?))
}

/// Rows of a projection's weight and codes of a row.
fn weight_rows(shape: &ModelShape, projection: Projection) -> (usize, usize) {
    match projection {
        // The heads have whole shares of the latents: n_head * z.
        Projection::X | Projection::Y => (shape.latent_total, shape.n_embd),
        Projection::Residual => (shape.n_embd, shape.latent_total),
    }
}

/// Bytes of a projection's weight as it is computed with.
fn execution(
    (quant, shape, held): (&LowBitQuantizationConfig, &ModelShape, Held),
    projection: Projection,
    format: LowBitWeightFormat,
) -> Option<u64> {
    let (rows, row_len) = weight_rows(shape, projection);
    let codes = product(&[rows, row_len])?;
    let Some(format) = stored_weight(format) else { return codes.checked_mul(2) };
    let scales = match quant.weight_grouping {
        LowBitWeightGrouping::PerTensor => 1,
        LowBitWeightGrouping::PerGroup => {
            product(&[rows, row_len.div_ceil(size(quant.weight_group_size))])?
        }
        LowBitWeightGrouping::PerHeadGroup => {
            shape.n_head.div_ceil(size(quant.weight_heads_per_group)) as u64
        }
    };
    let packed = product(&[rows, format.row_bytes(row_len)]);
    sum([packed, scales.checked_mul(4), codes.checked_mul(held.weight_copies)])
}

/// How the state of a layer is stored. The source's block compressions may be held unpacked.
#[derive(Clone, Copy)]
struct Stored {
    codec: &'static dyn RhoCodec,
    blocks: Option<&'static RhoFormat>,
}

impl Stored {
    fn new(codec: &'static dyn RhoCodec, word: &str) -> Stored {
        let same = |format: &&RhoFormat| format.word.aliases.contains(&word);
        Stored { codec, blocks: RHO_FORMATS.iter().find(same) }
    }

    fn precision(rho: &LowBitRhoConfig) -> Result<Stored, Invalid> {
        let word = rho.precision.as_str();
        let unknown = || Invalid::new("model.rho.precision", word, "a known precision");
        Ok(Stored::new(rho_precision(word).ok_or_else(unknown)?.codec, word))
    }

    /// The compression, or the precision where there is none.
    fn between_chunks(rho: &LowBitRhoConfig) -> Result<Stored, Invalid> {
        let word = rho.compression.as_str();
        let unknown = || Invalid::new("model.rho.compression", word, "a known compression");
        match rho_compression(word).ok_or_else(unknown)?.codec {
            Some(codec) => Ok(Stored::new(codec, word)),
            None => Stored::precision(rho),
        }
    }

    /// Bytes of the state of a layer, the most there can be where they depend on the values.
    fn bytes(self, state: StateShape, held: Held) -> Option<u64> {
        match (self.blocks, held.rho_code) {
            (Some(format), Some(width)) => {
                let (_, scales) = format.stored_bytes(state.len());
                (state.len() as u64).checked_mul(width)?.checked_add(scales)
            }
            _ => Some(self.codec.most_bytes(state)).filter(|bytes| *bytes < u64::MAX),
        }
    }
}

fn check(
    quant: &LowBitQuantizationConfig,
    rho: &LowBitRhoConfig,
    shape: &ModelShape,
) -> Result<(), Invalid> {
    quant.validate()?;
    rho.validate()?;
    Invalid::check_range("n_head", shape.n_head, (1, usize::MAX))?;
    match shape.latent_total.is_multiple_of(shape.n_head) {
        true => Ok(()),
        false => {
            let allowed = format!("a multiple of n_head ({})", shape.n_head);
            Err(Invalid::new("latent_total", shape.latent_total, allowed))
        }
    }
}

fn too_large(shape: &ModelShape) -> Invalid {
    Invalid::new("shape", format!("{shape:?}"), "a model below 2^64 bytes")
}

/// The state of one layer.
fn state(shape: &ModelShape) -> Option<StateShape> {
    let latent = shape.latent_total.checked_div(shape.n_head)?;
    StateShape::new(&[shape.batch_size, shape.n_head, latent, shape.n_embd]).ok()
}

/// Bytes of rho, all layers. A low-rank difference is one from an anchor, which is there as well.
fn rho_state(
    rho: &LowBitRhoConfig,
    shape: &ModelShape,
    held: Held,
) -> Result<Option<u64>, Invalid> {
    let (stored, precision) = (Stored::between_chunks(rho)?, Stored::precision(rho)?);
    let bytes = || {
        let anchor = match rho.compression {
            RhoCompressionConfig::LowrankDeltaExp => precision.bytes(state(shape)?, held),
            _ => Some(0),
        };
        sum([stored.bytes(state(shape)?, held), anchor])?.checked_mul(shape.n_layer as u64)
    };
    Ok(bytes())
}

/// The six buckets.
///
/// Errors: a config that is not valid, `n_head` 0, `latent_total` not a multiple of it, a model of
/// 2^64 bytes or more.
pub fn count(
    quant: &LowBitQuantizationConfig,
    rho: &LowBitRhoConfig,
    shape: &ModelShape,
    held: Held,
) -> Result<Buckets, Invalid> {
    let kept = saved(quant, rho, shape)?;
    let (rho_state, precision) = (rho_state(rho, shape, held)?, Stored::precision(rho)?);
    let plan = ProjectionPlan::from_config(quant);
    let buckets = || {
        let masters = plan.targets().map(|_| product(&[4, shape.latent_total, shape.n_embd]));
        let weights = plan.targets().map(|(p, f)| execution((quant, shape, held), p, f.weight));
        let inputs = plan.targets().map(|(p, f)| Rows::input(shape, p)?.bytes(f.activation, quant));
        let tensors = kept.iter().flat_map(|kept| &kept.tensors);
        let unpacked = match rho.compression {
            RhoCompressionConfig::None => Some(0),
            _ => precision.bytes(state(shape)?, held),
        };
        Some(Buckets {
            master_weights: sum(masters)?,
            execution_weights: sum(weights)?,
            activations: sum(inputs)?,
            saved_activations: sum(tensors.map(|tensor| Some(tensor.bytes)))?,
            rho_state: rho_state?,
            workspace: sum([largest_output(&plan, shape), rebuilt(quant, &plan, shape), unpacked])?,
        })
    };
    buckets().ok_or_else(|| too_large(shape))
}

/// Bytes of the largest f32 output of a targeted projection.
fn largest_output(plan: &ProjectionPlan, shape: &ModelShape) -> Option<u64> {
    let output = |projection| {
        let width = match projection {
            Projection::X | Projection::Y => shape.latent_total,
            Projection::Residual => shape.n_embd,
        };
        product(&[4, shape.batch_size, shape.time_steps, width])
    };
    plan.targets().try_fold(0u64, |largest, (p, _)| Some(largest.max(output(p)?)))
}

/// Bytes of one layer's inputs that are computed again.
fn rebuilt(
    quant: &LowBitQuantizationConfig,
    plan: &ProjectionPlan,
    shape: &ModelShape,
) -> Option<u64> {
    let saved = &quant.saved_activations;
    let rebuilt = |(p, _): &(Projection, _)| {
        saved.mode == SavedMode::QuantizedCacheRecomputeExp && *p != Projection::X
    };
    let targets = plan.targets().filter(rebuilt);
    sum(targets.map(|(p, _)| Rows::input(shape, p)?.bytes(saved.format, quant)))
}

/// What is saved for the backward pass, for all layers; `None` where nothing is. Errors as
/// [`count()`].
pub fn saved(
    quant: &LowBitQuantizationConfig,
    rho: &LowBitRhoConfig,
    shape: &ModelShape,
) -> Result<Option<SavedInventory>, Invalid> {
    check(quant, rho, shape)?;
    let saved = &quant.saved_activations;
    let policy = RecomputePolicy::of(saved.mode);
    let plan = ProjectionPlan::from_config(quant);
    let tensor = |name, projection| {
        let rows = Rows::input(shape, projection)?;
        let layers = shape.n_layer as u64;
        Some(SavedTensor {
            name,
            shape: [&[shape.n_layer][..], &rows.dims].concat(),
            elements: rows.elements()?.checked_mul(layers)?,
            bytes: rows.bytes(saved.format, quant)?.checked_mul(layers)?,
            policy,
        })
    };
    let input = |projection| match projection {
        Projection::X => tensor("x_projection_input", projection),
        Projection::Y => tensor("y_projection_input", projection),
        Projection::Residual => tensor("residual_tail_input", projection),
    };
    let tensors: Option<Vec<SavedTensor>> = match policy {
        RecomputePolicy::Disabled => return Ok(None),
        RecomputePolicy::QuantizedCacheOnly => plan.targets().map(|(p, _)| input(p)).collect(),
        RecomputePolicy::RecomputeSafeWithinWindow => {
            let anchor = anchor(rho_state(rho, shape, Held::default())?, shape);
            [tensor("layer_input", Projection::X), anchor].into_iter().collect()
        }
    };
    Ok(Some(SavedInventory {
        mode: saved.mode,
        format: saved.format,
        requires_rho_window_anchor: policy == RecomputePolicy::RecomputeSafeWithinWindow,
        tensors: tensors.ok_or_else(|| too_large(shape))?,
    }))
}

/// Rho as it was when the window began, stored as it is between chunks, packed.
fn anchor(bytes: Option<u64>, shape: &ModelShape) -> Option<SavedTensor> {
    let latent = shape.latent_total.checked_div(shape.n_head)?;
    Some(SavedTensor {
        name: "rho_window_anchor",
        shape: vec![shape.n_layer, shape.batch_size, shape.n_head, latent, shape.n_embd],
        elements: (state(shape)?.len() as u64).checked_mul(shape.n_layer as u64)?,
        bytes: bytes?,
        policy: RecomputePolicy::RecomputeSafeWithinWindow,
    })
}

#[cfg(test)]
mod tests;
