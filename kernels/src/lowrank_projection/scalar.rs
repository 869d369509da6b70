//! `scalar`: the plain tiles of `linear`, and 4 x 8 sums of floats for the gradient of
//! the weight, over arrays that LLVM turns into the vectors of the baseline target.
use crate::context::Context;
use crate::projection;
use crate::{Failure, Kernel, Prepared};
use lowbit_reference::op::Arithmetic;
use lowbit_reference::op::projection::{LowrankProjection, ProjectionOp, ProjectionProblem};

/// The row.
#[derive(Debug)]
pub(super) struct Scalar;

impl Kernel<ProjectionOp<LowrankProjection>> for Scalar {
    fn name(&self) -> &'static str {
        "scalar"
    }
    fn arithmetic(&self, problem: &ProjectionProblem<LowrankProjection>) -> Arithmetic {
        projection::arithmetic(problem)
    }
    fn accepts(&self, _: &ProjectionProblem<LowrankProjection>) -> Result<(), String> {
        Ok(())
    }
    fn prepare<'p>(
        &self,
        problem: &'p ProjectionProblem<LowrankProjection>,
        context: &mut Context,
    ) -> Result<Box<dyn Prepared + 'p>, Failure> {
        projection::scalar(problem, context)
    }
}
