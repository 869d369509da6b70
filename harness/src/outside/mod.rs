//! Peers outside this program: what they are given, and how their answers are judged.
//!
//! An answer is checked as a row is: it becomes a row of its own, whose outputs are read from a
//! file, and goes the way of every check.
pub mod answer;
pub mod tensors;
use crate::bench::Bench;
use crate::driver::{Driver, OpDriver, Task};
use crate::protocol::{Depth, Reply};
use lowbit_kernels::context::Context;
use lowbit_kernels::{Failure, Kernel, Prepared, Threads};
use lowbit_reference::case::Case;
use lowbit_reference::data::Files;
use lowbit_reference::op::exported::{Export, Input};
use lowbit_reference::op::linear::Linear;
use lowbit_reference::op::projection::{DecoderTail, LowrankProjection, ProjectionOp};
use lowbit_reference::op::quantize::activation::QuantizeActivation;
use lowbit_reference::op::quantize::weight::QuantizeWeight;
use lowbit_reference::op::{Arithmetic, Op, OpSpec, Outputs};
use lowbit_reports::record::Record;

/// One operation whose cases can be given away.
pub trait Exchange: Sync {
    /// The operation.
    fn spec(&self) -> &'static OpSpec;
    /// The inputs of a case.
    fn inputs(&self, case: &Case, files: &dyn Files) -> Result<Vec<Input>, String>;
    /// The record of a check of that answer.
    fn check(&self, case: &Case, answer: Given, bench: &mut Bench) -> Result<Record, String>;
}

/// Operations that outside peers can answer. Adding one is its `Export` and a line here.
pub static EXCHANGES: &[&dyn Exchange] = &[
    &Of::<Linear>::NEW,
    &Of::<QuantizeActivation>::NEW,
    &Of::<QuantizeWeight>::NEW,
    &Of::<ProjectionOp<LowrankProjection>>::NEW,
    &Of::<ProjectionOp<DecoderTail>>::NEW,
];

/// The operation of that name, or why it cannot be given away.
pub fn exchange(case: &Case) -> Result<&'static dyn Exchange, String> {
    let names = || EXCHANGES.iter().map(|e| e.spec().name).collect::<Vec<_>>().join(", ");
    let found = EXCHANGES.iter().copied().find(|e| e.spec().name == case.op());
    found.ok_or_else(|| format!("op {} is not exported; exported are {}", case.op(), names()))
}

/// What a peer answered.
#[derive(Clone, Debug)]
pub struct Given {
    /// Its name.
    pub kernel: String,
    /// How it computes, as it says.
    pub arithmetic: Arithmetic,
    /// Its outputs by name.
    pub outputs: Outputs,
}

impl<O: Op> Kernel<O> for Given {
    fn name(&self) -> &'static str {
        "given"
    }
    fn threads(&self) -> Threads {
        Threads::Own
    }
    fn arithmetic(&self, _: &O::Problem) -> Arithmetic {
        self.arithmetic
    }
    fn accepts(&self, _: &O::Problem) -> Result<(), String> {
        Ok(())
    }
    fn prepare<'p>(
        &self,
        _: &'p O::Problem,
        _: &mut Context,
    ) -> Result<Box<dyn Prepared + 'p>, Failure> {
        Ok(Box::new(Replay { outputs: self.outputs.clone(), launched: false }))
    }
}

/// Answers what a file held.
struct Replay {
    outputs: Outputs,
    launched: bool,
}

impl Prepared for Replay {
    fn launch(&mut self) -> Result<(), Failure> {
        self.launched = true;
        Ok(())
    }
    fn forget(&mut self) -> Result<(), Failure> {
        self.launched = false;
        Ok(())
    }
    fn read(&mut self) -> Result<Outputs, Failure> {
        let outputs = self.launched.then(|| self.outputs.clone());
        outputs.ok_or_else(|| Failure("read before a launch".into()))
    }
}

struct Of<O>(std::marker::PhantomData<fn() -> O>);

impl<O> Of<O> {
    const NEW: Of<O> = Of(std::marker::PhantomData);
}

impl<O: Export> Exchange for Of<O> {
    fn spec(&self) -> &'static OpSpec {
        O::SPEC
    }

    fn inputs(&self, case: &Case, files: &dyn Files) -> Result<Vec<Input>, String> {
        Ok(O::inputs(&O::generate(case, files)?))
    }

    fn check(&self, case: &Case, answer: Given, bench: &mut Bench) -> Result<Record, String> {
        let kernel = answer.kernel.clone();
        // Tables of rows live as long as the process; one that merges answers ends soon after.
        let table: &'static [&'static dyn Kernel<O>] =
            Box::leak(Box::new([Box::leak(Box::new(answer)) as &dyn Kernel<O>]));
        let rows = ["given".to_owned()];
        let task = Task { case, rows: &rows, depth: &Depth::Claims };
        let mut record = None;
        OpDriver { kernels: table }.run(&task, bench, &mut |reply| {
            if let Reply::Record(checked) = reply {
                record = Some(*checked);
            }
        })?;
        let record = record.ok_or("the check answered no record")?;
        Ok(Record { kernel, ..record })
    }
}
