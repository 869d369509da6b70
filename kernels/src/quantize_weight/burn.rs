//! `burn`: weights to codes with Burn's tensor operations on NdArray, one byte a code.
//!
//! `scale = f(max |w|)` or `f(mean |w|)` over the tensor or each row, `code = round(w / step)`
//! and its ternary and sign relatives: `burn_quantize` holds the formulas.
//!
//! Timed: from the f32 tensor to a tensor of scales and an `i8` tensor of codes. Burn packs no
//! bits: int8, ternary and sign codes all take a byte. Burn allocates every intermediate and the
//! result for itself, within the timed part and without guard bands.
use crate::burn_quantize::{Run, accepts};
use crate::context::Context;
use crate::{Failure, Kernel, Prepared, Threads};
use lowbit_reference::op::Arithmetic;
use lowbit_reference::op::quantize::QuantizeProblem;
use lowbit_reference::op::quantize::weight::QuantizeWeight;

/// See the module.
#[derive(Debug)]
pub(super) struct Burn;

impl Kernel<QuantizeWeight> for Burn {
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
        crate::rules::classic(problem)?;
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
