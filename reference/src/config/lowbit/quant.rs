//! The quantization config (`model.quant`; seed 001, lines 589-738).
//!
//! The four group sizes are ours: the source names groupings but has no size for them. Absent
//! sizes are not written, so a config of the source is written as the source writes it.
use super::{
    BitNetLowBitProtocol as Protocol, LowBitActivationFormat, LowBitActivationGrouping,
    LowBitInferenceMode, LowBitSavedActivationMode as SavedMode, LowBitTargetModule,
    LowBitTrainingMode, LowBitWeightFormat, LowBitWeightGrouping,
};
use crate::invalid::Invalid;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What is kept of the activations for the backward pass.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LowBitSavedActivationConfig {
    /// Which are kept; none by default.
    pub mode: SavedMode,
    /// What they are stored as; int8 by default.
    pub format: LowBitActivationFormat,
}

impl Default for LowBitSavedActivationConfig {
    fn default() -> LowBitSavedActivationConfig {
        LowBitSavedActivationConfig {
            mode: SavedMode::default(),
            format: LowBitActivationFormat::Int8,
        }
    }
}

impl LowBitSavedActivationConfig {
    setters! {
        with_mode => mode: SavedMode;
        with_format => format: LowBitActivationFormat;
    }
}

/// How a model is quantized. By default it is not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LowBitQuantizationConfig {
    /// Whether anything is quantized.
    pub enable: bool,
    /// The published method followed.
    pub protocol: Protocol,
    /// How the weights are trained.
    pub training_mode: LowBitTrainingMode,
    /// How the weights are held for inference.
    pub inference_mode: LowBitInferenceMode,
    /// Weights of `decoder_y`, and of `encoder` unless `encoder_mode` says otherwise.
    pub weight_format: LowBitWeightFormat,
    /// Activations.
    pub act_format: LowBitActivationFormat,
    /// Activations kept for the backward pass.
    pub saved_activations: LowBitSavedActivationConfig,
    /// The projections that are quantized.
    pub target_modules: Vec<LowBitTargetModule>,
    /// Weights of `decoder_x`.
    pub decoder_x_mode: LowBitWeightFormat,
    /// Weights of `encoder`, if not `weight_format`.
    pub encoder_mode: Option<LowBitWeightFormat>,
    /// Which activations share a scale.
    pub act_grouping: LowBitActivationGrouping,
    /// Which weights share a scale.
    pub weight_grouping: LowBitWeightGrouping,
    /// Whether the published method is followed to the letter.
    pub strict_bitnet_reference: bool,
    /// Neighbouring activations that share a scale, when grouped `per_group`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub act_group_size: Option<usize>,
    /// Heads whose activations share a scale, when grouped `per_head_group`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub act_heads_per_group: Option<usize>,
    /// Neighbouring weights that share a scale, when grouped `per_group`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_group_size: Option<usize>,
    /// Heads whose weights share a scale, when grouped `per_head_group`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_heads_per_group: Option<usize>,
}

impl LowBitQuantizationConfig {
    setters! {
        with_enable => enable: bool;
        with_protocol => protocol: Protocol;
        with_training_mode => training_mode: LowBitTrainingMode;
        with_inference_mode => inference_mode: LowBitInferenceMode;
        with_weight_format => weight_format: LowBitWeightFormat;
        with_act_format => act_format: LowBitActivationFormat;
        with_saved_activations => saved_activations: LowBitSavedActivationConfig;
        with_target_modules => target_modules: Vec<LowBitTargetModule>;
        with_decoder_x_mode => decoder_x_mode: LowBitWeightFormat;
        with_encoder_mode => encoder_mode: Option<LowBitWeightFormat>;
        with_act_grouping => act_grouping: LowBitActivationGrouping;
        with_weight_grouping => weight_grouping: LowBitWeightGrouping;
        with_strict_bitnet_reference => strict_bitnet_reference: bool;
        with_act_group_size => act_group_size: Option<usize>;
        with_act_heads_per_group => act_heads_per_group: Option<usize>;
        with_weight_group_size => weight_group_size: Option<usize>;
        with_weight_heads_per_group => weight_heads_per_group: Option<usize>;
    }

    /// From JSON. Absent keys take their defaults; unknown keys and words are errors.
    pub fn from_json(text: impl AsRef<[u8]>) -> Result<LowBitQuantizationConfig, Invalid> {
        crate::config::from_json("model.quant", text.as_ref())
    }

    /// Whether the source accepts this config; the field of the error is the one it complains of.
    ///
    /// Group sizes are not looked at: the source has none.
    pub fn compat(&self) -> Result<(), Invalid> {
        let per_token = self.act_grouping == LowBitActivationGrouping::PerToken;
        let per_tensor = self.weight_grouping == LowBitWeightGrouping::PerTensor;
        self.verdict(
            || refuse(!per_token, "act_grouping", self.act_grouping, "per_token"),
            || refuse(!per_tensor, "weight_grouping", self.weight_grouping, "per_tensor"),
        )
    }

    /// Whether this suite supports the config: as the source, but with every grouping.
    ///
    /// A size must be there exactly when its grouping asks for it. A config that is not enabled
    /// quantizes nothing, so nothing but its saved activations is looked at.
    pub fn validate(&self) -> Result<(), Invalid> {
        self.verdict(|| self.check_act_sizes(), || self.check_weight_sizes())
    }

    /// The checks in the source's order, with the two on grouping left open.
    fn verdict(
        &self,
        act_grouping: impl Fn() -> Result<(), Invalid>,
        weight_grouping: impl Fn() -> Result<(), Invalid>,
    ) -> Result<(), Invalid> {
        let saved = &self.saved_activations;
        let saves = saved.mode != SavedMode::Disabled;
        if !self.enable {
            let allowed = "disabled unless model.quant.enable = true";
            return refuse(saves, "saved_activations.mode", saved.mode, allowed);
        }
        let none = self.protocol == Protocol::None;
        refuse(none, "protocol", self.protocol, "a protocol when model.quant.enable = true")?;
        let untargeted = self.strict_bitnet_reference && self.target_modules.is_empty();
        let allowed = "at least one module when strict_bitnet_reference is set";
        refuse(untargeted, "target_modules", "empty", allowed)?;
        act_grouping()?;
        let uint8 = saved.format == LowBitActivationFormat::Uint8PosExp;
        refuse(uint8, "saved_activations.format", saved.format, "fp16, int8 or int4_exp")?;
        let untrained = saves && self.training_mode != LowBitTrainingMode::TrainKernelExp;
        let allowed = "disabled unless training_mode = train_kernel_exp";
        refuse(untrained, "saved_activations.mode", saved.mode, allowed)?;
        weight_grouping()?;
        let encoder_only = self.target_modules.iter().all(|m| *m == LowBitTargetModule::Encoder);
        let uint8 = self.act_format == LowBitActivationFormat::Uint8PosExp;
        let allowed = "fp16, int8 or int4_exp unless target_modules is encoder alone";
        refuse(uint8 && !encoder_only, "act_format", self.act_format, allowed)
    }

    pub(super) fn check_act_sizes(&self) -> Result<(), Invalid> {
        let group = self.act_grouping == LowBitActivationGrouping::PerGroup;
        let heads = self.act_grouping == LowBitActivationGrouping::PerHeadGroup;
        check_size("act_group_size", self.act_group_size, group)?;
        check_size("act_heads_per_group", self.act_heads_per_group, heads)
    }

    pub(super) fn check_weight_sizes(&self) -> Result<(), Invalid> {
        let group = self.weight_grouping == LowBitWeightGrouping::PerGroup;
        let heads = self.weight_grouping == LowBitWeightGrouping::PerHeadGroup;
        check_size("weight_group_size", self.weight_group_size, group)?;
        check_size("weight_heads_per_group", self.weight_heads_per_group, heads)
    }
}

/// A size is there, and not zero, exactly when its grouping is the one in use.
fn check_size(field: &str, size: Option<usize>, in_use: bool) -> Result<(), Invalid> {
    match (in_use, size) {
        (true, None) => refuse(true, field, "absent", "at least 1 with this grouping"),
        (true, Some(0)) => refuse(true, field, 0, "at least 1"),
        (false, Some(size)) => refuse(true, field, size, "absent with this grouping"),
        (true, Some(_)) | (false, None) => Ok(()),
    }
}

/// An error on `model.quant.field` if `wrong`.
fn refuse(
    wrong: bool,
    field: &str,
    value: impl fmt::Display,
    allowed: &str,
) -> Result<(), Invalid> {
    match wrong {
        true => Err(Invalid::new(field, value, allowed).within("model.quant")),
        false => Ok(()),
    }
}

/// `bitnet_b158, qat_ste, offline_pack, weights ternary158 per_tensor, ...`; `off` if not enabled.
impl fmt::Display for LowBitQuantizationConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.enable {
            return f.write_str("off");
        }
        write!(f, "{}, {}, {}", self.protocol, self.training_mode, self.inference_mode)?;
        write!(f, ", weights {} (decoder_x {}", self.weight_format, self.decoder_x_mode)?;
        if let Some(encoder) = self.encoder_mode {
            write!(f, ", encoder {encoder}")?;
        }
        write!(f, ") {}", self.weight_grouping)?;
        write_size(f, [self.weight_group_size, self.weight_heads_per_group])?;
        write!(f, ", activations {} {}", self.act_format, self.act_grouping)?;
        write_size(f, [self.act_group_size, self.act_heads_per_group])?;
        let saved = &self.saved_activations;
        write!(f, ", saved {} {}, targets", saved.mode, saved.format)?;
        let targets: Vec<&str> = self.target_modules.iter().map(|m| m.as_str()).collect();
        write!(f, " {}", if targets.is_empty() { "none".into() } else { targets.join("+") })?;
        f.write_str(if self.strict_bitnet_reference { ", strict" } else { "" })
    }
}

/// The sizes that are there.
fn write_size(f: &mut fmt::Formatter<'_>, sizes: [Option<usize>; 2]) -> fmt::Result {
    sizes.into_iter().flatten().try_for_each(|size| write!(f, " of {size}"))
}
