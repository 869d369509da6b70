//! Cases for `proptest`: drawn from a suite's axes, made smaller by the steps of `steps.rs`.
//!
//! [`CaseTree`] is the one loop there is. A caller says of each case whether it still fails; whoever
//! walks it to its end has a case that no single step makes smaller and still fails.
use super::steps;
use lowbit_reference::case::Case;
use lowbit_scenarios::{Dice, Scenario};
use proptest::strategy::{NewTree, Strategy, ValueTree};
use proptest::test_runner::{Reason, TestRunner};
use std::collections::HashSet;

/// A case that fails, and the steps from it that were not tried yet.
#[derive(Clone, Debug)]
pub struct CaseTree {
    /// The smallest case that failed.
    best: Case,
    /// What is tried now.
    current: Case,
    group: usize,
    /// Groups in a row of which no step failed.
    idle: usize,
    left: std::vec::IntoIter<Case>,
    tried: HashSet<String>,
}

impl CaseTree {
    /// Begin with a case.
    pub fn new(case: Case) -> CaseTree {
        CaseTree {
            tried: HashSet::from([case.to_string()]),
            left: Vec::new().into_iter(),
            group: 0,
            idle: 0,
            current: case.clone(),
            best: case,
        }
    }

    /// The next step from the best case; `false` when there is none: then the best one is current.
    fn next(&mut self) -> bool {
        loop {
            if let Some(step) = self.left.next() {
                if self.tried.insert(step.to_string()) {
                    self.current = step;
                    return true;
                }
                continue;
            }
            if self.idle == steps::groups(&self.best) {
                self.current = self.best.clone();
                return false;
            }
            self.left = steps::of_group(&self.best, self.group).into_iter();
            self.group = (self.group + 1) % steps::groups(&self.best);
            self.idle += 1;
        }
    }
}

impl ValueTree for CaseTree {
    type Value = Case;

    fn current(&self) -> Case {
        self.current.clone()
    }

    /// The current case fails: go on from it, with the same parameter first.
    fn simplify(&mut self) -> bool {
        let groups = steps::groups(&self.best);
        if self.current != self.best {
            self.best = self.current.clone();
            self.group = (self.group + groups - 1) % groups;
            (self.idle, self.left) = (0, Vec::new().into_iter());
        }
        self.next()
    }

    /// The current case does not fail: back to the best one, and another step from there.
    fn complicate(&mut self) -> bool {
        self.next()
    }
}

/// Random cases of some sweeps of a suite.
#[derive(Clone, Debug)]
pub struct Cases<'a> {
    /// The suite.
    pub scenario: &'a Scenario,
    /// Positions of the sweeps to draw from; not empty.
    pub sweeps: Vec<usize>,
}

/// Draws before a strategy gives up: many make no case.
const DRAWS: usize = 1000;

impl Strategy for Cases<'_> {
    type Tree = CaseTree;
    type Value = Case;

    fn new_tree(&self, runner: &mut TestRunner) -> NewTree<Self> {
        let mut dice = Dice::new(proptest::num::u64::ANY.new_tree(runner)?.current());
        for _ in 0..DRAWS {
            let sweep = self.sweeps[dice.below(self.sweeps.len())];
            match self.scenario.draw(sweep, &mut dice) {
                Ok(Some(case)) => return Ok(CaseTree::new(case)),
                Ok(None) => {}
                Err(error) => return Err(Reason::from(error.to_string())),
            }
        }
        Err(Reason::from(format!("no case in {DRAWS} draws")))
    }
}
