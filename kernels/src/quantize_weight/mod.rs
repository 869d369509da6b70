//! Rows of `quantize_weight`.
use crate::Kernel;
use lowbit_reference::op::quantize::weight::QuantizeWeight;

/// The table. Tests, benches and the harness read it; nothing else lists rows.
pub static KERNELS: &[&dyn Kernel<QuantizeWeight>] = &[];
