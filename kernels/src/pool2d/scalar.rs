//! `scalar`: plain Rust for any machine, the fast baseline that speed-ups are quoted against.
//!
//! 16 outputs at a time, lane by lane over arrays that LLVM turns into the vectors of the baseline
//! target.
use super::rows::{self, Fold, Rows};
use crate::context::Context;
use crate::plane::Taps;
use crate::{Failure, Kernel, Prepared};
use lowbit_reference::op::Arithmetic;
use lowbit_reference::op::pool2d::{Pool2d, Pool2dProblem};

/// The row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scalar;

impl Kernel<Pool2d> for Scalar {
    fn name(&self) -> &'static str {
        "scalar"
    }
    fn arithmetic(&self, _: &Pool2dProblem) -> Arithmetic {
        Arithmetic::FLOAT
    }
    fn accepts(&self, _: &Pool2dProblem) -> Result<(), String> {
        Ok(())
    }
    fn prepare<'p>(
        &self,
        problem: &'p Pool2dProblem,
        context: &mut Context,
    ) -> Result<Box<dyn Prepared + 'p>, Failure> {
        rows::bind(*self, problem, context)
    }
}

const LANES: usize = 16;

impl Rows for Scalar {
    fn fold(self, fold: Fold, x: &[f32], taps: &Taps, y: &mut [f32]) {
        match fold {
            Fold::Max => blocks(|a, b| Fold::Max.of(a, b), Fold::Max, x, taps, y),
            Fold::Sum => blocks(|a, b| Fold::Sum.of(a, b), Fold::Sum, x, taps, y),
        }
    }
}

#[inline(always)]
fn blocks(of: impl Fn(f32, f32) -> f32, fold: Fold, x: &[f32], taps: &Taps, y: &mut [f32]) {
    for (block, y) in y.chunks_mut(LANES).enumerate() {
        let x = &x[block * LANES..];
        let mut lanes = [fold.neutral(); LANES];
        for tap in taps.offsets() {
            let x = &x[*tap..][..LANES];
            for (lane, x) in lanes.iter_mut().zip(x) {
                *lane = of(*lane, *x);
            }
        }
        y.copy_from_slice(&lanes[..y.len()]);
    }
}
