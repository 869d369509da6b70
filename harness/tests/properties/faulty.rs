//! The property sees what it is for: a row that is wrong from some size on fails, and its case is
//! made small.
use super::{CASES, NIGHTLY, property};
use libtest_mimic::{Failed, Trial};
use lowbit_harness::bench::Bench;
use lowbit_harness::driver::{Driver, OpDriver, Task};
use lowbit_harness::files::Disk;
use lowbit_harness::memory::Counting;
use lowbit_harness::protocol::{Depth, Reply};
use lowbit_kernels::context::Context;
use lowbit_kernels::hadamard::KERNELS;
use lowbit_kernels::hardware::Hardware;
use lowbit_kernels::pool::Pool;
use lowbit_kernels::{Failure, Kernel, Prepared};
use lowbit_reference::case::Case;
use lowbit_reference::op::hadamard::{HadamardProblem, HadamardTransform};
use lowbit_reference::op::{Arithmetic, Outputs, Tensor};
use lowbit_reports::record::Record;

/// Counts nothing here: it is not the process's allocator.
static HEAP: Counting = Counting::new();

/// A trial of the trials.
pub(super) fn trial() -> Trial {
    Trial::test("a row that is wrong from rows of 8 on fails the property", fails)
}

fn fails() -> Result<(), Failed> {
    let small = "lowbit check --case 'hadamard/m=1/k=8/data=exact/seed=0' --kernel scalar";
    let failed = match property(("hadamard", "scalar"), (NIGHTLY, CASES), answered) {
        Ok(()) => return Err("a wrong row has the property".into()),
        Err(failed) => failed.message().unwrap_or_default().to_owned(),
    };
    if failed.contains(small) { Ok(()) } else { Err(failed.into()) }
}

/// In this process: no worker knows the row.
fn answered(case: &Case) -> Result<Record, String> {
    let mut bench = Bench::new(Pool::new(3)?, Hardware::detect(), &Disk, &HEAP);
    let (mut record, rows) = (None, [Wrong.name().to_owned()]);
    let mut answer = |reply| {
        if let Reply::Record(answered) = reply {
            record = Some(*answered);
        }
    };
    let task = Task { case, rows: &rows, depth: &Depth::Claims };
    OpDriver::<HadamardTransform> { kernels: &[&Wrong] }.run(&task, &mut bench, &mut answer)?;
    record.ok_or_else(|| "no record".into())
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
