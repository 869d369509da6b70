//! CubeCL `lowrank_projection`: see [`crate::projection::cube`].
use crate::context::Context;
use crate::cube::{Cube, Device};
use crate::hardware::Need;
use crate::projection::cube;
use crate::{Failure, Kernel, Prepared, Threads};
use lowbit_reference::op::Arithmetic;
use lowbit_reference::op::projection::{LowrankProjection, ProjectionOp, ProjectionProblem};

impl<R: Device> Kernel<ProjectionOp<LowrankProjection>> for Cube<R> {
    fn name(&self) -> &'static str {
        R::NAME
    }
    fn need(&self) -> Need {
        R::NEED
    }
    fn threads(&self) -> Threads {
        Threads::Own
    }
    fn arithmetic(&self, problem: &ProjectionProblem<LowrankProjection>) -> Arithmetic {
        cube::arithmetic(problem)
    }
    fn accepts(&self, problem: &ProjectionProblem<LowrankProjection>) -> Result<(), String> {
        cube::accepts(self, problem)
    }
    fn prepare<'p>(
        &self,
        problem: &'p ProjectionProblem<LowrankProjection>,
        context: &mut Context,
    ) -> Result<Box<dyn Prepared + 'p>, Failure> {
        cube::prepare::<LowrankProjection, R>(problem, context)
    }
}
