//! Rows of `rho_drift`.
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512vnni;
mod rows;
mod scalar;
use crate::Kernel;
use lowbit_reference::op::rho::drift::RhoDrift;

/// The table. Tests, benches and the harness read it; nothing else lists rows.
pub static KERNELS: &[&dyn Kernel<RhoDrift>] = &[
    &scalar::ROW,
    #[cfg(target_arch = "x86_64")]
    &avx2::ROW,
    #[cfg(target_arch = "x86_64")]
    &avx512vnni::ROW,
];
