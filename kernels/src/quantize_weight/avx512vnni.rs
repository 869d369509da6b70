//! `quantize_weight` AVX-512 F, BW, VL (no VNNI): 32 weights a step; `quantize/avx512.rs` has the
//! formulas.
//!
//! Codes are packed where they are made: integers by the saturating packs, ternary from two masks, signs as the
//! mask of a comparison. Sums are f32 in 32 lanes of a block of 4096 values (chains of 133
//! additions), f64 beyond.
use crate::quantize::{Row, avx512::Avx512};

/// The row.
pub(super) static ROW: Row<Avx512> = Row::new();
