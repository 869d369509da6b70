//! What a ratio makes of some rows of the weight, and what that costs: errors of weights in a panel,
//! and the squares of their products with the tokens.
//!
//! ```text
//! v = w s,  code = clamp(round(v / d) + z),  e = (code - z) d / s - w        group by group
//! panel     e of V L rows side by side, column after column
//! loss      sum over tokens of (sum_k x[k] e[k])^2, a lane a row
//! ```
//!
//! A step of the product loads V vectors and broadcasts T floats for `V T` fused multiply-adds. Sums
//! along K are f32 from first to last, whatever the tile; squares are added in f64.
use crate::attention::simd::{Simd, Work};
use lowbit_reference::rule::Range;

/// Vectors of a panel.
pub(super) const V: usize = 2;
/// Tokens of a tile.
const T: usize = 6;
/// The least statistic of a group.
const EPSILON: f32 = 1e-5;

/// `1.5 * 2^23`: adding and subtracting it rounds magnitudes below `2^22`, ties to even.
const MAGIC: f32 = 12_582_912.0;
/// Quotients beyond it have the last code, whatever the zero point.
const FAR: f32 = 1000.0;

/// The nearest whole number, of magnitudes up to [`FAR`].
#[inline(always)]
fn rounded(quotient: f32) -> f32 {
    let q = if quotient > FAR { FAR } else { quotient };
    let q = if q < -FAR { -FAR } else { q };
    (q + MAGIC) - MAGIC
}

/// How weights become codes: llm-awq's `pseudo_quantize_tensor`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Codes {
    /// Inputs that share a scale.
    pub(super) group: usize,
    /// `Minmax` with a zero point, `Absmax` without.
    pub(super) range: Range,
    /// Smallest code.
    pub(super) least: f32,
    /// Largest code, the steps of the range.
    pub(super) most: f32,
}

impl Codes {
    /// The error that quantizing makes of each weight of a group, for the scales of its columns.
    #[inline(always)]
    fn errors(&self, w: &[f32], s: &[f32], e: &mut [f32]) {
        for ((e, w), s) in e.iter_mut().zip(w).zip(s) {
            *e = w * s;
        }
        let first = e.first().copied().unwrap_or(0.0);
        let (mut low, mut high, mut absmax) = (first, first, 0.0f32);
        for v in e.iter() {
            low = if *v < low { *v } else { low };
            high = if *v > high { *v } else { high };
            absmax = if v.abs() > absmax { v.abs() } else { absmax };
        }
        let minmax = self.range == Range::Minmax;
        let statistic = if minmax { high - low } else { absmax };
        let scale = (if statistic < EPSILON { EPSILON } else { statistic }) / self.most;
        let zero = -rounded(low / scale);
        let zero = if minmax { zero.clamp(self.least, self.most) } else { 0.0 };
        for ((e, w), s) in e.iter_mut().zip(w).zip(s) {
            let code = rounded(*e / scale) + zero;
            let code = code.min(self.most).max(self.least);
            *e = (code - zero) * scale / s - w;
        }
    }
}

/// The rows of a panel under one ratio.
pub(super) struct Panel<'a, const L: usize> {
    pub(super) codes: Codes,
    /// Columns.
    pub(super) k: usize,
    /// Rows of the weight, at most `V L`.
    pub(super) weight: &'a [f32],
    /// Scale of each column.
    pub(super) scales: &'a [f32],
    /// `[M, K]`.
    pub(super) tokens: &'a [f32],
    /// Room for a row's errors, and for the panel.
    pub(super) row: &'a mut [f32],
    pub(super) errors: &'a mut [[[f32; L]; V]],
    /// Sum of the squares.
    pub(super) loss: &'a mut f64,
}

impl<I: Simd<L>, const L: usize> Work<I> for Panel<'_, L> {
    #[inline(always)]
    fn run(mut self, isa: I) {
        self.fill();
        let mut sum = 0.0;
        let tiles = self.tokens.chunks_exact(T * self.k);
        for token in tiles.remainder().chunks_exact(self.k) {
            sum += squares::<I, L, 1>(isa, token, self.errors);
        }
        for tile in tiles {
            sum += squares::<I, L, T>(isa, tile, self.errors);
        }
        *self.loss = sum;
    }
}

impl<const L: usize> Panel<'_, L> {
    /// The errors of the rows side by side; those of rows that do not exist are 0.
    #[inline(always)]
    fn fill(&mut self) {
        let Codes { group, .. } = self.codes;
        let mut rows = self.weight.chunks_exact(self.k);
        for lane in 0..V * L {
            let errors = self.errors.iter_mut().map(|column| &mut column[lane / L][lane % L]);
            let Some(weight) = rows.next() else {
                errors.for_each(|error| *error = 0.0);
                continue;
            };
            let groups = weight.chunks_exact(group).zip(self.scales.chunks_exact(group));
            for ((w, s), e) in groups.zip(self.row.chunks_exact_mut(group)) {
                self.codes.errors(w, s, e);
            }
            errors.zip(&*self.row).for_each(|(error, e)| *error = *e);
        }
    }
}

/// The squares of the products of `N` tokens with the rows of a panel, added.
#[inline(always)]
fn squares<I: Simd<L>, const L: usize, const N: usize>(
    isa: I,
    tokens: &[f32],
    errors: &[[[f32; L]; V]],
) -> f64 {
    let k = errors.len();
    let mut rows = [&tokens[..0]; N];
    for (row, token) in rows.iter_mut().zip(tokens.chunks_exact(k)) {
        *row = token;
    }
    let mut sums = [[isa.splat(0.0); V]; N];
    for (j, column) in errors.iter().enumerate() {
        let mut e = [isa.splat(0.0); V];
        for v in 0..V {
            e[v] = isa.load(&column[v]);
        }
        for t in 0..N {
            let x = isa.splat(rows[t][j]);
            for v in 0..V {
                sums[t][v] = isa.fma(x, e[v], sums[t][v]);
            }
        }
    }
    let mut total = 0.0;
    for sum in sums.as_flattened() {
        let mut lanes = [0.0; L];
        isa.store(*sum, &mut lanes);
        for y in lanes {
            total += f64::from(y) * f64::from(y);
        }
    }
    total
}
