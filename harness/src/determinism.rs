//! What a row declares to be the same bit for bit, put to the test.
//!
//! | declared | tried |
//! |---|---|
//! | `runs` | the prepared row once more, after its outputs were overwritten |
//! | `threads` | on 1, 2 and 3 threads |
//! | `batch` | on the case with half the tokens or images: its answer is the beginning of this one's |
//! | `backend` | nothing more: the answer has no bit that is not the reference's |
//!
//! Only what is declared is tried, and only by `check`, on cases small enough to be run five times.
//! A test that finds no difference proves none is impossible: threads may race and agree this time.
use crate::bench::Bench;
use lowbit_kernels::context::{Context, Poison};
use lowbit_kernels::pool::Pool;
use lowbit_kernels::{Determinism, Failure, Kernel, Prepared, Threads};
use lowbit_reference::case::Case;
use lowbit_reference::judge::Agreement;
use lowbit_reference::op::{Op, Outputs, Tensor};

/// Thread counts that are tried.
const THREADS: [usize; 3] = [1, 2, 3];
/// Work, in multiply-accumulates and bytes, above which a case is not run again and again.
const MOST_WORK: u64 = 1 << 20;

/// A row that passed its check, and what it answered.
pub(crate) struct Passed<'a, O: Op> {
    pub(crate) kernel: &'static dyn Kernel<O>,
    pub(crate) case: &'a Case,
    pub(crate) problem: &'a O::Problem,
    pub(crate) outputs: &'a Outputs,
    pub(crate) agreement: &'a Agreement,
}

/// The first difference between two answers, bit by bit; a NaN is like another. Where `beginning`
/// is set, `other` may end before `this`.
fn difference(this: &Outputs, other: &Outputs, beginning: bool) -> Option<String> {
    if this.0.len() != other.0.len() {
        return Some(format!("{} outputs, then {}", this.0.len(), other.0.len()));
    }
    for (name, other) in &other.0 {
        let Some(this) = this.get(name) else { return Some(format!("no output `{name}`")) };
        let (a, b) = (this.len(), other.len());
        if this.type_name() != other.type_name() || a < b || (a > b && !beginning) {
            return Some(format!("`{name}` has {a} values, then {b}"));
        }
        let same = |i: &usize| this.bits(*i) == other.bits(*i) || nan(this, *i) && nan(other, *i);
        if let Some(at) = (0..b).find(|i| !same(i)) {
            return Some(format!("`{name}`[{at}] is {}, then {}", this.get(at), other.get(at)));
        }
    }
    None
}

fn nan(tensor: &Tensor, i: usize) -> bool {
    tensor.get(i).is_nan()
}

fn launch(prepared: &mut dyn Prepared) -> Result<Outputs, Failure> {
    prepared.launch()?;
    prepared.sync()?;
    prepared.read()
}

impl<O: Op> Passed<'_, O> {
    /// Whether the case is small enough to be run again and again.
    fn small(&self) -> bool {
        let work = (O::SPEC.work)(self.case);
        work.macs.saturating_add(work.bytes_read).saturating_add(work.bytes_written) <= MOST_WORK
    }

    /// Put the row's declaration to the test; the error says what was not so.
    pub(crate) fn verify(
        &self,
        prepared: &mut dyn Prepared,
        bench: &mut Bench,
    ) -> Result<(), Failure> {
        let Determinism { runs, threads, batch, backend } = self.kernel.determinism();
        if backend && self.agreement.max_abs_error > 0.0 {
            let off = self.agreement.max_abs_error;
            return Err(broken("the reference's bits", format!("an answer is {off} off")));
        }
        if runs {
            prepared.forget()?;
            self.again(prepared)?;
        }
        if !self.small() {
            return Ok(());
        }
        if threads && self.kernel.threads() == Threads::Pool {
            let own = bench.pool.threads();
            for count in THREADS.into_iter().filter(|count| *count != own) {
                let pool = bench.other_pool(count)?;
                let outputs = self.on(pool, self.problem, bench)?;
                self.compare(&format!("on {count} threads"), &outputs, false)?;
            }
        }
        if let Some(fewer) = O::fewer(self.case).filter(|_| batch) {
            self.batch(&fewer, bench)?;
        }
        // Others have run since, which may share with this one what they must not; and the last
        // launch finds what the one before it has written.
        if runs {
            prepared.forget()?;
            self.again(prepared)?;
            self.again(prepared)?;
        }
        Ok(())
    }

    /// Launch once more.
    fn again(&self, prepared: &mut dyn Prepared) -> Result<(), Failure> {
        if prepared.in_place() {
            prepared.reset()?;
        }
        self.compare("run to run", &launch(prepared)?, false)
    }

    fn batch(&self, fewer: &Case, bench: &Bench) -> Result<(), Failure> {
        let problem = O::generate(fewer, bench.files)?;
        if self.kernel.accepts(&problem).is_err() {
            return Ok(());
        }
        let outputs = self.on(bench.pool.clone(), &problem, bench)?;
        self.compare("for any batch", &outputs, true)
    }

    fn on(&self, pool: Pool, problem: &O::Problem, bench: &Bench) -> Result<Outputs, Failure> {
        let mut context = Context::new(pool, bench.hardware.clone(), Poison::Sevens);
        let outputs = launch(&mut *self.kernel.prepare(problem, &mut context)?)?;
        context.check_guards()?;
        Ok(outputs)
    }

    fn compare(&self, what: &str, other: &Outputs, beginning: bool) -> Result<(), Failure> {
        match difference(self.outputs, other, beginning) {
            Some(why) => Err(broken(&format!("the same bits {what}"), why)),
            None => Ok(()),
        }
    }
}

fn broken(declared: &str, why: String) -> Failure {
    Failure(format!("the row declares {declared}, but {why}"))
}
