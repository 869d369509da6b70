//! `rho_drift` AVX2: codecs in vectors of 8 values, chunk after chunk on the same buffers.
use super::rows::Row;
use crate::quantize::avx2::Avx2;

/// The row.
pub(super) static ROW: Row<Avx2> = Row::new();
