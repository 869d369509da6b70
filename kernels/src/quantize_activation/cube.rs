//! CubeCL `quantize_activation`: see [`crate::cube::quantize`].
use crate::context::Context;
use crate::cube::{Cube, Device, quantize};
use crate::hardware::Need;
use crate::{Failure, Kernel, Prepared, Threads};
use lowbit_reference::op::Arithmetic;
use lowbit_reference::op::quantize::QuantizeProblem;
use lowbit_reference::op::quantize::activation::QuantizeActivation;

impl<R: Device> Kernel<QuantizeActivation> for Cube<R> {
    fn name(&self) -> &'static str {
        R::NAME
    }
    fn need(&self) -> Need {
        R::NEED
    }
    fn threads(&self) -> Threads {
        Threads::Own
    }
    fn arithmetic(&self, _: &QuantizeProblem) -> Arithmetic {
        Arithmetic::FLOAT_GPU
    }
    fn accepts(&self, problem: &QuantizeProblem) -> Result<(), String> {
        quantize::accepts(self, problem)
    }
    fn prepare<'p>(
        &self,
        problem: &'p QuantizeProblem,
        context: &mut Context,
    ) -> Result<Box<dyn Prepared + 'p>, Failure> {
        quantize::prepare::<R>(problem, context)
    }
}
