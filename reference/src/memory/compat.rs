//! The source's estimate (seed 002, lines 546-804), accidents included:
//!
//! ```text
//! P(n; bits) = ceil(n * bits / 8) + 4        also for 16 bits, which have no scale
//! z = latent_total / max(n_head, 1)          rounded down
//! ```
//!
//! Products that overflow panic in the source's debug builds and wrap in its release builds; here
//! they stay at the largest number.
use super::{Buckets, ModelShape, RecomputePolicy, SavedInventory, SavedTensor, activation_bits};
use crate::config::lowbit::{
    LowBitQuantizationConfig, LowBitRhoConfig, LowBitSavedActivationMode as SavedMode,
    LowBitWeightFormat, RhoCompressionConfig, RhoPrecisionConfig,
};
use crate::plan::{Projection, ProjectionPlan};

fn product(factors: &[usize]) -> u64 {
    factors.iter().fold(1, |product: u64, factor| product.saturating_mul(*factor as u64))
}

/// `P(elements; bits)`.
fn packed(elements: u64, bits: u64) -> u64 {
    let bytes = (u128::from(elements) * u128::from(bits)).div_ceil(8) + 4;
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

fn weight_bits(format: LowBitWeightFormat) -> u64 {
    match format {
        LowBitWeightFormat::Fp16 => 16,
        LowBitWeightFormat::Int8 => 8,
        LowBitWeightFormat::Sign1 => 1,
        LowBitWeightFormat::Ternary158 | LowBitWeightFormat::Packed2 => 2,
    }
}

/// Bits of a value of rho: a block compression's with its scale, or else the precision's, whatever
/// the compression is.
fn rho_bits(rho: &LowBitRhoConfig) -> u64 {
    match (rho.compression, rho.precision) {
        (RhoCompressionConfig::Int8BlockExp, _) => 9,
        (RhoCompressionConfig::TernaryBlockExp, _) => 3,
        (RhoCompressionConfig::BinaryBlockExp, _) => 2,
        (_, RhoPrecisionConfig::Fp32) => 32,
        (_, RhoPrecisionConfig::Bf16) => 16,
        _ => 8,
    }
}

impl ModelShape {
    fn latent_per_head(&self) -> usize {
        self.latent_total / self.n_head.max(1)
    }

    /// Weights of a projection.
    fn compat_weights(&self, projection: Projection) -> u64 {
        match projection {
            Projection::X | Projection::Y => {
                product(&[self.n_head, self.n_embd, self.latent_per_head()])
            }
            Projection::Residual => product(&[self.latent_total, self.n_embd]),
        }
    }

    /// Inputs of a projection as the bucket counts them.
    fn compat_inputs(&self, projection: Projection) -> u64 {
        let width = match projection {
            Projection::X => [self.n_embd, 1],
            Projection::Y => [self.n_head, self.n_embd],
            Projection::Residual => [self.n_head, self.latent_per_head()],
        };
        product(&[self.batch_size, self.time_steps, width[0], width[1]])
    }
}

/// The source's six buckets; all of them 0 unless the config is enabled.
pub fn compat(
    quant: &LowBitQuantizationConfig,
    rho: &LowBitRhoConfig,
    shape: &ModelShape,
) -> Buckets {
    if !quant.enable {
        return Buckets::default();
    }
    let plan = ProjectionPlan::from_config(quant);
    let sum = |bytes: fn(&ModelShape, Projection, crate::plan::Formats) -> u64| {
        plan.targets().fold(0u64, |sum, (p, formats)| sum.saturating_add(bytes(shape, p, formats)))
    };
    let activations =
        sum(|s, p, formats| packed(s.compat_inputs(p), activation_bits(formats.activation)));
    let saved = &quant.saved_activations;
    let tokens = product(&[shape.batch_size, shape.time_steps, shape.n_layer, shape.n_embd, 3]);
    let all = packed(tokens, activation_bits(saved.format));
    let (kept, rebuilt) = match saved.mode {
        SavedMode::Disabled => (0, 0),
        SavedMode::QuantizedCacheExp => (all, 0),
        SavedMode::QuantizedCacheRecomputeExp => (all / 2, activations / 4),
    };
    let state = [shape.batch_size, shape.n_layer, shape.n_head, shape.latent_per_head()];
    Buckets {
        master_weights: sum(|s, p, _| s.compat_weights(p).saturating_mul(4)),
        execution_weights: sum(|s, p, formats| {
            packed(s.compat_weights(p), weight_bits(formats.weight))
        }),
        activations,
        saved_activations: kept,
        rho_state: packed(product(&state).saturating_mul(shape.n_embd as u64), rho_bits(rho)),
        workspace: (activations / 2).saturating_add(rebuilt),
    }
}

/// The source's inventory: the inputs of the targeted projections of one layer, with `x` counted
/// for every head. `None` unless the config is enabled and saves something.
pub fn compat_saved(
    quant: &LowBitQuantizationConfig,
    shape: &ModelShape,
) -> Option<SavedInventory> {
    let saved = &quant.saved_activations;
    if !quant.enable || saved.mode == SavedMode::Disabled {
        return None;
    }
    let policy = RecomputePolicy::of(saved.mode);
    let tensor = |projection| {
        let (name, width) = match projection {
            Projection::X => ("x_projection_input", shape.n_embd),
            Projection::Y => ("y_projection_input", shape.n_embd),
            Projection::Residual => ("residual_tail_input", shape.latent_per_head()),
        };
        let shape = vec![shape.batch_size, shape.n_head, shape.time_steps, width];
        let elements = product(&shape);
        let bytes = packed(elements, activation_bits(saved.format));
        SavedTensor { name, shape, elements, bytes, policy }
    };
    Some(SavedInventory {
        mode: saved.mode,
        format: saved.format,
        requires_rho_window_anchor: saved.mode == SavedMode::QuantizedCacheRecomputeExp,
        tensors: ProjectionPlan::from_config(quant).targets().map(|(p, _)| tensor(p)).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::lowbit::{LowBitActivationFormat, LowBitTargetModule};

    /// Every combination of what the estimate looks at stays a number for absurd shapes.
    #[test]
    fn absurd_shapes_saturate() {
        let huge = usize::MAX;
        let shape = ModelShape {
            batch_size: huge,
            time_steps: huge,
            n_layer: huge,
            n_head: 1,
            n_embd: huge,
            latent_total: huge,
        };
        let mut quant = LowBitQuantizationConfig {
            enable: true,
            act_format: LowBitActivationFormat::Int8,
            target_modules: LowBitTargetModule::ALL.to_vec(),
            ..Default::default()
        };
        quant.saved_activations.mode = SavedMode::QuantizedCacheRecomputeExp;
        let buckets = compat(&quant, &LowBitRhoConfig::default(), &shape);
        assert_eq!(buckets.total(), u64::MAX);
        assert_eq!(buckets.master_weights, u64::MAX);
        let inventory = compat_saved(&quant, &shape).unwrap();
        assert!(inventory.tensors.iter().all(|tensor| tensor.elements == u64::MAX));
        let headless = ModelShape { n_head: 0, ..shape };
        assert_eq!(compat(&quant, &LowBitRhoConfig::default(), &headless).rho_state, 4);
    }

    #[test]
    fn every_rho_word_has_the_sources_width() {
        let bits = |compression, precision| {
            rho_bits(&LowBitRhoConfig { compression, precision, ..Default::default() })
        };
        let precisions = RhoPrecisionConfig::ALL.iter();
        let plain: Vec<_> = precisions.map(|p| bits(RhoCompressionConfig::None, *p)).collect();
        assert_eq!(plain, [32, 16, 8, 8, 8, 8]);
        let compressions = RhoCompressionConfig::ALL.iter();
        let fp32: Vec<_> = compressions.map(|c| bits(*c, RhoPrecisionConfig::Fp32)).collect();
        assert_eq!(fp32, [32, 32, 9, 3, 2, 32, 32, 32]);
    }
}
