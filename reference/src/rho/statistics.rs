//! How well a compression kept the states it was given, over many calls; three verdicts.
//!
//! The source averages per call and per process (seed 002, lines 267-298 and 1018-1074):
//!
//! ```text
//! mean_abs_error    = sum over calls of mean |x - q| / calls          one call, one vote
//! max_abs_error     = fold(0, max)                                    NaN is not seen
//! rms_ratio         = sum over calls of rms(q) / sum over calls of rms(x)
//! compression_ratio = sum of stored bytes / sum of 4 n
//! ```
//!
//! and fails a state of zeros that was kept perfectly, for it divides by an rms of zero. Beside
//! its verdict stands ours, in which every value counts the same, NaN is seen and zeros that stay
//! zeros pass; and one under limits relative to the state's own magnitude.
use super::gate::{Figures, at_least};
use super::{RelativeGate, RhoGate, Violation};
use crate::invalid::Invalid;
use crate::quality::{Quality, Sums};

/// Sums over calls; a plain value that somebody owns.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RhoStatistics {
    calls: u64,
    rms_sum: f64,
    kept_rms_sum: f64,
    mean_error_sum: f64,
    max_error: f32,
    original_bytes: u64,
    stored_bytes: u64,
    sums: Sums,
}

/// Broken limits, by gate; an empty list is a pass.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdicts {
    /// As the source judges.
    pub compat: Vec<Violation>,
    /// The source's limits on figures in which every value counts the same.
    pub absolute: Vec<Violation>,
    /// Limits relative to the state's own magnitude.
    pub relative: Vec<Violation>,
}

impl RhoStatistics {
    /// Count a state `x` (flat, blocks of 32), its reconstruction `q` and the bytes it was stored
    /// in. An empty state is not counted (nor is it by the source); a `q` of another length, which
    /// the source drops without a word, is an error.
    pub fn record(&mut self, x: &[f32], q: &[f32], stored_bytes: u64) -> Result<(), Invalid> {
        Invalid::check_len("q", q.len(), &[x.len()])?;
        if x.is_empty() {
            return Ok(());
        }
        let len = x.len() as f64;
        // The source's differences are f32, its sums f64.
        let errors = || x.iter().zip(q).map(|(x, q)| (x - q).abs());
        self.calls = self.calls.saturating_add(1);
        self.rms_sum += rms(x);
        self.kept_rms_sum += rms(q);
        self.mean_error_sum += errors().map(f64::from).sum::<f64>() / len;
        self.max_error = errors().fold(self.max_error, f32::max);
        self.original_bytes = self.original_bytes.saturating_add(4 * x.len() as u64);
        self.stored_bytes = self.stored_bytes.saturating_add(stored_bytes);
        self.sums.add(x, q.iter().copied());
        Ok(())
    }

    /// States counted.
    pub fn calls(&self) -> u64 {
        self.calls
    }
    /// The source's mean error: the average of the means of each call.
    pub fn compat_mean_abs_error(&self) -> Option<f32> {
        (self.calls > 0).then(|| (self.mean_error_sum / self.calls as f64) as f32)
    }
    /// The source's largest error, blind to NaN.
    pub fn compat_max_abs_error(&self) -> f32 {
        self.max_error
    }
    /// The source's ratio of sums of rms; `None` where nothing or only zeros were counted.
    pub fn compat_rms_ratio(&self) -> Option<f32> {
        let some = self.calls > 0 && self.rms_sum != 0.0;
        some.then(|| (self.kept_rms_sum / self.rms_sum) as f32)
    }
    /// Stored bytes over the bytes of f32; `None` where nothing was counted. One f32 division,
    /// as the source's.
    pub fn compression_ratio(&self) -> Option<f32> {
        (self.original_bytes > 0).then(|| self.stored_bytes as f32 / self.original_bytes as f32)
    }
    /// Figures in which every value counts the same.
    pub fn quality(&self) -> Quality {
        self.sums.quality()
    }
    /// Largest `sqrt(sum (x - q)^2 / sum x^2)` of any block of any state: 0 for zeros that stayed
    /// zeros, infinite for zeros that did not, NaN where a NaN was met.
    pub fn block_error(&self) -> f64 {
        self.sums.block_error
    }

    /// The source's verdict, in f32 as there: a violation more where it refuses to judge.
    pub fn compat_verdict(&self, gate: &RhoGate) -> Vec<Violation> {
        let wide = |value: Option<f32>| value.map(f64::from);
        let Some(mean_abs_error) = wide(self.compat_mean_abs_error()) else {
            return at_least("rho.calls", 0.0, 1.0).into_iter().collect();
        };
        let Some(rms_ratio) = wide(self.compat_rms_ratio()) else {
            let allowed = "above 0".to_owned();
            return vec![Violation { limit_name: "rho.rms", value: self.rms_sum, allowed }];
        };
        let compression_ratio = wide(self.compression_ratio()).unwrap_or(f64::NAN);
        let max_abs_error = f64::from(self.max_error);
        gate.in_f32().broken(&Figures {
            mean_abs_error,
            max_abs_error,
            rms_ratio,
            compression_ratio,
        })
    }

    /// All three verdicts. Where nothing was counted nothing passes.
    pub fn verdicts(&self, gate: &RhoGate, relative: &RelativeGate) -> Verdicts {
        let compat = self.compat_verdict(gate);
        let Some(ratio) = self.compression_ratio() else {
            return Verdicts { absolute: compat.clone(), relative: compat.clone(), compat };
        };
        let quality = self.quality();
        Verdicts {
            compat,
            absolute: gate.check(&quality, f64::from(ratio)),
            relative: relative.check(quality.nmse, quality.block_error),
        }
    }
}

fn rms(x: &[f32]) -> f64 {
    let squares = x.iter().map(|x| f64::from(*x) * f64::from(*x));
    (squares.sum::<f64>() / x.len() as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(violations: &[Violation]) -> Vec<&'static str> {
        violations.iter().map(|v| v.limit_name).collect()
    }

    fn of(states: &[(&[f32], &[f32])]) -> RhoStatistics {
        let mut statistics = RhoStatistics::default();
        for (x, q) in states {
            statistics.record(x, q, x.len() as u64).unwrap();
        }
        statistics
    }

    #[test]
    fn the_source_gives_each_call_one_vote_and_ours_gives_each_value_one() {
        // Means 0.5 (one value) and 0 (three values): 0.25 there, 0.125 here.
        let statistics = of(&[(&[1.0], &[0.5]), (&[2.0; 3], &[2.0; 3])]);
        assert_eq!(statistics.compat_mean_abs_error(), Some(0.25));
        assert_eq!(statistics.quality().mean_abs_error, 0.125);
        // (0.5 + 2) / (1 + 2) there, sqrt((0.25 + 12) / (1 + 12)) here.
        assert_eq!(statistics.compat_rms_ratio(), Some((2.5f64 / 3.0) as f32));
        assert!((statistics.quality().rms_ratio - (12.25f64 / 13.0).sqrt()).abs() < 1e-15);
        assert_eq!(statistics.compat_max_abs_error(), 0.5);
        assert_eq!(statistics.compression_ratio(), Some(0.25));
        assert_eq!((statistics.calls(), statistics.block_error()), (2, 0.5));
    }

    #[test]
    fn zeros_that_stay_zeros_fail_there_and_pass_here() {
        let (gate, relative) = (RhoGate::default(), RelativeGate::default());
        let kept = of(&[(&[0.0; 40], &[0.0; 40])]).verdicts(&gate, &relative);
        assert_eq!(names(&kept.compat), ["rho.rms"]);
        assert_eq!((names(&kept.absolute), names(&kept.relative)), (vec![], vec![]));
        let lost = of(&[(&[0.0; 40], &[1e-8; 40])]).verdicts(&gate, &relative);
        assert_eq!(names(&lost.absolute), ["rho.rms_ratio"]);
        assert_eq!(names(&lost.relative), ["rho.nmse", "rho.block_error"]);
    }

    #[test]
    fn nothing_counted_passes_nothing() {
        let mut statistics = RhoStatistics::default();
        statistics.record(&[], &[], 0).unwrap();
        let verdicts = statistics.verdicts(&RhoGate::default(), &RelativeGate::default());
        for verdict in [&verdicts.compat, &verdicts.absolute, &verdicts.relative] {
            assert_eq!(names(verdict), ["rho.calls"]);
        }
        assert_eq!(statistics.record(&[1.0], &[], 0).unwrap_err().field, "q");
        assert_eq!(statistics, RhoStatistics::default());
    }

    #[test]
    fn nan_hides_from_the_source_and_not_from_us() {
        let mut statistics = of(&[(&[1.0, f32::NAN], &[1.0, 0.0])]);
        statistics.record(&[1.0], &[1.0], 1).unwrap();
        assert_eq!(statistics.compat_max_abs_error(), 0.0);
        assert!(statistics.quality().max_abs_error.is_nan());
        assert!(statistics.block_error().is_nan());
        let verdicts = statistics.verdicts(&RhoGate::default(), &RelativeGate::default());
        assert_eq!(
            names(&verdicts.compat),
            ["rho.mean_abs_error", "rho.rms_ratio", "rho.rms_ratio"]
        );
        assert_eq!(names(&verdicts.relative), ["rho.nmse", "rho.block_error"]);
    }

    #[test]
    fn the_relative_verdict_is_the_same_at_every_magnitude_and_the_absolute_is_not() {
        let verdicts = |magnitude: f32| {
            let x: Vec<f32> = (0..64).map(|i| magnitude * (i % 7 + 1) as f32).collect();
            let q: Vec<f32> = x.iter().map(|x| x * 1.0078125).collect();
            of(&[(&x, &q)]).verdicts(&RhoGate::default(), &RelativeGate::default())
        };
        let (small, large) = (verdicts(0.0625), verdicts(64.0));
        assert_eq!((names(&small.absolute), names(&small.relative)), (vec![], vec![]));
        assert_eq!(names(&large.absolute), ["rho.mean_abs_error", "rho.max_abs_error"]);
        assert_eq!(names(&large.relative), Vec::<&str>::new());
    }

    #[test]
    fn one_bad_block_is_seen_among_many_good_ones() {
        let mut x = vec![100.0f32; 32 * 99];
        x.extend([0.01; 32]);
        let mut q = x.clone();
        q[32 * 99..].fill(0.0);
        let statistics = of(&[(&x, &q)]);
        let verdicts = statistics.verdicts(&RhoGate::default(), &RelativeGate::default());
        assert_eq!(names(&verdicts.absolute), Vec::<&str>::new());
        assert_eq!(names(&verdicts.relative), ["rho.block_error"]);
        assert_eq!(statistics.block_error(), 1.0);
    }
}
