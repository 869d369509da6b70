//! `ste`: weights fake-quantized as in training: the dequantized values, straight through.
//!
//! `q = code * scale`, answered as `detach(q) + (w - detach(w))`: the bits of `q` forward, the
//! gradient of `w` backward. `burn_quantize` holds the formulas.
//!
//! Timed: from the f32 tensor to a tensor of scales and an f32 tensor of values. There is nothing
//! to differentiate on NdArray, so `detach` is free, but the subtraction and the addition are
//! done. Burn allocates every intermediate and the result for itself, within the timed part and
//! without guard bands.
use crate::burn_quantize::{Run, accepts};
use crate::context::Context;
use crate::{Failure, Kernel, Prepared, Threads};
use lowbit_reference::op::Arithmetic;
use lowbit_reference::op::quantize::QuantizeProblem;
use lowbit_reference::op::quantize::weight::QuantizeWeight;

/// See the module.
#[derive(Debug)]
pub(super) struct Ste;

impl Kernel<QuantizeWeight> for Ste {
    fn name(&self) -> &'static str {
        "ste"
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
        Ok(Box::new(Run::fake(problem)))
    }
}
