//! The search for clip limits: the largest magnitude a group's weights keep.
//!
//! Of `absmax (1 - i/20)`, `i = 0..9`, each group (of a row) takes the one whose quantization
//! changes *its part* of the output least, `mean_t((sum_g x w' - sum_g x w)^2)` over at most 512
//! tokens evenly apart; the first of the least wins. llm-awq leaves out query and key projections,
//! starts from an error of 1e9 (here: infinity, so that large activations are searched as well),
//! and samples up to 1023 tokens by a stride rounded down (here: up).
use super::Awq;
use crate::format::statistic::absmax;
use crate::invalid::Invalid;
use crate::op::exact::f64_dot;
use crate::rule::Rule;

/// Steps the absmax is divided into.
const GRID: usize = 20;
/// Steps tried: down to half the absmax.
const TRIED: usize = GRID / 2;
/// Most tokens an error is the mean of.
const TOKENS: usize = 512;

impl Awq<'_> {
    /// The limit of each group, `[N, K / group_size]`.
    pub fn clip_limits(&self) -> Result<Vec<f32>, Invalid> {
        let rule = self.check()?;
        let groups = self.weight.chunks(rule.group_size).enumerate();
        let column = |group: usize| group * rule.group_size % self.k;
        Ok(groups.map(|(i, group)| self.limit(&rule, group, column(i))).collect())
    }

    /// The limit of one group, whose first weight is in `column`.
    fn limit(&self, rule: &Rule, group: &[f32], column: usize) -> f32 {
        let stride = (self.used_tokens().len() / self.k).div_ceil(TOKENS);
        let tokens: Vec<&[f32]> = self
            .used_tokens()
            .chunks(self.k)
            .step_by(stride)
            .map(|token| &token[column..][..group.len()])
            .collect();
        let error = |w: &[f32]| -> f64 {
            let square = |x: &&[f32]| (f64_dot(x, w) - f64_dot(x, group)).powi(2);
            tokens.iter().map(square).sum::<f64>() / tokens.len() as f64
        };
        let absmax = absmax(group);
        let (mut best, mut least) = (absmax, f64::INFINITY);
        for i in 0..TRIED {
            let limit = absmax * (1.0 - i as f64 / GRID as f64) as f32;
            let clipped: Vec<f32> = group.iter().map(|w| w.clamp(-limit, limit)).collect();
            let shared = rule.shared(self.config.levels, &clipped);
            let code = |w: &f32| rule.code(self.config.levels, *w, &shared);
            let values: Vec<f32> = clipped.iter().map(|w| rule.value(code(w), &shared)).collect();
            let found = error(&values);
            if found < least {
                (best, least) = (limit, found);
            }
        }
        best
    }
}
