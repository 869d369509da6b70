//! CubeCL `decoder_tail`: see [`crate::projection::cube`].
use crate::context::Context;
use crate::cube::{Cube, Device};
use crate::hardware::Need;
use crate::projection::cube;
use crate::{Failure, Kernel, Prepared, Threads};
use lowbit_reference::op::Arithmetic;
use lowbit_reference::op::projection::{DecoderTail, ProjectionOp, ProjectionProblem};

impl<R: Device> Kernel<ProjectionOp<DecoderTail>> for Cube<R> {
    fn name(&self) -> &'static str {
        R::NAME
    }
    fn need(&self) -> Need {
        R::NEED
    }
    fn threads(&self) -> Threads {
        Threads::Own
    }
    fn arithmetic(&self, problem: &ProjectionProblem<DecoderTail>) -> Arithmetic {
        cube::arithmetic(problem)
    }
    fn accepts(&self, problem: &ProjectionProblem<DecoderTail>) -> Result<(), String> {
        cube::accepts(self, problem)
    }
    fn prepare<'p>(
        &self,
        problem: &'p ProjectionProblem<DecoderTail>,
        context: &mut Context,
    ) -> Result<Box<dyn Prepared + 'p>, Failure> {
        cube::prepare::<DecoderTail, R>(problem, context)
    }
}
