//! Which codes a run has shown each row: what it never met it may answer wrongly.
use crate::label::distinct;
use crate::record::{Codes, Record, Verdict};
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// Rows and formats that are listed one by one.
const LINES: usize = 8;
/// Runs of missing codes that are listed.
const LISTED: usize = 6;

/// Codes of one operand or output that a row has been shown in all its cases.
#[derive(Clone, Debug, PartialEq)]
pub struct Coverage<'a> {
    /// The op.
    pub op: &'a str,
    /// The row.
    pub kernel: &'a str,
    /// Which operand or output.
    pub what: &'a str,
    /// Its format.
    pub format: &'a str,
    /// How many codes there are.
    pub wanted: usize,
    /// Codes never seen, ascending.
    pub missing: Vec<i16>,
    /// Whether a quantizer has never met a tie.
    pub no_tie: bool,
}

impl Coverage<'_> {
    /// Whether every code was seen, and a tie where there can be one.
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty() && !self.no_tie
    }
}

/// Passed cases of each row, format by format.
pub fn coverage(records: &[Record]) -> Vec<Coverage<'_>> {
    let passed = records.iter().filter(|r| r.verdict == Verdict::Passed);
    let seen: Vec<(&Record, &Codes)> = passed
        .filter_map(|r| Some((r, r.agreement.as_ref()?)))
        .flat_map(|(r, seen)| seen.codes.iter().map(move |codes| (r, codes)))
        .collect();
    let key = |(r, codes): &(&'_ Record, &'_ Codes)| {
        (r.op.clone(), r.kernel.clone(), codes.what.clone(), codes.format.clone())
    };
    let of = |wanted: (String, String, String, String)| {
        let own: Vec<_> = seen.iter().filter(|at| key(at) == wanted).collect();
        let (record, first) = own.first()?;
        let all = |runs: fn(&Codes) -> &[(i16, i16)]| -> BTreeSet<i16> {
            let each = own.iter().flat_map(|(_, codes)| runs(codes).iter());
            each.flat_map(|(first, last)| *first..=*last).collect()
        };
        let (wanted, met) = (all(|codes| &codes.wanted), all(|codes| &codes.seen));
        let ties = own.iter().filter_map(|(_, codes)| codes.ties).reduce(|a, b| a + b);
        Some(Coverage {
            op: &record.op,
            kernel: &record.kernel,
            what: &first.what,
            format: &first.format,
            wanted: wanted.len(),
            missing: wanted.difference(&met).copied().collect(),
            no_tie: ties == Some(0),
        })
    };
    distinct(seen.iter().map(key)).into_iter().filter_map(of).collect()
}

/// What is missing, a line each, and a line that counts; empty where no row has codes.
pub fn coverage_lines(coverage: &[Coverage<'_>]) -> String {
    if coverage.is_empty() {
        return String::new();
    }
    let mut out = String::new();
    let incomplete = || coverage.iter().filter(|c| !c.is_complete());
    for c in incomplete().take(LINES) {
        let Coverage { op, kernel, what, format, wanted, missing, .. } = c;
        let seen = wanted - missing.len();
        let tie = if c.no_tie { "; never a tie" } else { "" };
        let never = if missing.is_empty() { String::new() } else { never(missing) };
        let _ = writeln!(
            out,
            "codes: row {kernel} of {op}: {seen} of {wanted} {format} {what}{never}{tie}"
        );
    }
    let (all, some) = (coverage.len(), incomplete().count());
    if some > LINES {
        let _ = writeln!(out, "codes: and {} rows and formats more", some - LINES);
    }
    let _ = writeln!(out, "codes: {} of {all} rows and formats have met every code", all - some);
    out
}

fn never(missing: &[i16]) -> String {
    let listed: Vec<String> = missing.iter().take(LISTED).map(i16::to_string).collect();
    let more = if missing.len() > LISTED { ", ..." } else { "" };
    format!("; never {}{more}", listed.join(", "))
}
