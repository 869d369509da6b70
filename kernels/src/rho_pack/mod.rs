//! Rows of `rho_pack`.
use crate::Kernel;
use lowbit_reference::op::rho::pack::RhoPack;

/// The table. Tests, benches and the harness read it; nothing else lists rows.
pub static KERNELS: &[&dyn Kernel<RhoPack>] = &[];
