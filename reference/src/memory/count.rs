//! Bytes that the formats store, counted.
//!
//! ```text
//! weights       x, y [n_head, z, n_embd]: rows of n_embd codes; residual [n_embd, latent_total]:
//!               rows of latent_total codes; z = latent_total / n_head
//! inputs        x [batch, 1, time, n_embd], y [batch, n_head, time, n_embd],
//!               residual [batch, n_head, time, z]; rows of the last dimension
//! codes         weights and inputs: rows, each on a byte; saved inputs: one run
//! scales        4 bytes for each of the groups of the config's rule; 16-bit values have none
//! rho           n_layer states [batch, n_head, z, n_embd], each a payload of its codec; the
//!               longest one where the length depends on the values
//! ```
//!
//! Scales are counted by [`Groups`] and codes by the packers ([`artifact::stored_bytes`],
//! `SavedFormat::stored_bytes`), so that what they refuse is refused here: head groups that do not
//! divide the heads of a tensor, those of `x`, which all heads share, and those of the residual's
//! weight, which has no heads.
//!
//! A cache keeps the inputs of all targeted projections of all layers. A cache that recomputes
//! keeps the inputs of the layers alone (`x`, targeted or not) and rho as it was when the window
//! began; the rest is rebuilt from these, one layer at a time, in the workspace.
use super::{Buckets, ModelShape, RecomputePolicy, SavedInventory, SavedTensor};
use crate::artifact;
use crate::config::lowbit::{
    LowBitActivationFormat, LowBitQuantizationConfig, LowBitRhoConfig,
    LowBitSavedActivationMode as SavedMode, LowBitWeightFormat, RhoCompressionConfig,
};
use crate::invalid::Invalid;
use crate::plan::{Projection, ProjectionPlan, stored_activation, stored_weight};
use crate::rho::{RHO_FORMATS, RhoCodec, RhoFormat, StateShape, rho_compression, rho_precision};
use crate::rule::Groups;

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

/// A config and the model it quantizes.
#[derive(Clone, Copy)]
struct Model<'a> {
    quant: &'a LowBitQuantizationConfig,
    shape: &'a ModelShape,
}

impl Model<'_> {
    /// Latents of a head; `check` made them whole.
    fn latent(&self) -> usize {
        self.shape.latent_total.checked_div(self.shape.n_head).unwrap_or(0)
    }

    /// `[batch, heads, time, width]`.
    fn input(&self, projection: Projection) -> [usize; 4] {
        let ModelShape { batch_size, time_steps, n_head, n_embd, .. } = *self.shape;
        let (heads, width) = match projection {
            Projection::X => (1, n_embd),
            Projection::Y => (n_head, n_embd),
            Projection::Residual => (n_head, self.latent()),
        };
        [batch_size, heads, time_steps, width]
    }

    /// Bytes of a projection's input, packed as it is computed with: row by row.
    fn input_bytes(
        &self,
        projection: Projection,
        format: LowBitActivationFormat,
    ) -> Result<u64, Invalid> {
        let dims = self.input(projection);
        let values = self.values(&dims)?;
        let bytes = match stored_activation(format) {
            None => values.checked_mul(2),
            Some(format) => {
                let rule = self.quant.activation_rule(format.levels())?;
                artifact::stored_bytes(format, &dims, &Groups::activation(&rule, &dims)?)
            }
        };
        bytes.ok_or_else(|| too_large(self.shape))
    }

    /// Bytes of a projection's input as it is saved for the backward pass: one run.
    fn saved_bytes(&self, projection: Projection) -> Result<u64, Invalid> {
        let dims = self.input(projection);
        self.values(&dims)?;
        self.quant.saved_format()?.stored_bytes(&dims)
    }

    /// Bytes of a projection's weight as it is computed with.
    fn weight_bytes(
        &self,
        (projection, format): (Projection, LowBitWeightFormat),
        held: Held,
    ) -> Result<u64, Invalid> {
        let ModelShape { n_head, n_embd, latent_total, .. } = *self.shape;
        let dims = match projection {
            // The heads have whole shares of the latents.
            Projection::X | Projection::Y => &[n_head, self.latent(), n_embd][..],
            Projection::Residual => &[n_embd, latent_total],
        };
        let codes = self.values(dims)?;
        let bytes = match stored_weight(format) {
            None => codes.checked_mul(2),
            Some(format) => {
                let rule = self.quant.weight_rule(format.levels())?;
                let packed = artifact::stored_bytes(format, dims, &Groups::weight(&rule, dims)?);
                sum([packed, codes.checked_mul(held.weight_copies)])
            }
        };
        bytes.ok_or_else(|| too_large(self.shape))
    }

    fn values(&self, dims: &[usize]) -> Result<u64, Invalid> {
        product(dims).ok_or_else(|| too_large(self.shape))
    }

    /// The sum, unless it overflows; the first error otherwise.
    fn total(&self, parts: impl IntoIterator<Item = Result<u64, Invalid>>) -> Result<u64, Invalid> {
        let add = |sum: u64, part: Result<u64, Invalid>| {
            sum.checked_add(part?).ok_or_else(|| too_large(self.shape))
        };
        parts.into_iter().try_fold(0, add)
    }
}

fn product(factors: &[usize]) -> Option<u64> {
    factors.iter().try_fold(1u64, |product, factor| product.checked_mul(*factor as u64))
}

/// The sum, unless one of them or the sum is not a number.
fn sum(parts: impl IntoIterator<Item = Option<u64>>) -> Option<u64> {
    parts.into_iter().try_fold(0u64, |sum, part| sum.checked_add(part?))
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
/// Errors: a config that is not valid, `n_head` 0, `latent_total` not a multiple of it, groups of
/// heads that a tensor does not have, a model of 2^64 bytes or more.
pub fn count(
    quant: &LowBitQuantizationConfig,
    rho: &LowBitRhoConfig,
    shape: &ModelShape,
    held: Held,
) -> Result<Buckets, Invalid> {
    let kept = saved(quant, rho, shape)?;
    let model = Model { quant, shape };
    let (rho_state, precision) = (rho_state(rho, shape, held)?, Stored::precision(rho)?);
    let plan = ProjectionPlan::from_config(quant);
    let weights = plan.targets().map(|(p, f)| model.weight_bytes((p, f.weight), held));
    let inputs = plan.targets().map(|(p, f)| model.input_bytes(p, f.activation));
    let (execution_weights, activations) = (model.total(weights)?, model.total(inputs)?);
    let rebuilt = rebuilt(model, &plan)?;
    let buckets = || {
        let masters = plan.targets().map(|_| product(&[4, shape.latent_total, shape.n_embd]));
        let tensors = kept.iter().flat_map(|kept| &kept.tensors);
        let unpacked = match rho.compression {
            RhoCompressionConfig::None => Some(0),
            _ => precision.bytes(state(shape)?, held),
        };
        Some(Buckets {
            master_weights: sum(masters)?,
            execution_weights,
            activations,
            saved_activations: sum(tensors.map(|tensor| Some(tensor.bytes)))?,
            rho_state: rho_state?,
            workspace: sum([largest_output(&plan, shape), Some(rebuilt), unpacked])?,
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

/// Bytes of one layer's inputs that are computed again, as they would be saved.
fn rebuilt(model: Model, plan: &ProjectionPlan) -> Result<u64, Invalid> {
    let recomputes = model.quant.saved_activations.mode == SavedMode::QuantizedCacheRecomputeExp;
    let targets = plan.targets().filter(|(p, _)| recomputes && *p != Projection::X);
    model.total(targets.map(|(p, _)| model.saved_bytes(p)))
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
    let model = Model { quant, shape };
    let times =
        |number: u64| number.checked_mul(shape.n_layer as u64).ok_or_else(|| too_large(shape));
    let tensor = |name, projection| {
        let dims = model.input(projection);
        Ok(SavedTensor {
            name,
            shape: [&[shape.n_layer][..], &dims].concat(),
            elements: times(model.values(&dims)?)?,
            bytes: times(model.saved_bytes(projection)?)?,
            policy,
        })
    };
    let input = |projection| match projection {
        Projection::X => tensor("x_projection_input", projection),
        Projection::Y => tensor("y_projection_input", projection),
        Projection::Residual => tensor("residual_tail_input", projection),
    };
    let tensors: Result<Vec<SavedTensor>, Invalid> = match policy {
        RecomputePolicy::Disabled => return Ok(None),
        RecomputePolicy::QuantizedCacheOnly => plan.targets().map(|(p, _)| input(p)).collect(),
        RecomputePolicy::RecomputeSafeWithinWindow => {
            let anchor = anchor(rho_state(rho, shape, Held::default())?, shape);
            let anchor = anchor.ok_or_else(|| too_large(shape));
            [tensor("layer_input", Projection::X), anchor].into_iter().collect()
        }
    };
    Ok(Some(SavedInventory {
        mode: saved.mode,
        format: saved.format,
        requires_rho_window_anchor: policy == RecomputePolicy::RecomputeSafeWithinWindow,
        tensors: tensors?,
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
