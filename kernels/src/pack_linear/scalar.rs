//! `scalar`: every layout, 4 or 16 bytes at a time; what `prepare` of `linear` runs.
use super::Run;
use crate::context::Context;
use crate::linear::panels::Plain;
use crate::{Determinism, Failure, Kernel, Prepared};
use lowbit_reference::op::Arithmetic;
use lowbit_reference::op::pack_linear::{PackLinear, PackProblem};

/// The row.
#[derive(Debug)]
pub(super) struct Scalar;

impl Kernel<PackLinear> for Scalar {
    fn name(&self) -> &'static str {
        "scalar"
    }
    fn determinism(&self) -> Determinism {
        Determinism::EXACT
    }
    fn arithmetic(&self, _: &PackProblem) -> Arithmetic {
        Arithmetic::INTEGER
    }
    fn accepts(&self, problem: &PackProblem) -> Result<(), String> {
        match (problem.layout.lanes, problem.layout.bytes) {
            (16 | 8, 4) | (1, 16) => Ok(()),
            _ => Err(format!("the layout is `{}`", problem.layout.name)),
        }
    }
    fn prepare<'p>(
        &self,
        problem: &'p PackProblem,
        context: &mut Context,
    ) -> Result<Box<dyn Prepared + 'p>, Failure> {
        Ok(match problem.layout.lanes {
            16 => Box::new(Run::<_, 16, 4>::new(Plain, problem, context)),
            8 => Box::new(Run::<_, 8, 4>::new(Plain, problem, context)),
            _ => Box::new(Run::<_, 1, 16>::new(Plain, problem, context)),
        })
    }
}
