//! The oracle of `linear`: sums of each group in f64, where integers are exact, with what bounds
//! need beside them.
//!
//! With `x` and `w` less their zero points, and `s[j, g]` the scales of the weights:
//!
//! ```text
//! sum       = sum_g s sum_{k in g} x w             what the op means, up to sx
//! groups    = sum_g |s sum_{k in g} x w|           bounds rows that round group by group
//! magnitude = sum_k (|x| + |zx|) (|w| + |zw|) |s|  bounds rows that round product by product
//! ```
//!
//! A row with integer arithmetic rounds nothing under one scale a row but the sum (from 2^24 on)
//! and its product with the scales; under scales of groups it rounds each group's product and sum,
//! which is a dot product of `groups` terms. Whoever adds in floats is held to the dot bound over
//! K; zero points count in it as terms of their own, since a row may take them off in the end.
//! In tier `exact` nothing may be rounded: every term is a multiple of a power of two, and the
//! magnitudes sum to less than 2^24 of them.
mod rounded;
use super::super::samples::Grid;
use super::super::{Arithmetic, Bound, Expectation, Expected, Operands, Outputs, Tensor};
use super::{Activation, LinearProblem, Weight, checksum};
use crate::bound;
use crate::format::TableFormat;
use crate::format::minifloat::power_of_two;
use crate::quality::{Quality, quality};
use rayon::prelude::*;

/// Sums over the compared part of the output.
#[derive(Debug)]
pub struct LinearReference {
    /// What is compared.
    pub grid: Grid,
    /// Activations.
    pub(super) x: Side,
    /// Weights.
    pub(super) w: Side,
    /// Of each compared element.
    sums: Vec<Sums>,
}

/// One operand without its scales, in rows of K.
#[derive(Debug)]
pub(super) struct Side {
    /// Codes less their zero points, floats, or a table's values.
    units: Vec<f32>,
    /// `|code| + |zero_point|` where there are zero points or offsets, else empty.
    reach: Vec<f32>,
}

/// See the module. `magnitude` and `groups` have the scales that `sum` has.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    sum: f64,
    groups: f64,
    magnitude: f64,
}

const EXACT: f64 = (1u32 << 24) as f64;

impl Side {
    /// Row `i`, and the magnitudes that stand for its values in a bound.
    pub(super) fn row(&self, i: usize, k: usize) -> (&[f32], &[f32]) {
        let units = &self.units[i * k..][..k];
        let reach = if self.reach.is_empty() { units } else { &self.reach[i * k..][..k] };
        (units, reach)
    }

    /// Integer codes with the zero point of each.
    fn of_codes(codes: impl Iterator<Item = (i32, i32)>, zero_points: bool) -> Side {
        let (units, reach): (Vec<f32>, Vec<f32>) = codes
            .map(|(code, zero)| ((code - zero) as f32, (code.abs() + zero.abs()) as f32))
            .unzip();
        Side { units, reach: if zero_points { reach } else { Vec::new() } }
    }

    fn of_activation(p: &LinearProblem) -> Side {
        fn codes<T: Copy + Into<i32>>(p: &LinearProblem, x: &[T]) -> Side {
            let row = |i| {
                let zero = p.activation_zero_point(i);
                p.rows.row(x, i).iter().map(move |code| ((*code).into(), zero))
            };
            Side::of_codes((0..p.m).flat_map(row), !p.activation.zero_points().is_empty())
        }
        match &p.activation {
            Activation::F32(x) => {
                let units = (0..p.m).flat_map(|i| p.rows.row(x, i)).copied().collect();
                Side { units, reach: Vec::new() }
            }
            Activation::I8(x) => codes(p, &x.codes),
            Activation::U8(x) => codes(p, &x.codes),
        }
    }

    fn of_weight(weight: &Weight) -> Side {
        let units = match weight {
            Weight::Codes(w) => {
                let zero = |at: usize| w.zero_point(at / w.k, at % w.k / w.group_size);
                let codes = w.weight_codes().into_iter().enumerate();
                let codes = codes.map(|(at, code)| (i32::from(code), zero(at)));
                return Side::of_codes(codes, !w.zero_points.is_empty());
            }
            Weight::Blocks(w) => {
                let whole = |x: Result<Vec<f32>, _>| {
                    x.unwrap_or_else(|e| unreachable!("whole blocks: {e}"))
                };
                let units = whole(w.format.decode(&w.bytes));
                let offset = w.format.has_offset();
                let reach = if offset { whole(w.format.reach(&w.bytes)) } else { Vec::new() };
                return Side { units, reach };
            }
            Weight::Table(w) => w.format.units(&w.codes),
        };
        Side { units, reach: Vec::new() }
    }
}

impl Weight {
    /// The scale of row `j`, where it has one and no more.
    pub(super) fn row_scale(&self, j: usize) -> Option<f32> {
        match self {
            Weight::Codes(w) if w.groups == 1 => Some(w.scale(j)),
            _ => None,
        }
    }
    /// Values of a row that share a scale.
    pub(super) fn group_len(&self) -> usize {
        match self {
            Weight::Codes(w) => w.group_size,
            Weight::Blocks(w) => w.format.block_len(),
            Weight::Table(_) => TableFormat::BLOCK,
        }
    }
    /// The scale of group `g` of row `j`; a block's values already have theirs.
    pub(super) fn group_scale(&self, j: usize, g: usize) -> f32 {
        match self {
            Weight::Codes(w) => w.group_scale(j, g),
            Weight::Blocks(_) => 1.0,
            Weight::Table(w) => w.format.scale(w.row_absmax(j)[g]),
        }
    }
    /// Groups of a row of `k`.
    fn group_count(&self, k: usize) -> usize {
        if k == 0 { 0 } else { k.div_ceil(self.group_len()) }
    }
    /// Whether values are integers times a scale.
    fn is_integer(&self) -> bool {
        match self {
            Weight::Codes(_) => true,
            Weight::Blocks(w) => !w.format.has_offset(),
            Weight::Table(w) => w.format.integer(),
        }
    }
}

/// `sum x w` and `sum |x| |w|` with the magnitudes given; eight chains, for speed.
pub(super) fn dot((x, x_reach): (&[f32], &[f32]), (w, w_reach): (&[f32], &[f32])) -> (f64, f64) {
    let (mut sums, mut magnitudes) = ([0.0f64; 8], [0.0f64; 8]);
    let tokens = x.chunks(8).zip(x_reach.chunks(8));
    let weights = w.chunks(8).zip(w_reach.chunks(8));
    for ((x, x_reach), (w, w_reach)) in tokens.zip(weights) {
        for (sum, (x, w)) in sums.iter_mut().zip(x.iter().zip(w)) {
            *sum += f64::from(*x) * f64::from(*w);
        }
        for (sum, (x, w)) in magnitudes.iter_mut().zip(x_reach.iter().zip(w_reach)) {
            *sum += (f64::from(*x) * f64::from(*w)).abs();
        }
    }
    (sums.iter().sum(), magnitudes.iter().sum())
}

impl LinearReference {
    /// The sums of a problem.
    pub(super) fn new(p: &LinearProblem) -> LinearReference {
        let grid = Grid::new((p.m, p.n, p.k), p.seed);
        let (x, w) = (Side::of_activation(p), Side::of_weight(&p.weight));
        let sums = |at| {
            let (i, j) = grid.element(at);
            Sums::new(p, x.row(i, p.k), (j, w.row(j, p.k)))
        };
        let sums = (0..grid.len()).into_par_iter().map(sums).collect();
        LinearReference { grid, x, w, sums }
    }

    /// Row and column of each compared element, and its sums.
    fn elements(&self) -> impl Iterator<Item = (usize, usize, Sums)> + '_ {
        self.grid.elements().zip(&self.sums).map(|((i, j), sums)| (i, j, *sums))
    }

    /// The outputs compared, as the reference computes them.
    fn values(&self, p: &LinearProblem) -> Vec<f32> {
        let float = matches!(p.activation, Activation::F32(_));
        let value = |(i, j, Sums { sum, .. })| match p.weight.row_scale(j) {
            Some(scale) if float => (sum * f64::from(scale)) as f32,
            Some(scale) => sum as f32 * (p.activation_scale(i) * scale),
            None => (sum * f64::from(p.activation_scale(i))) as f32,
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
                dot((x, x), (w, w)).0 as f32
            })
            .collect();
        Some(quality(&want, self.values(p)))
    }

    /// What a row must have answered.
    pub(super) fn expect(
        &self,
        p: &LinearProblem,
        arithmetic: Arithmetic,
        got: &Outputs,
    ) -> Expectation {
        let mut out = Expectation::default();
        let want = self.values(p);
        let bound = self.output_bound(p, arithmetic, &want);
        let mut expected = Expected::all("y", Tensor::F32(want), bound);
        expected.at = self.grid.positions(p.n);
        expected.len = p.m * p.n;
        out.outputs.push(expected);
        let given = arithmetic.operands == Operands::AsGiven;
        if let (true, true, Some(y)) = (self.grid.sampled, given, got.f32s("y")) {
            out.faults.extend(checksum::fault(p, self, arithmetic, y));
        }
        out
    }

    /// See the module.
    fn output_bound(&self, p: &LinearProblem, arithmetic: Arithmetic, want: &[f32]) -> Bound {
        let codes = !matches!(p.activation, Activation::F32(_));
        let as_given = arithmetic.operands == Operands::AsGiven;
        let integer = arithmetic.integer && codes && p.weight.is_integer() && as_given;
        let groups = p.weight.group_count(p.k);
        let quanta = (p.exact && as_given).then(|| Quanta::new(p, self));
        let bound = |((i, j, sums), want): ((usize, usize, Sums), &f32)| {
            let scale = p.weight.row_scale(j).map_or(1.0, |scale| f64::from(scale).abs())
                * f64::from(p.activation_scale(i)).abs();
            if quanta.as_ref().is_some_and(|q| sums.magnitude * scale < EXACT * q.of(i, j)) {
                return 0.0;
            }
            match p.weight.row_scale(j) {
                Some(_) if integer && sums.sum.abs() < EXACT => 0.0,
                Some(_) if integer => f64::from(crate::rule::ulp(*want)),
                None if integer => bound::dot(groups, sums.groups * scale),
                _ => {
                    let magnitude = sums.magnitude * scale;
                    let moved = self.moved(p, arithmetic.operands, (i, j), magnitude);
                    bound::dot(p.k, magnitude + moved) + moved
                }
            }
        };
        let bounds: Vec<f64> = self.elements().zip(want).map(bound).collect();
        match bounds.iter().all(|b| *b == 0.0) {
            true => Bound::Exact,
            false => Bound::Componentwise(bounds),
        }
    }
}

impl Sums {
    fn new(
        p: &LinearProblem,
        (x, x_reach): (&[f32], &[f32]),
        (j, (w, w_reach)): (usize, (&[f32], &[f32])),
    ) -> Sums {
        let mut all = Sums::default();
        let len = p.weight.group_len();
        for g in 0..p.weight.group_count(p.k) {
            let scale = p.weight.group_scale(j, g);
            let group = g * len..p.k.min((g + 1) * len);
            let x = (&x[group.clone()], &x_reach[group.clone()]);
            let (sum, magnitude) = dot(x, (&w[group.clone()], &w_reach[group]));
            // One scale for the whole row waits for the end, as in the op.
            let scale = if p.weight.row_scale(j).is_some() { 1.0 } else { f64::from(scale) };
            all.sum += scale * sum;
            all.groups += (scale * sum).abs();
            all.magnitude += scale.abs() * magnitude;
        }
        all
    }
}

/// The power of two that every value of a row is a multiple of, scales included.
struct Quanta {
    x: Vec<f64>,
    w: Vec<f64>,
}

impl Quanta {
    fn new(p: &LinearProblem, reference: &LinearReference) -> Quanta {
        let x = |i| match &p.activation {
            Activation::F32(_) => least(reference.x.row(i, p.k).0.iter().copied()),
            _ => quantum(p.activation_scale(i)),
        };
        let w = |j| {
            let group = |g| {
                let (len, scale) = (p.weight.group_len(), p.weight.group_scale(j, g));
                let units = reference.w.row(j, p.k).0[g * len..].iter().take(len).copied();
                let unit = if matches!(p.weight, Weight::Codes(_)) { 1.0 } else { least(units) };
                unit * quantum(scale)
            };
            (0..p.weight.group_count(p.k)).map(group).fold(f64::INFINITY, f64::min)
        };
        Quanta { x: (0..p.m).map(x).collect(), w: (0..p.n).map(w).collect() }
    }

    fn of(&self, i: usize, j: usize) -> f64 {
        self.x[i] * self.w[j]
    }
}

fn least(values: impl Iterator<Item = f32>) -> f64 {
    values.map(quantum).fold(f64::INFINITY, f64::min)
}

/// The largest power of two that a float is a multiple of; infinite for 0.
fn quantum(x: f32) -> f64 {
    let (biased, fraction) = (x.abs().to_bits() >> 23, x.to_bits() & 0x7f_ffff);
    let mantissa = if biased == 0 { fraction } else { fraction | 1 << 23 };
    match mantissa {
        0 => f64::INFINITY,
        _ => power_of_two((biased.max(1) + mantissa.trailing_zeros()).cast_signed() - 150),
    }
}

/// Share of zeros in the output, from the shares of zeros in weights and activations.
pub(super) fn predicted_zeros(p: &LinearProblem) -> f64 {
    if p.k == 0 {
        return 1.0;
    }
    let share = |side: &Side| {
        let zeros = side.units.iter().filter(|unit| **unit == 0.0).count();
        zeros as f64 / side.units.len().max(1) as f64
    };
    let (x, w) = (share(&Side::of_activation(p)), share(&Side::of_weight(&p.weight)));
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
