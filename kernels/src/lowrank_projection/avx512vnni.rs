//! `avx512vnni`: the tiles of `linear` of that name, and 12 x 32 sums of floats for the
//! gradient of the weight.
use crate::context::Context;
use crate::hardware::Need;
use crate::projection;
use crate::{Determinism, Failure, Kernel, Prepared};
use lowbit_reference::op::Arithmetic;
use lowbit_reference::op::projection::{LowrankProjection, ProjectionOp, ProjectionProblem};

/// The row.
#[derive(Debug)]
pub(super) struct Avx512Vnni;

impl Kernel<ProjectionOp<LowrankProjection>> for Avx512Vnni {
    fn name(&self) -> &'static str {
        "avx512vnni"
    }
    fn need(&self) -> Need {
        Need::Avx512Vnni
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
        projection::avx512vnni(problem, context)
    }
}
