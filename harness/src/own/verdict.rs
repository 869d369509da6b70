//! What [`check_kernel`](super::check_kernel) answers: a report, or a refusal to read.
use super::Seen;
use crate::driver::Driver;
use crate::shrink::{Fault, Small};
use lowbit_reference::case::Case;
use lowbit_reports::units::count;
use std::fmt;
use std::path::PathBuf;

/// What an accepted kernel has been through.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Its op.
    pub op: &'static str,
    /// Its name.
    pub kernel: &'static str,
    /// Cases of the suite and regressions that it accepted, all of them answered rightly.
    pub suite: usize,
    /// The same of random cases.
    pub random: usize,
    /// Cases that it did not accept.
    pub refused: usize,
    /// Seconds.
    pub seconds: f64,
    /// Whether time was up before it had been tried on everything.
    pub cut_short: bool,
    /// What it declares, and how far the check went.
    pub seen: Seen,
}

impl Report {
    pub(super) fn new(driver: &dyn Driver, kernel: &'static str) -> Report {
        let row = driver.rows().into_iter().find(|row| row.name == kernel);
        let seen = Seen { determinism: row.map(|row| row.determinism), ..Seen::default() };
        let op = driver.spec().name;
        Report { op, kernel, suite: 0, random: 0, refused: 0, seconds: 0.0, cut_short: false, seen }
    }

    /// Cases that it accepted.
    pub fn accepted(&self) -> usize {
        self.suite + self.random
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (suite, random) = (count(self.suite, "case"), count(self.random, "random case"));
        let Report { op, kernel, refused, seconds, .. } = self;
        write!(
            f,
            "{kernel} of {op}: right on {suite} of the suite and {random} in {seconds:.1} s; "
        )?;
        writeln!(f, "{} outside its contract", count(*refused, "case"))?;
        if self.cut_short {
            writeln!(f, "  time was up: larger sizes, or random cases, were not tried")?;
        }
        write!(f, "{}", self.seen)
    }
}

/// Why a kernel is refused.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Why {
    /// It failed on a case.
    Failed(Box<Small>),
    /// It accepts no case; the reason it gave last.
    AcceptsNothing(String),
    /// The hardware it needs is not here: nothing is known of it.
    Hardware(String),
    /// A suite or a regression cannot be read.
    Suite(String),
}

/// A kernel that is not accepted. `Display` is a page for its author.
#[derive(Clone)]
pub struct Refused(Box<(Report, Why)>);

impl Refused {
    pub(super) fn new(report: Report, why: Why) -> Refused {
        Refused(Box::new((report, why)))
    }

    /// Why.
    pub fn why(&self) -> &Why {
        &self.0.1
    }

    /// How far it came.
    pub fn report(&self) -> &Report {
        &self.0.0
    }

    fn small(&self) -> Option<&Small> {
        match self.why() {
            Why::Failed(small) => Some(&**small),
            _ => None,
        }
    }

    /// The first case it failed on.
    pub fn found(&self) -> Option<&Case> {
        self.small().map(|small| &small.found.case)
    }

    /// The smallest case it fails on in the same way.
    pub fn smallest(&self) -> Option<&Case> {
        self.small().map(|small| &small.smallest.found.case)
    }

    /// Whether no single step makes the smallest case smaller; `false` when time was up, and where
    /// it does not fail each time it is run alone.
    pub fn minimal(&self) -> bool {
        self.small().is_some_and(|small| small.smallest.minimal)
    }

    /// In which way it fails.
    pub fn fault(&self) -> Option<Fault> {
        self.small().map(|small| small.smallest.found.fault)
    }

    /// The command that shows the failure again, with the kernel as a row of a binary.
    pub fn command(&self) -> Option<String> {
        self.small().map(Small::command)
    }

    /// The scenario file of the failure, and that of its data.
    pub fn files(&self) -> &[PathBuf] {
        self.small().map_or(&[], |small| &small.files)
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { op, kernel, .. } = self.report();
        match self.why() {
            Why::Failed(small) => {
                write!(f, "{small}")?;
                let case = small.smallest.found.case.to_string();
                writeln!(f, "  in a test fault_on(&MyKernel, &{case:?}.parse()?)")?;
                writeln!(
                    f,
                    "  before    right on {}",
                    count(self.report().accepted().saturating_sub(1), "case")
                )?;
                writeln!(
                    f,
                    "The command takes a binary with this row (README, \"Your own kernel\")."
                )?;
                match self.files() {
                    [] => write!(f, "The scenario:\n{}", small.scenario()),
                    [scenario, ..] => write!(f, "The scenario is {}.", scenario.display()),
                }
            }
            Why::AcceptsNothing(why) => {
                let tried = count(self.report().refused, "case");
                write!(f, "{kernel} of {op}: accepts none of {tried}; its last reason: {why}")
            }
            Why::Hardware(why) => write!(f, "{kernel} of {op}: cannot be checked here: {why}"),
            Why::Suite(why) => write!(f, "{kernel} of {op}: cannot be checked: {why}"),
        }
    }
}

impl fmt::Debug for Refused {
    /// The page: what `unwrap` prints.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl std::error::Error for Refused {}
