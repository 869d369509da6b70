//! Compression of the recurrent state rho: flat blocks of 32 values, one f32 scale each, and the
//! quality gate of the source (seed 002, lines 299-317 and 830-938).
use crate::case::Word;
use crate::format::{INT8, Levels, SIGN1, TERNARY2, WeightFormat};
use crate::quality::Quality;
use crate::rule::{Range, Rule, burn_dragon};
use serde::{Deserialize, Serialize};

/// Values that share a scale.
pub const RHO_BLOCK: usize = 32;

/// A block compression.
#[derive(Debug)]
pub struct RhoFormat {
    /// Name, with the source's word for it.
    pub word: Word,
    /// How the codes of a block are packed.
    pub codes: &'static dyn WeightFormat,
}

/// Every block compression. Adding one is a line here.
pub static RHO_FORMATS: &[RhoFormat] = &[
    RhoFormat { word: Word { name: "int8", aliases: &["int8_block_exp"] }, codes: &INT8 },
    RhoFormat { word: Word { name: "ternary", aliases: &["ternary_block_exp"] }, codes: &TERNARY2 },
    RhoFormat { word: Word { name: "binary", aliases: &["binary_block_exp"] }, codes: &SIGN1 },
];

/// The words of the table, for parameters.
pub fn rho_words() -> Vec<Word> {
    RHO_FORMATS.iter().map(|f| f.word).collect()
}

/// Look a compression up by name.
pub fn rho_format(name: &str) -> Option<&'static RhoFormat> {
    RHO_FORMATS.iter().find(|f| f.word.name == name)
}

impl RhoFormat {
    /// The block's rule: absmax in 127 steps for int8, the mean for ternary and binary; ties away
    /// from zero, scales at least 1e-8.
    pub fn rule(&self) -> Rule {
        let rule = burn_dragon(self.codes.levels());
        match self.codes.levels() {
            Levels::Int8 => Rule { range: Range::Absmax, times: 1.0, ..rule },
            _ => rule,
        }
    }
}

/// Limits on the quality of a compressed state; all inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RhoGate {
    /// Largest mean of `|x - q|`.
    pub mean_abs_error: f64,
    /// Largest `|x - q|`.
    pub max_abs_error: f64,
    /// Smallest `rms(q) / rms(x)`.
    pub min_rms_ratio: f64,
    /// Largest `rms(q) / rms(x)`.
    pub max_rms_ratio: f64,
    /// Largest stored bytes over the bytes of f32.
    pub compression_ratio: f64,
}

impl Default for RhoGate {
    /// The source's defaults.
    fn default() -> RhoGate {
        RhoGate {
            mean_abs_error: 0.02,
            max_abs_error: 0.05,
            min_rms_ratio: 0.95,
            max_rms_ratio: 1.05,
            compression_ratio: 0.5,
        }
    }
}

/// A limit that was broken.
#[derive(Clone, Debug, PartialEq)]
pub struct Violation {
    /// Which limit.
    pub limit_name: &'static str,
    /// What was found.
    pub value: f64,
    /// What is allowed: `at most 0.02`.
    pub allowed: String,
}

impl RhoGate {
    /// Every broken limit; empty when the state passes. NaN breaks whatever it meets. The limits
    /// are absolute, so the verdict depends on the magnitude of the state: int8 breaks them once
    /// the state's absolute maximum passes about 10.
    pub fn check(&self, quality: &Quality, compression_ratio: f64) -> Vec<Violation> {
        let most = |name, value: f64, limit: f64| {
            let broken = value.is_nan() || value > limit;
            broken.then(|| Violation {
                limit_name: name,
                value,
                allowed: format!("at most {limit}"),
            })
        };
        let least = |name, value: f64, limit: f64| {
            let broken = value.is_nan() || value < limit;
            broken.then(|| Violation {
                limit_name: name,
                value,
                allowed: format!("at least {limit}"),
            })
        };
        [
            most("rho.mean_abs_error", quality.mean_abs_error, self.mean_abs_error),
            most("rho.max_abs_error", quality.max_abs_error, self.max_abs_error),
            least("rho.rms_ratio", quality.rms_ratio, self.min_rms_ratio),
            most("rho.rms_ratio", quality.rms_ratio, self.max_rms_ratio),
            most("rho.compression_ratio", compression_ratio, self.compression_ratio),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gate_answers_with_every_broken_limit() {
        let good = Quality {
            mean_abs_error: 0.02,
            max_abs_error: 0.05,
            rms_ratio: 0.95,
            ..Quality::default()
        };
        assert_eq!(RhoGate::default().check(&good, 0.5), []);
        let bad = Quality {
            mean_abs_error: 0.021,
            max_abs_error: f64::NAN,
            rms_ratio: 1.06,
            ..Quality::default()
        };
        let names: Vec<_> =
            RhoGate::default().check(&bad, 0.51).iter().map(|v| v.limit_name).collect();
        let all =
            ["rho.mean_abs_error", "rho.max_abs_error", "rho.rms_ratio", "rho.compression_ratio"];
        assert_eq!(names, all);
    }
}
