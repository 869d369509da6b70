//! What quantization costs against the unquantized data.

/// Quality of a reconstruction `q` of `x`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Quality {
    /// `10 log10(sum x^2 / sum (x - q)^2)`; `None` when the noise is exactly zero.
    pub sqnr_db: Option<f64>,
    /// `sum (x - q)^2 / sum x^2`; 0 when both are zero.
    pub nmse: f64,
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

/// The squared error of one value, over the variance of the values: a random quantity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Noise {
    /// Its mean.
    pub mean: f64,
    /// Its variance.
    pub variance: f64,
}

impl Noise {
    /// The noise a `share` of the way from this one to another.
    pub(crate) fn towards(self, other: Self, share: f64) -> Self {
        Self {
            mean: self.mean + share * (other.mean - self.mean),
            variance: self.variance + share * (other.variance - self.variance),
        }
    }

    /// The noise of values that come in equal numbers from each.
    pub(crate) fn average(each: impl ExactSizeIterator<Item = Self>) -> Self {
        let count = each.len() as f64;
        let zero = Self { mean: 0.0, variance: 0.0 };
        let sum = each.fold(zero, |sum, noise| Self {
            mean: sum.mean + noise.mean,
            variance: sum.variance + noise.variance,
        });
        Self { mean: sum.mean / count, variance: sum.variance / count }
    }
}

/// The quality that normal values must have, calculated and not tuned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Predicted {
    /// Expected `sum (x - q)^2 / sum x^2`.
    pub nmse: f64,
    /// Relative standard error of that ratio: of the mean of `values` squared errors, and of the
    /// mean of as many squares, `sqrt(2 / values)` for a normal value. A few clipped values may
    /// carry most of the noise, and then the first is large.
    pub standard_error: f64,
    /// How many values it speaks for.
    pub values: usize,
}

impl Predicted {
    /// What `values` normal values with this noise must show; nothing of values without noise,
    /// each of which is its own group's largest.
    pub(crate) fn new(noise: Noise, values: usize) -> Option<Self> {
        let of_noise = noise.variance.max(0.0).sqrt() / noise.mean;
        let standard_error = (of_noise + 2.0f64.sqrt()) / (values.max(1) as f64).sqrt();
        (noise.mean > 0.0).then_some(Self { nmse: noise.mean, standard_error, values })
    }
}

impl Quality {
    /// Why the quality is not the one predicted, if it is not: better is as wrong as worse. Fewer
    /// than [`PREDICTED_VALUES`] say nothing.
    pub fn unexpected(&self, predicted: Predicted) -> Option<String> {
        let Predicted { nmse, standard_error, values } = predicted;
        let slack = STANDARD_ERRORS * standard_error;
        let off = self.nmse / nmse - 1.0;
        let off = off.is_nan() || off.abs() > slack;
        (values >= PREDICTED_VALUES && off).then(|| {
            format!("nmse is {:.4e}, predicted {nmse:.4e} within {:.1} %", self.nmse, 100.0 * slack)
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
        let quality = |nmse| Quality { nmse, ..Quality::default() };
        let noise = Noise { mean: 0.1, variance: 0.02 };
        // (sqrt(2) + sqrt(2)) / 256: five of those are 5.5 %.
        let predicted = Predicted::new(noise, 1 << 16).unwrap();
        assert_eq!(quality(0.105).unexpected(predicted), None);
        assert!(quality(0.106).unexpected(predicted).is_some());
        assert!(quality(0.094).unexpected(predicted).is_some());
        assert!(quality(f64::NAN).unexpected(predicted).is_some());
        assert_eq!(quality(0.5).unexpected(Predicted::new(noise, 100).unwrap()), None);
    }

    #[test]
    fn a_few_clipped_values_widen_the_interval() {
        let seldom = Predicted::new(Noise { mean: 0.1, variance: 2.0 }, 1 << 16).unwrap();
        let often = Predicted::new(Noise { mean: 0.1, variance: 0.02 }, 1 << 16).unwrap();
        assert_eq!(Predicted::new(Noise { mean: 0.0, variance: 0.0 }, 1 << 16), None);
        assert!(seldom.standard_error > 5.0 * often.standard_error);
        let half = Noise::average(
            [Noise { mean: 1.0, variance: 0.0 }, Noise { mean: 3.0, variance: 4.0 }].into_iter(),
        );
        assert_eq!(half, Noise { mean: 2.0, variance: 2.0 });
    }

    #[test]
    fn nothing_lost_and_nothing_there_are_told_apart_from_nan() {
        assert_eq!(quality(&[0.0; 4], [0.0; 4]).sqnr_db, None);
        assert_eq!(quality(&[0.0; 4], [0.0; 4]).rms_ratio, 1.0);
        assert!(quality(&[1.0, f32::NAN], [1.0, 1.0]).max_abs_error.is_nan());
    }
}
