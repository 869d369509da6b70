//! A projection as its user has it: what it computes, and what it keeps.
use crate::{Coding, Matrix, Processor, Project, Shape};
use burn::tensor::backend::Backend;
use burn::tensor::{DType, Tensor, TensorPrimitive};
use lowbit_kernels::fake_tensors::fake_quantize;
use lowbit_reference::invalid::Invalid;
use lowbit_reference::op::linear::max_k;
use std::sync::Arc;

/// What a training step keeps of a projection between forward and backward, beside the packed codes
/// of the weight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Saved {
    /// The input itself, as Burn's graph keeps it; backward quantizes it again, and computes again
    /// which outputs passed a relu. Most memory, one quantization and one product more than `Cache`.
    Values,
    /// The packed codes of the input and, where there is a relu, one bit for each output.
    #[default]
    Cache,
    /// The packed codes of the input; which outputs passed the relu is computed from them again: the
    /// least memory, and one product more where there is a relu.
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
    pub(crate) fn passed(&self) -> Matrix {
        Matrix::of(&self.shape.output(), Coding::signs(), &self.processor)
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

    /// The projection of latent weights, f32:
    ///
    /// * lowrank: `x [B, H or 1, T, E]` by `w [H, E, L or more]` to `[B, H, T, L]`, an input of one
    ///   head for every head of the weight, the first `L` columns of each head used;
    /// * decoder: `x [B, H, T, L]` by `w [H P, D]` to `[B, 1, T, D]`, of the `P >= L` rows of each head
    ///   the first `L` used.
    ///
    /// What of the weight is not used has a gradient of 0, and so have saturated values of a side that is
    /// [`Coding::clipped`]. Every call quantizes both sides, each
    /// under one scale: values of one token move the scale of all, but for a lowrank input coded
    /// [`Coding::per_token`]. A NaN makes every output under its scale NaN on the processor; on a
    /// device it is what the device's `max` makes of it.
    ///
    /// # Errors
    ///
    /// Shapes that do not fit together, or with a dimension of 0; other floats than f32; codes of the
    /// input that are not int8; sums over more products than an i32 holds; a scale a row for a weight
    /// or for the input of a decoder, whose sums would mix them.
    ///
    /// # Panics
    ///
    /// As Burn's own operations: where the backend fails, a lost device or no memory.
    pub fn forward<B: Project, const D: usize>(
        &self,
        x: Tensor<B, 4>,
        w: Tensor<B, D>,
    ) -> Result<Tensor<B, 4>, Invalid> {
        for (field, dtype) in [("x.dtype", x.dtype()), ("w.dtype", w.dtype())] {
            if dtype != DType::F32 {
                return Err(Invalid::new(field, format!("{dtype:?}"), "F32"));
            }
        }
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
            let by = (coding.rule(), coding.format().levels());
            fake_quantize(by, by.0.granularity, coding.estimator(), values)
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

    /// Bytes of codes that are kept between forward and backward: those of the weight and, but for
    /// [`Saved::Values`], of the input; a bit for each value of a side that is [`Coding::clipped`] and
    /// learns, as both do here; for [`Saved::Cache`] those of the relu. Rows on whole bytes, as on the
    /// processor; on a device each is padded to whole words of four.
    ///
    /// # Errors
    ///
    /// Those of [`Projection::forward`].
    pub fn saved_bytes(&self, x: [usize; 4], w: &[usize]) -> Result<u64, Invalid> {
        let call = self.call(x, w)?;
        let weight = call.weight().kept_bytes();
        let passed = if self.relu_threshold.is_some() { call.passed().bytes() } else { 0 };
        Ok(match self.saved {
            Saved::Values => weight,
            Saved::Cache => weight + call.input().kept_bytes() + passed,
            Saved::CacheRecompute => weight + call.input().kept_bytes(),
        })
    }

    fn call(&self, x: [usize; 4], w: &[usize]) -> Result<Call, Invalid> {
        let shape = match self.kind {
            Kind::Lowrank { latent } => Shape::lowrank(x, w, latent)?,
            Kind::Decoder => Shape::decoder(x, w)?,
        };
        let [x_format, w_format] = [self.activation, self.weight].map(|coding| coding.format());
        if x_format.name() != "int8" {
            return Err(Invalid::new("activation.format", x_format.name(), "int8"));
        }
        let refused = |field, why| Err(Invalid::new(field, "row (per_token)", why));
        if self.weight.is_per_token() {
            return refused("weight.rule.granularity", "tensor, as rows of a weight are added up");
        }
        if matches!(self.kind, Kind::Decoder) && self.activation.is_per_token() {
            return refused("activation.rule.granularity", "tensor, as a decoder adds up heads");
        }
        let most = max_k(x_format.levels(), w_format.levels());
        if shape.depth() > most {
            let allowed = format!("at most {most}, where an i32 overflows");
            return Err(Invalid::new("depth", shape.depth(), allowed));
        }
        let codings = [self.activation, self.weight];
        let (relu_threshold, saved) = (self.relu_threshold, self.saved);
        let processor = Arc::clone(&self.processor);
        Ok(Call { shape, relu_threshold, saved, processor, codings })
    }
}
