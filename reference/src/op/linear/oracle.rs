//! The oracle of `linear`: exact integer sums, f64 sums with their magnitudes, and what follows
//! for rows that quantize for themselves.
use super::super::quantize::expect_scales;
use super::super::samples::{Grid, signs};
use super::super::{Arithmetic, Bound, Expectation, Expected, Outputs, Tensor};
use super::{Activation, LinearProblem};
use crate::bound;
use crate::format::Levels;
use crate::quality::{Quality, quality};
use crate::rule::Rule;
use rayon::prelude::*;

/// Sums over the compared part of the output.
#[derive(Debug)]
pub struct LinearReference {
    /// What is compared.
    pub grid: Grid,
    /// Weight codes, `[N, K]`.
    codes: Vec<i8>,
    sums: Sums,
}

/// `sum x w` and `sum |x w|` of each compared element, without scales.
#[derive(Debug)]
enum Sums {
    Integer { sum: Vec<i32>, magnitude: Vec<u32> },
    Float { sum: Vec<f64>, magnitude: Vec<f64> },
}

impl LinearReference {
    /// The sums of a problem.
    pub(super) fn new(p: &LinearProblem) -> LinearReference {
        let grid = Grid::new((p.m, p.n, p.k), p.seed);
        let codes = p.weight_codes();
        let sums = match &p.activation {
            Activation::F32 => float_sums(&grid, p.k, &p.activation_f32, &codes),
            Activation::Int8 { codes: x, .. } => integer_sums(&grid, p.k, x, &codes),
        };
        LinearReference { grid, codes, sums }
    }

    /// Rows, columns and index of each compared element.
    fn elements(&self) -> impl Iterator<Item = (usize, usize, usize)> + '_ {
        let columns = &self.grid.columns;
        let row = move |(r, i): (usize, &usize)| {
            let i = *i;
            columns.iter().enumerate().map(move |(c, j)| (i, *j, r * columns.len() + c))
        };
        self.grid.rows.iter().enumerate().flat_map(row)
    }

    /// The outputs compared, as the reference computes them.
    fn values(&self, p: &LinearProblem) -> Vec<f32> {
        let value = |(i, j, at): (usize, usize, usize)| match &self.sums {
            Sums::Integer { sum, .. } => {
                sum[at] as f32 * (p.activation_scale(i) * p.weight.scale(j))
            }
            Sums::Float { sum, .. } => (sum[at] * f64::from(p.weight.scale(j))) as f32,
        };
        self.elements().map(value).collect()
    }

    /// Quality of the product against the unquantized one; on at most 2^26 MACs.
    pub(super) fn quality(&self, p: &LinearProblem) -> Option<Quality> {
        let per_output = p.k.max(1);
        let outputs =
            (1usize << 26).div_ceil(per_output).min(self.grid.rows.len() * self.grid.columns.len());
        let want: Vec<f32> = self
            .elements()
            .take(outputs)
            .map(|(i, j, _)| {
                let x = &p.activation_f32[i * p.k..][..p.k];
                let w = &p.weight_f32[j * p.k..][..p.k];
                x.iter().zip(w).map(|(x, w)| f64::from(*x) * f64::from(*w)).sum::<f64>() as f32
            })
            .collect();
        Some(quality(&want, self.values(p)))
    }
}

fn integer_sums(grid: &Grid, k: usize, x: &[i8], w: &[i8]) -> Sums {
    let dot = |i: usize, j: usize| {
        let pairs = x[i * k..][..k].iter().zip(&w[j * k..][..k]);
        pairs.fold((0i32, 0u32), |(sum, magnitude), (x, w)| {
            let product = i32::from(*x) * i32::from(*w);
            (sum + product, magnitude + product.unsigned_abs())
        })
    };
    let rows = grid.rows.iter().flat_map(|i| grid.columns.iter().map(move |j| (*i, *j)));
    let pairs: Vec<_> = rows.collect();
    let (sum, magnitude) = pairs.into_par_iter().map(|(i, j)| dot(i, j)).unzip();
    Sums::Integer { sum, magnitude }
}

fn float_sums(grid: &Grid, k: usize, x: &[f32], w: &[i8]) -> Sums {
    let dot = |i: usize, j: usize| {
        let pairs = x[i * k..][..k].iter().zip(&w[j * k..][..k]);
        pairs.fold((0.0, 0.0), |(sum, magnitude), (x, w)| {
            let product = f64::from(*x) * f64::from(*w);
            (sum + product, magnitude + product.abs())
        })
    };
    let rows = grid.rows.iter().flat_map(|i| grid.columns.iter().map(move |j| (*i, *j)));
    let pairs: Vec<_> = rows.collect();
    let (sum, magnitude) = pairs.into_par_iter().map(|(i, j)| dot(i, j)).unzip();
    Sums::Float { sum, magnitude }
}

/// What a row must have answered. A row that quantizes for itself also answers
/// `weight_scales` (and `activation_scales`), and is judged under those.
pub(super) fn expect(
    p: &LinearProblem,
    reference: &LinearReference,
    arithmetic: Arithmetic,
    got: &Outputs,
) -> Expectation {
    let mut out = Expectation::default();
    if let Some(own) = got.f32s("weight_scales") {
        return expect_under_own_scales(p, reference, arithmetic, (own, got));
    }
    let want = reference.values(p);
    let bound = output_bound(p, reference, arithmetic, &want);
    let mut expected = Expected::all("y", Tensor::F32(want), bound);
    expected.at = reference.grid.positions(p.n);
    expected.len = p.m * p.n;
    out.outputs.push(expected);
    if let (true, true, Some(y)) = (reference.grid.sampled, arithmetic.integer, got.f32s("y")) {
        out.faults.extend(freivalds(p, &reference.codes, y));
    }
    out
}

/// Integer rows: the bits of the reference where the sum is below 2^24, 1 ulp above. Float rows:
/// the dot bound; tier `exact`: equal while every partial sum is an exact float.
fn output_bound(
    p: &LinearProblem,
    reference: &LinearReference,
    arithmetic: Arithmetic,
    want: &[f32],
) -> Bound {
    const EXACT: u32 = 1 << 24;
    let scale =
        |i: usize, j: usize| f64::from(p.activation_scale(i)) * f64::from(p.weight.scale(j));
    let bound = |(i, j, at): (usize, usize, usize)| match &reference.sums {
        Sums::Integer { sum, .. } if arithmetic.integer && sum[at].unsigned_abs() < EXACT => 0.0,
        Sums::Integer { .. } if arithmetic.integer => f64::from(crate::rule::ulp(want[at])),
        Sums::Integer { magnitude, .. } if p.exact && magnitude[at] < EXACT => 0.0,
        Sums::Integer { magnitude, .. } => {
            bound::dot(p.k, f64::from(magnitude[at]) * scale(i, j).abs())
        }
        // Small integers times codes: exact while the sum of magnitudes is.
        Sums::Float { magnitude, .. } if p.exact && magnitude[at] < f64::from(EXACT) => 0.0,
        Sums::Float { magnitude, .. } => bound::dot(p.k, magnitude[at] * scale(i, j).abs()),
    };
    let bounds: Vec<f64> = reference.elements().map(bound).collect();
    if bounds.iter().all(|b| *b == 0.0) { Bound::Exact } else { Bound::Componentwise(bounds) }
}

/// Freivalds' check over the whole output: the integer sums are recovered from the floats
/// (exactly, while they are below 2^22), multiplied by random signs and compared.
fn freivalds(p: &LinearProblem, codes: &[i8], y: &[f32]) -> Option<String> {
    let Activation::Int8 { codes: x, .. } = &p.activation else { return None };
    let r = signs(p.n, p.seed);
    let mut folded = vec![0i64; p.k];
    for (row, sign) in codes.chunks_exact(p.k).zip(&r) {
        folded.iter_mut().zip(row).for_each(|(sum, w)| *sum += sign * i64::from(*w));
    }
    y.chunks_exact(p.n).enumerate().find_map(|(i, y)| {
        let want: i64 =
            x[i * p.k..][..p.k].iter().zip(&folded).map(|(x, f)| i64::from(*x) * f).sum();
        let sum = |j: usize| {
            let scale = f64::from(p.activation_scale(i) * p.weight.scale(j));
            (f64::from(y[j]) / scale).round()
        };
        if (0..p.n).any(|j| sum(j).abs() >= f64::from(1 << 22)) {
            return None;
        }
        let got: i64 = (0..p.n).map(|j| r[j] * sum(j) as i64).sum();
        (got != want).then(|| format!("checksum of row {i}: got {got}, want {want}"))
    })
}

/// Values quantized and dequantized under given scales, and which of them are near a tie.
fn fake_quant(
    x: &[f32],
    rule: &Rule,
    levels: Levels,
    scales: &[f32],
    centres: &[f32],
) -> (Vec<f64>, Vec<usize>) {
    let group_len = x.len().div_ceil(scales.len().max(1)).max(1);
    let at = |i: usize| (scales[i / group_len], centres.get(i / group_len).copied().unwrap_or(0.0));
    let value = |(i, x): (usize, &f32)| {
        let (scale, centre) = at(i);
        f64::from(rule.code(levels, *x, scale, centre)) * f64::from(scale)
    };
    let near = |i: &usize| {
        let (scale, centre) = at(*i);
        rule.near_tie(levels, x[*i], scale, centre)
    };
    (x.iter().enumerate().map(value).collect(), (0..x.len()).filter(near).collect())
}

/// A fake-quant row computes scales and codes itself, in floats: its scales are judged first,
/// then its product against an f64 product of the values quantized under those scales. A value
/// near a tie may be one step off, and widens the bound of every output it enters by that step.
fn expect_under_own_scales(
    p: &LinearProblem,
    reference: &LinearReference,
    arithmetic: Arithmetic,
    (own, got): (&[f32], &Outputs),
) -> Expectation {
    let rule = &p.weight.rule;
    let group_len = rule.group_len(p.n * p.k, p.k);
    let mut out = Expectation::default();
    let want = (p.weight.scales.as_slice(), group_len);
    out.outputs.push(expect_scales("weight_scales", rule, arithmetic, want));
    if own.len() != p.weight.scales.len() {
        return out;
    }
    let levels = p.weight.format.levels();
    let centres = got.f32s("weight_centres").unwrap_or(&p.weight.centres);
    let (w, near_w) = fake_quant(&p.weight_f32, rule, levels, own, centres);
    let (x, near_x) = match &p.activation {
        Activation::F32 => (p.activation_f32.iter().map(|x| f64::from(*x)).collect(), Vec::new()),
        Activation::Int8 { rule, scales, .. } => {
            let want = (scales.as_slice(), rule.group_len(p.m * p.k, p.k));
            out.outputs.push(expect_scales("activation_scales", rule, arithmetic, want));
            let own = got.f32s("activation_scales").filter(|s| s.len() == scales.len());
            let Some(own) = own else { return out };
            fake_quant(&p.activation_f32, rule, Levels::Int8, own, &[])
        }
    };
    let step_w = f64::from(own.iter().fold(0.0f32, |a, b| a.max(*b)));
    let own_x = got.f32s("activation_scales").unwrap_or(&[]);
    let step_x = f64::from(own_x.iter().fold(0.0f32, |a, b| a.max(*b)));
    let (mut want, mut bounds) = (Vec::new(), Vec::new());
    for (i, j, _) in reference.elements() {
        let (xs, ws) = (&x[i * p.k..][..p.k], &w[j * p.k..][..p.k]);
        let sum: f64 = xs.iter().zip(ws).map(|(x, w)| x * w).sum();
        let magnitude: f64 = xs.iter().zip(ws).map(|(x, w)| (x * w).abs()).sum();
        let within = |near: &[usize], row: usize| {
            let from = near.partition_point(|at| *at < row * p.k);
            let to = near.partition_point(|at| *at < (row + 1) * p.k);
            near[from..to].iter().map(|at| at - row * p.k).collect::<Vec<_>>()
        };
        // Sign codes are two steps apart.
        let ties: f64 = within(&near_w, j).iter().map(|t| 2.0 * step_w * xs[*t].abs()).sum::<f64>()
            + within(&near_x, i).iter().map(|t| step_x * ws[*t].abs()).sum::<f64>();
        want.push(sum as f32);
        bounds.push(bound::dot(p.k, magnitude) + ties);
    }
    let mut y = Expected::all("y", Tensor::F32(want), Bound::Componentwise(bounds));
    y.at = reference.grid.positions(p.n);
    y.len = p.m * p.n;
    out.outputs.push(y);
    out
}

/// A sum of `n` independent terms of both signs is zero with probability about
/// `1 / sqrt(2 pi n)` once `n` is large (the terms are integers of magnitude at least 1), and
/// every term is zero with probability `zero^k`.
pub(super) fn predicted_zeros(p: &LinearProblem) -> f64 {
    let share = |zeros: usize, len: usize| zeros as f64 / len.max(1) as f64;
    let codes = p.weight_codes();
    let w = share(codes.iter().filter(|c| **c == 0).count(), codes.len());
    let x = match &p.activation {
        Activation::Int8 { codes, .. } => {
            share(codes.iter().filter(|c| **c == 0).count(), codes.len())
        }
        Activation::F32 => {
            share(p.activation_f32.iter().filter(|x| **x == 0.0).count(), p.activation_f32.len())
        }
    };
    let active = (1.0 - w) * (1.0 - x);
    let all_zero = (1.0 - active).powi(i32::try_from(p.k).unwrap_or(i32::MAX));
    (all_zero + 0.4 / (active * p.k as f64).sqrt().max(0.4)).min(0.9)
}
