//! Children that share the cases of a check, as many as there are processors for them.
//!
//! Cases are handed out in their order, and no more once one fails; those that were handed out
//! before are answered. So the first that fails is the same for any number of children, unless the
//! kernel keeps something from case to case or is silent now and then.
use super::apart::Again;
use super::runner::Runner;
use crate::driver::Driver;
use crate::machine;
use crate::protocol::Depth;
use lowbit_reference::case::Case;
use lowbit_reports::record::Record;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Most children: tests run beside each other, each with children of its own.
const MOST: usize = 4;

/// A case, and how much is asked on it.
pub(super) type Asked = (Case, Depth);

/// At least one runner.
pub(super) struct Crew {
    first: Runner,
    others: Vec<Runner>,
}

impl Crew {
    pub(super) fn new(
        driver: &'static dyn Driver,
        row: &'static str,
        again: Option<Again>,
    ) -> Crew {
        let mut first = Runner::new(driver, row, again.clone());
        // On threads of one process, kernels would share what they keep: only children help. All
        // start at once, since each runs what the test does before the check.
        let most = if first.apart() { machine::cores().min(MOST) - 1 } else { 0 };
        let mut others: Vec<Runner> =
            (0..most).map(|_| Runner::new(driver, row, again.clone())).collect();
        std::thread::scope(|scope| {
            others.iter_mut().for_each(|other| drop(scope.spawn(|| other.apart())));
        });
        others.retain_mut(Runner::apart);
        Crew { others, first }
    }

    /// One of them, for cases that are tried one after the other.
    pub(super) fn first(&mut self) -> &mut Runner {
        &mut self.first
    }

    /// The answers to all cases, or up to the first that `ends`; nothing for one that cannot be
    /// built.
    pub(super) fn answers(
        &mut self,
        asked: &[Asked],
        ends: impl Fn(&Record) -> bool + Sync,
    ) -> Vec<Option<Record>> {
        let left = Mutex::new(asked.iter().enumerate());
        let answers = Mutex::new(BTreeMap::new());
        let work = |runner: &mut Runner| {
            loop {
                let next = left.lock().unwrap_or_else(PoisonError::into_inner).next();
                let Some((i, (case, depth))) = next else { break };
                let record = runner.asked(case, depth);
                if record.as_ref().is_none_or(&ends) {
                    *left.lock().unwrap_or_else(PoisonError::into_inner) = [].iter().enumerate();
                }
                answers.lock().unwrap_or_else(PoisonError::into_inner).insert(i, record);
            }
        };
        std::thread::scope(|scope| {
            let others = self.others.iter_mut();
            others.for_each(|runner| drop(scope.spawn(|| work(runner))));
            work(&mut self.first);
        });
        answers.into_inner().unwrap_or_else(PoisonError::into_inner).into_values().collect()
    }
}
