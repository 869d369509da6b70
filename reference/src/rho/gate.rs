//! The gates a compressed state has to pass: the source's absolute limits (seed 002, lines 299-317
//! and 830-848) and limits relative to the state's own magnitude.
use crate::quality::Quality;
use serde::{Deserialize, Serialize};

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
        let Quality { mean_abs_error, max_abs_error, rms_ratio, .. } = *quality;
        self.broken(&Figures { mean_abs_error, max_abs_error, rms_ratio, compression_ratio })
    }

    /// The limits as the source holds them.
    pub(super) fn in_f32(&self) -> RhoGate {
        let round = |limit: f64| f64::from(limit as f32);
        RhoGate {
            mean_abs_error: round(self.mean_abs_error),
            max_abs_error: round(self.max_abs_error),
            min_rms_ratio: round(self.min_rms_ratio),
            max_rms_ratio: round(self.max_rms_ratio),
            compression_ratio: round(self.compression_ratio),
        }
    }

    /// Every limit that these figures break.
    pub(super) fn broken(&self, figures: &Figures) -> Vec<Violation> {
        let limits = [
            at_most("rho.mean_abs_error", figures.mean_abs_error, self.mean_abs_error),
            at_most("rho.max_abs_error", figures.max_abs_error, self.max_abs_error),
            at_least("rho.rms_ratio", figures.rms_ratio, self.min_rms_ratio),
            at_most("rho.rms_ratio", figures.rms_ratio, self.max_rms_ratio),
            at_most("rho.compression_ratio", figures.compression_ratio, self.compression_ratio),
        ];
        limits.into_iter().flatten().collect()
    }
}

/// What a [`RhoGate`] looks at; the meaning of each is its limit's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Figures {
    pub(super) mean_abs_error: f64,
    pub(super) max_abs_error: f64,
    pub(super) rms_ratio: f64,
    pub(super) compression_ratio: f64,
}

/// Limits relative to the state's own magnitude; both inclusive. A verdict under them is the same
/// for a state and the state times any power of two.
///
/// The defaults are what the source's absolute limits mean for a state of unit rms: a mean error
/// of 0.02 is an rms error of `0.02 sqrt(pi / 2)` where errors are normal, and an error of 0.05
/// everywhere in a block is 0.05 of the block's norm.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RelativeGate {
    /// Largest `sum (x - q)^2 / sum x^2`; as a smallest SQNR, `-10 log10` of it.
    pub nmse: f64,
    /// Largest `sqrt(sum (x - q)^2 / sum x^2)` of any block.
    pub block_error: f64,
}

impl Default for RelativeGate {
    fn default() -> RelativeGate {
        RelativeGate { nmse: 0.02 * 0.02 * std::f64::consts::FRAC_PI_2, block_error: 0.05 }
    }
}

impl RelativeGate {
    /// Every broken limit; empty when the state passes. NaN breaks whatever it meets.
    pub fn check(&self, nmse: f64, block_error: f64) -> Vec<Violation> {
        let limits = [
            at_most("rho.nmse", nmse, self.nmse),
            at_most("rho.block_error", block_error, self.block_error),
        ];
        limits.into_iter().flatten().collect()
    }
}

/// The violation, if `value` is not at most `limit`.
fn at_most(limit_name: &'static str, value: f64, limit: f64) -> Option<Violation> {
    let broken = value.is_nan() || value > limit;
    broken.then(|| Violation { limit_name, value, allowed: format!("at most {limit}") })
}

/// The violation, if `value` is not at least `limit`.
pub(super) fn at_least(limit_name: &'static str, value: f64, limit: f64) -> Option<Violation> {
    let broken = value.is_nan() || value < limit;
    broken.then(|| Violation { limit_name, value, allowed: format!("at least {limit}") })
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

    #[test]
    fn the_sources_limits_are_f32() {
        let in_f32 = RhoGate { compression_ratio: 0.3, ..RhoGate::default() }.in_f32();
        let rounded = RhoGate {
            mean_abs_error: f64::from(0.02f32),
            max_abs_error: f64::from(0.05f32),
            min_rms_ratio: f64::from(0.95f32),
            max_rms_ratio: f64::from(1.05f32),
            compression_ratio: f64::from(0.3f32),
        };
        assert_eq!(in_f32, rounded);
        let figures = Figures {
            mean_abs_error: f64::from(0.02f32),
            max_abs_error: f64::from(0.05f32),
            rms_ratio: f64::from(0.95f32),
            compression_ratio: f64::from(0.5f32),
        };
        assert_eq!(RhoGate::default().in_f32().broken(&figures), []);
        let names = |figures: &Figures| -> Vec<_> {
            RhoGate::default().broken(figures).iter().map(|v| v.limit_name).collect()
        };
        // 0.02 and 0.95 as f32 are below the f64 numbers, 0.05 is above.
        assert_eq!(names(&figures), ["rho.max_abs_error", "rho.rms_ratio"]);
    }
}
