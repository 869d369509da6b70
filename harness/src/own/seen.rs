//! What a kernel declared and how far its check went: a check of next to nothing, or under bounds
//! that admit anything, is to be seen at a glance.
use crate::determinism;
use lowbit_kernels::Determinism;
use lowbit_reference::case::{Case, Value};
use lowbit_reference::op::Arithmetic;
use lowbit_reports::record::{Record, Verdict};
use lowbit_reports::units::count;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Declarations of a kernel, and the extent of its check.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    /// How it says that it computes, each way once: its bounds follow from that.
    pub arithmetic: Vec<Arithmetic>,
    /// What it says to be the same bit for bit.
    pub determinism: Option<Determinism>,
    /// Its largest error over the bound of that element.
    pub error_over_bound: f64,
    /// The largest of each size among the cases that it accepted.
    pub sizes: BTreeMap<&'static str, u64>,
    /// Multiply-accumulates and bytes of the largest of these cases.
    pub work: u64,
    /// Thread counts that it was tried on, beside that of the check.
    pub threads: BTreeSet<usize>,
    /// Why it did not accept cases, and how many of them. A format that never ran stands here.
    pub outside: BTreeMap<String, usize>,
}

/// Most reasons that are printed.
const REASONS: usize = 4;

impl Seen {
    /// Take a case and its record into account.
    pub(super) fn add(&mut self, case: &Case, record: &Record) {
        if record.verdict == Verdict::Skipped {
            *self.outside.entry(record.reason.clone()).or_default() += 1;
        }
        if record.verdict != Verdict::Passed {
            return;
        }
        let error = record.agreement.as_ref().map_or(0.0, |seen| seen.error_over_bound);
        self.error_over_bound = self.error_over_bound.max(error);
        for (key, value) in case.parameters().filter(|(key, _)| *key != "seed") {
            if let Value::Number(number) = value {
                let most = self.sizes.entry(key).or_default();
                *most = (*most).max(*number);
            }
        }
        self.work = self.work.max(determinism::work(case));
    }

    /// Take into account that its claims held on a case, and the arithmetic that it declared there.
    pub(super) fn claims(&mut self, case: &Case, arithmetic: Option<Arithmetic>) {
        if let Some(new) = arithmetic.filter(|new| !self.arithmetic.contains(new)) {
            self.arithmetic.push(new);
        }
        self.threads.extend(determinism::thread_counts(case));
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |items: Vec<String>| match items.is_empty() {
            true => "none".to_owned(),
            false => items.join(", "),
        };
        let arithmetic = self.arithmetic.iter().map(ToString::to_string).collect::<Vec<_>>();
        let same = self.determinism.map_or_else(String::new, |same| same.to_string());
        let sizes = self.sizes.iter().map(|(key, most)| format!("{key} {most}")).collect();
        writeln!(f, "  declares  {}; the same bits: {same}", arithmetic.join(" or "))?;
        writeln!(f, "  error     at most {:.3} of its bound", self.error_over_bound)?;
        writeln!(f, "  largest   {}; {} operations and bytes", list(sizes), self.work)?;
        write!(f, "  threads   {}", list(self.threads.iter().map(ToString::to_string).collect()))?;
        let mut reasons: Vec<(&String, usize)> =
            self.outside.iter().map(|(why, cases)| (why, *cases)).collect();
        reasons.sort_by_key(|(_, cases)| std::cmp::Reverse(*cases));
        for (why, cases) in reasons.iter().take(REASONS) {
            write!(f, "\n  outside   {}: {why}", count(*cases, "case"))?;
        }
        match reasons.len().saturating_sub(REASONS) {
            0 => Ok(()),
            more => write!(f, "\n  outside   {} more", count(more, "reason")),
        }
    }
}
