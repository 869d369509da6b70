//! `quantize_activation` scalar: the portable baseline; `quantize/scalar.rs` has the formulas.
//!
//! `code = round(x r)`, `r = 1 / step`, by division where `x r` is within 4e-5 of a tie: the code is
//! always that of the true quotient. A token up to 32768 values is read from memory once, a tensor
//! with a scale known beforehand too.
use crate::quantize::{Row, scalar::Scalar};

/// The row.
pub(super) static ROW: Row<Scalar> = Row::new();
