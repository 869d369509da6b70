//! Rows of `quantize_activation`.
use crate::Kernel;
use lowbit_reference::op::quantize::activation::QuantizeActivation;

/// The table. Tests, benches and the harness read it; nothing else lists rows.
pub static KERNELS: &[&dyn Kernel<QuantizeActivation>] = &[];
