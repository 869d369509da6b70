//! Scaled dot-product attention: `softmax(Q K^T scale) V` (Vaswani et al. 2017; ONNX Attention
//! opset 23; the config is seed 000's).
//!
//! Layouts are row-major: Q `[N, heads, L_q, D]`, K `[N, kv_heads, L_k, D]`, V `[N, kv_heads, L_k,
//! D_v]`, result `[N, heads, L_q, D_v]`. Query head h uses key head `h / (heads / kv_heads)`:
//! grouped-query attention, multi-query with one key head.
//!
//! A causal query i sees the keys `j <= i` ([`CausalAlignment::TopLeft`]: ONNX, PyTorch
//! `is_causal`) or `j <= i + L_k - L_q` ([`CausalAlignment::BottomRight`]: FlashAttention-2). A
//! hidden key takes no part, whatever it holds; a query that sees none has the result 0.
//!
//! Everything is in f64 and rounded to f32 once. Among what a query sees NaN and infinities follow
//! IEEE: one score that is NaN or plus infinity, or scores that are all minus infinity, make the
//! result NaN.
//!
//! [`attention_int8`] quantizes Q and K per token to int8 (absmax, 127 steps, ties to even; cf.
//! SageAttention) and takes `score = f64(sum q k) s_q s_k scale` from the exact i32 sum.
mod data;
mod dropout;
mod operation;
mod oracle;
use super::exact::f64_dot;
use super::int8::MAX_DEPTH;
use super::shape;
use crate::config::viva::AttentionConfig;
use crate::format::Levels;
use crate::invalid::Invalid;
use crate::rule::{Code, Rule, quantize};
pub use dropout::kept;
pub use operation::{Attention, AttentionProblem, SPEC, Scores};
pub use oracle::{AttentionReference, EXP_ULPS, FLUSH, RESCALE_KEYS};

/// Which keys a causal query sees when there are not as many keys as queries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CausalAlignment {
    /// The first query sees the first key.
    TopLeft,
    /// The last query sees the last key.
    BottomRight,
}

/// Shapes and parameters of an attention.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AttentionShape {
    /// Heads of the queries, their length, scale, causality and dropout.
    pub config: AttentionConfig,
    /// Independent sequences.
    pub batch: usize,
    /// Heads of the keys and values; they divide those of the queries.
    pub kv_heads: usize,
    /// Queries of a sequence.
    pub query_len: usize,
    /// Keys of a sequence.
    pub key_len: usize,
    /// Length of a value.
    pub value_dim: usize,
    /// See [`CausalAlignment`]; without effect unless the config is causal.
    pub alignment: CausalAlignment,
    /// Seed of the dropout; without effect where its probability is 0.
    pub seed: u64,
}

/// Queries, keys and values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AttentionInputs<'a> {
    /// `[N, heads, L_q, D]`.
    pub q: &'a [f32],
    /// `[N, kv_heads, L_k, D]`.
    pub k: &'a [f32],
    /// `[N, kv_heads, L_k, D_v]`.
    pub v: &'a [f32],
}

impl AttentionShape {
    /// Keys that query `i` of a sequence sees: the first so many.
    pub fn visible(&self, i: usize) -> usize {
        let seen = match (self.config.causal, self.alignment) {
            (false, _) => self.key_len,
            (true, CausalAlignment::TopLeft) => i.saturating_add(1),
            (true, CausalAlignment::BottomRight) => {
                i.saturating_add(1).saturating_add(self.key_len).saturating_sub(self.query_len)
            }
        };
        seen.min(self.key_len)
    }

    /// Whether sizes and lengths fit together.
    pub fn check(&self, inputs: &AttentionInputs) -> Result<(), Invalid> {
        self.config.validate()?;
        let AttentionConfig { num_heads, head_dim, .. } = self.config;
        Invalid::check_range("kv_heads", self.kv_heads, (1, num_heads))?;
        if !num_heads.is_multiple_of(self.kv_heads) {
            let allowed = format!("a divisor of the {num_heads} heads");
            return Err(Invalid::new("kv_heads", self.kv_heads, allowed));
        }
        let keys = [self.batch, self.kv_heads, self.key_len];
        let queries = [self.batch, num_heads, self.query_len];
        Invalid::check_len("q", inputs.q.len(), &[&queries[..], &[head_dim]].concat())?;
        Invalid::check_len("k", inputs.k.len(), &[&keys[..], &[head_dim]].concat())?;
        Invalid::check_len("v", inputs.v.len(), &[&keys[..], &[self.value_dim]].concat())?;
        // No more scores than values of a tensor may be, since each is worked out.
        shape::values("scores", &[&queries[..], &[self.key_len]].concat())?;
        shape::values("y", &[&queries[..], &[self.value_dim]].concat()).map(drop)
    }

    /// Rows of the result: queries of all sequences and heads.
    fn rows(&self) -> usize {
        self.batch * self.config.num_heads * self.query_len
    }

    /// What row `row` of the result is made of, from what gives the product `q k` of a query and
    /// a key, counted over all sequences and heads.
    fn weights(&self, row: usize, dot: impl Fn(usize, usize) -> f64) -> Weights {
        let AttentionConfig { num_heads, dropout, .. } = self.config;
        let (i, head) = (row % self.query_len, row / self.query_len);
        let (batch, head) = (head / num_heads, head % num_heads);
        let kv_head = batch * self.kv_heads + head / (num_heads / self.kv_heads);
        let first = kv_head * self.key_len;
        let scale = self.config.softmax_scale();
        let scores: Vec<f64> = (0..self.visible(i)).map(|j| dot(row, first + j) * scale).collect();
        let kept = kept(dropout, self.seed, [batch, head, i], self.visible(i));
        Weights { first, softmax: softmax(&scores), scores, kept }
    }

    /// Element `d` of a row of the result: the weighted sum of what `value` makes of V.
    fn sum(&self, weights: &Weights, v: &[f32], d: usize, value: impl Fn(f64) -> f64) -> f64 {
        let element = |j: usize| v[(weights.first + j) * self.value_dim + d];
        let kept = weights.softmax.iter().enumerate().filter(|(j, _)| weights.kept[*j]);
        let sum: f64 = kept.map(|(j, weight)| weight * value(f64::from(element(j)))).sum();
        sum / (1.0 - self.config.dropout)
    }

    /// The result, from what gives the product of a query and a key.
    fn attend(&self, v: &[f32], dot: impl Fn(usize, usize) -> f64) -> Vec<f32> {
        let mut y = Vec::with_capacity(self.rows() * self.value_dim);
        for row in 0..self.rows() {
            let weights = self.weights(row, &dot);
            y.extend((0..self.value_dim).map(|d| self.sum(&weights, v, d, |v| v) as f32));
        }
        y
    }
}

/// The weights of one row of the result.
struct Weights {
    /// The first key of its head, counted over all sequences and heads.
    first: usize,
    /// Scores of the keys it sees, scaled.
    scores: Vec<f64>,
    /// Their softmax.
    softmax: Vec<f64>,
    /// Which of them dropout keeps.
    kept: Vec<bool>,
}

/// `exp(x - max) / sum exp(x - max)`.
fn softmax(scores: &[f64]) -> Vec<f64> {
    let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = scores.iter().map(|score| (score - max).exp()).sum();
    scores.iter().map(|score| (score - max).exp() / sum).collect()
}

/// Queries or keys as int8 codes with a scale a token.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenCodes {
    /// Row-major, as the floats were.
    pub codes: Vec<i8>,
    /// One a token: its absmax over 127.
    pub scales: Vec<f32>,
}

impl TokenCodes {
    /// Tokens of `dim` finite values.
    fn new(x: &[f32], dim: usize) -> TokenCodes {
        let quantized = quantize(&Rule::default(), Levels::Int8, x, dim);
        let code = |code: &Code| code.to_le_bytes()[0].cast_signed();
        TokenCodes { codes: quantized.codes.iter().map(code).collect(), scales: quantized.scales() }
    }
}

/// `q k` of codes: the exact sum, in units of both scales.
fn code_dot(q: &TokenCodes, k: &TokenCodes, (query, key): (usize, usize), dim: usize) -> f64 {
    let codes = q.codes[query * dim..][..dim].iter().zip(&k.codes[key * dim..][..dim]);
    let sum: i32 = codes.map(|(q, k)| i32::from(*q) * i32::from(*k)).sum();
    f64::from(sum) * f64::from(q.scales[query]) * f64::from(k.scales[key])
}

/// Attention of f32 tensors.
pub fn attention(shape: &AttentionShape, inputs: &AttentionInputs) -> Result<Vec<f32>, Invalid> {
    shape.check(inputs)?;
    let dim = shape.config.head_dim;
    Ok(shape.attend(inputs.v, |query, key| {
        f64_dot(&inputs.q[query * dim..][..dim], &inputs.k[key * dim..][..dim])
    }))
}

/// Attention whose scores are products of int8 codes; Q and K must be finite.
pub fn attention_int8(
    shape: &AttentionShape,
    inputs: &AttentionInputs,
) -> Result<Vec<f32>, Invalid> {
    shape.check(inputs)?;
    let dim = shape.config.head_dim;
    Invalid::check_range("head_dim", dim, (1, MAX_DEPTH))?;
    Invalid::check_finite("q", inputs.q)?;
    Invalid::check_finite("k", inputs.k)?;
    let [q, k] = [inputs.q, inputs.k].map(|x| TokenCodes::new(x, dim));
    Ok(shape.attend(inputs.v, |query, key| code_dot(&q, &k, (query, key), dim)))
}
