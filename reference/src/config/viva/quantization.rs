//! `Int8Config`, `Nf4Config`, `AwqConfig`: how weights are quantized (seed 000).
use crate::format::codebook::Table;
use crate::format::double_quant::DoubleQuant;
use crate::format::nf4::{Nf4, Nibbles};
use crate::invalid::Invalid;
use crate::op::awq::AwqSearchConfig;
use serde::{Deserialize, Serialize};
use std::fmt;

/// INT8: one scale for all or one per block, with or without a zero point. What it means is
/// [`quantize_int8`](crate::op::int8::quantize_int8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Int8Config {
    /// Values that share a scale; 0 is the whole tensor.
    pub block_size: usize,
    /// Codes -127 to 127 without zero point, or 0 to 255 with one.
    pub symmetric: bool,
}

impl Default for Int8Config {
    /// Per tensor, symmetric.
    fn default() -> Int8Config {
        Int8Config { block_size: 0, symmetric: true }
    }
}

impl Int8Config {
    /// Values that share a scale; 0 is the whole tensor.
    pub fn with_block_size(self, block_size: usize) -> Int8Config {
        Int8Config { block_size, ..self }
    }

    /// With or without a zero point; the source has no setter.
    pub fn with_symmetric(self, symmetric: bool) -> Int8Config {
        Int8Config { symmetric, ..self }
    }

    /// Every block size and either symmetry is legal.
    pub fn validate(&self) -> Result<(), Invalid> {
        Ok(())
    }
}

impl fmt::Display for Int8Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let symmetry = if self.symmetric { "symmetric" } else { "asymmetric" };
        match self.block_size {
            0 => write!(f, "int8 per tensor, {symmetry}"),
            block_size => write!(f, "int8 blocks of {block_size}, {symmetry}"),
        }
    }
}

/// NF4 (Dettmers et al. 2023, QLoRA): sixteen normal quantiles, one scale per block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Nf4Config {
    /// Values that share a scale.
    pub block_size: usize,
    /// Whether the scales are quantized themselves, to 8 bits in blocks of 256.
    pub double_quant: bool,
}

impl Default for Nf4Config {
    /// Blocks of 64, scales quantized: the settings of the paper.
    fn default() -> Nf4Config {
        Nf4Config { block_size: 64, double_quant: true }
    }
}

impl Nf4Config {
    /// Values that share a scale.
    pub fn with_block_size(self, block_size: usize) -> Nf4Config {
        Nf4Config { block_size, ..self }
    }

    /// Whether the scales are quantized themselves.
    pub fn with_double_quant(self, double_quant: bool) -> Nf4Config {
        Nf4Config { double_quant, ..self }
    }

    /// A block size that NF4 has: a power of two from 32 to 4096.
    pub fn validate(&self) -> Result<(), Invalid> {
        Nf4::try_from(self).map(drop)
    }

    /// Stored bits per weight, [`Nf4::bits`]: 4, and f32 scales (`32 / B`) or 8-bit scales with one
    /// f32 for 256 of them (`8 / B + 32 / (256 B)`). At B = 64 that is 4.5 or 4.127; the 4.69, 4.44
    /// and 3.1 GB for 7 billion weights of the source hold under neither.
    ///
    /// Errors as [`validate`](Nf4Config::validate).
    pub fn bits_per_weight(&self) -> Result<f64, Invalid> {
        Ok(Nf4::try_from(self)?.bits())
    }
}

/// NF4 as viva_tensor lays it out, the second code in the high nibble; the scales by bitsandbytes'
/// dynamic map, for the source has no scheme of its own.
impl TryFrom<&Nf4Config> for Nf4 {
    type Error = Invalid;

    fn try_from(config: &Nf4Config) -> Result<Nf4, Invalid> {
        let double_quant = config.double_quant.then_some(DoubleQuant::Dynamic8);
        Nf4::new(Table::Nf4, config.block_size, double_quant, Nibbles::LowFirst)
    }
}

impl fmt::Display for Nf4Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scales = if self.double_quant { "8-bit" } else { "f32" };
        write!(f, "nf4 blocks of {}, {scales} scales", self.block_size)
    }
}

/// AWQ (Lin et al. 2023): input channels with large activations are scaled up before rounding.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AwqConfig {
    /// Values that share a scale of the 4-bit codes.
    pub block_size: usize,
    /// Most tokens the activation statistic is taken over.
    pub n_calibration: usize,
    /// A factor of every channel scale. It changes nothing: the scales are normalized by
    /// `sqrt(max * min)`, in which it cancels. The source's code reads it nowhere either.
    pub scale_factor: f64,
}

impl Default for AwqConfig {
    /// Blocks of 64, 128 samples, factor 1.
    fn default() -> AwqConfig {
        AwqConfig { block_size: 64, n_calibration: 128, scale_factor: 1.0 }
    }
}

impl AwqConfig {
    /// Most tokens the activation statistic is taken over.
    pub fn with_calibration(self, n_calibration: usize) -> AwqConfig {
        AwqConfig { n_calibration, ..self }
    }

    /// Values that share a scale; not in the source's text.
    pub fn with_block_size(self, block_size: usize) -> AwqConfig {
        AwqConfig { block_size, ..self }
    }

    /// A factor of every channel scale, which cancels; the source has no setter.
    pub fn with_scale_factor(self, scale_factor: f64) -> AwqConfig {
        AwqConfig { scale_factor, ..self }
    }

    /// At least one value per block and one sample, a finite factor above 0.
    pub fn validate(&self) -> Result<(), Invalid> {
        Invalid::check_range("block_size", self.block_size, (1, usize::MAX))?;
        Invalid::check_range("n_calibration", self.n_calibration, (1, usize::MAX))?;
        match self.scale_factor.is_finite() && self.scale_factor > 0.0 {
            true => Ok(()),
            false => Err(Invalid::new("scale_factor", self.scale_factor, "finite and above 0")),
        }
    }
}

/// The search of these groups over at most `n_calibration` tokens, otherwise llm-awq's; the factor
/// cancels.
impl TryFrom<&AwqConfig> for AwqSearchConfig {
    type Error = Invalid;

    fn try_from(config: &AwqConfig) -> Result<AwqSearchConfig, Invalid> {
        config.validate()?;
        Ok(AwqSearchConfig {
            group_size: config.block_size,
            max_tokens: config.n_calibration,
            ..AwqSearchConfig::default()
        })
    }
}

impl fmt::Display for AwqConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "awq blocks of {}, {} calibration samples, scale factor {}",
            self.block_size, self.n_calibration, self.scale_factor
        )
    }
}
