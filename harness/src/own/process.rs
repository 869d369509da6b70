//! A kernel on a thread of this process: its panics are caught, its silence is noticed.
use super::cases::Sources;
use crate::bench::Bench;
use crate::driver::{Driver, Task};
use crate::engine::blank;
use crate::memory::Counting;
use crate::plan::{Job, Settings};
use crate::protocol::Reply;
use crate::shrink::Subject;
use lowbit_kernels::hardware::Hardware;
use lowbit_kernels::pool::Pool;
use lowbit_reference::case::Case;
use lowbit_reference::data::Files;
use lowbit_reports::record::{Record, Verdict};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// Threads of the kernel: a number that divides few sizes.
const THREADS: usize = 3;
/// Seconds after which a case is taken to hang.
const LIMIT: f64 = 5.0;
/// The same while a case is made smaller, unless honest answers took a twentieth of it.
const HURRIED_LIMIT: f64 = 0.3;
/// Threads that hang before no more cases are tried: they cannot be ended.
const MOST_HANGING: usize = 16;

/// Counts nothing: it is not the process's allocator.
static HEAP: Counting = Counting::new();

/// What came of a case.
enum Answer {
    Record(Option<Box<Record>>),
    Panicked(String),
}

struct Thread {
    cases: Sender<Case>,
    answers: Receiver<Answer>,
}

/// A kernel, the only row of its driver, and the thread it runs on.
pub(super) struct InProcess {
    driver: &'static dyn Driver,
    row: &'static str,
    hardware: Hardware,
    thread: Option<Thread>,
    hanging: usize,
    /// Seconds of the slowest answer so far.
    slowest: f64,
    limit: f64,
}

impl InProcess {
    pub(super) fn new(driver: &'static dyn Driver, row: &'static str) -> InProcess {
        let hardware = Hardware::detect();
        InProcess { driver, row, hardware, thread: None, hanging: 0, slowest: 0.0, limit: LIMIT }
    }

    /// From now on cases are small ones, and silence is noticed sooner.
    pub(super) fn hurry(&mut self) {
        self.limit = (20.0 * self.slowest).clamp(HURRIED_LIMIT, LIMIT);
    }

    fn thread(&mut self) -> &Thread {
        let (driver, row, hardware) = (self.driver, self.row, &self.hardware);
        self.thread.get_or_insert_with(|| start(driver, row, hardware.clone()))
    }

    fn crashed(&self, case: &Case, why: &str) -> Record {
        let job =
            Job { sweep: Arc::new(Settings::default()), case: case.clone(), rows: Vec::new() };
        blank(&job, self.row, Verdict::Crashed, why)
    }
}

impl Subject for InProcess {
    fn record(&mut self, case: &Case) -> Option<Record> {
        let limit = Duration::from_secs_f64(self.limit);
        let begun = crate::measure::now();
        let thread = self.thread();
        // A thread that is gone is noticed when its answer is awaited.
        let _ = thread.cases.send(case.clone());
        let answer = thread.answers.recv_timeout(limit);
        match answer {
            Ok(Answer::Record(record)) => {
                self.slowest = self.slowest.max(begun.elapsed().as_secs_f64());
                record.map(|record| *record)
            }
            Ok(Answer::Panicked(why)) => Some(self.crashed(case, &format!("panicked: {why}"))),
            Err(silence) => {
                self.thread = None;
                self.hanging += usize::from(silence == RecvTimeoutError::Timeout);
                let why = match silence {
                    RecvTimeoutError::Timeout => format!("no answer within {} s", self.limit),
                    RecvTimeoutError::Disconnected => "its thread is gone".into(),
                };
                Some(self.crashed(case, &why))
            }
        }
    }

    fn generate(&self, case: &Case, files: &dyn Files) -> Result<(), String> {
        self.driver.generate(case, files)
    }

    fn exhausted(&self) -> bool {
        self.hanging >= MOST_HANGING
    }
}

/// A thread that takes cases and answers each.
fn start(driver: &'static dyn Driver, row: &'static str, hardware: Hardware) -> Thread {
    let (cases, requests) = channel::<Case>();
    let (sender, answers) = channel();
    std::thread::spawn(move || {
        let Ok(pool) = Pool::with_this_thread(THREADS) else { return };
        let mut bench = Bench::new(pool, hardware, &Sources, &HEAP);
        let rows = [row.to_owned()];
        for case in requests {
            let task = Task { case: &case, rows: &rows, measure: None };
            let run = AssertUnwindSafe(|| run(driver, &task, &mut bench));
            let answer = match catch_unwind(run) {
                Ok(record) => Answer::Record(record),
                Err(payload) => Answer::Panicked(message(&*payload)),
            };
            if sender.send(answer).is_err() {
                break;
            }
        }
    });
    Thread { cases, answers }
}

fn run(driver: &dyn Driver, task: &Task<'_>, bench: &mut Bench) -> Option<Box<Record>> {
    let mut record = None;
    let mut answer = |reply| {
        if let Reply::Record(answered) = reply {
            record = Some(answered);
        }
    };
    driver.run(task, bench, &mut answer).ok()?;
    record
}

fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("without a message").into()
}
