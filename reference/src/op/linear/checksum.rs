//! What is said about the outputs of a large product that are not compared one by one.
//!
//! * Where an element is one integer sum: Freivalds' check of each row, exact but for a chance of
//!   2^-32.
//! * Elsewhere: for every row `i` and block `B` of [`COLUMNS`] columns, with `r` drawn from
//!   `[-1, 1]`, `|sum_B r y - sx x (sum_B r w)| <= sum_B |r| bound`. A block is small enough that
//!   an element which is missing, stale or another's is seen; one that is only slightly wrong is
//!   for the sample to find.
use super::super::Arithmetic;
use super::super::samples::weights;
use super::oracle::{LinearReference, dot};
use super::{Activation, LinearProblem};
use crate::bound;
use rayon::prelude::*;

/// Columns of a block.
const COLUMNS: usize = 16;

/// The first row that is wrong, as a sentence.
pub(super) fn fault(
    p: &LinearProblem,
    reference: &LinearReference,
    arithmetic: Arithmetic,
    y: &[f32],
) -> Option<String> {
    if y.len() != p.m * p.n {
        return None;
    }
    let one_scale = (0..p.n).all(|j| p.weight.row_scale(j).is_some());
    let codes = !matches!(p.activation, Activation::F32(_));
    match arithmetic.integer && codes && one_scale {
        true => freivalds(p, reference, y),
        false => blocks(p, reference, y),
    }
}

/// Sums are recovered from the floats where that is exact, below 2^22; a larger one, rare, is
/// computed and its float judged here.
fn freivalds(p: &LinearProblem, reference: &LinearReference, y: &[f32]) -> Option<String> {
    let r = weights(p.n, p.seed);
    let mut folded = vec![0i64; p.k];
    for (j, weight) in r.iter().enumerate() {
        let each = folded.iter_mut().zip(reference.w.row(j, p.k).0);
        each.for_each(|(sum, w)| *sum = sum.wrapping_add(weight.wrapping_mul(*w as i64)));
    }
    let product = |x: &f32, f: &i64| (*x as i64).wrapping_mul(*f);
    (0..p.m).into_par_iter().find_map_first(|i| {
        let (x, _) = reference.x.row(i, p.k);
        let want = x.iter().zip(&folded).fold(0i64, |s, (x, f)| s.wrapping_add(product(x, f)));
        let mut got = 0i64;
        for (j, weight) in r.iter().enumerate() {
            let scale = p.activation_scale(i) * p.weight.row_scale(j).unwrap_or(1.0);
            let value = y[i * p.n + j];
            let mut sum = (f64::from(value) / f64::from(scale)).round();
            if sum.is_nan() || sum.abs() >= f64::from(1 << 22) {
                let exact = dot((x, x), reference.w.row(j, p.k)).0;
                let answer = exact as f32 * scale;
                let off = f64::from(value) - f64::from(answer);
                if off.is_nan() || off.abs() > f64::from(crate::rule::ulp(answer)) {
                    return Some(format!("`y`[{}] is {value}, must be {answer}", i * p.n + j));
                }
                sum = exact;
            }
            got = got.wrapping_add(weight.wrapping_mul(sum as i64));
        }
        (got != want).then(|| format!("checksum of row {i} differs"))
    })
}

/// A block's weighted columns, added up, and their magnitudes.
struct Folded {
    sums: Vec<f32>,
    magnitudes: Vec<f32>,
    /// Largest error of rounding the sums to f32, relative to the magnitudes.
    rounding: f64,
}

fn fold(p: &LinearProblem, reference: &LinearReference, (from, r): (usize, &[f64])) -> Folded {
    let (mut sums, mut magnitudes) = (vec![0.0f64; p.k], vec![0.0f64; p.k]);
    let len = p.weight.group_len();
    for (j, r) in (from..).zip(r) {
        let (units, reach) = reference.w.row(j, p.k);
        for k in 0..p.k {
            let scaled = r * f64::from(p.weight.group_scale(j, k / len));
            sums[k] += scaled * f64::from(units[k]);
            magnitudes[k] += (scaled * f64::from(reach[k])).abs();
        }
    }
    let round = |values: Vec<f64>| values.into_iter().map(|value| value as f32).collect();
    Folded { sums: round(sums), magnitudes: round(magnitudes), rounding: 2.0 * bound::UNIT }
}

fn blocks(p: &LinearProblem, reference: &LinearReference, y: &[f32]) -> Option<String> {
    let r: Vec<f64> = weights(p.n, p.seed).into_iter().map(|r| r as f64 / 2f64.powi(63)).collect();
    let blocks: Vec<(usize, &[f64])> = (0..p.n).step_by(COLUMNS).zip(r.chunks(COLUMNS)).collect();
    blocks.into_par_iter().find_map_first(|(from, r)| {
        let folded = fold(p, reference, (from, r));
        (0..p.m).find_map(|i| {
            let (x, reach) = reference.x.row(i, p.k);
            let (sum, magnitude) = dot((x, reach), (&folded.sums, &folded.magnitudes));
            let scale = f64::from(p.activation_scale(i));
            let y = &y[i * p.n + from..][..r.len()];
            let got: f64 = y.iter().zip(r).map(|(y, r)| f64::from(*y) * r).sum();
            let off = (got - sum * scale).abs();
            let magnitude = magnitude * scale.abs();
            let bound = 2.0 * bound::dot(p.k, magnitude) + folded.rounding * magnitude;
            let columns = from..from + r.len();
            (off.is_nan() || off > bound)
                .then(|| format!("checksum of row {i}, columns {columns:?}, differs by {off:.3e}"))
        })
    })
}
