//! Rows of `linear`.
mod arrange;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512vnni;
pub(crate) mod batched;
mod blocks;
#[cfg(feature = "burn")]
mod burn;
#[cfg(feature = "cube")]
mod cube;
#[cfg(feature = "cuda")]
pub(crate) mod cuda;
mod decode;
#[cfg(any(feature = "burn", feature = "peers"))]
mod dense;
#[cfg(test)]
mod extremes;
pub(crate) mod panels;
#[cfg(feature = "peers")]
mod peers;
mod plain;
mod product;
pub(crate) mod rows;
pub(crate) mod scalar;
#[cfg(feature = "burn")]
mod ste;
#[cfg(feature = "wgpu")]
mod wgsl;
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
    #[cfg(feature = "peers")]
    &peers::RTEN,
    #[cfg(feature = "peers")]
    &peers::RTEN_AB,
    #[cfg(feature = "peers")]
    &peers::Gemm,
    #[cfg(feature = "peers")]
    &peers::Candle,
    #[cfg(feature = "burn")]
    &burn::BURN,
    #[cfg(all(feature = "burn", feature = "peers"))]
    &burn::QUANTIZED,
    #[cfg(all(feature = "burn", feature = "peers"))]
    &burn::FLEX,
    #[cfg(all(feature = "burn", feature = "peers"))]
    &burn::FLEX_QUANTIZED,
    #[cfg(feature = "burn")]
    &ste::Ste,
    #[cfg(feature = "wgpu")]
    &crate::cube::WGPU,
    #[cfg(feature = "cuda")]
    &crate::cube::CUDA,
    #[cfg(feature = "wgpu")]
    &wgsl::Dot4,
    #[cfg(feature = "cuda")]
    &cuda::DP4A,
    #[cfg(feature = "cuda")]
    &cuda::MMA,
    #[cfg(all(feature = "gpu-peers", feature = "wgpu"))]
    &peers::WGPU_HALF,
    #[cfg(all(feature = "gpu-peers", feature = "wgpu"))]
    &peers::WGPU_QUANTIZED,
    #[cfg(all(feature = "gpu-peers", feature = "cuda"))]
    &peers::CUDA_HALF,
    #[cfg(all(feature = "gpu-peers", feature = "cuda"))]
    &peers::CUDA_QUANTIZED,
];
