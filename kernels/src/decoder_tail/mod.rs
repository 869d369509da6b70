//! Rows of `decoder_tail`: one matrix, summed over the heads of the input.
//!
//! ```text
//! y[b, 0, t, d] = relu(sum_(h, l) x[b, h, t, l] w[h packed + l, d] - threshold)
//! ```
//!
//! What they do, and why nothing overflows: `projection`. A row is an instruction set.
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512vnni;
mod scalar;
use crate::Kernel;
use lowbit_reference::op::projection::{DecoderTail, ProjectionOp};

/// The table. Tests, benches and the harness read it; nothing else lists rows.
pub static KERNELS: &[&dyn Kernel<ProjectionOp<DecoderTail>>] = &[
    &scalar::Scalar,
    #[cfg(target_arch = "x86_64")]
    &avx2::Avx2,
    #[cfg(target_arch = "x86_64")]
    &avx512vnni::Avx512Vnni,
    #[cfg(feature = "wgpu")]
    &crate::cube::WGPU,
    #[cfg(feature = "cuda")]
    &crate::cube::CUDA,
];
