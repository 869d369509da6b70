//! Rows of `quantize_activation`.
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512vnni;
#[cfg(feature = "burn")]
mod burn;
#[cfg(feature = "cube")]
mod cube;
mod scalar;
#[cfg(feature = "burn")]
mod ste;
use crate::Kernel;
use lowbit_reference::op::quantize::activation::QuantizeActivation;

/// The table. Tests, benches and the harness read it; nothing else lists rows.
pub static KERNELS: &[&dyn Kernel<QuantizeActivation>] = &[
    &scalar::ROW,
    &crate::quantize::plain::Plain,
    #[cfg(target_arch = "x86_64")]
    &avx2::ROW,
    #[cfg(target_arch = "x86_64")]
    &avx512vnni::ROW,
    #[cfg(feature = "burn")]
    &burn::Burn,
    #[cfg(feature = "burn")]
    &ste::Ste,
    #[cfg(feature = "wgpu")]
    &crate::cube::WGPU,
    #[cfg(feature = "cuda")]
    &crate::cube::CUDA,
];
