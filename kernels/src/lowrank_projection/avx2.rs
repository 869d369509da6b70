//! `avx2`: the tiles of `linear` of that name, and 6 x 16 sums of floats for the gradient
//! of the weight.
use crate::context::Context;
use crate::hardware::Need;
use crate::projection;
use crate::{Determinism, Failure, Kernel, Prepared};
use lowbit_reference::op::Arithmetic;
use lowbit_reference::op::projection::{LowrankProjection, ProjectionOp, ProjectionProblem};

/// The row.
#[derive(Debug)]
pub(super) struct Avx2;

impl Kernel<ProjectionOp<LowrankProjection>> for Avx2 {
    fn name(&self) -> &'static str {
        "avx2"
    }
    fn need(&self) -> Need {
        Need::Avx2
    }
    /// Floats of a single token have more sums than one of several.
    fn determinism(&self) -> Determinism {
        Determinism::TILED
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
        projection::avx2(problem, context)
    }
}
