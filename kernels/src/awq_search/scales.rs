//! Channel scales of a ratio, as llm-awq and AutoAWQ make them.
//!
//! ```text
//! s = max(x_mean^ratio [/ (w_mean^(1 - ratio) + 1e-4)], 1e-4);   s = s / sqrt(max s * min s)
//! ```
//!
//! Means are summed in f64 in the order of the rows, powers are f64 rounded once, and everything else
//! is one f32 operation after the other: codes depend on every bit of a scale.
use lowbit_reference::op::awq::Scaling;

/// Least scale before they are normalized.
const LEAST: f32 = 1e-4;

/// The statistics that all ratios share.
#[derive(Debug)]
pub(super) struct Statistics {
    inputs: Vec<f32>,
    /// Empty unless scales are divided by those of the weight.
    weights: Vec<f32>,
}

impl Statistics {
    /// Of tokens `[M, K]` and, for `Duo`, of a weight `[N, K]` in groups.
    pub(super) fn new(
        tokens: &[f32],
        (weight, group): (&[f32], usize),
        (k, scaling): (usize, Scaling),
    ) -> Statistics {
        let weights = match scaling {
            Scaling::Activation => Vec::new(),
            Scaling::Duo => relative_means(weight, (k, group)),
        };
        Statistics { inputs: means(tokens, k), weights }
    }

    /// The scales of a ratio.
    pub(super) fn scales(&self, ratio: f64, scales: &mut [f32]) {
        let power = |x: f32, exponent: f64| f64::from(x).powf(exponent) as f32;
        for (s, x) in scales.iter_mut().zip(&self.inputs) {
            *s = power(*x, ratio);
        }
        for (s, w) in scales.iter_mut().zip(&self.weights) {
            *s /= power(*w, 1.0 - ratio) + 1e-4;
        }
        let (mut most, mut least) = (0.0f32, f32::INFINITY);
        for s in scales.iter_mut() {
            *s = s.max(LEAST);
            (most, least) = (most.max(*s), least.min(*s));
        }
        let middle = (most * least).sqrt();
        scales.iter_mut().for_each(|s| *s /= middle);
    }
}

/// Mean magnitude of each column.
fn means(x: &[f32], k: usize) -> Vec<f32> {
    let mut sums = vec![0.0f64; k];
    for row in x.chunks(k) {
        sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += f64::from(x.abs()));
    }
    let rows = (x.len() / k) as f64;
    sums.into_iter().map(|sum| (sum / rows) as f32).collect()
}

/// Mean of each column's `|w| / (max |w| of its group + 1e-6)`.
fn relative_means(weight: &[f32], (k, group): (usize, usize)) -> Vec<f32> {
    let mut sums = vec![0.0f64; k];
    for row in weight.chunks(k) {
        for (w, sums) in row.chunks(group).zip(sums.chunks_mut(group)) {
            let most = w.iter().fold(0.0f32, |most, w| most.max(w.abs()));
            for (sum, w) in sums.iter_mut().zip(w) {
                *sum += f64::from(w.abs() / (most + 1e-6));
            }
        }
    }
    let rows = (weight.len() / k) as f64;
    sums.into_iter().map(|sum| (sum / rows) as f32).collect()
}
