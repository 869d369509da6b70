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
        let found = Found::new(case.clone(), subject.record(case)?)?;
        (found.fault == self.fault).then_some(found)
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
    /// Whether every step from it was tried, and none fails in the same way.
    pub minimal: bool,
}

/// Walk the steps from a failing case to the end, or as far as the budget lasts.
pub fn shrink(found: Found, subject: &mut dyn Subject, budget: &mut Budget) -> Smallest {
    let mut tree = CaseTree::new(found.case.clone());
    let mut best = found;
    let mut more = tree.simplify();
    while more {
        if budget.spent() || subject.exhausted() {
            return Smallest { found: best, minimal: false };
        }
        budget.trials += 1;
        more = match best.again(&tree.current(), subject) {
            Some(smaller) => {
                best = smaller;
                tree.simplify()
            }
            None => tree.complicate(),
        };
    }
    Smallest { found: best, minimal: true }
}
