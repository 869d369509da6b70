//! `burn`: activations to int8 codes with Burn's tensor operations on NdArray.
//!
//! `scale = f(max |x|)` or `f(mean |x|)` over the tensor or each token, `code = round(x / step)`:
//! `burn_quantize` holds the formulas.
//!
//! Timed: from the f32 tensor to a tensor of scales and an `i8` tensor of codes. Burn allocates
//! every intermediate and the result for itself, within the timed part and without guard bands.
use crate::burn_quantize::{Run, accepts};
use crate::context::Context;
use crate::{Failure, Kernel, Prepared, Threads};
use lowbit_reference::op::Arithmetic;
use lowbit_reference::op::quantize::QuantizeProblem;
use lowbit_reference::op::quantize::activation::QuantizeActivation;

/// See the module.
#[derive(Debug)]
pub(super) struct Burn;

impl Kernel<QuantizeActivation> for Burn {
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
