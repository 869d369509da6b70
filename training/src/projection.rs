//! A projection as its user has it: what it computes, and what it keeps.
use crate::{Coding, Matrix, Processor, Project, Shape};
use burn::tensor::backend::Backend;
use burn::tensor::{Tensor, TensorPrimitive};
use lowbit_kernels::fake_tensors::fake_quantize;
use lowbit_reference::invalid::Invalid;
use lowbit_reference::rule::Granularity;
use std::sync::Arc;

/// What a training step keeps of a projection between forward and backward.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Saved {
    /// The input itself, as Burn's graph keeps it; backward quantizes it again.
    Values,
    /// The packed codes of the input and, where there is a relu, one bit for each output.
    #[default]
    Cache,
    /// The packed codes of the input; which outputs passed the relu is computed from them again.
    CacheRecompute,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Lowrank { latent: usize },
    Decoder,
}

/// A projection of low-bit codes that learns. The latent weights are the caller's.
#[derive(Clone, Debug)]
pub struct Projection {
    kind: Kind,
    weight: Coding,
    activation: Coding,
    relu_threshold: Option<f32>,
    saved: Saved,
    processor: Arc<Processor>,
}

/// A projection of tensors of given shapes: what a backend gets.
#[derive(Clone, Debug)]
pub struct Call {
    /// Which products are summed.
    pub shape: Shape,
    /// `relu(y - threshold)`.
    pub relu_threshold: Option<f32>,
    /// What is kept for the backward pass.
    pub saved: Saved,
    /// What computes where tensors are on the processor.
    pub processor: Arc<Processor>,
    codings: [Coding; 2],
}

impl Call {
    /// The input as it is quantized.
    pub fn input(&self) -> Matrix {
        Matrix::of(&self.shape.input(), self.codings[0], &self.processor)
    }

    /// The weight as it is quantized.
    pub fn weight(&self) -> Matrix {
        Matrix::of(&self.shape.weight(), self.codings[1], &self.processor)
    }

    /// Which outputs passed the relu, as signs.
    pub(crate) fn passed(&self) -> Result<Matrix, Invalid> {
        Ok(Matrix::of(
            &self.shape.output(),
            Coding::weight("sign1", "burn_dragon")?,
            &self.processor,
        ))
    }
}

impl Projection {
    /// Every head by itself, of whose columns the first `latent` are used. Codings of weight and
    /// activation.
    pub fn lowrank(
        latent: usize,
        codings: [Coding; 2],
        processor: impl Into<Arc<Processor>>,
    ) -> Projection {
        Projection::of(Kind::Lowrank { latent }, codings, processor.into())
    }

    /// The sum over heads.
    pub fn decoder(codings: [Coding; 2], processor: impl Into<Arc<Processor>>) -> Projection {
        Projection::of(Kind::Decoder, codings, processor.into())
    }

    fn of(kind: Kind, [weight, activation]: [Coding; 2], processor: Arc<Processor>) -> Projection {
        let (relu_threshold, saved) = (None, Saved::default());
        Projection { kind, weight, activation, relu_threshold, saved, processor }
    }

    /// The same with `relu(y - threshold)`, whose gradient passes where that is above zero.
    ///
    /// # Errors
    ///
    /// A threshold that is not finite.
    pub fn with_relu(self, threshold: f32) -> Result<Projection, Invalid> {
        match threshold.is_finite() {
            true => Ok(Projection { relu_threshold: Some(threshold), ..self }),
            false => Err(Invalid::new("relu_threshold", threshold, "finite")),
        }
    }

    /// The same with something else kept between forward and backward. Gradients have the same bits.
    pub fn with_saved(self, saved: Saved) -> Projection {
        Projection { saved, ..self }
    }

    /// The projection of latent weights: `x [B, H or 1, T, E]` by `w [H, E, L]`, or
    /// `x [B, H, T, L]` by `w [H L, D]`, both f32.
    ///
    /// # Errors
    ///
    /// Shapes that do not fit together, or with a dimension of 0.
    pub fn forward<B: Project, const D: usize>(
        &self,
        x: Tensor<B, 4>,
        w: Tensor<B, D>,
    ) -> Result<Tensor<B, 4>, Invalid> {
        let call = self.call(x.dims(), &w.dims())?;
        let [x, w] = [x.into_primitive().tensor(), w.into_primitive().tensor()];
        Ok(Tensor::from_primitive(TensorPrimitive::Float(B::project(&call, x, w))))
    }

    /// The same of fake-quantized floats by Burn's own operations, straight through: what the
    /// projection is compared with. It keeps every intermediate.
    ///
    /// # Errors
    ///
    /// Those of [`Projection::forward`].
    pub fn fake<B: Backend, const D: usize>(
        &self,
        x: Tensor<B, 4>,
        w: Tensor<B, D>,
    ) -> Result<Tensor<B, 4>, Invalid> {
        let call = self.call(x.dims(), &w.dims())?;
        let (Matrix { rows, row_len, .. }, weight) = (call.input(), call.weight());
        let of = |coding: Coding, values: Tensor<B, 2>| {
            fake_quantize(&coding.rule, coding.format.levels(), Granularity::Tensor, values)
        };
        let x = of(self.activation, x.reshape([rows, row_len]));
        let w = of(self.weight, w.reshape([weight.rows, weight.row_len]));
        let y = match call.shape {
            Shape::Lowrank(s) => {
                let x = x.reshape([s.batch, s.input_heads, s.time, s.embd]);
                let w = w.reshape([1, s.heads, s.embd, s.packed_latent]);
                x.matmul(w.narrow(3, 0, s.latent))
            }
            Shape::Decoder(s) => {
                let x = x.reshape([s.batch, s.heads, s.time, s.latent]);
                let w = w.reshape([1, s.heads, s.latent_total / s.heads, s.dim]);
                x.matmul(w.narrow(2, 0, s.latent)).sum_dim(1)
            }
        };
        Ok(match self.relu_threshold {
            Some(threshold) => burn::tensor::activation::relu(y - threshold),
            None => y,
        })
    }

    /// Bytes that are kept of an input of this shape between forward and backward, the weight's
    /// codes included; 0 for the values themselves, which are the caller's.
    ///
    /// # Errors
    ///
    /// Those of [`Projection::forward`].
    pub fn saved_bytes(&self, x: [usize; 4], w: &[usize]) -> Result<u64, Invalid> {
        let call = self.call(x, w)?;
        let weight = self.weight.stored_bytes(w)?;
        let passed = match (self.saved, self.relu_threshold) {
            (Saved::Cache, Some(_)) => call.passed()?.coding.stored_bytes(&call.shape.output())?,
            _ => 0,
        };
        match self.saved {
            Saved::Values => Ok(weight),
            Saved::Cache | Saved::CacheRecompute => {
                Ok(self.activation.stored_bytes(&x)? + weight + passed)
            }
        }
    }

    fn call(&self, x: [usize; 4], w: &[usize]) -> Result<Call, Invalid> {
        let shape = match self.kind {
            Kind::Lowrank { latent } => Shape::lowrank(x, w, latent)?,
            Kind::Decoder => Shape::decoder(x, w)?,
        };
        let codings = [self.activation, self.weight];
        let (relu_threshold, saved) = (self.relu_threshold, self.saved);
        let processor = Arc::clone(&self.processor);
        Ok(Call { shape, relu_threshold, saved, processor, codings })
    }
}
