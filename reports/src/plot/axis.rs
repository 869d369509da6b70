//! Axes: from values to pixels, and where the ticks go.

/// One axis: a range of values on a range of pixels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    low: f64,
    high: f64,
    log: bool,
    /// Distance of linear ticks where it is not left to chance.
    step: Option<f64>,
    from: f64,
    to: f64,
}

/// Ratio of largest to smallest value above which a rate axis becomes logarithmic.
const LOG_FROM: f64 = 30.0;

impl Axis {
    /// A linear axis from `low` to `high`.
    pub(super) fn linear(low: f64, high: f64) -> Axis {
        let high = if high > low { high } else { low + 1.0 };
        Axis { low, high, log: false, step: None, from: 0.0, to: 1.0 }
    }

    /// A logarithmic axis with a little room around the positive values, of what a chart can show:
    /// an error that is no number is recorded as the largest one.
    pub(super) fn log(low: f64, high: f64) -> Axis {
        let (low, high) = (low.clamp(1e-99, 1e99), high.clamp(1e-99, 1e99));
        let (low, high) = (low / 1.3, high.max(low) * 1.3);
        Axis { low, high, log: true, step: None, from: 0.0, to: 1.0 }
    }

    /// The same axis with ticks at multiples of `step`, or its powers when logarithmic.
    pub(super) fn every(self, step: f64) -> Axis {
        Axis { step: Some(step), ..self }
    }

    /// An axis for positive values: from zero, or logarithmic when they differ too much.
    pub(super) fn for_rates(values: impl IntoIterator<Item = f64> + Clone) -> Axis {
        let values = values.into_iter().filter(|v| v.is_finite() && *v > 0.0);
        let (low, high) = values.fold((f64::MAX, 0.0_f64), |(l, h), v| (l.min(v), h.max(v)));
        if high > LOG_FROM * low { Axis::log(low, high) } else { Axis::linear(0.0, high * 1.06) }
    }

    /// The same axis on other pixels.
    pub(super) fn on(self, from: f64, to: f64) -> Axis {
        Axis { from, to, ..self }
    }

    /// Pixel of a value; values outside the range go to its ends.
    pub(super) fn at(&self, value: f64) -> f64 {
        let t = if self.log {
            (value.max(self.low) / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        self.from + t.clamp(0.0, 1.0) * (self.to - self.from)
    }

    /// Pixels the axis runs between.
    pub(super) fn ends(&self) -> (f64, f64) {
        (self.from, self.to)
    }

    /// Round values with at most about `most` of them, and their texts.
    pub(super) fn ticks(&self, most: usize) -> Vec<(f64, String)> {
        let values = if self.log { self.log_ticks(most) } else { self.linear_ticks(most) };
        values.into_iter().map(|v| (v, tick_text(v))).collect()
    }

    fn linear_ticks(&self, most: usize) -> Vec<f64> {
        let rough = (self.high - self.low) / most.max(1) as f64;
        let decade = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|m| m * decade);
        let round = step.into_iter().find(|s| *s >= rough * 0.999).unwrap_or(rough);
        let step = self.step.unwrap_or(round);
        // Multiples of the step, so that 0.1 + 0.1 + 0.1 is printed as 0.3.
        let (first, last) = ((self.low / step).ceil() as i64, (self.high / step).floor() as i64);
        (first..=last).map(|i| i as f64 * step).collect()
    }

    /// Decades; with 2 and 5 or 3 between them where there is room, or every second, third, ...
    fn log_ticks(&self, most: usize) -> Vec<f64> {
        let (first, last) = (self.low.log10().floor() as i32, self.high.log10().ceil() as i32);
        let inside = |v: &f64| (self.low..=self.high).contains(v);
        if let Some(base) = self.step {
            let powers = (first * 4..=last * 4).map(|e| base.powi(e));
            return powers.filter(inside).collect();
        }
        let within = |mantissas: &[f64]| -> Vec<f64> {
            let decades = (first..=last).map(|e| 10f64.powi(e));
            let all = decades.flat_map(|d| mantissas.iter().map(move |m| m * d));
            all.filter(|v| inside(v)).collect()
        };
        let dense = [&[1.0, 2.0, 5.0][..], &[1.0, 3.0], &[1.0]];
        if let Some(found) = dense.iter().map(|m| within(m)).find(|v| v.len() <= most.max(2)) {
            return found;
        }
        let decades = within(&[1.0]);
        let stride = decades.len().div_ceil(most.max(2));
        decades.into_iter().step_by(stride).collect()
    }
}

/// Ticks are round, so the shortest text is right; the float noise of a product is not.
fn tick_text(value: f64) -> String {
    let rounded: f64 = format!("{value:.6e}").parse().unwrap_or(value);
    match rounded.abs() {
        0.0 => "0".to_owned(),
        v if (1e-4..1e6).contains(&v) => format!("{rounded}"),
        _ => format!("{rounded:e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(axis: Axis, most: usize) -> Vec<String> {
        axis.ticks(most).into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn what_is_no_number_has_an_axis_of_some_ticks() {
        for (low, high) in [(1.0, f64::MAX), (0.0, f64::INFINITY), (f64::MAX, f64::MAX)] {
            assert!(Axis::log(low, high).ticks(5).len() < 9, "{low} {high}");
        }
    }

    #[test]
    fn values_land_on_their_pixels() {
        let axis = Axis::linear(0.0, 10.0).on(100.0, 200.0);
        assert!((axis.at(5.0) - 150.0).abs() < 1e-9);
        assert!((axis.at(99.0) - 200.0).abs() < 1e-9, "clamped to the end");
        let axis = Axis::log(13.0, 100.0 / 1.3 * 10.0 / 1.3).on(0.0, 1.0);
        assert!((axis.at(10.0)).abs() < 1e-9, "room is left below");
    }

    #[test]
    fn linear_ticks_are_round_and_few() {
        assert_eq!(texts(Axis::linear(0.0, 1.0), 5), ["0", "0.2", "0.4", "0.6", "0.8", "1"]);
        assert_eq!(texts(Axis::linear(0.0, 37.0), 4), ["0", "10", "20", "30"]);
        assert_eq!(texts(Axis::linear(0.93, 1.07), 3), ["0.95", "1", "1.05"]);
    }

    #[test]
    fn log_ticks_thin_out_with_the_range() {
        assert_eq!(texts(Axis::log(1.0, 40.0), 6), ["1", "2", "5", "10", "20", "50"]);
        assert_eq!(texts(Axis::log(1.0, 40.0), 4), ["1", "3", "10", "30"]);
        assert_eq!(texts(Axis::log(1e-5, 1e4), 4), ["1e-5", "0.01", "10", "10000"]);
    }

    #[test]
    fn rates_become_logarithmic_beyond_a_factor_of_thirty() {
        assert!(!Axis::for_rates([1.0, 29.0]).log);
        assert!(Axis::for_rates([1.0, 31.0]).log);
        assert!(!Axis::for_rates([]).log);
    }
}
