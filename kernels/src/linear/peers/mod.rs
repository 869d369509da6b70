//! What people use instead: matrix products of crates.io, beside our own rows.
//!
//! A peer is given everything it can have ahead of the clock, its own packing of the weights
//! above all, and is called as its documentation says. What its users must do in every call
//! (turn int8 activations into the bytes it takes, scale its integer sums) is timed with it.
#[cfg(feature = "gpu-peers")]
mod burn_device;
mod candle;
mod gemm;
mod rten;
#[cfg(all(feature = "gpu-peers", feature = "cuda"))]
pub(super) use burn_device::{CUDA_HALF, CUDA_QUANTIZED};
#[cfg(all(feature = "gpu-peers", feature = "wgpu"))]
pub(super) use burn_device::{WGPU_HALF, WGPU_QUANTIZED};
pub(super) use candle::Candle;
pub(super) use gemm::Gemm;
pub(super) use rten::{RTEN, RTEN_AB};
