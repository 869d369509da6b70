//! Rows of `top_k`.
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512vnni;
mod rows;
mod scalar;
#[cfg(test)]
mod tests;
use crate::Kernel;
use lowbit_reference::op::top_k::TopK;

/// The table. Tests, benches and the harness read it; nothing else lists rows.
pub static KERNELS: &[&dyn Kernel<TopK>] = &[
    &scalar::ROW,
    #[cfg(target_arch = "x86_64")]
    &avx2::ROW,
    #[cfg(target_arch = "x86_64")]
    &avx512vnni::ROW,
];
