//! Rows of `awq_search`.
mod panel;
mod rows;
mod scales;
use crate::Kernel;
use crate::attention::scalar::Scalar;
#[cfg(target_arch = "x86_64")]
use crate::attention::{avx2::Avx2, avx512vnni::Avx512};
use lowbit_reference::op::awq::AwqSearch;
use rows::Row;

/// The table. Tests, benches and the harness read it; nothing else lists rows.
pub static KERNELS: &[&dyn Kernel<AwqSearch>] = &[
    &Row::<Scalar, 8>::new(),
    #[cfg(target_arch = "x86_64")]
    &Row::<Avx2, 8>::new(),
    #[cfg(target_arch = "x86_64")]
    &Row::<Avx512, 16>::new(),
];
