//! A row of the suite with a mistake in what it answers.
use lowbit_kernels::context::Context;
use lowbit_kernels::hardware::Need;
use lowbit_kernels::{Failure, Kernel, Prepared};
use lowbit_reference::op::{Arithmetic, Op, Outputs};
use std::sync::Arc;

/// Changes the outputs, knowing how often the row was launched.
pub(crate) type Mistake = dyn Fn(&mut Outputs, usize) + Send + Sync;

/// The row, for the life of the process.
pub(crate) struct Wrong<O: Op> {
    row: &'static dyn Kernel<O>,
    mistake: Arc<Mistake>,
}

impl<O: Op> Wrong<O> {
    pub(crate) fn new(row: &'static dyn Kernel<O>, mistake: Arc<Mistake>) -> &'static Wrong<O> {
        Box::leak(Box::new(Wrong { row, mistake }))
    }
}

impl<O: Op> Kernel<O> for Wrong<O> {
    fn name(&self) -> &'static str {
        self.row.name()
    }
    fn need(&self) -> Need {
        self.row.need()
    }
    fn arithmetic(&self, problem: &O::Problem) -> Arithmetic {
        self.row.arithmetic(problem)
    }
    fn accepts(&self, problem: &O::Problem) -> Result<(), String> {
        self.row.accepts(problem)
    }
    fn prepare<'p>(
        &self,
        problem: &'p O::Problem,
        context: &mut Context,
    ) -> Result<Box<dyn Prepared + 'p>, Failure> {
        let row = self.row.prepare(problem, context)?;
        Ok(Box::new(Run { row, mistake: Arc::clone(&self.mistake), launches: 0 }))
    }
}

struct Run<'p> {
    row: Box<dyn Prepared + 'p>,
    mistake: Arc<Mistake>,
    launches: usize,
}

impl Prepared for Run<'_> {
    fn launch(&mut self) -> Result<(), Failure> {
        self.launches += 1;
        self.row.launch()
    }
    fn sync(&mut self) -> Result<(), Failure> {
        self.row.sync()
    }
    fn forget(&mut self) -> Result<(), Failure> {
        self.row.forget()
    }
    fn in_place(&self) -> bool {
        self.row.in_place()
    }
    fn reset(&mut self) -> Result<(), Failure> {
        self.row.reset()
    }
    fn read(&mut self) -> Result<Outputs, Failure> {
        let mut outputs = self.row.read()?;
        (self.mistake)(&mut outputs, self.launches);
        Ok(outputs)
    }
}
