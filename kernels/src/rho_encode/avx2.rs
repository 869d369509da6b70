//! `rho_encode` AVX2: `rho_codec` has the formulas, the compiler makes vectors of 8 values of them;
//! large outputs go past the caches.
use super::rows::Row;
use crate::quantize::avx2::Avx2;

/// The row.
pub(super) static ROW: Row<Avx2> = Row::new();
