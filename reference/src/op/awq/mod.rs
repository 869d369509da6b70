//! AWQ: activation-aware weight quantization (arXiv 2306.00978; llm-awq `auto_scale.py`,
//! `auto_clip.py`, `quantizer.py`).
//!
//! Input channels that see large activations are scaled up before the weight is quantized in
//! groups, and the inverse is folded into whatever feeds the layer:
//! `Y = (X / s) Q(W diag(s))^T`. The scales `s = statistic^ratio` come from a search over the ratio
//! (`search.rs`); each group may then be clipped (`clip.rs`). The groups, scales and zero points are
//! those of the rule `llm_awq`, within a row: a group never straddles two rows and is never
//! partial (viva_tensor flattens the matrix, and takes `len / groups` for the size of a group when
//! it dequantizes, so that its last group is read wrongly).
//!
//! Layout: weight `[N, K]`, tokens `[T, K]`, row-major, all finite. Means and products are summed
//! in f64; scales and quantized values are f32, as in llm-awq.
mod clip;
mod operation;
mod search;
mod weight;
use crate::format::Levels;
use crate::invalid::Invalid;
use crate::rule::{Groups, Quantized, Rule, quantize_groups, weight_rule};
pub use operation::{AwqProblem, AwqSearch, SPEC};
pub use search::{Candidate, Search};
pub use weight::AwqWeight;

/// How channel scales are made of statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scaling {
    /// `max(x_mean^ratio, 1e-4)`: llm-awq.
    Activation,
    /// `max(x_mean^ratio / (w_mean^(1 - ratio) + 1e-4), 1e-4)`: AutoAWQ's "duo scaling", where
    /// `w_mean` is the mean magnitude of a channel relative to the largest of each group.
    Duo,
}

/// Most ratios a search tries; the libraries try 20.
pub const MAX_GRID: usize = 1 << 12;

/// What is searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AwqSearchConfig {
    /// `Uint4` with a zero point, `Int4` without.
    pub levels: Levels,
    /// Inputs that share a scale; a divisor of `K`.
    pub group_size: usize,
    /// Ratios tried: `0, 1/n, ..., (n - 1)/n`; at most [`MAX_GRID`].
    pub n_grid: usize,
    /// The statistics of a scale.
    pub scaling: Scaling,
    /// Most tokens used, the first ones.
    pub max_tokens: usize,
}

impl Default for AwqSearchConfig {
    /// llm-awq: 4 bits, zero points, groups of 128, 20 ratios; every token there is.
    fn default() -> AwqSearchConfig {
        AwqSearchConfig {
            levels: Levels::Uint4,
            group_size: 128,
            n_grid: 20,
            scaling: Scaling::Activation,
            max_tokens: usize::MAX,
        }
    }
}

/// A weight and the tokens it is calibrated with.
#[derive(Clone, Copy, Debug)]
pub struct Awq<'a> {
    /// What is searched.
    pub config: AwqSearchConfig,
    /// Output features.
    pub n: usize,
    /// Input features.
    pub k: usize,
    /// `[N, K]`.
    pub weight: &'a [f32],
    /// `[T, K]`, at least one token.
    pub tokens: &'a [f32],
}

impl Awq<'_> {
    /// Everything the sizes and values must satisfy, and the rule they are quantized by.
    fn check(&self) -> Result<Rule, Invalid> {
        let AwqSearchConfig { levels, group_size, n_grid, max_tokens, .. } = self.config;
        for (field, size) in [("n", self.n), ("k", self.k)] {
            Invalid::check_range(field, size, (1, usize::MAX))?;
        }
        Invalid::check_range("n_grid", n_grid, (1, MAX_GRID))?;
        Invalid::check_range("max_tokens", max_tokens, (1, usize::MAX))?;
        if group_size == 0 || !self.k.is_multiple_of(group_size) {
            let allowed = format!("a divisor of k ({})", self.k);
            return Err(Invalid::new("group_size", group_size, allowed));
        }
        Invalid::check_len("weight", self.weight.len(), &[self.n, self.k])?;
        if self.tokens.is_empty() || !self.tokens.len().is_multiple_of(self.k) {
            let found = format!("{} values", self.tokens.len());
            return Err(Invalid::new("tokens", found, format!("whole tokens of {}", self.k)));
        }
        Invalid::check_finite("weight", self.weight)?;
        Invalid::check_finite("tokens", self.tokens)?;
        let rule = weight_rule("llm_awq", levels).map(|rule| Rule { group_size, ..rule });
        rule.ok_or_else(|| Invalid::new("levels", format!("{levels:?}"), "Uint4 or Int4"))
    }

    /// The calibration statistic: mean magnitude of each input channel over the tokens.
    pub fn statistic(&self) -> Result<Vec<f32>, Invalid> {
        self.check()?;
        Ok(self.input_means())
    }

    /// The tokens that are used.
    fn used_tokens(&self) -> &[f32] {
        let most = self.config.max_tokens.saturating_mul(self.k);
        self.tokens.get(..most).unwrap_or(self.tokens)
    }

    fn input_means(&self) -> Vec<f32> {
        column_means(self.used_tokens(), self.k, |x| f64::from(x.abs()))
    }

    /// `mean((X W^T - X Q^T)^2)` for another weight `Q [N, K]`: `X` by what the weights differ, in f64, as
    /// the difference of two large outputs would be that of their roundings.
    fn loss(&self, other: &[f32]) -> f64 {
        let errors = self.weight.iter().zip(other).map(|(w, q)| f64::from(*w) - f64::from(*q));
        let errors: Vec<f64> = errors.collect();
        let outputs = self.used_tokens().chunks(self.k).flat_map(|x| {
            errors.chunks(self.k).map(move |row| {
                x.iter().zip(row).fold(0.0, |sum, (x, error)| sum + f64::from(*x) * error)
            })
        });
        let (sum, len) = outputs.fold((0.0, 0), |(sum, len), off| (sum + off * off, len + 1));
        sum / f64::from(len)
    }
}

/// Mean of `f(x)` over the rows of each column, summed in f64.
fn column_means(x: &[f32], columns: usize, f: impl Fn(f32) -> f64) -> Vec<f32> {
    let mut sums = vec![0.0; columns];
    for row in x.chunks(columns) {
        sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += f(*x));
    }
    let rows = x.len() / columns;
    sums.into_iter().map(|sum| (sum / rows as f64) as f32).collect()
}

/// A matrix of `k` columns in codes.
fn quantize_matrix(
    rule: &Rule,
    levels: Levels,
    weight: &[f32],
    k: usize,
) -> Result<Quantized, Invalid> {
    let groups = Groups::matrix(rule, (weight.len() / k, k))?;
    Ok(quantize_groups(rule, levels, weight, &groups))
}

/// The values of a matrix in codes, `(q - z) * scale`; every group is whole.
fn dequantize(rule: &Rule, q: &Quantized) -> Vec<f32> {
    let groups = q.codes.chunks(rule.group_size).zip(&q.shared);
    groups.flat_map(|(codes, shared)| codes.iter().map(|code| rule.value(*code, shared))).collect()
}

#[cfg(test)]
mod tests;
