//! Rows of `rho_unpack`.
use crate::Kernel;
use lowbit_reference::op::rho::unpack::RhoUnpack;

/// The table. Tests, benches and the harness read it; nothing else lists rows.
pub static KERNELS: &[&dyn Kernel<RhoUnpack>] = &[];
