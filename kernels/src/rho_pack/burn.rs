//! `burn`: a flat state to codes in blocks of 32 with Burn's tensor operations on NdArray.
//!
//! The state is a tensor `[blocks, 32]`, and `[1, rest]` where 32 does not divide it;
//! `scale = f(max |x|)` or `f(mean |x|)` and the codes row by row: `burn_quantize` holds the
//! formulas.
//!
//! Timed: from the f32 tensors to tensors of scales and `i8` tensors of codes. Burn packs no
//! bits: int8, ternary and binary codes all take a byte. Burn allocates every intermediate and
//! the result for itself, within the timed part and without guard bands.
use crate::burn_quantize::{Run, accepts};
use crate::context::Context;
use crate::{Failure, Kernel, Prepared, Threads};
use lowbit_reference::op::Arithmetic;
use lowbit_reference::op::quantize::QuantizeProblem;
use lowbit_reference::op::rho::pack::RhoPack;

/// See the module.
#[derive(Debug)]
pub(super) struct Burn;

impl Kernel<RhoPack> for Burn {
    fn name(&self) -> &'static str {
        "burn"
    }
    fn threads(&self) -> Threads {
        Threads::One
    }
    fn arithmetic(&self, _: &QuantizeProblem) -> Arithmetic {
        Arithmetic::FLOAT
    }
    fn accepts(&self, problem: &QuantizeProblem) -> Result<(), String> {
        accepts(&problem.x)
    }
    fn prepare<'p>(
        &self,
        problem: &'p QuantizeProblem,
        _: &mut Context,
    ) -> Result<Box<dyn Prepared + 'p>, Failure> {
        Ok(Box::new(Run::codes(problem)))
    }
}
