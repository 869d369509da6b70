//! What people use instead: matrix products of crates.io, beside our own rows.
//!
//! A peer is given everything it can have ahead of the clock, its own packing of the weights
//! above all, and is called as its documentation says. What its users must do in every call
//! (turn int8 activations into the bytes it takes, scale its integer sums) is timed with it.
mod candle;
mod gemm;
mod rten;
pub(super) use candle::Candle;
pub(super) use gemm::Gemm;
pub(super) use rten::{RTEN, RTEN_AB};
