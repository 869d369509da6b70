//! Rows of `rho_encode`.
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512vnni;
#[cfg(feature = "cube")]
mod cube;
pub(crate) mod rows;
mod scalar;
use crate::Kernel;
use lowbit_reference::op::rho::encode::RhoEncode;

/// The table. Tests, benches and the harness read it; nothing else lists rows.
pub static KERNELS: &[&dyn Kernel<RhoEncode>] = &[
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
