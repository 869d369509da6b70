//! `rho_pack` scalar: the portable baseline; `quantize/scalar.rs` has the formulas.
//!
//! A block of 32 values is one step: its statistic, its scale, then its codes, 32, 8 or 4 bytes.
//! A lane of a sum adds 2 values, so a mean is off by at most 7 roundings.
use crate::quantize::{Row, scalar::Scalar};

/// The row.
pub(super) static ROW: Row<Scalar> = Row::new();
