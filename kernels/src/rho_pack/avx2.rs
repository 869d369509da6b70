//! `rho_pack` AVX2: a block of 32 values is one step of four vectors; `quantize/avx2.rs` has the
//! formulas.
//!
//! Statistic, scale and codes follow each other in one inlined loop over blocks. A mean is a tree
//! of 5 additions.
use crate::quantize::{Row, avx2::Avx2};

/// The row.
pub(super) static ROW: Row<Avx2> = Row::new();
