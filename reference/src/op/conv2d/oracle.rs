//! The oracle of `conv2d`: exact integer sums, f64 sums with their magnitudes.
//!
//! Above 2^27 products it compares a sample with every border, corner and channel tile edge; an
//! integer row is then also held to a checksum of all its outputs (Freivalds).
use super::super::linear::zero_sums;
use super::super::{Arithmetic, Bound, Expectation, Expected, Outputs, Tensor, image, samples};
use super::operation::{Conv2dProblem, Conv2dTensors};
use crate::bound;
use crate::quality::{Quality, quality};
use rayon::prelude::*;

/// Sums over the compared part of the output.
#[derive(Debug)]
pub struct Conv2dReference {
    /// Positions compared; `None` for all.
    positions: Option<Vec<usize>>,
    /// `[N, O, H', W']`.
    output: [usize; 4],
    sums: Sums,
}

/// `sum x w` and `sum |x w|` of each compared output, without scales.
#[derive(Debug)]
enum Sums {
    Integer { sum: Vec<i32>, magnitude: Vec<u32> },
    Float { sum: Vec<f64>, magnitude: Vec<f64> },
}

/// Sums below this are exact floats.
const EXACT: u32 = 1 << 24;

impl Conv2dReference {
    /// The sums of a problem.
    pub(super) fn new(p: &Conv2dProblem) -> Conv2dReference {
        let output = p.shape.output_shape().unwrap_or([0; 4]);
        let len: usize = output.iter().product();
        let macs = len as u64 * p.shape.depth().unwrap_or(0) as u64;
        let positions = (macs > image::EXHAUSTIVE).then(|| image::sample(output, p.seed));
        let mut reference = Conv2dReference {
            positions,
            output,
            sums: Sums::Float { sum: vec![], magnitude: vec![] },
        };
        let compared = positions_of(&reference.positions, len);
        reference.sums = match &p.tensors {
            Conv2dTensors::F32 => {
                let product =
                    |(x, w): (usize, usize)| f64::from(p.x_f32[x]) * f64::from(p.w_f32[w]);
                let (sum, magnitude) = compared
                    .into_par_iter()
                    .map(|at| {
                        let taps = taps(p, output, at).1;
                        taps.into_iter()
                            .map(product)
                            .fold((0.0, 0.0), |(sum, magnitude), product| {
                                (sum + product, magnitude + product.abs())
                            })
                    })
                    .unzip();
                Sums::Float { sum, magnitude }
            }
            Conv2dTensors::Int8 { x, w, .. } => {
                let product =
                    |(x_at, w_at): (usize, usize)| i32::from(x[x_at]) * i32::from(w[w_at]);
                let (sum, magnitude) = compared
                    .into_par_iter()
                    .map(|at| {
                        let taps = taps(p, output, at).1;
                        taps.into_iter().map(product).fold((0, 0), |(sum, magnitude), product| {
                            (sum + product, magnitude + product.unsigned_abs())
                        })
                    })
                    .unzip();
                Sums::Integer { sum, magnitude }
            }
        };
        reference
    }

    /// Index among the compared, position in the output, and channel of each compared output.
    fn elements(&self) -> impl Iterator<Item = (usize, usize, usize)> + '_ {
        let [_, outputs, height, width] = self.output;
        let compared = positions_of(&self.positions, self.output.iter().product());
        compared
            .into_iter()
            .enumerate()
            .map(move |(index, at)| (index, at, at / (height * width) % outputs))
    }

    /// The outputs compared, as the reference computes them.
    fn values(&self, p: &Conv2dProblem) -> Vec<f32> {
        let value = |(index, _, o): (usize, usize, usize)| match &self.sums {
            Sums::Integer { sum, .. } => sum[index] as f32 * p.scale(o),
            Sums::Float { sum, .. } => sum[index] as f32,
        };
        self.elements().map(value).collect()
    }

    /// Quality of the result against the unquantized one; on at most 2^24 products.
    pub(super) fn quality(&self, p: &Conv2dProblem) -> Option<Quality> {
        let depth = p.shape.depth().unwrap_or(1).max(1);
        let product = |(x, w): &(usize, usize)| f64::from(p.x_f32[*x]) * f64::from(p.w_f32[*w]);
        let want: Vec<f32> = self
            .elements()
            .take((1usize << 24).div_ceil(depth))
            .map(|(_, at, _)| taps(p, self.output, at).1.iter().map(product).sum::<f64>() as f32)
            .collect();
        Some(quality(&want, self.values(p)))
    }
}

/// The positions compared of an output of `len` values.
fn positions_of(positions: &Option<Vec<usize>>, len: usize) -> Vec<usize> {
    positions.clone().unwrap_or_else(|| (0..len).collect())
}

/// Channel of an output, and the places in x and w of the products it sums.
fn taps(
    p: &Conv2dProblem,
    [_, _, height, width]: [usize; 4],
    at: usize,
) -> (usize, Vec<(usize, usize)>) {
    p.shape.taps([height, width], at)
}

/// What a row must have answered.
pub(super) fn expect(
    p: &Conv2dProblem,
    reference: &Conv2dReference,
    arithmetic: Arithmetic,
    got: &Outputs,
) -> Expectation {
    let want = reference.values(p);
    let bound = output_bound(p, reference, arithmetic, &want);
    let mut expected = Expected::all("y", Tensor::F32(want), bound);
    expected.at.clone_from(&reference.positions);
    expected.len = reference.output.iter().product();
    let mut out = Expectation { outputs: vec![expected], faults: Vec::new() };
    if let (Some(_), true, Some(y)) = (&reference.positions, arithmetic.integer, got.f32s("y")) {
        out.faults.extend(freivalds(p, reference.output, y));
    }
    out
}

/// Integer rows: the bits of the reference where the sum is below 2^24, 1 ulp above. Float rows:
/// the dot bound; tier `exact`, whose scales are powers of two: equal while every partial sum is
/// an exact float.
fn output_bound(
    p: &Conv2dProblem,
    reference: &Conv2dReference,
    arithmetic: Arithmetic,
    want: &[f32],
) -> Bound {
    let depth = p.shape.depth().unwrap_or(0);
    let bound = |(index, _, o): (usize, usize, usize)| match &reference.sums {
        Sums::Integer { sum, .. } if arithmetic.integer => {
            match sum[index].unsigned_abs() < EXACT {
                true => 0.0,
                false => f64::from(crate::rule::ulp(want[index])),
            }
        }
        Sums::Integer { magnitude, .. } if p.exact && magnitude[index] < EXACT => 0.0,
        Sums::Integer { magnitude, .. } => {
            bound::dot(depth, f64::from(magnitude[index]) * f64::from(p.scale(o)).abs())
        }
        Sums::Float { magnitude, .. } if p.exact && magnitude[index] < f64::from(EXACT) => 0.0,
        Sums::Float { magnitude, .. } => bound::dot(depth, magnitude[index]),
    };
    let bounds: Vec<f64> = reference.elements().map(bound).collect();
    if bounds.iter().all(|b| *b == 0.0) { Bound::Exact } else { Bound::Componentwise(bounds) }
}

/// Freivalds' check over the whole output: at every pixel of every group the sums of all channels,
/// weighted at random, are one convolution with the weights so weighted. Integer sums are
/// recovered from the floats where that is exact, below 2^22; a larger one, rare, is computed and
/// its float judged here.
fn freivalds(p: &Conv2dProblem, output: [usize; 4], y: &[f32]) -> Option<String> {
    let Conv2dTensors::Int8 { x, w, .. } = &p.tensors else { return None };
    let [images, outputs, height, width] = output;
    let (pixels, depth) = (height * width, p.shape.depth().ok()?);
    if y.len() != images * outputs * pixels {
        return None;
    }
    let random = samples::weights(outputs, p.seed);
    let group = outputs / p.shape.groups;
    let mut folded = vec![0i64; p.shape.groups * depth];
    for (o, w) in w.chunks_exact(depth).enumerate() {
        for (folded, w) in folded[o / group * depth..].iter_mut().zip(w) {
            *folded = folded.wrapping_add(random[o].wrapping_mul(i64::from(*w)));
        }
    }
    (0..images * p.shape.groups * pixels).into_par_iter().find_map_any(|at| {
        let (pixel, rest) = (at % pixels, at / pixels);
        let (first, image) = (rest % p.shape.groups * group, rest / p.shape.groups);
        let position = |o: usize| (image * outputs + o) * pixels + pixel;
        let folded = &folded[first / group * depth..];
        let taps = taps(p, output, position(first)).1;
        let product = |(x_at, w_at): &(usize, usize)| {
            i64::from(x[*x_at]).wrapping_mul(folded[w_at - first * depth])
        };
        let want = taps.iter().map(product).fold(0, i64::wrapping_add);
        let mut got = 0i64;
        for (o, random) in (first..first + group).zip(&random[first..]) {
            let (value, scale) = (y[position(o)], p.scale(o));
            let mut sum = (f64::from(value) / f64::from(scale)).round();
            if sum.is_nan() || sum.abs() >= f64::from(1 << 22) {
                let at = |(x_at, w_at): &(usize, usize)| {
                    i32::from(x[*x_at]) * i32::from(w[w_at + (o - first) * depth])
                };
                let exact: i32 = taps.iter().map(at).sum();
                let answer = exact as f32 * scale;
                let off = f64::from(value) - f64::from(answer);
                if off.is_nan() || off.abs() > f64::from(crate::rule::ulp(answer)) {
                    return Some(format!("`y`[{}] is {value}, must be {answer}", position(o)));
                }
                sum = f64::from(exact);
            }
            got = got.wrapping_add(random.wrapping_mul(sum as i64));
        }
        (got != want).then(|| format!("checksum of pixel {pixel} of image {image} differs"))
    })
}

/// Share of zeros in the output: the mean over the pixels, each with the taps that lie in the
/// image; a window over padding alone gives zero.
pub(super) fn predicted_zeros(p: &Conv2dProblem) -> f64 {
    let (x, w) = match &p.tensors {
        Conv2dTensors::F32 => (zeros(&p.x_f32, 0.0), zeros(&p.w_f32, 0.0)),
        Conv2dTensors::Int8 { x, w, .. } => (zeros(x, 0), zeros(w, 0)),
    };
    let active = (1.0 - x) * (1.0 - w);
    let Ok([_, _, height, width]) = p.shape.output_shape() else { return 0.9 };
    let window = &p.shape.window;
    let taps = |axis: usize, at: usize| {
        let pixel = |tap: &usize| window.pixel(axis, at, *tap, p.shape.input[axis]).is_some();
        (0..window.kernel[axis]).filter(pixel).count()
    };
    let columns: Vec<usize> = (0..width).map(|j| taps(1, j)).collect();
    let channels = p.shape.channels / p.shape.groups;
    let pixel = |(rows, columns): (usize, &usize)| match rows * columns * channels {
        0 => 1.0,
        terms => zero_sums(active, terms),
    };
    let row = |i: usize| {
        let rows = taps(0, i);
        columns.iter().map(|columns| pixel((rows, columns))).sum::<f64>()
    };
    (0..height).map(row).sum::<f64>() / (height * width).max(1) as f64
}

/// Share of zeros.
fn zeros<T: PartialEq>(values: &[T], zero: T) -> f64 {
    values.iter().filter(|value| **value == zero).count() as f64 / values.len().max(1) as f64
}
