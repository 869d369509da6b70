//! Rows of `attention`.
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512vnni;
#[cfg(feature = "cube")]
mod cube;
mod rows;
pub(crate) mod scalar;
mod score;
pub(crate) mod simd;
#[cfg(test)]
mod tests;
mod tile;
use crate::Kernel;
use lowbit_reference::op::attention::Attention;

/// The table. Tests, benches and the harness read it; nothing else lists rows.
pub static KERNELS: &[&dyn Kernel<Attention>] = &[
    &scalar::ROW,
    #[cfg(target_arch = "x86_64")]
    &avx2::ROW,
    #[cfg(target_arch = "x86_64")]
    &avx512vnni::ROW,
    #[cfg(feature = "wgpu")]
    &crate::cube::WGPU,
    #[cfg(feature = "cuda")]
    &crate::cube::CUDA,
];
