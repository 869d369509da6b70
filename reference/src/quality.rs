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
}

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
}

impl Quality {
    /// Why the quality is not the one predicted, if it is not: better is as wrong as worse. Fewer
    /// than [`PREDICTED_VALUES`] say nothing.
    pub fn unexpected(&self, predicted: Predicted) -> Option<String> {
        let Predicted { mse, standard_error, values } = predicted;
        let slack = STANDARD_ERRORS * standard_error + INTEGRATION;
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
}

impl Sums {
    /// Count values and their reconstructions. A NaN in either makes every figure NaN, never a
    /// silent 0 (the source's `fold(0, max)` reported an error of 0 for NaN).
    pub fn add(&mut self, x: &[f32], q: impl IntoIterator<Item = f32>) {
        self.values += x.len() as u64;
        for (x, q) in x.iter().zip(q) {
            let (x, q) = (f64::from(*x), f64::from(q));
            let error = (x - q).abs();
            self.signal += x * x;
            self.noise += error * error;
            self.kept += q * q;
            self.error += error;
            let larger = error > self.max_error || error.is_nan();
            self.max_error = if larger { error } else { self.max_error };
        }
    }

    /// What the sums say.
    pub fn quality(&self) -> Quality {
        let ratio = |a: f64, b: f64, empty: f64| if a == 0.0 && b == 0.0 { empty } else { a / b };
        Quality {
            sqnr_db: (self.noise != 0.0).then(|| 10.0 * (self.signal / self.noise).log10()),
            nmse: ratio(self.noise, self.signal, 0.0),
            mse: self.noise / self.values.max(1) as f64,
            mean_abs_error: self.error / self.values.max(1) as f64,
            max_abs_error: self.max_error,
            rms_ratio: ratio(self.kept, self.signal, 1.0).sqrt(),
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
