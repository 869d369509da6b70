//! `quantize_weight` AVX2: 32 weights a step; `quantize/avx2.rs` has the formulas.
//!
//! Codes are packed where they are made: integers by the saturating packs, ternary by dot products
//! with powers of 4, signs by `movmskps`. Sums are f32 in 32 lanes of a block of 4096 values
//! (chains of 133 additions), f64 beyond.
use crate::quantize::{Row, avx2::Avx2};

/// The row.
pub(super) static ROW: Row<Avx2> = Row::new();
