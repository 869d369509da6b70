//! `quantize_activation` scalar: the portable baseline; `quantize/scalar.rs` has the formulas.
//!
//! `code = round(clamp(x / step))`, by the true quotient. A token up to 32768 values is read from
//! memory once, and scaled and coded in cache.
use crate::quantize::{Row, scalar::Scalar};

/// The row.
pub(super) static ROW: Row<Scalar> = Row::new();
