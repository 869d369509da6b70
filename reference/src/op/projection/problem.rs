//! The data of a projection: an input, a packed weight and, for the gradients, a third tensor.
use super::Contraction;
use crate::format::WeightFormat;
use crate::op::part::{Part, Role};
use crate::rule::Code;

/// The input of a projection.
#[derive(Debug)]
pub struct Input {
    /// What it was quantized from, or the input itself; row-major.
    pub values: Vec<f32>,
    /// int8 codes, empty for floats.
    pub codes: Vec<i8>,
    /// One scale, or one a row; empty for floats.
    pub scales: Vec<f32>,
}

/// The packed weight of a projection.
#[derive(Debug)]
pub struct Weight {
    /// How a row is packed.
    pub format: &'static dyn WeightFormat,
    /// Rows of the last dimension, each starting on a byte.
    pub bytes: Vec<u8>,
    /// Codes of a row.
    pub row_len: usize,
    /// Bytes of a row.
    pub row_bytes: usize,
    /// The one scale.
    pub scale: f32,
    /// The codes, for the oracle.
    pub(super) codes: Vec<Code>,
}

impl Weight {
    /// Packed rows of `row_len` codes in `row_bytes` bytes, for a row to read. The oracle, which
    /// reads codes, has none of them.
    pub fn packed(
        format: &'static dyn WeightFormat,
        bytes: Vec<u8>,
        (row_len, row_bytes): (usize, usize),
        scale: f32,
    ) -> Weight {
        Weight { format, bytes, row_len, row_bytes, scale, codes: Vec::new() }
    }
}

/// Everything one projection needs.
#[derive(Debug)]
pub struct ProjectionProblem<S> {
    /// The shape.
    pub shape: S,
    /// Input, [`Contraction::input_shape`].
    pub input: Input,
    /// Weight, [`Contraction::weight_shape`].
    pub weight: Weight,
    /// `relu(y - threshold)`.
    pub relu_threshold: Option<f32>,
    /// Gradient of the output for pass `backward`, [`Contraction::output_shape`]; else empty.
    pub grad_output: Vec<f32>,
    /// Whether the data are of tier `exact`.
    pub exact: bool,
}

impl<S: Contraction> ProjectionProblem<S> {
    /// What a row reads.
    pub(super) fn parts(&mut self) -> Vec<Part<'_>> {
        let row_len = self.shape.input_shape()[3];
        let outputs = self.shape.output_shape().last().copied().unwrap_or(1);
        let Weight { bytes, row_len: weight_row_len, row_bytes, scale, codes, .. } =
            &mut self.weight;
        vec![
            Part::values("input", &mut self.input.values, row_len),
            Part::rows(("input_codes", Role::Codes), &mut self.input.codes[..], row_len),
            Part::scales("input_scales", &mut self.input.scales[..]),
            Part::packed("weight", bytes, *row_bytes),
            Part::rows(("weight_codes", Role::Codes), &mut codes[..], *weight_row_len),
            Part::scales("weight_scale", vec![scale]),
            Part::values("grad_output", &mut self.grad_output, outputs),
        ]
    }

    /// Whether the gradients are asked for.
    pub fn backward(&self) -> bool {
        !self.grad_output.is_empty()
    }
    /// Scale of an input; 1 for floats.
    pub fn input_scale(&self, input: usize) -> f32 {
        match self.input.scales[..] {
            [] => 1.0,
            [scale] => scale,
            _ => self.input.scales[self.shape.token(input)],
        }
    }
}
