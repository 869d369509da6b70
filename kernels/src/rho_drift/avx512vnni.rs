//! `rho_drift` AVX-512 F, BW and VL (no VNNI: there is no product to add): `rho_codec` has the
//! formulas, the compiler makes vectors of 16 values of them; large outputs go past the caches.
use super::rows::Row;
use crate::quantize::avx512::Avx512;

/// The row.
pub(super) static ROW: Row<Avx512> = Row::new();
