//! The config of the recurrent state rho (`model.rho`; seed 001, lines 774-840).
use super::{
    RhoCompressionConfig as Compression, RhoCompressionInterval as Interval,
    RhoPrecisionConfig as Precision,
};
use crate::invalid::Invalid;
use serde::{Deserialize, Serialize};
use std::fmt;

/// How rho is computed, carried and compressed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LowBitRhoConfig {
    /// What it is computed in; bf16 by default.
    pub precision: Precision,
    /// Whether it outlives a window of truncated backpropagation; so by default.
    pub carry_across_tbptt: bool,
    /// Whether gradients stop at a window's end; so by default.
    pub detach_between_windows: bool,
    /// How it is compressed; not by default.
    pub compression: Compression,
    /// How often; after every chunk by default.
    pub compression_interval: Interval,
    /// Whether its statistics are collected; so by default.
    pub stats_monitoring: bool,
}

impl Default for LowBitRhoConfig {
    fn default() -> LowBitRhoConfig {
        LowBitRhoConfig {
            precision: Precision::default(),
            carry_across_tbptt: true,
            detach_between_windows: true,
            compression: Compression::default(),
            compression_interval: Interval::default(),
            stats_monitoring: true,
        }
    }
}

impl LowBitRhoConfig {
    setters! {
        with_precision => precision: Precision;
        with_carry_across_tbptt => carry_across_tbptt: bool;
        with_detach_between_windows => detach_between_windows: bool;
        with_compression => compression: Compression;
        with_compression_interval => compression_interval: Interval;
        with_stats_monitoring => stats_monitoring: bool;
    }

    /// From JSON. Absent keys take their defaults; unknown keys and words are errors.
    pub fn from_json(text: impl AsRef<[u8]>) -> Result<LowBitRhoConfig, Invalid> {
        crate::config::from_json("model.rho", text.as_ref())
    }

    /// Whether the source accepts this config; the field of the error is the one it complains of.
    pub fn compat(&self) -> Result<(), Invalid> {
        self.validate()?;
        if !matches!(self.precision, Precision::Fp32 | Precision::Bf16) {
            return Err(refused("precision", self.precision, "fp32 or bf16"));
        }
        let blocks = matches!(
            self.compression,
            Compression::Int8BlockExp | Compression::TernaryBlockExp | Compression::BinaryBlockExp
        );
        if !blocks && self.compression != Compression::None {
            let allowed = "none, int8_block_exp, ternary_block_exp or binary_block_exp";
            return Err(refused("compression", self.compression, allowed));
        }
        if blocks && self.compression_interval != Interval::Chunk {
            let allowed = "chunk when compression is by blocks";
            return Err(refused("compression_interval", self.compression_interval, allowed));
        }
        Ok(())
    }

    /// Whether this suite supports the config: all of them, but for 8-bit floats compressed to
    /// 8-bit floats.
    pub fn validate(&self) -> Result<(), Invalid> {
        if self.precision == Precision::Fp8Exp && self.compression == Compression::Fp8BlockExp {
            let allowed = "anything else when model.rho.compression = fp8_block_exp";
            return Err(refused("precision", self.precision, allowed));
        }
        Ok(())
    }
}

fn refused(field: &str, value: impl fmt::Display, allowed: &str) -> Invalid {
    Invalid::new(field, value, allowed).within("model.rho")
}

/// `bf16, int8_block_exp by chunk, carried, not detached, monitored`.
impl fmt::Display for LowBitRhoConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} by {}", self.precision, self.compression, self.compression_interval)?;
        let flags = [
            (self.carry_across_tbptt, "carried"),
            (self.detach_between_windows, "detached"),
            (self.stats_monitoring, "monitored"),
        ];
        flags
            .into_iter()
            .try_for_each(|(set, word)| write!(f, ", {}{word}", if set { "" } else { "not " }))
    }
}
