//! Rows of `linear`.
use crate::Kernel;
use lowbit_reference::op::linear::Linear;

/// The table. Tests, benches and the harness read it; nothing else lists rows.
pub static KERNELS: &[&dyn Kernel<Linear>] = &[];
