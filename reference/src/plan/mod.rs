//! Which projections of a model are quantized, and what runs them.
//!
//! The source plans in two steps (seed 002, lines 52-122 and 340-545): a projection plan, which
//! follows from the config alone, and a kernel plan, which depends on what there is to run. Its
//! kernel plan asks nobody what there is: every backend name gets every capability. Ours is told.
mod kernel;
use crate::config::lowbit::{
    LowBitActivationFormat, LowBitQuantizationConfig, LowBitTargetModule, LowBitWeightFormat,
};
use crate::format::{INT4, INT8, SIGN1, TERNARY2, UINT8, WeightFormat};
pub use kernel::{
    Capabilities, Fallback, KernelPlan, NativeKernel, PackedArtifacts, Pass, Runtime, Want,
};

/// A projection of the model: what the source calls by the name of a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Projection {
    /// `decoder_x`, embedding to latents `[n_head, n_embd, latent per head]`.
    X,
    /// `decoder_y`, embedding to latents of the same shape.
    Y,
    /// `encoder`, latents back to the embedding `[latent_total, n_embd]`.
    Residual,
}

impl Projection {
    /// Every projection, in the order they run.
    pub const ALL: [Projection; 3] = [Projection::X, Projection::Y, Projection::Residual];

    /// The module a config names it by.
    pub fn module(self) -> LowBitTargetModule {
        match self {
            Projection::X => LowBitTargetModule::DecoderX,
            Projection::Y => LowBitTargetModule::DecoderY,
            Projection::Residual => LowBitTargetModule::Encoder,
        }
    }
}

/// What a quantized projection stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Formats {
    /// Its weights.
    pub weight: LowBitWeightFormat,
    /// Its input.
    pub activation: LowBitActivationFormat,
}

/// Which projections are quantized and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProjectionPlan {
    /// Whether the published method is followed to the letter.
    pub strict_bitnet_reference: bool,
    /// `decoder_x`, if targeted.
    pub x: Option<Formats>,
    /// `decoder_y`, if targeted.
    pub y: Option<Formats>,
    /// `encoder`, if targeted.
    pub residual: Option<Formats>,
}

impl ProjectionPlan {
    /// The plan of a config; empty unless the config is enabled. `decoder_x` has a weight format
    /// of its own, `encoder` may have one, `decoder_y` has the general one.
    pub fn from_config(config: &LowBitQuantizationConfig) -> ProjectionPlan {
        if !config.enable {
            return ProjectionPlan::default();
        }
        let formats = |projection: Projection| {
            let weight = match projection {
                Projection::X => config.decoder_x_mode,
                Projection::Y => config.weight_format,
                Projection::Residual => config.encoder_mode.unwrap_or(config.weight_format),
            };
            let targeted = config.target_modules.contains(&projection.module());
            targeted.then_some(Formats { weight, activation: config.act_format })
        };
        ProjectionPlan {
            strict_bitnet_reference: config.strict_bitnet_reference,
            x: formats(Projection::X),
            y: formats(Projection::Y),
            residual: formats(Projection::Residual),
        }
    }

    /// What a projection stores, if it is quantized.
    pub fn formats(&self, projection: Projection) -> Option<Formats> {
        match projection {
            Projection::X => self.x,
            Projection::Y => self.y,
            Projection::Residual => self.residual,
        }
    }

    /// The quantized projections, in the order they run.
    pub fn targets(&self) -> impl Iterator<Item = (Projection, Formats)> + '_ {
        Projection::ALL.into_iter().filter_map(|p| self.formats(p).map(|formats| (p, formats)))
    }

    /// Whether anything is quantized.
    pub fn is_enabled(&self) -> bool {
        self.targets().next().is_some()
    }
}

/// How the codes of a weight are stored; `None` where it stays 16 bits. The source's two words
/// for ternary weights name one format.
pub fn stored_weight(format: LowBitWeightFormat) -> Option<&'static dyn WeightFormat> {
    match format {
        LowBitWeightFormat::Fp16 => None,
        LowBitWeightFormat::Int8 => Some(&INT8),
        LowBitWeightFormat::Sign1 => Some(&SIGN1),
        LowBitWeightFormat::Ternary158 | LowBitWeightFormat::Packed2 => Some(&TERNARY2),
    }
}

/// How the codes of an activation are stored; `None` where it stays 16 bits.
pub fn stored_activation(format: LowBitActivationFormat) -> Option<&'static dyn WeightFormat> {
    match format {
        LowBitActivationFormat::Fp16 => None,
        LowBitActivationFormat::Int8 => Some(&INT8),
        LowBitActivationFormat::Int4Exp => Some(&INT4),
        LowBitActivationFormat::Uint8PosExp => Some(&UINT8),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_projection_takes_its_own_weight_format() {
        let config = LowBitQuantizationConfig {
            enable: true,
            weight_format: LowBitWeightFormat::Ternary158,
            act_format: LowBitActivationFormat::Int8,
            target_modules: vec![LowBitTargetModule::Encoder, LowBitTargetModule::DecoderY],
            decoder_x_mode: LowBitWeightFormat::Sign1,
            encoder_mode: Some(LowBitWeightFormat::Int8),
            strict_bitnet_reference: true,
            ..Default::default()
        };
        let plan = ProjectionPlan::from_config(&config);
        let formats = |weight| Some(Formats { weight, activation: LowBitActivationFormat::Int8 });
        assert_eq!((plan.x, plan.strict_bitnet_reference), (None, true));
        assert_eq!(plan.y, formats(LowBitWeightFormat::Ternary158));
        assert_eq!(plan.residual, formats(LowBitWeightFormat::Int8));
        let order: Vec<_> = plan.targets().map(|(projection, _)| projection).collect();
        assert_eq!(order, [Projection::Y, Projection::Residual]);
        let x = LowBitQuantizationConfig {
            target_modules: vec![LowBitTargetModule::DecoderX, LowBitTargetModule::Encoder],
            encoder_mode: None,
            ..config.clone()
        };
        let plan = ProjectionPlan::from_config(&x);
        assert_eq!((plan.x, plan.y), (formats(LowBitWeightFormat::Sign1), None));
        assert_eq!(plan.residual, formats(LowBitWeightFormat::Ternary158));
        let off = LowBitQuantizationConfig { enable: false, ..config };
        assert_eq!(ProjectionPlan::from_config(&off), ProjectionPlan::default());
        assert!(!ProjectionPlan::from_config(&off).is_enabled() && plan.is_enabled());
    }

    #[test]
    fn both_words_for_ternary_store_the_same() {
        let name = |format| stored_weight(format).map(WeightFormat::name);
        let names = LowBitWeightFormat::ALL.iter().map(|f| name(*f)).collect::<Vec<_>>();
        assert_eq!(names, [None, Some("int8"), Some("sign1"), Some("ternary2"), Some("ternary2")]);
    }
}
