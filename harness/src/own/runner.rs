//! A kernel under check, wherever it runs: in a child, or else on a thread; and how long an answer may take.
use super::apart::{self, Again};
use super::cases::Sources;
use super::process::{Thread, crashed};
use super::stretch::work;
use crate::child::{Lost, Worker};
use crate::driver::Driver;
use crate::protocol::Depth;
use crate::shrink::{Fault, Found, Subject};
use lowbit_reference::case::Case;
use lowbit_reference::data::{Files, Matrix, Stream};
use lowbit_reports::record::{Record, Verdict};
use std::time::Duration;

/// Longest silence, in seconds: that of the first cases, and of kernels that are slow.
const MOST_SILENCE: f64 = 5.0;
/// Operations and bytes from which a case may take as many times as long.
const FAMILIAR_WORK: u64 = 1 << 22;
/// Answers before silence is noticed sooner.
const FIRST: usize = 3;
/// Shortest silence while cases are looked for.
const LOOKING: f64 = 2.0;
/// The same while a case is made smaller that fails otherwise.
const SHRINKING: f64 = 0.5;
/// The same where it is silence that is made smaller, and for the smallest case alone.
const SILENT: f64 = 0.2;
const SILENT_ALONE: f64 = 1.0;
/// How many times an honest answer's time is silence.
const PATIENCE: f64 = 20.0;
/// Threads that hang before no more cases are tried: they cannot be ended.
const MOST_HANGING: usize = 16;
/// Attempts to start a child, once one has started.
const STARTS: usize = 3;

enum Place {
    Child(Worker),
    Thread(Thread),
}

/// Files where cases find them, and what is told of them.
struct Rooted<'a>(&'a dyn Files);

impl Files for Rooted<'_> {
    fn matrix(&self, path: &str, tensor: &str) -> Result<Matrix, String> {
        Sources.matrix(path, tensor)
    }

    fn keep(&self, stream: Stream, values: &[f32], row_len: usize) {
        self.0.keep(stream, values, row_len);
    }
}

/// A kernel, the only row of its driver.
pub(super) struct Runner {
    driver: &'static dyn Driver,
    row: &'static str,
    /// How a child is started; nothing where none can be.
    again: Option<Again>,
    place: Option<Place>,
    /// Children that were started.
    children: usize,
    hanging: usize,
    /// Work and seconds of each honest answer.
    honest: Vec<(u64, f64)>,
    /// What is made smaller.
    shrinking: Option<Fault>,
    /// What is asked of a step.
    depth: Depth,
    alone: bool,
    /// Whether a stray access may end this process, where there is no child.
    expendable: bool,
}

impl Runner {
    pub(super) fn new(
        driver: &'static dyn Driver,
        row: &'static str,
        again: Option<Again>,
    ) -> Runner {
        Runner {
            driver,
            row,
            again,
            place: None,
            children: 0,
            hanging: 0,
            honest: Vec::new(),
            shrinking: None,
            depth: Depth::Claims,
            alone: false,
            expendable: false,
        }
    }

    /// In this process, and at the risk of it.
    pub(super) fn here(driver: &'static dyn Driver, row: &'static str) -> Runner {
        Runner { expendable: true, ..Runner::new(driver, row, None) }
    }

    /// Whether it runs in a child; one is started.
    pub(super) fn apart(&mut self) -> bool {
        self.place = self.place();
        matches!(self.place, Some(Place::Child(_)))
    }

    /// From now on this case is made smaller. Where one answer shows that it is wrong, no more is
    /// asked of a step: what else is declared takes a dozen launches to verify.
    pub(super) fn shrinking(&mut self, found: &Found) {
        self.shrinking = Some(found.fault);
        let wrong = |record: Record| Fault::of(&record) == Some(Fault::Wrong);
        let shows = found.fault == Fault::Wrong
            && self.asked(&found.case, &Depth::Answer).is_some_and(wrong);
        self.depth = if shows { Depth::Answer } else { Depth::Claims };
    }

    /// Seconds of silence after which a case is taken to hang.
    fn limit(&self, case: &Case) -> f64 {
        let slowest = self.honest.iter().fold(0.0, |slowest: f64, (_, s)| slowest.max(*s));
        let (usual, least) = match self.shrinking {
            Some(Fault::Silent) if self.alone => (self.usual(case), SILENT_ALONE),
            Some(Fault::Silent) => (self.usual(case), SILENT),
            Some(_) if !self.alone => (slowest, SHRINKING),
            _ if self.honest.len() < FIRST => (MOST_SILENCE, MOST_SILENCE),
            _ => (slowest, LOOKING),
        };
        // Our side of a case is in it, too: drawing, the reference, judging.
        let more = 1.0 + (work(case) / FAMILIAR_WORK) as f64;
        more * (PATIENCE * usual).clamp(least, MOST_SILENCE)
    }

    /// Median seconds of honest answers to cases of no more work than this one.
    fn usual(&self, case: &Case) -> f64 {
        let most = work(case);
        let small = self.honest.iter().filter(|(work, _)| *work <= most);
        let mut seconds: Vec<f64> = small.map(|(_, seconds)| *seconds).collect();
        seconds.sort_by(f64::total_cmp);
        seconds.get(seconds.len() / 2).copied().unwrap_or(0.0)
    }

    /// Where the next case runs; nothing if children, who could be started once, cannot any more.
    fn place(&mut self) -> Option<Place> {
        if let Some(place) = self.place.take() {
            return Some(place);
        }
        for _ in 0..STARTS {
            let Some(again) = &self.again else { break };
            if let Some(child) = again.start() {
                self.children += 1;
                return Some(Place::Child(child));
            }
            if self.children == 0 {
                self.again = None;
            }
        }
        let thread = || Thread::start(self.driver, self.row, self.expendable);
        self.again.is_none().then(|| Place::Thread(thread()))
    }
}

impl Runner {
    /// What the kernel answers to a case; nothing where it cannot be built.
    pub(super) fn asked(&mut self, case: &Case, depth: &Depth) -> Option<Record> {
        let mut place = self.place()?;
        let limit = Duration::from_secs_f64(self.limit(case));
        let begun = crate::measure::now();
        let answer = match &mut place {
            Place::Child(child) => apart::ask(child, (case, depth), self.row, limit),
            Place::Thread(thread) => thread.ask((case, depth), limit),
        };
        match answer {
            Ok(record) => {
                self.place = Some(place);
                let record = *record?;
                if record.verdict != Verdict::Skipped {
                    let seconds = begun.elapsed().as_secs_f64();
                    self.honest.push((work(case), seconds));
                }
                Some(record)
            }
            Err(lost) => {
                let why = match (&lost, place) {
                    // It cannot be killed.
                    (Lost::Silent(_), Place::Thread(_)) => {
                        self.hanging += 1;
                        format!("no answer within {} s", limit.as_secs_f64())
                    }
                    _ => lost.sentence(),
                };
                Some(crashed(case, self.row, &why))
            }
        }
    }
}

impl Subject for Runner {
    fn record(&mut self, case: &Case) -> Option<Record> {
        self.asked(case, &self.depth.clone())
    }

    fn alone(&mut self, case: &Case) -> Option<Record> {
        (self.place, self.alone) = (None, true);
        let record = self.record(case);
        self.alone = false;
        record
    }

    fn generate(&self, case: &Case, files: &dyn Files) -> Result<(), String> {
        self.driver.generate(case, &Rooted(files))
    }

    fn exhausted(&self) -> bool {
        self.hanging >= MOST_HANGING
    }
}
