//! Exit codes: what a run as a whole amounts to.
use lowbit_reports::coverage::coverage;
use lowbit_reports::record::{Record, SkipKind, Verdict};
use std::collections::{BTreeMap, BTreeSet};

/// What the process answers its caller. When several hold, the first of 8, 4, 7, 5, 3 counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Everything asked for holds.
    Ok = 0,
    /// Bad command line or scenario.
    Usage = 2,
    /// A row answered wrongly.
    Correctness = 4,
    /// An enforced limit on quality or memory was broken.
    Quality = 5,
    /// A goal was missed, and goals were to be enforced.
    Speed = 3,
    /// A check proved nothing: mistrusted, or a row of ours that accepted none of its cases, or was not
    /// shown every code where its suite claims it.
    Coverage = 7,
    /// A worker died or was silent, a file or required hardware is missing.
    Infrastructure = 8,
    /// No row ran at all.
    Nothing = 9,
}

impl Exit {
    /// Every code with its meaning, for `--help` and the documents.
    pub const MEANINGS: &'static str = "\
Exit codes: 0 ok; 2 bad command line or scenario; 4 a row answered wrongly; 5 an enforced limit \
on quality or memory is broken; 3 a goal was missed under --enforce-goals; 7 a check proved nothing (mistrusted, a row that is no peer and accepted none \
of a suite's cases, or codes that none of them holds where the suite claims them); 8 a worker died or hung, a device did not run a row, or a tensor file or required hardware is missing; 9 nothing ran. \
When several hold, the first of 8, 4, 7, 5, 3. (6 is kept for speed gates without a verdict.)";
}

/// Rows of ours, as op and name, that a suite asked to run on machines that could, and that accepted
/// none of its cases. A case asked for by its id (`--case`, no sweep) may be outside a row's contract.
pub fn never_ran(records: &[Record]) -> Vec<(String, String)> {
    let mut rows: BTreeMap<(&str, &str), bool> = BTreeMap::new();
    let excused = [Some(SkipKind::Hardware), Some(SkipKind::Peer)];
    let asked = |r: &&Record| !excused.contains(&r.skip) && !r.sweep.is_empty();
    for record in records.iter().filter(asked) {
        *rows.entry((&record.op, &record.kernel)).or_default() |=
            record.verdict != Verdict::Skipped;
    }
    let never = rows.into_iter().filter(|(_, ran)| !ran);
    never.map(|((op, kernel), _)| (op.to_owned(), kernel.to_owned())).collect()
}

/// Rows that were not shown every code of a format, of the sweeps that claim they are.
pub fn codes_missing(records: &[Record], claimed: &BTreeSet<String>) -> bool {
    let rows = |r: &Record| claimed.contains(&r.sweep);
    let kept: BTreeSet<(&str, &str)> =
        records.iter().filter(|r| rows(r)).map(|r| (r.op.as_str(), r.kernel.as_str())).collect();
    coverage(records).iter().any(|c| kept.contains(&(c.op, c.kernel)) && !c.is_complete())
}

/// What the records amount to. `forgiven` holds the positions of records whose sweep only reports
/// wrong answers.
pub fn judge(records: &[Record], forgiven: &BTreeSet<usize>) -> Exit {
    let any = |verdict: Verdict| records.iter().any(|r| r.verdict == verdict);
    let ran = records.iter().any(|r| r.verdict != Verdict::Skipped);
    let wrong = |(i, r): (usize, &Record)| r.verdict == Verdict::Failed && !forgiven.contains(&i);
    let wrong = records.iter().enumerate().any(wrong);
    let broken = records.iter().flat_map(|r| &r.violations).any(|v| v.enforced);
    if any(Verdict::Crashed) || any(Verdict::Errored) {
        Exit::Infrastructure
    } else if wrong {
        Exit::Correctness
    } else if !ran {
        Exit::Nothing
    } else if any(Verdict::Mistrusted) || !never_ran(records).is_empty() {
        Exit::Coverage
    } else if broken {
        Exit::Quality
    } else {
        Exit::Ok
    }
}
