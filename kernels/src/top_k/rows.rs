//! What the rows of `top_k` share: a threshold found bit by bit, then a mask.
//!
//! The rank of a value is `1 + bits(|x|)`, and 0 for NaN: ranks are ordered as magnitudes are, zeros
//! of either sign are equal, and none exceeds `0x7f80_0001`, so an i32 holds them. With `c(t)` the
//! number of ranks that are at least `t`, the threshold is the largest `t` with `c(t) >= k`, built
//! from its highest bit down, a pass over the row for each of the 31 bits; a pass that finds
//! `c(t) = k` is the last. Then
//!
//! * `c(t) = k`: a value is kept where its rank is at least `t`;
//! * more: those above `t`, and of those at `t` the first `k - c(t + 1)`.
//!
//! A row of ranks stays in the first-level cache up to some 10,000 values.
use crate::buffer::Buffer;
use crate::context::Context;
use crate::hardware::Need;
use crate::pool::Pool;
use crate::{Failure, Kernel, Prepared};
use lowbit_reference::op::top_k::{TopK, TopKProblem};
use lowbit_reference::op::{Arithmetic, Outputs, Tensor};
use std::marker::PhantomData;

/// Values of a task, if a row is not longer.
const TASK: usize = 1 << 15;

/// An instruction set that ranks and counts. A value of it is proof that the machine has it.
pub(super) trait Rank: Copy + Send + Sync + 'static {
    /// Name of the row.
    const NAME: &'static str;
    /// What the row needs.
    const NEED: Need;
    /// The proof, where the machine has the instructions.
    fn detect() -> Option<Self>;
    /// Ranks of values.
    fn ranks(self, x: &[f32], ranks: &mut [i32]);
    /// How many ranks are at least `t`.
    fn at_least(self, ranks: &[i32], t: i32) -> usize;
    /// 1 where a rank is at least `t`, else 0.
    fn mask(self, ranks: &[i32], t: i32, mask: &mut [u8]);
}

/// Rank of one value.
#[inline(always)]
pub(super) fn rank(x: f32) -> i32 {
    let bits = (x.to_bits() & 0x7fff_ffff).cast_signed();
    if x.is_nan() { 0 } else { bits + 1 }
}

/// The row of an instruction set.
#[derive(Debug)]
pub(super) struct Row<I>(PhantomData<fn() -> I>);

impl<I> Row<I> {
    pub(super) const fn new() -> Self {
        Row(PhantomData)
    }
}

impl<I: Rank> Kernel<TopK> for Row<I> {
    fn name(&self) -> &'static str {
        I::NAME
    }
    fn need(&self) -> Need {
        I::NEED
    }
    fn arithmetic(&self, _: &TopKProblem) -> Arithmetic {
        Arithmetic::FLOAT
    }
    fn accepts(&self, problem: &TopKProblem) -> Result<(), String> {
        let TopKProblem { x, row_len, .. } = problem;
        match *row_len > 0 && x.len().is_multiple_of(*row_len) {
            true => Ok(()),
            false => Err(format!("{} values are no whole rows of {row_len}", x.len())),
        }
    }
    fn prepare<'p>(
        &self,
        problem: &'p TopKProblem,
        context: &mut Context,
    ) -> Result<Box<dyn Prepared + 'p>, Failure> {
        Ok(Box::new(Selecting {
            isa: I::detect().ok_or_else(|| Failure(format!("no {}", I::NAME)))?,
            pool: context.pool().clone(),
            row_len: problem.row_len,
            kept: problem.kept(),
            x: context.copy("x", &problem.x),
            mask: context.buffer("mask", problem.x.len()),
        }))
    }
}

/// A row bound to its problem.
struct Selecting<I> {
    isa: I,
    pool: Pool,
    row_len: usize,
    kept: usize,
    x: Buffer<f32>,
    mask: Buffer<u8>,
}

impl<I: Rank> Prepared for Selecting<I> {
    fn launch(&mut self) -> Result<(), Failure> {
        let Selecting { isa, row_len, kept, .. } = *self;
        let task = (TASK / row_len).max(1) * row_len;
        let tasks = self.x.chunks(task).zip(self.mask.chunks_mut(task)).collect();
        self.pool.for_each(tasks, |(x, mask)| {
            let mut ranks = vec![0; row_len];
            for (x, mask) in x.chunks_exact(row_len).zip(mask.chunks_exact_mut(row_len)) {
                isa.ranks(x, &mut ranks);
                select(isa, &ranks, kept, mask);
            }
        });
        Ok(())
    }
    fn forget(&mut self) -> Result<(), Failure> {
        self.mask.fill(u8::MAX);
        Ok(())
    }
    fn read(&mut self) -> Result<Outputs, Failure> {
        Ok(Outputs(vec![("mask", Tensor::U8(self.mask.to_vec()))]))
    }
}

/// Mark the `kept` largest ranks, the first of equal ones.
fn select<I: Rank>(isa: I, ranks: &[i32], kept: usize, mask: &mut [u8]) {
    let (mut threshold, mut count) = (0, ranks.len());
    for bit in (0..31).rev() {
        if count == kept {
            break;
        }
        let found = isa.at_least(ranks, threshold | 1 << bit);
        if found >= kept {
            (threshold, count) = (threshold | 1 << bit, found);
        }
    }
    if count == kept {
        isa.mask(ranks, threshold, mask);
        return;
    }
    // No rank reaches `i32::MAX`, so neither does the threshold.
    isa.mask(ranks, threshold + 1, mask);
    let above = isa.at_least(ranks, threshold + 1);
    let ties = ranks.iter().zip(mask).filter(|(rank, _)| **rank == threshold);
    ties.take(kept - above).for_each(|(_, kept)| *kept = 1);
}
