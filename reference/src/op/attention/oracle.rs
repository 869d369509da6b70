//! The oracle of `attention`: rows of the result, and how far off a row of a table may be.
//!
//! Let `p_j` be the softmax, `s_j` the scores, `M` the largest and `n` the keys a query sees. An
//! online softmax in f32 errs in four places (`u` is half an ulp of 1, gamma as in `bound`):
//!
//! * a score: `E_j = gamma(D + 5) scale sum |q k|` for f32 (two roundings of the scaled query, a
//!   product, D sums), `gamma(6) |s_j|` where integer sums are scaled;
//! * an exponential of a difference `x <= 0` errs by a factor `1 + e`, `e <= 2 EXP_ULPS u`, beside
//!   the rounding of the difference, `u |x|`. A key goes through one such factor, and one more each
//!   time that a larger maximum rescales what was added before it: at most once in
//!   [`RESCALE_KEYS`] keys. The differences add up to `M - s_j`;
//! * sums of `n` weights, and of `n` products, add `gamma(n)`, a product and a rescaling one
//!   rounding each;
//! * a weight below [`FLUSH`] may become zero.
//!
//! So weight j has a relative error of at most
//! `d_j = exp(E_j + u (M - s_j)) (1 + 2 u EXP_ULPS)^(1 + r) (1 + gamma(n + 2 + 2 r)) - 1` with
//! `r = ceil(n / RESCALE_KEYS)`, the sum of weights one of `e = sum p_j d_j`, and the result is off
//! by at most `(sum p_j |v_j| d_j + e |y|) / (1 - e)`, and three roundings: of the quotient, of
//! its product with `1 / (1 - dropout)`, and of the wanted result. The maximum itself, whatever it
//! is off by, cancels.
use super::{AttentionProblem, Scores, Weights, code_dot};
use crate::bound::{UNIT, gamma};
use crate::data::{Stream, block_rng};
use crate::op::exact::f64_dot;
use crate::op::samples::indices;
use crate::op::{Arithmetic, Bound, Expectation, Expected, Tensor};
use crate::quality::{Quality, quality};
use rand::Rng;
use rayon::prelude::*;

/// What the exponential of a row may be off by, in ulp.
pub const EXP_ULPS: f64 = 2.0;
/// The fewest keys between two rescalings of what a row has added up.
pub const RESCALE_KEYS: usize = 16;
/// Weights below this share of the largest may be taken for zero.
pub const FLUSH: f64 = 1.0 / (1u128 << 125) as f64;

/// Multiply-accumulates above which a sample of the rows is compared.
const EXHAUSTIVE_MACS: usize = 1 << 27;
/// Queries among which one, drawn, is compared in a sample.
const STRIDE: usize = 32;

/// The rows compared.
#[derive(Debug)]
pub struct AttentionReference {
    /// Rows of the result, `[N, heads, L_q]`; `None` for all of them.
    at: Option<Vec<usize>>,
    /// How many rows there are, and the length of one.
    shape: (usize, usize),
    /// Row by row.
    want: Vec<f32>,
    /// How far off a row of float sums may be.
    float: Vec<f64>,
    /// How far off a row of integer sums may be; empty where Q and K are floats.
    integer: Vec<f64>,
    exact: bool,
}

impl AttentionProblem {
    /// `q k`, and the sum of its magnitudes.
    fn dot(&self, query: usize, key: usize) -> (f64, f64) {
        let dim = self.shape.config.head_dim;
        let (q, k) = (&self.q[query * dim..][..dim], &self.k[key * dim..][..dim]);
        match &self.scores {
            Scores::F32 => {
                let magnitude =
                    q.iter().zip(k).map(|(q, k)| (f64::from(*q) * f64::from(*k)).abs()).sum();
                (f64_dot(q, k), magnitude)
            }
            Scores::Int8 { q, k } => {
                let codes = q.codes[query * dim..][..dim].iter().zip(&k.codes[key * dim..][..dim]);
                let sum: u32 = codes
                    .map(|(q, k)| u32::from(q.unsigned_abs()) * u32::from(k.unsigned_abs()))
                    .sum();
                let scales = f64::from(q.scales[query]) * f64::from(k.scales[key]);
                (code_dot(q, k, (query, key), dim), f64::from(sum) * scales)
            }
        }
    }

    fn weights(&self, row: usize) -> Weights {
        self.shape.weights(row, |query, key| self.dot(query, key).0)
    }

    /// Which rows are compared; `None` for all.
    fn sample(&self) -> Option<Vec<usize>> {
        let shape = &self.shape;
        let row = shape.key_len.saturating_mul(shape.config.head_dim + shape.value_dim);
        if shape.rows().saturating_mul(row) <= EXHAUSTIVE_MACS {
            return None;
        }
        let mut rng = block_rng(shape.seed, Stream::Sample, 2);
        let heads = indices(shape.batch * shape.config.num_heads, 8, shape.seed);
        let mut rows = Vec::new();
        for head in heads {
            let mut queries = indices(shape.query_len, 8, rng.random());
            let one = |from: usize| from + rng.random_range(0..STRIDE.min(shape.query_len - from));
            queries.extend((0..shape.query_len).step_by(STRIDE).map(one));
            queries.sort_unstable();
            queries.dedup();
            rows.extend(queries.into_iter().map(|query| head * shape.query_len + query));
        }
        Some(rows)
    }
}

impl AttentionReference {
    pub(super) fn new(problem: &AttentionProblem) -> AttentionReference {
        let at = problem.sample();
        let shape = (problem.shape.rows(), problem.shape.value_dim);
        let rows: Vec<usize> = at.clone().unwrap_or_else(|| (0..shape.0).collect());
        let row = |row: &usize| one(problem, *row);
        let rows: Vec<[Vec<f64>; 3]> = rows.par_iter().map(row).collect();
        let column = |i: usize| rows.iter().flat_map(move |row| row[i].iter().copied());
        AttentionReference {
            at,
            shape,
            want: column(0).map(|y| y as f32).collect(),
            float: column(1).collect(),
            integer: column(2).collect(),
            exact: problem.exact,
        }
    }

    pub(super) fn expect(&self, arithmetic: Arithmetic) -> Expectation {
        let bounds = if arithmetic.integer { &self.integer } else { &self.float };
        let bound = match self.exact {
            true => Bound::Exact,
            false => Bound::Componentwise(bounds.clone()),
        };
        let mut y = Expected::all("y", Tensor::F32(self.want.clone()), bound);
        let (rows, len) = self.shape;
        y.len = rows * len;
        let positions =
            |rows: &Vec<usize>| rows.iter().flat_map(|row| row * len..(row + 1) * len).collect();
        y.at = self.at.as_ref().map(positions);
        Expectation { outputs: vec![y], faults: Vec::new() }
    }

    /// Of int8 scores against those of the floats; on some 2^24 multiply-accumulates.
    pub(super) fn quality(&self, problem: &AttentionProblem) -> Option<Quality> {
        if matches!(problem.scores, Scores::F32) {
            return None;
        }
        let (shape, dim) = (&problem.shape, problem.shape.config.head_dim);
        let most = (1usize << 24).div_ceil(shape.key_len.max(1) * (dim + shape.value_dim));
        let all = (0..shape.rows()).collect();
        let rows = self.at.as_ref().unwrap_or(&all).iter().take(most);
        let mut want = Vec::new();
        for row in rows {
            let weights = shape.weights(*row, |query, key| {
                f64_dot(&problem.q[query * dim..][..dim], &problem.k[key * dim..][..dim])
            });
            let value = |d| shape.sum(&weights, &problem.v, d, |v| v) as f32;
            want.extend((0..shape.value_dim).map(value));
        }
        let got = self.want[..want.len()].iter().copied();
        Some(quality(&want, got))
    }
}

/// A row of the result and its bounds for float and for integer sums of scores.
fn one(problem: &AttentionProblem, row: usize) -> [Vec<f64>; 3] {
    let (shape, v) = (&problem.shape, &problem.v[..]);
    let weights = problem.weights(row);
    let scale = shape.config.softmax_scale().abs();
    let float = |j: usize| {
        let (_, magnitude) = problem.dot(row, weights.first + j);
        gamma(shape.config.head_dim + 5) * magnitude * scale
    };
    let integer = |j: usize| gamma(6) * weights.scores[j].abs();
    let columns = 0..shape.value_dim;
    let want: Vec<f64> = columns.clone().map(|d| shape.sum(&weights, v, d, |v| v)).collect();
    let bound = |errors: &[f64]| -> Vec<f64> {
        let off = Weights {
            softmax: weights.softmax.iter().zip(errors).map(|(p, e)| p * e + FLUSH).collect(),
            scores: Vec::new(),
            kept: weights.kept.clone(),
            first: weights.first,
        };
        let share: f64 = off.softmax.iter().sum();
        let each = columns.clone().zip(&want).map(|(d, y)| {
            let magnitude = shape.sum(&weights, v, d, f64::abs);
            let sum = shape.sum(&off, v, d, f64::abs) + share * y.abs();
            // Products of subnormal values lose at most half of the least subnormal each.
            sum / (1.0 - share).max(0.0) + gamma(4) * magnitude + f64::from(f32::MIN_POSITIVE)
        });
        each.map(|bound| if bound.is_nan() { f64::INFINITY } else { bound }).collect()
    };
    let float = bound(&weights.errors(float));
    let integer = match problem.scores {
        Scores::F32 => Vec::new(),
        Scores::Int8 { .. } => bound(&weights.errors(integer)),
    };
    [want, float, integer]
}

impl Weights {
    /// `d_j`, from the error of each score.
    fn errors(&self, score: impl Fn(usize) -> f64) -> Vec<f64> {
        let keys = self.scores.len();
        let rescalings = keys.div_ceil(RESCALE_KEYS);
        let max = self.scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let times = (2.0 * UNIT * EXP_ULPS).ln_1p() * (1 + rescalings) as f64
            + gamma(keys + 2 + 2 * rescalings).ln_1p();
        let each = |(j, s): (usize, &f64)| (score(j) + UNIT * (max - s) + times).exp_m1();
        self.scores.iter().enumerate().map(each).collect()
    }
}
