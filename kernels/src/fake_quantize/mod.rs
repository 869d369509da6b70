//! Rows of `fake_quantize`.
mod scalar;
#[cfg(feature = "burn")]
mod ste;
use crate::Kernel;
use lowbit_reference::op::quantize::fake::FakeQuantize;

/// The table. Tests, benches and the harness read it; nothing else lists rows.
pub static KERNELS: &[&dyn Kernel<FakeQuantize>] = &[
    &scalar::Scalar,
    #[cfg(feature = "burn")]
    &ste::Ste,
];
