//! The search for channel scales: `n` ratios from 0, the first of the least losses wins.
//!
//! ```text
//! s    = max(statistic^ratio, 1e-4);  s = s / sqrt(max s * min s)
//! loss = mean((X W^T - X (Q(W diag(s)) diag(1/s))^T)^2)
//! ```
//!
//! Ratio 0 is plain rounding to nearest, so that the result is never worse than that; ratio 1 is
//! not tried. A candidate whose loss is not a number is never kept.
use super::{Awq, Scaling, column_means, dequantize, quantize_matrix};
use crate::format::statistic::absmax;
use crate::invalid::Invalid;
use crate::rule::Rule;

/// Least scale before they are normalized.
const LEAST_SCALE: f32 = 1e-4;

/// One ratio of the grid.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// Exponent of the statistic.
    pub ratio: f64,
    /// Scale of each input channel, `[K]`.
    pub scales: Vec<f32>,
    /// The weight quantized under them and scaled back, `[N, K]`.
    pub weight: Vec<f32>,
    /// Mean squared error of the product.
    pub loss: f64,
    /// Squared error of the weight, summed.
    pub weight_error: f64,
}

/// What a search found.
#[derive(Clone, Debug, PartialEq)]
pub struct Search {
    /// The loss of each ratio, in order.
    pub losses: Vec<f64>,
    /// The squared error of the weight under each, summed.
    pub weight_errors: Vec<f64>,
    /// The first of the least.
    pub best: Candidate,
}

impl Awq<'_> {
    /// Try every ratio.
    pub fn search(&self) -> Result<Search, Invalid> {
        let rule = self.check()?;
        let (mut losses, mut weight_errors) = (Vec::new(), Vec::new());
        let mut best = None::<Candidate>;
        for i in 0..self.config.n_grid {
            let candidate = self.try_ratio(&rule, i as f64 / self.config.n_grid as f64)?;
            losses.push(candidate.loss);
            weight_errors.push(candidate.weight_error);
            let least = best.as_ref().map_or(f64::INFINITY, |best| best.loss);
            if candidate.loss < least {
                best = Some(candidate);
            }
        }
        let none = || Invalid::new("weight", "no loss", "groups whose range is a finite float");
        Ok(Search { losses, weight_errors, best: best.ok_or_else(none)? })
    }

    /// One ratio, from 0 to 1.
    pub fn candidate(&self, ratio: f64) -> Result<Candidate, Invalid> {
        let rule = self.check()?;
        match (0.0..=1.0).contains(&ratio) {
            true => self.try_ratio(&rule, ratio),
            false => Err(Invalid::new("ratio", ratio, "from 0 to 1")),
        }
    }

    fn try_ratio(&self, rule: &Rule, ratio: f64) -> Result<Candidate, Invalid> {
        let scales = self.scales(ratio);
        let scaled = scale_columns(self.weight, &scales, |w, s| w * s);
        let quantized = quantize_matrix(rule, self.config.levels, &scaled, self.k)?;
        let weight = scale_columns(&dequantize(rule, &quantized), &scales, |w, s| w / s);
        let loss = self.loss(&weight);
        let errors = self.weight.iter().zip(&weight);
        let weight_error = errors.map(|(w, q)| (f64::from(*w) - f64::from(*q)).powi(2)).sum();
        Ok(Candidate { ratio, scales, weight, loss, weight_error })
    }

    /// The normalized channel scales of a ratio. Powers are f64, rounded once.
    fn scales(&self, ratio: f64) -> Vec<f32> {
        let power = |x: f32, exponent: f64| f64::from(x).powf(exponent) as f32;
        let mut scales: Vec<f32> =
            self.input_means().into_iter().map(|x| power(x, ratio)).collect();
        if self.config.scaling == Scaling::Duo {
            let weights = self.relative_weight_means();
            let divide = |(s, w): (&mut f32, f32)| *s /= power(w, 1.0 - ratio) + 1e-4;
            scales.iter_mut().zip(weights).for_each(divide);
        }
        scales.iter_mut().for_each(|s| *s = s.max(LEAST_SCALE));
        let most = scales.iter().fold(0.0f32, |most, s| most.max(*s));
        let least = scales.iter().fold(f32::INFINITY, |least, s| least.min(*s));
        let middle = (most * least).sqrt();
        scales.iter_mut().for_each(|s| *s /= middle);
        scales
    }

    /// Mean over the rows of `|w| / (max |w| of its group + 1e-6)`, for each input channel.
    fn relative_weight_means(&self) -> Vec<f32> {
        let relative = |group: &[f32]| -> Vec<f32> {
            let most = absmax(group);
            group.iter().map(|w| w.abs() / (most + 1e-6)).collect()
        };
        let all: Vec<f32> = self.weight.chunks(self.config.group_size).flat_map(relative).collect();
        column_means(&all, self.k, f64::from)
    }
}

/// `f(value, scale of its column)` for each value of a matrix.
pub(super) fn scale_columns(x: &[f32], scales: &[f32], f: impl Fn(f32, f32) -> f32) -> Vec<f32> {
    x.chunks(scales.len()).flat_map(|row| row.iter().zip(scales).map(|(x, s)| f(*x, *s))).collect()
}
