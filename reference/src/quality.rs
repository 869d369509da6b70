//! What quantization costs against the unquantized data.
pub mod expected;

/// Quality of a reconstruction `q` of `x`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Quality {
    /// `10 log10(sum x^2 / sum (x - q)^2)`; `None` when the noise is exactly zero.
    pub sqnr_db: Option<f64>,
    /// `sum (x - q)^2 / sum x^2`; 0 when both are zero.
    pub nmse: f64,
    /// Mean of `(x - q)^2`.
    pub mse: f64,
    /// Mean of `|x - q|`.
    pub mean_abs_error: f64,
    /// Largest `|x - q|`.
    pub max_abs_error: f64,
    /// `rms(q) / rms(x)`; 1 when both are zero.
    pub rms_ratio: f64,
    /// Largest `sqrt(sum (x - q)^2 / sum x^2)` of any block of [`BLOCK`] values, counted from the first: 0 for zeros that
    /// stayed zeros, infinite for zeros that did not.
    pub block_error: f64,
}

/// Values of a block whose error is looked at alone.
pub const BLOCK: usize = 32;

/// Fewest values whose quality is compared with the predicted one.
pub const PREDICTED_VALUES: usize = 1 << 14;

/// Standard errors that a quality may be off by.
const STANDARD_ERRORS: f64 = 5.0;
/// Relative error that the integrals themselves may have.
const INTEGRATION: f64 = 5e-4;

/// The error that drawn values must have, calculated and not tuned: see [`expected`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Predicted {
    /// Expected mean of `(x - q)^2`.
    pub mse: f64,
    /// Relative standard error of such a mean. A few clipped values may carry most of it, and then
    /// this is large.
    pub standard_error: f64,
    /// How many values it speaks for.
    pub values: usize,
}

impl Predicted {
    /// Whether so many errors make the mean that its distribution is nearly normal: where the
    /// standard deviation of one is within eight means. Tails without a fourth moment, clipped,
    /// are far beyond.
    pub fn is_steady(&self) -> bool {
        self.standard_error * (self.values as f64).sqrt() < 8.0
    }

    /// By which share of the expected mean a measured one may be off.
    pub fn slack(&self) -> f64 {
        STANDARD_ERRORS * self.standard_error + INTEGRATION
    }

    /// Least and largest NMSE that data may have whose quality is `of`: the interval of the mean
    /// squared error over the signal that was drawn. `None` of fewer than [`PREDICTED_VALUES`].
    pub fn nmse(&self, of: &Quality) -> Option<(f64, f64)> {
        let expected = self.mse / of.mse * of.nmse;
        let (least, most) = (expected * (1.0 - self.slack()), expected * (1.0 + self.slack()));
        (self.values >= PREDICTED_VALUES && expected.is_finite()).then_some((least.max(0.0), most))
    }
}

impl Quality {
    /// Why the quality is not the one predicted, if it is not: better is as wrong as worse. Fewer
    /// than [`PREDICTED_VALUES`] say nothing.
    pub fn unexpected(&self, predicted: Predicted) -> Option<String> {
        let Predicted { mse, values, .. } = predicted;
        let slack = predicted.slack();
        let off = self.mse / mse - 1.0;
        let off = off.is_nan() || off.abs() > slack;
        (values >= PREDICTED_VALUES && off).then(|| {
            let mean = self.mse;
            format!(
                "mean of (x - q)^2 is {mean:.4e}, predicted {mse:.4e} within {:.2} %",
                100.0 * slack
            )
        })
    }
}

/// Sums a [`Quality`] is made of, in f64; states may be added one after another, and every value
/// counts the same whichever state it came with.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sums {
    /// Number of values.
    pub values: u64,
    /// `sum x^2`.
    pub signal: f64,
    /// `sum (x - q)^2`.
    pub noise: f64,
    /// `sum q^2`.
    pub kept: f64,
    /// `sum |x - q|`.
    pub error: f64,
    /// Largest `|x - q|`.
    pub max_error: f64,
    /// Largest error of a block; blocks begin anew with each state.
    pub block_error: f64,
}

/// The larger of two errors; NaN if either is one.
fn larger(a: f64, b: f64) -> f64 {
    if a.is_nan() || a >= b { a } else { b }
}

/// `a / b`, and `empty` where both are zero.
fn ratio(a: f64, b: f64, empty: f64) -> f64 {
    if a == 0.0 && b == 0.0 { empty } else { a / b }
}

impl Sums {
    /// Count values and their reconstructions. A NaN in either makes every figure NaN, never a
    /// silent 0 (the source's `fold(0, max)` reported an error of 0 for NaN).
    pub fn add(&mut self, x: &[f32], q: impl IntoIterator<Item = f32>) {
        self.values += x.len() as u64;
        let mut q = q.into_iter();
        for block in x.chunks(BLOCK) {
            let (mut signal, mut kept, mut noise) = (0.0, 0.0, 0.0);
            for (x, q) in block.iter().zip(&mut q) {
                let (x, q) = (f64::from(*x), f64::from(q));
                let error = (x - q).abs();
                signal += x * x;
                noise += error * error;
                kept += q * q;
                self.error += error;
                self.max_error = larger(error, self.max_error);
            }
            self.signal += signal;
            self.kept += kept;
            self.noise += noise;
            self.block_error = larger(ratio(noise, signal, 0.0).sqrt(), self.block_error);
        }
    }

    /// What the sums say.
    pub fn quality(&self) -> Quality {
        Quality {
            sqnr_db: (self.noise != 0.0).then(|| 10.0 * (self.signal / self.noise).log10()),
            nmse: ratio(self.noise, self.signal, 0.0),
            mse: self.noise / self.values.max(1) as f64,
            mean_abs_error: self.error / self.values.max(1) as f64,
            max_abs_error: self.max_error,
            rms_ratio: ratio(self.kept, self.signal, 1.0).sqrt(),
            block_error: self.block_error,
        }
    }
}

/// Compare `q` with `x`.
pub fn quality(x: &[f32], q: impl IntoIterator<Item = f32>) -> Quality {
    let mut sums = Sums::default();
    sums.add(x, q);
    sums.quality()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_match_a_calculation_by_hand() {
        // signal 1 + 4 + 4 = 9, noise 0 + 1 + 0 = 1, kept 1 + 1 + 4 = 6.
        let q = quality(&[1.0, 2.0, -2.0], [1.0, 1.0, -2.0]);
        assert!((q.sqnr_db.unwrap() - 9.542_425_094_393_248).abs() < 1e-12);
        assert!((q.nmse - 1.0 / 9.0).abs() < 1e-15);
        assert!((q.mean_abs_error - 1.0 / 3.0).abs() < 1e-15);
        assert_eq!(q.max_abs_error, 1.0);
        assert!((q.rms_ratio - (6.0f64 / 9.0).sqrt()).abs() < 1e-15);
        assert!((q.block_error - (1.0f64 / 9.0).sqrt()).abs() < 1e-15);
    }

    #[test]
    fn the_worst_block_is_that_of_32_values_and_of_one_state() {
        let x = [1.0; 70];
        let mut q = x;
        // The last block has six values, one of them lost; in the second two of 32 are.
        (q[40], q[41], q[69]) = (0.0, 0.0, 0.0);
        assert!((quality(&x, q).block_error - (1.0f64 / 6.0).sqrt()).abs() < 1e-15);
        assert!((quality(&x[..64], q).block_error - 0.25).abs() < 1e-15);
        // A block begins anew with each state: seven values of a block of their own.
        let mut sums = Sums::default();
        sums.add(&x[..63], q);
        sums.add(&x[..7], q[63..].iter().copied());
        assert!((sums.quality().block_error - (1.0f64 / 7.0).sqrt()).abs() < 1e-15);
        assert_eq!(quality(&[0.0; 3], [0.0; 3]).block_error, 0.0);
        assert_eq!(quality(&[0.0; 3], [1.0; 3]).block_error, f64::INFINITY);
        assert!(quality(&[1.0; 3], [f32::NAN; 3]).block_error.is_nan());
    }

    #[test]
    fn quality_too_good_is_as_unexpected_as_too_bad() {
        let quality = |mse| Quality { mse, ..Quality::default() };
        let predicted = Predicted { mse: 0.1, standard_error: 0.01, values: 1 << 16 };
        assert_eq!(quality(0.105).unexpected(predicted), None);
        assert!(quality(0.106).unexpected(predicted).is_some());
        assert!(quality(0.094).unexpected(predicted).is_some());
        assert!(quality(f64::NAN).unexpected(predicted).is_some());
        assert_eq!(quality(0.5).unexpected(Predicted { values: 100, ..predicted }), None);
    }

    #[test]
    fn nothing_lost_and_nothing_there_are_told_apart_from_nan() {
        assert_eq!(quality(&[0.0; 4], [0.0; 4]).sqnr_db, None);
        assert_eq!(quality(&[0.0; 4], [0.0; 4]).rms_ratio, 1.0);
        assert!(quality(&[1.0, f32::NAN], [1.0, 1.0]).max_abs_error.is_nan());
    }
}
