//! Both projections of low-bit codes as operations that Burn differentiates.
//!
//! ```text
//! forward    y = relu(dequantize(q(x)) dequantize(q(w)) - threshold)      from packed codes
//! backward   g' = g where y > 0                                           where there is a relu
//!            dx = g' (s_w w_codes)^T,  dw = (s_x x_codes)^T g'            straight through q
//!            dx = 0 where x was saturated, dw where w was                 each if it is clipped
//! ```
//!
//! What is kept between the two is the packed codes, not the floats they came from ([`Saved`]). A
//! backend is one file that implements [`LowBit`]: `ndarray` (the native rows of the suite), `cube`
//! (CubeCL on wgpu or CUDA, nothing crosses to the host), `fused` (Burn's fusion around that).
//!
//! A weight has one scale; an input one or, of `lowrank`, one for each token of each head
//! ([`Coding::per_token`]). Gradients pass everywhere or, of a side that is [`Coding::clipped`], where
//! nothing was saturated.
//!
//! Not there: scales for columns or groups, a bias, and codes that are kept from call to call. On the
//! processor every call binds a row as the suite does before it times one, so times of the suite say
//! nothing of a training step.
//!
//! ```
//! use burn::tensor::Tensor;
//! use lowbit_training::{Coding, Processor, Projection};
//!
//! type Backend = burn::backend::Autodiff<burn_ndarray::NdArray>;
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let codings = [Coding::weight("ternary2", "b158")?, Coding::activation("int8", "burn_dragon")?];
//! let layer = Projection::lowrank(8, codings, Processor::new(1)?).with_relu(0.0)?;
//! let device = Default::default();
//! // [B, H or 1, T, E] and [H, E, L].
//! let x = Tensor::<Backend, 4>::random([2, 1, 3, 16], burn::tensor::Distribution::Default, &device);
//! let w = Tensor::<Backend, 3>::random([4, 16, 8], burn::tensor::Distribution::Default, &device);
//! let w = w.require_grad();
//! let y = layer.forward(x, w.clone())?;
//! assert_eq!(y.dims(), [2, 4, 3, 8]);
//! let gradients = y.sum().backward();
//! assert_eq!(w.grad(&gradients).map(|gradient| gradient.dims()), Some([4, 16, 8]));
//! # Ok(())
//! # }
//! ```
mod autodiff;
mod coding;
#[cfg(feature = "cube")]
mod cube;
#[cfg(feature = "fusion")]
mod fused;
mod ndarray;
mod projection;
mod shape;
use burn::tensor::DType;
use burn::tensor::backend::Backend;
use burn::tensor::ops::{FloatTensor, IntTensor};
pub use coding::Coding;
pub use lowbit_reference::invalid::Invalid;
pub use ndarray::Processor;
pub use projection::{Call, Projection, Saved};
pub use shape::{Matrix, Shape};

/// Packed codes of a tensor and their scales, where the backend has its tensors.
#[derive(Debug)]
pub struct Codes<B: Backend> {
    /// Rows of codes, each on whole bytes or words.
    pub words: IntTensor<B>,
    /// One, or one for each row.
    pub scales: FloatTensor<B>,
}

impl<B: Backend> Clone for Codes<B> {
    fn clone(&self) -> Codes<B> {
        Codes { words: self.words.clone(), scales: self.scales.clone() }
    }
}

/// What a backend supplies: tensors of f32, row-major whatever their strides. Shapes and rules were
/// checked before; what fails nevertheless (a lost device) panics, as Burn's own operations do.
pub trait LowBit: Backend {
    /// What packed codes are tensors of.
    const PACKED: DType;
    /// Rows of packed codes, and how many of those a row has.
    fn packed_shape(at: &Matrix) -> [usize; 2];
    /// Codes of a matrix.
    fn encode(x: FloatTensor<Self>, at: &Matrix) -> Codes<Self>;
    /// The values that codes stand for, `[rows, row_len]`.
    fn decode(codes: Codes<Self>, at: &Matrix) -> FloatTensor<Self>;
    /// `y`, or `relu(y - threshold)`, in the shape of the output.
    fn multiply(call: &Call, x: Codes<Self>, w: Codes<Self>) -> FloatTensor<Self>;
    /// The gradients of input and weight, those that are wanted, for that of `y` before any relu.
    fn gradients(
        call: &Call,
        codes: [Codes<Self>; 2],
        g: FloatTensor<Self>,
        wanted: [bool; 2],
    ) -> [Option<FloatTensor<Self>>; 2];
}

/// A backend with the operation itself: those of [`LowBit`], and Burn's automatic differentiation of
/// each.
pub trait Project: Backend {
    /// A projection of the codes of `x` and `w`.
    fn project(call: &Call, x: FloatTensor<Self>, w: FloatTensor<Self>) -> FloatTensor<Self>;
}

/// The codes of both sides.
pub(crate) fn codes<B: LowBit>(call: &Call, x: FloatTensor<B>, w: FloatTensor<B>) -> [Codes<B>; 2] {
    [B::encode(x, &call.input()), B::encode(w, &call.weight())]
}

/// A projection that nobody differentiates.
pub(crate) fn plain<B: LowBit>(
    call: &Call,
    x: FloatTensor<B>,
    w: FloatTensor<B>,
) -> FloatTensor<B> {
    let [x, w] = codes::<B>(call, x, w);
    B::multiply(call, x, w)
}
