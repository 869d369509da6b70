//! Which products are summed: from the shapes of two tensors.
use crate::{Coding, Processor};
use lowbit_reference::estimator::Estimator;
use lowbit_reference::invalid::Invalid;
use lowbit_reference::op::projection::{Contraction, DecoderTail, LowrankProjection};
use std::sync::Arc;

/// A matrix of values to quantize, or of their codes.
#[derive(Clone, Debug)]
pub struct Matrix {
    /// Rows, each of which is packed by itself.
    pub rows: usize,
    /// Values of a row.
    pub row_len: usize,
    /// How it is quantized.
    pub coding: Coding,
    /// What quantizes where tensors are on the processor.
    pub processor: Arc<Processor>,
}

impl Matrix {
    /// Scales: one, or one for each row.
    pub fn scales(&self) -> usize {
        if self.coding.is_per_token() { self.rows } else { 1 }
    }

    /// Values that share a scale.
    pub fn group_len(&self) -> usize {
        self.rows * self.row_len / self.scales()
    }

    /// Bytes of what is kept of it: codes, each row on whole bytes, and their scales; where gradients
    /// stop beyond the clip edges also one bit a value.
    pub(crate) fn kept_bytes(&self) -> u64 {
        let clipped = self.coding.estimator() == Estimator::Clipped;
        self.bytes() + if clipped { self.bits().bytes() } else { 0 }
    }

    /// Bytes of its codes, each row on whole bytes, and of their scales.
    pub(crate) fn bytes(&self) -> u64 {
        let codes = self.rows * self.coding.format().row_bytes(self.row_len);
        (codes + self.scales() * size_of::<f32>()) as u64
    }

    /// A bit for each of its values.
    pub(crate) fn bits(&self) -> Matrix {
        Matrix { coding: Coding::signs(), processor: Arc::clone(&self.processor), ..*self }
    }

    /// Rows along the last dimension.
    pub(crate) fn of(dims: &[usize], coding: Coding, processor: &Arc<Processor>) -> Matrix {
        let (row_len, rows) = dims.split_last().map_or((1, &[][..]), |(last, rest)| (*last, rest));
        Matrix { rows: rows.iter().product(), row_len, coding, processor: Arc::clone(processor) }
    }
}

/// A projection of tensors of given shapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `[B, H or 1, T, E] x [H, E, L] -> [B, H, T, L]`.
    Lowrank(LowrankProjection),
    /// `[B, H, T, L] x [H L, D] -> [B, 1, T, D]`.
    Decoder(DecoderTail),
}

impl Shape {
    /// A projection of every head, of which the first `latent` columns are used.
    pub(crate) fn lowrank(x: [usize; 4], w: &[usize], latent: usize) -> Result<Shape, Invalid> {
        let [batch, input_heads, time, embd] = x;
        let &[heads, depth, packed_latent] = w else {
            return Err(Invalid::new("weight", format!("{w:?}"), "[heads, embd, latent]"));
        };
        if depth != embd {
            return Err(Invalid::new("weight", format!("{w:?}"), format!("embd {embd}")));
        }
        let shape =
            LowrankProjection { batch, input_heads, heads, time, embd, packed_latent, latent };
        shape.validate()?;
        Ok(Shape::Lowrank(shape))
    }

    /// The sum over heads.
    pub(crate) fn decoder(x: [usize; 4], w: &[usize]) -> Result<Shape, Invalid> {
        let [batch, heads, time, latent] = x;
        let &[latent_total, dim] = w else {
            return Err(Invalid::new("weight", format!("{w:?}"), "[heads * latent, dim]"));
        };
        let shape = DecoderTail { batch, heads, time, latent, latent_total, dim };
        shape.validate()?;
        Ok(Shape::Decoder(shape))
    }

    /// Products of an output.
    pub(crate) fn depth(&self) -> usize {
        match self {
            Shape::Lowrank(shape) => shape.depth(),
            Shape::Decoder(shape) => shape.depth(),
        }
    }

    /// `[B, H or 1, T, inner]`.
    pub fn input(&self) -> [usize; 4] {
        match self {
            Shape::Lowrank(shape) => shape.input_shape(),
            Shape::Decoder(shape) => shape.input_shape(),
        }
    }

    /// The packed weight.
    pub fn weight(&self) -> Vec<usize> {
        match self {
            Shape::Lowrank(shape) => shape.weight_shape(),
            Shape::Decoder(shape) => shape.weight_shape(),
        }
    }

    /// `[B, H or 1, T, outer]`.
    pub fn output(&self) -> [usize; 4] {
        match self {
            Shape::Lowrank(shape) => shape.output_shape(),
            Shape::Decoder(shape) => shape.output_shape(),
        }
    }
}
