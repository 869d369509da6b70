//! `AttentionConfig`: scaled dot-product attention (seed 000, `AttentionConfig`; Vaswani et al.
//! 2017; dropout on the weights as there).
use crate::invalid::Invalid;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Heads and what happens between `Q K^T` and the product with V.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttentionConfig {
    /// Heads of the queries.
    pub num_heads: usize,
    /// Length of a query and of a key.
    pub head_dim: usize,
    /// Probability that a weight is dropped, below 1; 0 for inference.
    #[serde(default)]
    pub dropout: f64,
    /// Whether a query sees no later key.
    #[serde(default)]
    pub causal: bool,
    /// What scores are multiplied by; none is `1 / sqrt(head_dim)`.
    #[serde(default)]
    pub scale: Option<f64>,
}

impl AttentionConfig {
    /// No dropout, not causal, scale `1 / sqrt(head_dim)` (`attention`).
    pub fn new(num_heads: usize, head_dim: usize) -> AttentionConfig {
        AttentionConfig { num_heads, head_dim, dropout: 0.0, causal: false, scale: None }
    }

    /// A query sees no later key.
    pub fn causal(self) -> AttentionConfig {
        AttentionConfig { causal: true, ..self }
    }

    /// The probability that a weight is dropped.
    pub fn with_dropout(self, dropout: f64) -> AttentionConfig {
        AttentionConfig { dropout, ..self }
    }

    /// What scores are multiplied by.
    pub fn with_scale(self, scale: f64) -> AttentionConfig {
        AttentionConfig { scale: Some(scale), ..self }
    }

    /// What scores are multiplied by, the default worked out. The source divides by zero for
    /// `head_dim` 0; here that is infinite, and [`validate`](AttentionConfig::validate) objects.
    pub fn softmax_scale(&self) -> f64 {
        self.scale.unwrap_or_else(|| 1.0 / (self.head_dim as f64).sqrt())
    }

    /// At least one head and one value per head, dropout from 0 to below 1, a finite scale.
    pub fn validate(&self) -> Result<(), Invalid> {
        Invalid::check_range("num_heads", self.num_heads, (1, usize::MAX))?;
        Invalid::check_range("head_dim", self.head_dim, (1, usize::MAX))?;
        if !(0.0..1.0).contains(&self.dropout) {
            return Err(Invalid::new("dropout", self.dropout, "from 0 to below 1"));
        }
        match self.scale {
            Some(scale) if !scale.is_finite() => Err(Invalid::new("scale", scale, "finite")),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for AttentionConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let causal = if self.causal { "causal" } else { "not causal" };
        write!(
            f,
            "attention heads {}, head_dim {}, {causal}, dropout {}, scale {}",
            self.num_heads,
            self.head_dim,
            self.dropout,
            self.softmax_scale()
        )
    }
}
