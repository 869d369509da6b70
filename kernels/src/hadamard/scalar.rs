//! `hadamard` in plain Rust for any machine: arrays of 8 lanes, which LLVM turns into the vectors
//! of the baseline target. Within a vector, lane i meets lane `i ^ distance`; every value is
//! `log2 n` additions and one product, so nothing overflows before `sum |x|` does.
use super::rows::{Row, Within};
use crate::attention::scalar::{L, Scalar};
use std::array::from_fn;

/// The row.
pub(super) static ROW: Row<Scalar, L> = Row::new();

impl Within<L> for Scalar {
    #[inline(always)]
    fn within(self, x: [f32; L], n: usize) -> [f32; L] {
        let mut x = x;
        for distance in [1, 2, 4] {
            if distance < n {
                x = from_fn(|i| match i & distance {
                    0 => x[i] + x[i + distance],
                    _ => x[i - distance] - x[i],
                });
            }
        }
        x
    }
}
