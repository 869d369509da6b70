//! A kernel on a thread of this process: its panics are caught, its silence is noticed.
use super::cases::Sources;
use crate::bench::Bench;
use crate::child::Lost;
use crate::driver::{Driver, Task};
use crate::engine::blank;
use crate::memory::Counting;
use crate::plan::{Job, Settings};
use crate::protocol::{Depth, Reply};
use lowbit_kernels::hardware::Hardware;
use lowbit_kernels::pool::Pool;
use lowbit_reference::case::Case;
use lowbit_reports::record::{Record, Verdict};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// Threads of the kernel: a number that divides few sizes.
const THREADS: usize = 3;

/// Counts nothing: it is not the process's allocator.
static HEAP: Counting = Counting::new();

/// A thread that takes cases and answers each: with a record, or with nothing where the case cannot
/// be built.
pub(super) struct Thread {
    cases: Sender<(Case, Depth)>,
    answers: Receiver<Option<Box<Record>>>,
}

impl Thread {
    /// `expendable`: whether a stray access may end the process.
    pub(super) fn start(
        driver: &'static dyn Driver,
        row: &'static str,
        expendable: bool,
    ) -> Thread {
        let (cases, requests) = channel();
        let (sender, answers) = channel();
        std::thread::spawn(move || {
            let Ok(pool) = Pool::with_this_thread(THREADS) else { return };
            let mut bench = Bench::new(pool, Hardware::detect(), &Sources, &HEAP);
            bench.expendable = expendable;
            for (case, depth) in requests {
                let run = AssertUnwindSafe(|| run(driver, row, (&case, &depth), &mut bench));
                let answer = catch_unwind(run).unwrap_or_else(|payload| {
                    let why = format!("panicked: {}", message(&*payload));
                    Some(Box::new(crashed(&case, row, &why)))
                });
                if sender.send(answer).is_err() {
                    break;
                }
            }
        });
        Thread { cases, answers }
    }

    /// The answer to a case, waited for no longer than `limit`. After an error the thread is of no
    /// more use.
    pub(super) fn ask(
        &self,
        (case, depth): (&Case, &Depth),
        limit: Duration,
    ) -> Result<Option<Box<Record>>, Lost> {
        // A thread that is gone is noticed when its answer is awaited.
        let _ = self.cases.send((case.clone(), depth.clone()));
        self.answers.recv_timeout(limit).map_err(|silence| match silence {
            RecvTimeoutError::Timeout => Lost::Silent(limit),
            RecvTimeoutError::Disconnected => Lost::Died("its thread is gone".into()),
        })
    }
}

/// The record of a row that died or hung on a case.
pub(super) fn crashed(case: &Case, row: &str, why: &str) -> Record {
    let job = Job { sweep: Arc::new(Settings::default()), case: case.clone(), rows: Vec::new() };
    blank(&job, row, Verdict::Crashed, why)
}

fn run(
    driver: &dyn Driver,
    row: &str,
    (case, depth): (&Case, &Depth),
    bench: &mut Bench,
) -> Option<Box<Record>> {
    let mut record = None;
    let mut answer = |reply| {
        if let Reply::Record(answered) = reply {
            record = Some(answered);
        }
    };
    driver.run(&Task { case, rows: &[row.to_owned()], depth }, bench, &mut answer).ok()?;
    record
}

fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("without a message").into()
}
