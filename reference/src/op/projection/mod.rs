//! The two projections of the stack: `lowrank_projection` and `decoder_tail`.
//!
//! Both are contractions: an output is a sum of products of one input and one weight. A shape
//! says *which* products ([`Contraction::terms`]); everything else is written once over them: the
//! float sum, the integer sum, and both gradients, which scatter along the same products, so that
//! a broadcast head sums over its uses and a latent that is not used gets zero.
//!
//! ```text
//! lowrank_projection  y[b, h, t, l] = sum_e   x[b, h or 0, t, e] w[h, e, l]
//! decoder_tail        y[b, 0, t, d] = sum_h,l x[b, h, t, l] w[h * packed + l, d]
//! ```
//!
//! Fewer latents may be used than are packed; the rest of the weight is skipped. After either may
//! come `y = relu(y - threshold)`, as in the source's training path; its gradient passes where
//! `y - threshold > 0`. Source: seed 002, lines 1481-1691 and 3146-3490.
mod decoder_tail;
mod exported;
mod float;
mod integer;
mod lowrank;
mod operation;
mod oracle;
mod problem;
use super::shape;
use crate::invalid::Invalid;
pub use decoder_tail::DecoderTail;
pub use float::{Gradients, Projection};
pub use integer::{Accumulator, Coded, IntegerProjection};
pub use lowrank::LowrankProjection;
pub use operation::{DECODER, LOWRANK, Named, ProjectionOp};
pub use oracle::ProjectionReference;
pub use problem::{Input, ProjectionProblem, Weight};

/// Which products are summed into which output. Positions are row-major.
pub trait Contraction: Sync {
    /// Every dimension is at least 1 and they fit together.
    fn validate(&self) -> Result<(), Invalid>;
    /// `[B, H or 1, T, inner]`.
    fn input_shape(&self) -> [usize; 4];
    /// The packed weight, unused latents included.
    fn weight_shape(&self) -> Vec<usize>;
    /// `[B, H or 1, T, outer]`.
    fn output_shape(&self) -> [usize; 4];
    /// Products of one output.
    fn depth(&self) -> usize;
    /// Positions of the factors of an output's products: in the input, in the weight.
    fn terms(&self, output: usize) -> impl Iterator<Item = (usize, usize)>;
    /// Tokens: groups of inputs that may have a scale of their own, because no output mixes them.
    fn tokens(&self) -> usize;
    /// The token of an input.
    fn token(&self, input: usize) -> usize;
    /// Output channels: groups of weights that may have a scale of their own.
    fn channels(&self) -> usize;
    /// The channel of a weight.
    fn channel(&self, weight: usize) -> usize;
}

/// Whether the dimensions of the tensor `field` are at least 1 and it is not too large.
fn check_dims(field: &str, dims: &[(&str, usize)]) -> Result<(), Invalid> {
    for (name, dim) in dims {
        Invalid::check_range(name, *dim, (1, usize::MAX))?;
    }
    let dims: Vec<usize> = dims.iter().map(|(_, dim)| *dim).collect();
    shape::values(field, &dims).map(drop)
}

/// `relu(value - threshold)`; a NaN stays one. Without a threshold the value itself.
fn activate(value: f64, threshold: Option<f32>) -> f64 {
    match threshold.map(|threshold| value - f64::from(threshold)) {
        None => value,
        Some(above) if above <= 0.0 => 0.0,
        Some(above) => above,
    }
}

/// Whether the gradient of [`activate`] passes: strictly above the threshold, so not for a NaN.
fn passes(value: f64, threshold: Option<f32>) -> bool {
    threshold.is_none_or(|threshold| value - f64::from(threshold) > 0.0)
}

fn check_threshold(threshold: Option<f32>) -> Result<(), Invalid> {
    match threshold {
        Some(t) if !t.is_finite() => Err(Invalid::new("relu_threshold", t, "finite")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
