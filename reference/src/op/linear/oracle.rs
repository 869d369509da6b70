//! The oracle of `linear`: exact integer sums, f64 sums with their magnitudes, and what follows
//! for rows that quantize for themselves.
use super::super::quantize::{expect_centres, expect_scales};
use super::super::samples::{Grid, weights};
use super::super::{Arithmetic, Bound, Expectation, Expected, Outputs, Tensor};
use super::{Activation, LinearProblem};
use crate::bound;
use crate::format::Levels;
use crate::quality::{Quality, quality};
use crate::rule::{Code, Rule, Shared};
use rayon::prelude::*;

/// Sums over the compared part of the output.
#[derive(Debug)]
pub struct LinearReference {
    /// What is compared.
    pub grid: Grid,
    /// Weight codes, `[N, K]`.
    codes: Vec<Code>,
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
        let element = |at| {
            let (i, j) = self.grid.element(at);
            (i, j, at)
        };
        (0..self.grid.len()).map(element)
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
        let outputs = (1usize << 26).div_ceil(per_output).min(self.grid.len());
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

fn integer_sums(grid: &Grid, k: usize, x: &[i8], w: &[Code]) -> Sums {
    let dot = |at: usize| {
        let (i, j) = grid.element(at);
        let pairs = x[i * k..][..k].iter().zip(&w[j * k..][..k]);
        pairs.fold((0i32, 0u32), |(sum, magnitude), (x, w)| {
            let product = i32::from(*x) * i32::from(*w);
            (sum + product, magnitude + product.unsigned_abs())
        })
    };
    let (sum, magnitude) = (0..grid.len()).into_par_iter().map(dot).unzip();
    Sums::Integer { sum, magnitude }
}

fn float_sums(grid: &Grid, k: usize, x: &[f32], w: &[Code]) -> Sums {
    let dot = |at: usize| {
        let (i, j) = grid.element(at);
        let pairs = x[i * k..][..k].iter().zip(&w[j * k..][..k]);
        pairs.fold((0.0, 0.0), |(sum, magnitude), (x, w)| {
            let product = f64::from(*x) * f64::from(*w);
            (sum + product, magnitude + product.abs())
        })
    };
    let (sum, magnitude) = (0..grid.len()).into_par_iter().map(dot).unzip();
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
    // A rule spelled out may have other scales than powers of two.
    let exact = p.exact && powers_of_two(p);
    let bound = |(i, j, at): (usize, usize, usize)| match &reference.sums {
        Sums::Integer { sum, .. } if arithmetic.integer && sum[at].unsigned_abs() < EXACT => 0.0,
        Sums::Integer { .. } if arithmetic.integer => f64::from(crate::rule::ulp(want[at])),
        Sums::Integer { magnitude, .. } if exact && magnitude[at] < EXACT => 0.0,
        Sums::Integer { magnitude, .. } => {
            bound::dot(p.k, f64::from(magnitude[at]) * scale(i, j).abs())
        }
        // Small integers times codes: exact while the sum of magnitudes is.
        Sums::Float { magnitude, .. } if exact && magnitude[at] < f64::from(EXACT) => 0.0,
        Sums::Float { magnitude, .. } => bound::dot(p.k, magnitude[at] * scale(i, j).abs()),
    };
    let bounds: Vec<f64> = reference.elements().map(bound).collect();
    if bounds.iter().all(|b| *b == 0.0) { Bound::Exact } else { Bound::Componentwise(bounds) }
}

/// Whether every scale is a power of two, so that products with it are exact.
fn powers_of_two(p: &LinearProblem) -> bool {
    let activations: &[f32] = match &p.activation {
        Activation::Int8 { scales, .. } => scales,
        Activation::F32 => &[],
    };
    let mut scales = p.weight.scales.iter().chain(activations);
    scales.all(|scale| scale.is_normal() && scale.to_bits().trailing_zeros() >= 23)
}

/// Freivalds' check over the whole output. Integer sums are recovered from the floats where that
/// is exact, below 2^22; a larger one, rare, is computed and its float judged here.
fn freivalds(p: &LinearProblem, codes: &[Code], y: &[f32]) -> Option<String> {
    let Activation::Int8 { codes: x, .. } = &p.activation else { return None };
    if y.len() != p.m * p.n {
        return None;
    }
    let r = weights(p.n, p.seed);
    let mut folded = vec![0i64; p.k];
    for (row, weight) in codes.chunks_exact(p.k).zip(&r) {
        let each = folded.iter_mut().zip(row);
        each.for_each(|(sum, w)| *sum = sum.wrapping_add(weight.wrapping_mul(i64::from(*w))));
    }
    let product = |x: &i8, f: &i64| i64::from(*x).wrapping_mul(*f);
    (0..p.m).find_map(|i| {
        let x = &x[i * p.k..][..p.k];
        let want = x.iter().zip(&folded).fold(0i64, |s, (x, f)| s.wrapping_add(product(x, f)));
        let mut got = 0i64;
        for (j, weight) in r.iter().enumerate() {
            let (value, scale) = (y[i * p.n + j], p.activation_scale(i) * p.weight.scale(j));
            let mut sum = (f64::from(value) / f64::from(scale)).round();
            if sum.is_nan() || sum.abs() >= f64::from(1 << 22) {
                let w = &codes[j * p.k..][..p.k];
                let exact: i32 = x.iter().zip(w).map(|(x, w)| i32::from(*x) * i32::from(*w)).sum();
                let answer = exact as f32 * scale;
                let off = f64::from(value) - f64::from(answer);
                if off.is_nan() || off.abs() > f64::from(crate::rule::ulp(answer)) {
                    return Some(format!("`y`[{}] is {value}, must be {answer}", i * p.n + j));
                }
                sum = f64::from(exact);
            }
            got = got.wrapping_add(weight.wrapping_mul(sum as i64));
        }
        (got != want).then(|| format!("checksum of row {i} differs"))
    })
}

/// Values quantized and dequantized under a row's own scales, and by how much those near a tie
/// may be off.
struct FakeQuant {
    values: Vec<f64>,
    /// Position and step, ascending.
    near: Vec<(usize, f64)>,
}

impl FakeQuant {
    fn new(x: &[f32], rule: &Rule, levels: Levels, (scales, centres): (&[f32], &[f32])) -> Self {
        let group_len = x.len().div_ceil(scales.len().max(1)).max(1);
        let shared = |i: usize| {
            let centre = centres.get(i / group_len).copied().unwrap_or(0.0);
            Shared { centre, ..rule.under(scales[i / group_len]) }
        };
        let value = |(i, x): (usize, &f32)| {
            let shared = shared(i);
            f64::from(rule.code(levels, *x, &shared)) * f64::from(shared.scale)
        };
        let near = |i: usize| {
            let shared = shared(i);
            let step = levels.step() * f64::from(shared.scale);
            rule.near_tie(levels, x[i], &shared, group_len).then_some((i, step))
        };
        let values = x.iter().enumerate().map(value).collect();
        FakeQuant { values, near: (0..x.len()).filter_map(near).collect() }
    }

    /// Sum of `step |other|` over the values of a row that are near a tie.
    fn ties(&self, row: usize, k: usize, other: &[f64]) -> f64 {
        let from = self.near.partition_point(|(at, _)| *at < row * k);
        let to = self.near.partition_point(|(at, _)| *at < (row + 1) * k);
        self.near[from..to].iter().map(|(at, step)| step * other[at - row * k].abs()).sum()
    }
}

/// A fake-quant row computes scales and codes itself, in floats: its scales are judged first,
/// then its product against an f64 product of the values quantized under those scales. A value
/// near a tie may be one step off, and widens the bound of every output it enters by that step;
/// not in tier `exact`, where ties are planted, on a machine that divides exactly.
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
    let centres = got.f32s("weight_centres").unwrap_or(&[]);
    if rule.centred {
        let want = (p.weight.centres.as_slice(), group_len);
        out.outputs.push(expect_centres("weight_centres", &p.weight_f32, want));
    }
    if own.len() != p.weight.scales.len() || centres.len() != p.weight.centres.len() {
        return out;
    }
    let levels = p.weight.format.levels();
    let mut w = FakeQuant::new(&p.weight_f32, rule, levels, (own, centres));
    let mut x = match &p.activation {
        Activation::F32 => FakeQuant {
            values: p.activation_f32.iter().map(|x| f64::from(*x)).collect(),
            near: Vec::new(),
        },
        Activation::Int8 { rule, scales, .. } => {
            let want = (scales.as_slice(), rule.group_len(p.m * p.k, p.k));
            out.outputs.push(expect_scales("activation_scales", rule, arithmetic, want));
            let own = got.f32s("activation_scales").filter(|s| s.len() == scales.len());
            let Some(own) = own else { return out };
            FakeQuant::new(&p.activation_f32, rule, Levels::Int8, (own, &[]))
        }
    };
    if p.exact && arithmetic.exact_division {
        w.near.clear();
        x.near.clear();
    }
    out.outputs.push(fake_product(p, reference, &x, &w));
    out
}

fn fake_product(
    p: &LinearProblem,
    reference: &LinearReference,
    x: &FakeQuant,
    w: &FakeQuant,
) -> Expected {
    let (mut want, mut bounds) = (Vec::new(), Vec::new());
    for (i, j, _) in reference.elements() {
        let (xs, ws) = (&x.values[i * p.k..][..p.k], &w.values[j * p.k..][..p.k]);
        let sum: f64 = xs.iter().zip(ws).map(|(x, w)| x * w).sum();
        let magnitude: f64 = xs.iter().zip(ws).map(|(x, w)| (x * w).abs()).sum();
        let ties = w.ties(j, p.k, xs) + x.ties(i, p.k, ws);
        want.push(sum as f32);
        bounds.push(bound::dot(p.k, magnitude) + ties);
    }
    let mut y = Expected::all("y", Tensor::F32(want), Bound::Componentwise(bounds));
    y.at = reference.grid.positions(p.n);
    y.len = p.m * p.n;
    y
}

/// Share of zeros in the output, from the shares of zeros in weights and activations.
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
    zero_sums(active, p.k)
}

/// Share of sums of `terms` products that are zero, where a product is not zero with probability
/// `active`. A sum of `n` independent terms of both signs is zero with probability about
/// `1 / sqrt(2 pi n)` once `n` is large (the terms are integers of magnitude at least 1), and
/// every term is zero with probability `(1 - active)^n`.
pub(in crate::op) fn zero_sums(active: f64, terms: usize) -> f64 {
    let all_zero = (1.0 - active).powi(i32::try_from(terms).unwrap_or(i32::MAX));
    (all_zero + 0.4 / (active * terms as f64).sqrt().max(0.4)).min(0.9)
}
