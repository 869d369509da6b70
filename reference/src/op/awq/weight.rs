//! The quantized weight and its product: `Y = (X / s) Q(W diag(s))^T`.
use super::search::scale_columns;
use super::{Awq, dequantize, quantize_matrix};
use crate::format::Levels;
use crate::invalid::Invalid;
use crate::rule::{Quantized, Rule};

/// A weight in codes, with the scales that its input must be divided by.
#[derive(Clone, Debug, PartialEq)]
pub struct AwqWeight {
    /// Scale of each input channel, `[K]`; folded into the layer before, or into [`linear`]'s
    /// input.
    ///
    /// [`linear`]: AwqWeight::linear
    pub channel_scales: Vec<f32>,
    /// Codes `[N, K]` of the scaled weight, and scale and zero point of each group, row by row.
    pub quantized: Quantized,
    rule: Rule,
    levels: Levels,
}

impl Awq<'_> {
    /// The weight quantized under these channel scales, clipped first if wanted (the limits are
    /// searched on the scaled weight and the tokens divided by the scales).
    pub fn quantize(&self, channel_scales: &[f32], clip: bool) -> Result<AwqWeight, Invalid> {
        let rule = self.check()?;
        Invalid::check_len("channel_scales", channel_scales.len(), &[self.k])?;
        let usable = |s: &f32| *s > 0.0 && s.is_finite();
        if let Some(at) = channel_scales.iter().position(|s| !usable(s)) {
            let field = format!("channel_scales[{at}]");
            return Err(Invalid::new(field, channel_scales[at], "positive and finite"));
        }
        let mut weight = scale_columns(self.weight, channel_scales, |w, s| w * s);
        if clip {
            let tokens = scale_columns(self.tokens, channel_scales, |x, s| x / s);
            let limits = Awq { weight: &weight, tokens: &tokens, ..*self }.clip_limits()?;
            let groups = weight.chunks_mut(rule.group_size).zip(limits);
            for (group, limit) in groups {
                group.iter_mut().for_each(|w| *w = w.clamp(-limit, limit));
            }
        }
        Invalid::check_finite("weight", &weight)?;
        let quantized = quantize_matrix(&rule, self.config.levels, &weight, self.k)?;
        let channel_scales = channel_scales.to_vec();
        Ok(AwqWeight { channel_scales, quantized, rule, levels: self.config.levels })
    }
}

impl AwqWeight {
    /// The levels of the codes.
    pub fn levels(&self) -> Levels {
        self.levels
    }

    /// Values of the scaled weight, `[N, K]`, channel scales still in: `(q - z) * scale`; none of
    /// codes whose group is missing.
    pub fn dequantize(&self) -> Vec<f32> {
        dequantize(&self.rule, &self.quantized)
    }

    /// `Y[T, N]` for tokens `[T, K]`: `sum_k (x[k] / s[k]) w[k]` in f64, rounded once.
    pub fn linear(&self, tokens: &[f32]) -> Result<Vec<f32>, Invalid> {
        let k = self.channel_scales.len();
        Invalid::check_range("channel_scales", k, (1, usize::MAX))?;
        if !self.quantized.codes.len().is_multiple_of(k) {
            let found = format!("{} values", self.quantized.codes.len());
            return Err(Invalid::new("quantized.codes", found, format!("whole rows of {k}")));
        }
        let groups = self.quantized.codes.len().div_ceil(self.rule.group_size);
        Invalid::check_len("quantized.shared", self.quantized.shared.len(), &[groups])?;
        if !tokens.len().is_multiple_of(k) {
            let found = format!("{} values", tokens.len());
            return Err(Invalid::new("tokens", found, format!("whole tokens of {k}")));
        }
        let weight = self.dequantize();
        let dot = |token: &[f32], row: &[f32]| -> f64 {
            let x =
                token.iter().zip(&self.channel_scales).map(|(x, s)| f64::from(*x) / f64::from(*s));
            x.zip(row).map(|(x, w)| x * f64::from(*w)).sum()
        };
        let rows = |token| weight.chunks(k).map(move |row| (token, row));
        let pairs = tokens.chunks(k).flat_map(rows);
        Ok(pairs.map(|(token, row)| dot(token, row) as f32).collect())
    }
}
