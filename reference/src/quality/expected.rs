//! The error a quantizer must make on drawn values, by integration and not by measurement.
//!
//! Given the statistic `a` of a group (its largest magnitude, its mean), the other values of the
//! group are independent draws, cut off at `a` where that is the largest. So
//!
//! ```text
//! E sum (x - q)^2 = sum_groups [ (n - 1) E[(x - q(x, a))^2 | |x| <= a] + (a - q(a, a))^2 ]
//! ```
//!
//! with one integral for each `a`, taken at 512 of them (`POINTS`) and in between by interpolation of
//! logarithms. The statistics are those of the values themselves, so that what is left to chance is
//! where values lie between codes: the sum of `N` squared errors has a relative standard error of
//! `sqrt(var / N) / mean`, about `0.9 / sqrt(N)` for even steps. In a run the formula `q` is the
//! rule's own, so that what is tested is the data, the groups and the reconstruction; in
//! `tests/it/quality_gate.rs` it is written down anew and borrows nothing from what is judged.
//!
//! The integrals are sums over weighted points of the distribution: an even grid of its normal
//! variable (of two for `lognormal`), of `x` for `laplace`, of `asinh x` for `student_t`.
use super::Predicted;
use crate::data::{Distribution, outlier_column};
use rayon::prelude::*;

/// Statistics at which an integral is taken.
const POINTS: usize = 512;
/// Points of a one-dimensional grid on each side of 0.
const GRID: i32 = 4000;

/// A quantizer as a formula.
#[derive(Clone, Copy)]
pub struct Formula<'a> {
    /// Values that share a statistic; the last group may be short.
    pub group_len: usize,
    /// What a group of values has in common.
    pub statistic: &'a (dyn Fn(&[f32]) -> f64 + Sync),
    /// Whether a value is possible in a group with a statistic, the largest of it aside.
    pub possible: &'a (dyn Fn(f64, f64) -> bool + Sync),
    /// What becomes of a value in a group with a statistic.
    pub value: &'a (dyn Fn(f64, f64) -> f64 + Sync),
}

impl std::fmt::Debug for Formula<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Formula({})", self.group_len)
    }
}

/// The largest magnitude of a group.
pub fn absmax(group: &[f32]) -> f64 {
    group.iter().fold(0.0, |most, x| f64::from(x.abs()).max(most))
}

/// The mean magnitude of a group.
pub fn absmean(group: &[f32]) -> f64 {
    group.iter().map(|x| f64::from(x.abs())).sum::<f64>() / group.len().max(1) as f64
}

/// What values are drawn from, and in which rows.
#[derive(Clone, Copy, Debug)]
pub struct Drawn {
    /// The distribution.
    pub distribution: Distribution,
    /// What draws are multiplied by.
    pub sigma: f64,
    /// Length of a row: outliers are columns of it.
    pub row_len: usize,
}

/// Points of a distribution with the weight each stands for.
type Points = Vec<(f64, f64)>;

/// The distribution of ordinary columns, and of outlier columns where there are any.
fn points(drawn: Drawn) -> [Points; 2] {
    let normal = |points: i32, most: f64| {
        let step = most / f64::from(points);
        (-points..=points).map(move |i| f64::from(i) * step).map(|z| (z, (-z * z / 2.0).exp()))
    };
    let sigma = drawn.sigma;
    let one = |f: fn(f64) -> f64| normal(GRID, 8.0).map(|(z, w)| (sigma * f(z), w)).collect();
    let plain: Points = match drawn.distribution {
        Distribution::Normal => one(|z| z),
        Distribution::Relu => one(|z| z.max(0.0)),
        Distribution::Relu2 => one(|z| z.max(0.0).powi(2)),
        Distribution::Laplace => {
            let at = |i: i32| f64::from(i) * 24.0 / f64::from(GRID);
            let weight = |x: f64| (-2f64.sqrt() * x.abs()).exp();
            (-GRID..=GRID).map(at).map(|x| (sigma * x, weight(x))).collect()
        }
        Distribution::StudentT => {
            // Density (1 + x^2 / 4)^(-5/2), in steps of asinh x up to one in 10^8.
            let at = |i: i32| f64::from(i) * 5.5 / f64::from(GRID);
            let weight = |x: f64| (1.0 + x * x / 4.0).powf(-2.5);
            let point = |t: f64| (sigma * t.sinh(), weight(t.sinh()) * t.cosh());
            (-GRID..=GRID).map(at).map(point).collect()
        }
        Distribution::Lognormal => normal(60, 6.0)
            .flat_map(|(u, v)| {
                normal(301, 6.5).map(move |(z, w)| (sigma * z * (0.5 * u).exp(), v * w))
            })
            .collect(),
    };
    let outliers = match drawn.distribution {
        Distribution::Lognormal => plain.iter().map(|(x, w)| (20.0 * x, *w)).collect(),
        _ => Points::new(),
    };
    [plain, outliers]
}

/// Mean and variance of a squared error.
fn noise(formula: Formula<'_>, points: &Points, statistic: f64) -> (f64, f64) {
    let (mut mass, mut mean, mut square) = (0.0, 0.0, 0.0);
    for (x, weight) in points.iter().filter(|(x, _)| (formula.possible)(*x, statistic)) {
        let error = (x - (formula.value)(*x, statistic)).powi(2);
        mass += weight;
        mean += weight * error;
        square += weight * error * error;
    }
    let mean = mean / mass.max(f64::MIN_POSITIVE);
    (mean, (square / mass.max(f64::MIN_POSITIVE) - mean * mean).max(0.0))
}

/// Mean and variance of a squared error, at the statistics between two ends.
struct Table {
    first: f64,
    step: f64,
    rows: Vec<(f64, f64)>,
}

impl Table {
    fn new(formula: Formula<'_>, points: &Points, (least, most): (f64, f64)) -> Table {
        let even = most <= least * (1.0 + 1e-6);
        let step = if even { 0.0 } else { (most / least).ln() / (POINTS - 1) as f64 };
        let count = if even { 1 } else { POINTS };
        let at = |i: usize| noise(formula, points, least * (step * i as f64).exp());
        let rows = (0..count).into_par_iter().map(at).collect();
        Table { first: least.ln(), step, rows }
    }

    #[allow(clippy::cast_sign_loss, reason = "a statistic is at least the first one")]
    fn at(&self, statistic: f64) -> (f64, f64) {
        if self.step == 0.0 {
            return self.rows[0];
        }
        let place = ((statistic.ln() - self.first) / self.step).max(0.0);
        let low = (place as usize).min(self.rows.len() - 2);
        let between = |a: f64, b: f64| match a > 0.0 && b > 0.0 {
            true => (a.ln() + (place - low as f64) * (b / a).ln()).exp(),
            false => a + (place - low as f64) * (b - a),
        };
        let (a, b) = (self.rows[low], self.rows[low + 1]);
        (between(a.0, b.0), between(a.1, b.1))
    }
}

/// What the squared errors of these values must come to; `None` for values without errors.
pub fn predicted(formula: Formula<'_>, drawn: Drawn, x: &[f32]) -> Option<Predicted> {
    let group_len = formula.group_len.max(1);
    let statistics: Vec<f64> = x.par_chunks(group_len).map(formula.statistic).collect();
    let some = || statistics.iter().copied().filter(|statistic| *statistic > 0.0);
    let ends = (some().fold(f64::INFINITY, f64::min), some().fold(0.0, f64::max));
    if ends.1 == 0.0 || !ends.1.is_finite() {
        return None;
    }
    let tables = points(drawn).map(|points| match points.is_empty() {
        true => None,
        false => Some(Table::new(formula, &points, ends)),
    });
    let (mut sum, mut variance) = (0.0, 0.0);
    for (group, (values, statistic)) in x.chunks(group_len).zip(&statistics).enumerate() {
        if *statistic == 0.0 {
            continue;
        }
        let outlier = |i: usize| {
            tables[1].is_some() && outlier_column((group * group_len + i) % drawn.row_len.max(1))
        };
        let mut counts = [0.0f64; 2];
        (0..values.len()).for_each(|i| counts[usize::from(outlier(i))] += 1.0);
        // The largest value is where it is, if it is what the statistic says.
        let largest = values.iter().position(|x| f64::from(x.abs()) == *statistic);
        if let Some(largest) =
            largest.filter(|_| !(formula.possible)(1.001 * statistic, *statistic))
        {
            counts[usize::from(outlier(largest))] -= 1.0;
            sum += (statistic - (formula.value)(*statistic, *statistic)).powi(2);
        }
        for (count, table) in counts.into_iter().zip(&tables) {
            let (mean, spread) = table.as_ref().map_or((0.0, 0.0), |table| table.at(*statistic));
            sum += count * mean;
            variance += count * spread;
        }
    }
    let mse = sum / x.len() as f64;
    let standard_error = variance.sqrt() / sum;
    (sum > 0.0).then_some(Predicted { mse, standard_error, values: x.len() })
}
