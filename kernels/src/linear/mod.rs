//! Rows of `linear`.
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512vnni;
mod blocks;
#[cfg(feature = "burn")]
mod burn;
#[cfg(feature = "wgpu")]
mod cube;
mod decode;
#[cfg(test)]
mod extremes;
mod plain;
mod rows;
mod scalar;
#[cfg(feature = "burn")]
mod ste;
use crate::Kernel;
use lowbit_reference::op::linear::Linear;

/// The table. Tests, benches and the harness read it; nothing else lists rows.
pub static KERNELS: &[&dyn Kernel<Linear>] = &[
    &plain::Plain,
    &scalar::Scalar,
    #[cfg(target_arch = "x86_64")]
    &avx2::Avx2,
    #[cfg(target_arch = "x86_64")]
    &avx512vnni::Avx512Vnni,
    #[cfg(feature = "burn")]
    &burn::Burn,
    #[cfg(feature = "burn")]
    &ste::Ste,
    #[cfg(feature = "wgpu")]
    &crate::cube::WGPU,
];
