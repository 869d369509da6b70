//! The oracle of the projections: sums in f64 (exact for codes), their magnitudes, and both
//! gradients with theirs.
//!
//! A gradient passes where the output is above the relu's threshold. A float row may see an output
//! that lies within its bound of the threshold on the other side: what such an output would add
//! to a gradient widens the gradient's bound, and nothing else does.
use super::float::{scatter, sums};
use super::problem::ProjectionProblem;
use super::{Contraction, Gradients, activate};
use crate::bound;
use crate::op::{Arithmetic, Bound, Expectation, Expected, Tensor};
use crate::rule::ulp;

/// Sums of magnitudes below this many units are exact in f32, in any order.
const EXACT: f64 = (1u32 << 24) as f64;

/// What every row is compared with.
#[derive(Debug)]
pub struct ProjectionReference {
    /// Outputs before the relu; for codes with the two roundings of the epilogue.
    values: Vec<f64>,
    /// `sum |x w|` of each output, scales included.
    magnitudes: Vec<f64>,
    /// `sum |x w|` over codes; the sum of an integer row is exact below 2^24.
    units: Vec<f64>,
    answers: Vec<f32>,
    gradients: Option<Gradients>,
}

impl ProjectionReference {
    pub(super) fn new<S: Contraction>(p: &ProjectionProblem<S>) -> ProjectionReference {
        let (shape, codes) = (&p.shape, &p.weight.codes);
        let scale = f64::from(p.weight.scale);
        let x = |i: usize| match p.input.codes.is_empty() {
            true => f64::from(p.input.values[i]),
            false => f64::from(p.input.codes[i]),
        };
        let w = |j: usize| f64::from(codes[j]);
        let sum = sums(shape, x, w);
        let units = sums(shape, |i| x(i).abs(), |j| w(j).abs());
        let first = |o: usize| shape.terms(o).next().map_or(0, |(i, _)| i);
        let epilogue = |(o, sum): (usize, &f64)| match p.input.codes.is_empty() {
            true => sum * scale,
            // The sum of codes is a whole number; it rounds, the scales' product rounds, and so
            // does their product.
            false => f64::from(*sum as f32 * (p.input_scale(first(o)) * p.weight.scale)),
        };
        let values: Vec<f64> = sum.iter().enumerate().map(epilogue).collect();
        let magnitude =
            |(o, units): (usize, &f64)| units * f64::from(p.input_scale(first(o))) * scale.abs();
        let magnitudes = units.iter().enumerate().map(magnitude).collect();
        let answers = values.iter().map(|y| activate(*y, p.relu_threshold) as f32).collect();
        let mut out = ProjectionReference { values, magnitudes, units, answers, gradients: None };
        if p.backward() {
            let (x, w) = operands(p);
            let passes = |o: usize| super::passes(out.values[o], p.relu_threshold);
            out.gradients = Some(scatter(shape, (x, w), &p.grad_output, passes));
        }
        out
    }

    /// Distance an output before the relu may have: none where an integer row's sum is exact in a
    /// float, one ulp above; the dot bound for float rows, none in tier `exact` while every sum is
    /// exact.
    fn bound<S: Contraction>(
        &self,
        p: &ProjectionProblem<S>,
        arithmetic: Arithmetic,
        o: usize,
    ) -> f64 {
        let integer = arithmetic.integer && !p.input.codes.is_empty();
        match (integer, self.units[o] < EXACT) {
            (true, true) => 0.0,
            (true, false) => f64::from(ulp(self.values[o] as f32)),
            (false, true) if p.exact && powers_of_two(p) => 0.0,
            _ => bound::dot(p.shape.depth(), self.magnitudes[o]),
        }
    }

    pub(super) fn expect<S: Contraction>(
        &self,
        p: &ProjectionProblem<S>,
        arithmetic: Arithmetic,
    ) -> Expectation {
        let outputs = match &self.gradients {
            Some(gradients) => self.expect_gradients(p, arithmetic, gradients),
            None => {
                // Taking the threshold off rounds once more.
                let last = |o: usize| match (p.relu_threshold, self.bound(p, arithmetic, o)) {
                    (_, 0.0) => 0.0,
                    (None, bound) => bound,
                    (Some(_), bound) => bound + f64::from(ulp(self.answers[o])),
                };
                let bounds = (0..self.answers.len()).map(last).collect();
                vec![expected("y", self.answers.clone(), bounds)]
            }
        };
        Expectation { outputs, faults: Vec::new() }
    }

    fn expect_gradients<S: Contraction>(
        &self,
        p: &ProjectionProblem<S>,
        arithmetic: Arithmetic,
        gradients: &Gradients,
    ) -> Vec<Expected> {
        let (x, w) = operands(p);
        let (x, w) = (|i: usize| x(i).abs(), |j: usize| w(j).abs());
        let magnitude: Vec<f32> = p.grad_output.iter().map(|g| g.abs()).collect();
        let sums = scatter(&p.shape, (x, w), &magnitude, |_| true);
        // Every input is in as many products as another; a weight in one of each token.
        let [batch, _, time, _] = p.shape.output_shape();
        let per_input = magnitude.len() * p.shape.depth() / sums.input.len().max(1);
        let near = |o: usize| {
            p.relu_threshold.is_some_and(|threshold| {
                let distance = (self.values[o] - f64::from(threshold)).abs();
                distance <= self.bound(p, arithmetic, o) && self.bound(p, arithmetic, o) > 0.0
            })
        };
        let ties = scatter(&p.shape, (x, w), &magnitude, near);
        let scales = p.input.scales.iter().chain([&p.weight.scale]);
        let unit = f64::from(scales.fold(1.0f32, |least, scale| least.min(scale.abs())));
        let exact = p.exact && powers_of_two(p);
        let bounds = |sums: &[f32], count: usize, ties: &[f32]| -> Vec<f64> {
            let bound = |(sum, tie): (&f32, &f32)| {
                let (sum, tie) = (f64::from(*sum), f64::from(*tie));
                match exact && sum < EXACT * unit {
                    true => tie,
                    // Rounding the sums of magnitudes to floats is within the spare roundings.
                    false => bound::dot(count, sum) + tie,
                }
            };
            sums.iter().zip(ties).map(bound).collect()
        };
        let input = bounds(&sums.input, per_input, &ties.input);
        let weight = bounds(&sums.weight, batch * time, &ties.weight);
        vec![
            expected("grad_input", gradients.input.clone(), input),
            expected("grad_weight", gradients.weight.clone(), weight),
        ]
    }
}

fn expected(name: &'static str, want: Vec<f32>, bounds: Vec<f64>) -> Expected {
    let bound = match bounds.iter().all(|bound| *bound == 0.0) {
        true => Bound::Exact,
        false => Bound::Componentwise(bounds),
    };
    Expected::all(name, Tensor::F32(want), bound)
}

/// The operands that gradients see: codes times scales.
fn operands<S: Contraction>(
    p: &ProjectionProblem<S>,
) -> (impl Fn(usize) -> f64 + Copy, impl Fn(usize) -> f64 + Copy) {
    let x = |i: usize| match p.input.codes.is_empty() {
        true => f64::from(p.input.values[i]),
        false => f64::from(p.input.codes[i]) * f64::from(p.input_scale(i)),
    };
    let w = |j: usize| f64::from(p.weight.codes[j]) * f64::from(p.weight.scale);
    (x, w)
}

/// Whether products with every scale are exact.
fn powers_of_two<S: Contraction>(p: &ProjectionProblem<S>) -> bool {
    let mut scales = p.input.scales.iter().chain([&p.weight.scale]);
    scales.all(|scale| scale.is_normal() && scale.to_bits().trailing_zeros() >= 23)
}
