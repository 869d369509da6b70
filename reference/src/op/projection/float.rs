//! Projections of floats: every sum in f64, rounded to f32 once.
//!
//! Gradients of `y = relu(sum x w - threshold)` for an output gradient `g`, where it passes:
//! `dx[i] = sum g w` and `dw[j] = sum g x` over the products that `x[i]` and `w[j]` are in, each
//! once (the source's fallback adds the native forward to the graph a second time and doubles
//! them: seed 002, line 3335). NaN and infinities go through as IEEE has it.
use super::{Contraction, activate, check_threshold, passes};
use crate::invalid::Invalid;
use rayon::prelude::*;

/// A complete projection of floats.
#[derive(Clone, Copy, Debug)]
pub struct Projection<'a, S> {
    /// The shape.
    pub shape: S,
    /// Row-major, [`Contraction::input_shape`].
    pub input: &'a [f32],
    /// Row-major, [`Contraction::weight_shape`].
    pub weight: &'a [f32],
    /// `relu(y - threshold)` instead of `y`.
    pub relu_threshold: Option<f32>,
}

/// Gradients of a scalar loss.
#[derive(Clone, Debug, PartialEq)]
pub struct Gradients {
    /// With respect to the input, in its shape.
    pub input: Vec<f32>,
    /// With respect to the weight, in its shape; zero for latents that are not used.
    pub weight: Vec<f32>,
}

impl<S: Contraction> Projection<'_, S> {
    fn check(&self) -> Result<(), Invalid> {
        self.shape.validate()?;
        Invalid::check_len("input", self.input.len(), &self.shape.input_shape())?;
        Invalid::check_len("weight", self.weight.len(), &self.shape.weight_shape())?;
        check_threshold(self.relu_threshold)
    }

    /// The output, [`Contraction::output_shape`].
    pub fn forward(&self) -> Result<Vec<f32>, Invalid> {
        self.check()?;
        let sums = sums(&self.shape, |i| f64::from(self.input[i]), |j| f64::from(self.weight[j]));
        Ok(sums.into_iter().map(|sum| activate(sum, self.relu_threshold) as f32).collect())
    }

    /// The gradients for a gradient of the output.
    pub fn gradients(&self, grad_output: &[f32]) -> Result<Gradients, Invalid> {
        self.check()?;
        Invalid::check_len("grad_output", grad_output.len(), &self.shape.output_shape())?;
        let (x, w) = (|i: usize| f64::from(self.input[i]), |j: usize| f64::from(self.weight[j]));
        let sums = sums(&self.shape, x, w);
        let passes = |o: usize| passes(sums[o], self.relu_threshold);
        Ok(scatter(&self.shape, (x, w), grad_output, passes))
    }
}

/// `sum x w` of every output, before the relu.
pub(super) fn sums<S: Contraction>(
    shape: &S,
    x: impl Fn(usize) -> f64 + Sync,
    w: impl Fn(usize) -> f64 + Sync,
) -> Vec<f64> {
    let outputs: usize = shape.output_shape().iter().product();
    let sum = |o| shape.terms(o).fold(0.0, |sum, (i, j)| sum + x(i) * w(j));
    (0..outputs).into_par_iter().map(sum).collect()
}

/// Both gradients, from the outputs whose gradient passes.
pub(super) fn scatter<S: Contraction>(
    shape: &S,
    (x, w): (impl Fn(usize) -> f64, impl Fn(usize) -> f64),
    grad_output: &[f32],
    passes: impl Fn(usize) -> bool,
) -> Gradients {
    let mut input = vec![0.0f64; shape.input_shape().iter().product()];
    let mut weight = vec![0.0f64; shape.weight_shape().iter().product()];
    for (o, g) in grad_output.iter().enumerate().filter(|(o, _)| passes(*o)) {
        for (i, j) in shape.terms(o) {
            input[i] += f64::from(*g) * w(j);
            weight[j] += f64::from(*g) * x(i);
        }
    }
    let rounded = |sums: Vec<f64>| sums.into_iter().map(|sum| sum as f32).collect();
    Gradients { input: rounded(input), weight: rounded(weight) }
}
