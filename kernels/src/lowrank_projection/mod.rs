//! Rows of `lowrank_projection`: a matrix for each head, one input for all heads or one each.
//!
//! ```text
//! y[b, h, t, l] = relu(sum_e x[b, h or 0, t, e] w[h, e, l] - threshold)
//! ```
//!
//! What they do, and why nothing overflows: `projection`. A row is an instruction set.
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512vnni;
mod scalar;
use crate::Kernel;
use lowbit_reference::op::projection::{LowrankProjection, ProjectionOp};

/// The table. Tests, benches and the harness read it; nothing else lists rows.
pub static KERNELS: &[&dyn Kernel<ProjectionOp<LowrankProjection>>] = &[
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
