//! Making a failing case small: its parameters first, then its data.
//!
//! A step is kept when the row still fails in the same way ([`Fault`]). The loop ends when no single
//! step does, or when time is up, and says which. Rows run where a [`Subject`] runs them: in a
//! worker, whose death costs one trial, or on a thread of a test.
pub(crate) mod data;
mod kind;
mod small;
mod steps;
pub(crate) mod subject;
mod tree;
use crate::measure::now;
pub use kind::Fault;
use lowbit_reference::case::Case;
use lowbit_reports::record::Record;
use proptest::strategy::ValueTree;
pub use small::Small;
use std::time::{Duration, Instant};
pub use steps::steps;
pub use subject::Subject;
pub use tree::{CaseTree, Cases};

/// A case that fails, and what its row answered.
#[derive(Clone, Debug)]
pub struct Found {
    /// The case.
    pub case: Case,
    /// The record that says what is wrong.
    pub record: Record,
    /// In which way.
    pub fault: Fault,
}

impl Found {
    /// What a record says of a case, if it says that the row is at fault.
    pub fn new(case: Case, record: Record) -> Option<Found> {
        let fault = Fault::of(&record)?;
        Some(Found { case, record, fault })
    }

    /// Run the row on another case: what fails in the same way.
    fn again(&self, case: &Case, subject: &mut dyn Subject) -> Option<Found> {
        self.like(case, subject.record(case)?)
    }

    fn like(&self, case: &Case, record: Record) -> Option<Found> {
        Found::new(case.clone(), record).filter(|found| found.fault == self.fault)
    }

    /// Whether a row that is gone or silent has failed: once is enough to know it.
    fn ends(&self) -> bool {
        [Fault::Died, Fault::Silent].contains(&self.fault)
    }

    /// The case in new processes.
    fn alone(&self, subject: &mut dyn Subject) -> Alone {
        let runs = if self.ends() { 1 } else { ALONE };
        let mut fails = || {
            let record = subject.alone(&self.case);
            record.and_then(|record| self.like(&self.case, record)).is_some()
        };
        if fails() {
            return if (1..runs).all(|_| fails()) { Alone::Fails } else { Alone::Sometimes };
        }
        if (1..ALONE).any(|_| fails()) { Alone::Sometimes } else { Alone::Passes }
    }
}

/// The clock of one shrinking, and what it has cost.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    begun: Instant,
    limit: Duration,
    /// Trials so far.
    pub trials: usize,
}

impl Budget {
    /// Begin now.
    pub fn new(limit: Duration) -> Budget {
        Budget { begun: now(), limit, trials: 0 }
    }

    /// Whether there is no time for another trial.
    pub fn spent(&self) -> bool {
        self.seconds() >= self.limit.as_secs_f64()
    }

    /// Seconds since the beginning.
    pub fn seconds(&self) -> f64 {
        self.begun.elapsed().as_secs_f64()
    }
}

/// The smallest case that was found, and whether it is a local minimum.
#[derive(Clone, Debug)]
pub struct Smallest {
    /// The case and what is wrong.
    pub found: Found,
    /// Whether every step from it was tried, none fails in the same way, and it fails alone.
    pub minimal: bool,
    /// Whether it fails where no other case was run before.
    pub alone: Alone,
}

/// What a failing case does in a new process or thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alone {
    /// It fails again.
    Fails,
    /// It fails, but not each time.
    Sometimes,
    /// It passes: what fails is the row that has run other cases before.
    Passes,
    /// Time was up before it could be run.
    Untried,
}

/// Runs of a case alone before it is taken to pass, or to fail each time.
const ALONE: usize = 3;
/// Runs of a failing case that show whether it fails each time.
const AGAIN: usize = 3;
/// Runs of a step before it is taken to pass, where cases fail only sometimes.
const SOMETIMES: usize = 5;

/// Walk the steps from a failing case to the end, or as far as the budget lasts.
pub fn shrink(found: Found, subject: &mut dyn Subject, budget: &mut Budget) -> Smallest {
    let mut tree = CaseTree::new(found.case.clone());
    let each_time = found.ends() || (0..AGAIN).all(|_| found.again(&found.case, subject).is_some());
    let tries = if each_time { 1 } else { SOMETIMES };
    let mut best = found;
    let mut more = tree.simplify();
    while more && !budget.spent() && !subject.exhausted() {
        budget.trials += 1;
        more = match (0..tries).find_map(|_| best.again(&tree.current(), subject)) {
            Some(smaller) => {
                best = smaller;
                tree.simplify()
            }
            None => tree.complicate(),
        };
    }
    let alone = if subject.exhausted() { Alone::Untried } else { best.alone(subject) };
    Smallest { minimal: !more && alone == Alone::Fails, found: best, alone }
}
