//! `rho_pack` AVX-512 F, BW, VL (no VNNI): a block of 32 values is one step of two vectors;
//! `quantize/avx512.rs` has the formulas.
//!
//! Statistic, scale and codes follow each other in one inlined loop over blocks. A mean is a tree
//! of 5 additions.
use crate::quantize::{Row, avx512::Avx512};

/// The row.
pub(super) static ROW: Row<Avx512> = Row::new();
