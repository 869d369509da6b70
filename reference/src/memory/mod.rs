//! Memory of a quantized model in six buckets: as the source estimates it and as it is.
//!
//! [`compat`] is the source's estimate (seed 002, lines 546-804), byte for byte on every shape
//! that does not overflow. [`count()`] adds up what the formats store. Where they differ:
//!
//! | | the source | [`count()`] |
//! |---|---|---|
//! | quantization off | every bucket is 0, rho too | rho is counted |
//! | execution weights | fractions of a byte a code | packed rows, each on a byte; 4 bytes a scale; unpacked copies if the runtime keeps any ([`Held`]) |
//! | rho codes | 1 byte each, whatever holds them | the format's bytes, or the width they are held in ([`Held`]) |
//! | saved activations | `3 * tokens * n_layer * n_embd`, whatever is targeted; the inventory has other shapes and no layers | the inventory's tensors, for all layers; the bucket is their sum |
//! | saved int4 and fp16 | half a byte and 2 bytes, held as 1 and 4 | half a byte and 2 bytes |
//! | recomputation | half of the bucket, a quarter of the activations as workspace | the layer inputs and rho at the window's start are kept, one layer is rebuilt |
//! | workspace | half of the activations | the largest output, what is rebuilt, one layer of rho unpacked |
//! | rho formats it has no kernel for | 1 byte a value; compressions fall back to the precision | their codecs' bytes, the most there can be where these depend on the values |
//! | scales | 4 bytes a tensor, for fp16 and all of rho as well | 4 bytes for each scale there is |
//! | `latent_total / n_head` | rounded down | an error unless it is whole |
//! | overflow | panics or wraps | compat saturates; an error |
mod compat;
mod count;
use crate::config::lowbit::{LowBitActivationFormat, LowBitSavedActivationMode};
pub use compat::{compat, compat_saved};
pub use count::{Held, count, saved};

/// Sizes of a model and of what is fed to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ModelShape {
    /// Sequences.
    pub batch_size: usize,
    /// Tokens of a sequence.
    pub time_steps: usize,
    /// Layers.
    pub n_layer: usize,
    /// Heads.
    pub n_head: usize,
    /// Width of the embedding.
    pub n_embd: usize,
    /// Latents of all heads.
    pub latent_total: usize,
}

/// Bytes by what they are for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Buckets {
    /// f32 weights that training updates.
    pub master_weights: u64,
    /// Weights as they are computed with.
    pub execution_weights: u64,
    /// Inputs of the quantized projections of one layer.
    pub activations: u64,
    /// Activations kept for the backward pass, all layers.
    pub saved_activations: u64,
    /// The recurrent state, all layers.
    pub rho_state: u64,
    /// Beside all of these.
    pub workspace: u64,
}

impl Buckets {
    /// The sum of the six, at most `u64::MAX`.
    pub fn total(&self) -> u64 {
        let six = [
            self.master_weights,
            self.execution_weights,
            self.activations,
            self.saved_activations,
            self.rho_state,
            self.workspace,
        ];
        six.into_iter().fold(0, u64::saturating_add)
    }
}

/// What a saved activation is there for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RecomputePolicy {
    /// Nothing is saved.
    #[default]
    Disabled,
    /// It is read back as it was saved.
    QuantizedCacheOnly,
    /// Others are computed again from it, within a window.
    RecomputeSafeWithinWindow,
}

impl RecomputePolicy {
    /// The source's word.
    pub fn as_str(self) -> &'static str {
        match self {
            RecomputePolicy::Disabled => "disabled",
            RecomputePolicy::QuantizedCacheOnly => "quantized_cache_only",
            RecomputePolicy::RecomputeSafeWithinWindow => "recompute_safe_within_window",
        }
    }

    /// The policy of a mode.
    pub fn of(mode: LowBitSavedActivationMode) -> RecomputePolicy {
        match mode {
            LowBitSavedActivationMode::Disabled => RecomputePolicy::Disabled,
            LowBitSavedActivationMode::QuantizedCacheExp => RecomputePolicy::QuantizedCacheOnly,
            LowBitSavedActivationMode::QuantizedCacheRecomputeExp => {
                RecomputePolicy::RecomputeSafeWithinWindow
            }
        }
    }
}

/// One saved tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedTensor {
    /// Which.
    pub name: &'static str,
    /// Row-major. Compat: `[batch, heads, time, width]`; ours has the layers in front.
    pub shape: Vec<usize>,
    /// Values.
    pub elements: u64,
    /// Bytes they are stored in, scales included.
    pub bytes: u64,
    /// What it is there for.
    pub policy: RecomputePolicy,
}

/// Everything that is saved for the backward pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedInventory {
    /// Which activations are saved.
    pub mode: LowBitSavedActivationMode,
    /// What they are stored as.
    pub format: LowBitActivationFormat,
    /// Whether rho at the start of a window has to be kept to compute the others again.
    pub requires_rho_window_anchor: bool,
    /// The tensors.
    pub tensors: Vec<SavedTensor>,
}

/// Stored bits of an activation, scales excluded.
fn activation_bits(format: LowBitActivationFormat) -> u64 {
    match format {
        LowBitActivationFormat::Fp16 => 16,
        LowBitActivationFormat::Int8 | LowBitActivationFormat::Uint8PosExp => 8,
        LowBitActivationFormat::Int4Exp => 4,
    }
}
