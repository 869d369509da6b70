//! Rows of `conv2d`.
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512vnni;
#[cfg(feature = "cube")]
mod cube;
mod depthwise;
#[cfg(test)]
mod extremes;
mod layout;
mod rows;
mod scalar;
use crate::Kernel;
use lowbit_reference::op::conv2d::Conv2d;

/// The table. Tests, benches and the harness read it; nothing else lists rows.
pub static KERNELS: &[&dyn Kernel<Conv2d>] = &[
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
