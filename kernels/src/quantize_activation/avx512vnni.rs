//! `quantize_activation` AVX-512 F (no VNNI): 32 values a step; `quantize/avx512.rs` has the
//! formulas.
//!
//! `code = round(x r)`, `r = 1 / step`, by division where `x r` is within 4e-5 of a tie: the code is
//! always that of the true quotient. A token up to 32768 values is read from memory once, a tensor
//! with a scale known beforehand too.
use crate::quantize::{Row, avx512::Avx512};

/// The row.
pub(super) static ROW: Row<Avx512> = Row::new();
