//! `quantize_weight` scalar: the portable baseline; `quantize/scalar.rs` has the formulas.
//!
//! `scale = times * statistic / steps`; integers round the true quotient, ternary and sign compare.
//! Sums are f32 in 16 lanes of a block of 4096 values (chains of 260 additions), f64 beyond.
use crate::quantize::{Row, scalar::Scalar};

/// The row.
pub(super) static ROW: Row<Scalar> = Row::new();
