//! `rho_drift` scalar: `rho_codec` has the formulas; whatever vectors the target has anyway.
use super::rows::Row;
use crate::quantize::scalar::Scalar;

/// The row.
pub(super) static ROW: Row<Scalar> = Row::new();
