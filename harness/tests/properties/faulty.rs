//! The property sees what it is for: a row that is wrong from some size on fails, and its case is
//! made small.
use super::property;
use libtest_mimic::{Failed, Trial};
use lowbit_harness::driver::{Driver, OpDriver};
use lowbit_kernels::context::Context;
use lowbit_kernels::hadamard::KERNELS;
use lowbit_kernels::{Failure, Kernel, Prepared};
use lowbit_reference::op::hadamard::{HadamardProblem, HadamardTransform};
use lowbit_reference::op::{Arithmetic, Outputs, Tensor};

/// A trial of the trials.
pub(super) fn trial() -> Trial {
    Trial::test("a row that is wrong from rows of 8 on fails the property", fails)
}

fn fails() -> Result<(), Failed> {
    let driver: &'static dyn Driver = &OpDriver::<HadamardTransform> { kernels: &[&Wrong] };
    let row = driver.rows()[0];
    let failed = match property(driver, row) {
        Ok(()) => return Err("a wrong row has the property".into()),
        Err(failed) => failed.message().unwrap_or_default().to_owned(),
    };
    let small = "lowbit check --case 'hadamard/m=1/k=8/data=exact/seed=0' --kernel scalar";
    if failed.contains(small) { Ok(()) } else { Err(failed.into()) }
}

/// The scalar row, and one sign of it.
struct Wrong;

impl Kernel<HadamardTransform> for Wrong {
    fn name(&self) -> &'static str {
        KERNELS[0].name()
    }
    fn arithmetic(&self, problem: &HadamardProblem) -> Arithmetic {
        KERNELS[0].arithmetic(problem)
    }
    fn accepts(&self, problem: &HadamardProblem) -> Result<(), String> {
        KERNELS[0].accepts(problem)
    }
    fn prepare<'p>(
        &self,
        problem: &'p HadamardProblem,
        context: &mut Context,
    ) -> Result<Box<dyn Prepared + 'p>, Failure> {
        Ok(Box::new(Run(KERNELS[0].prepare(problem, context)?, problem.row_len)))
    }
}

struct Run<'p>(Box<dyn Prepared + 'p>, usize);

impl Prepared for Run<'_> {
    fn launch(&mut self) -> Result<(), Failure> {
        self.0.launch()
    }
    fn forget(&mut self) -> Result<(), Failure> {
        self.0.forget()
    }
    fn read(&mut self) -> Result<Outputs, Failure> {
        let mut outputs = self.0.read()?;
        if let (Some((_, Tensor::F32(y))), true) = (outputs.0.first_mut(), self.1 >= 8) {
            y.iter_mut().for_each(|y| *y = -*y);
        }
        Ok(outputs)
    }
}
