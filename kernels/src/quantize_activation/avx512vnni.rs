//! `quantize_activation` AVX-512 F (no VNNI): 32 values a step; `quantize/avx512.rs` has the
//! formulas.
//!
//! `code = round(clamp(x * (1 / step)))`, by division where that is within 1e-4 of a tie: the code
//! is always that of the true quotient. A token up to 32768 values is read from memory once.
use crate::quantize::{Row, avx512::Avx512};

/// The row.
pub(super) static ROW: Row<Avx512> = Row::new();
