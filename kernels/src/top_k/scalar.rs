//! `top_k` in plain Rust for any machine: loops that LLVM turns into vectors of the baseline target.
//! Ranks are i32 up to `0x7f80_0001`; a count is at most the length of a row, below `2^31`.
use super::rows::{Rank, Row, rank};
use crate::hardware::Need;

/// The row.
pub(super) static ROW: Row<Scalar> = Row::new();

/// No instruction set: nothing to prove.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scalar;

impl Rank for Scalar {
    const NAME: &'static str = "scalar";
    const NEED: Need = Need::Nothing;

    fn detect() -> Option<Scalar> {
        Some(Scalar)
    }
    fn ranks(self, x: &[f32], ranks: &mut [i32]) {
        ranks.iter_mut().zip(x).for_each(|(to, x)| *to = rank(*x));
    }
    fn at_least(self, ranks: &[i32], t: i32) -> usize {
        // Counted in i32, four lanes of SSE2, a part of the row at a time.
        let part = |ranks: &[i32]| ranks.iter().map(|rank| u32::from(*rank >= t)).sum::<u32>();
        ranks.chunks(1 << 20).map(|ranks| part(ranks) as usize).sum()
    }
    fn mask(self, ranks: &[i32], t: i32, mask: &mut [u8]) {
        mask.iter_mut().zip(ranks).for_each(|(to, rank)| *to = u8::from(*rank >= t));
    }
}
