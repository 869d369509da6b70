//! Rows of `dequantize_nf4`: those of `nf4/dequantize.rs`, by instruction set, and CubeCL's.
#[cfg(feature = "cube")]
mod cube;
use crate::Kernel;
use crate::nf4::dequantize::Row;
use crate::quantize::scalar::Scalar;
#[cfg(target_arch = "x86_64")]
use crate::quantize::{avx2::Avx2, avx512::Avx512};
use lowbit_reference::op::nf4::dequantize::DequantizeNf4;

/// The table. Tests, benches and the harness read it; nothing else lists rows.
pub static KERNELS: &[&dyn Kernel<DequantizeNf4>] = &[
    &Row::<Scalar>::new(),
    #[cfg(target_arch = "x86_64")]
    &Row::<Avx2>::new(),
    #[cfg(target_arch = "x86_64")]
    &Row::<Avx512>::new(),
    #[cfg(feature = "wgpu")]
    &crate::cube::WGPU,
    #[cfg(feature = "cuda")]
    &crate::cube::CUDA,
];
