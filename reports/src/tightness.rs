//! How close float rows come to their bounds: a bound that nothing approaches sees no fault.
//!
//! Errors of `K` roundings, each as likely up as down, add up to about `sqrt(K)` of them, and a
//! bound that holds for every order of summation is `K` of them. So the largest error of many
//! outputs is expected at `1 / sqrt(K)` of its bound or more; a row whose largest error on drawn
//! data stays below [`SLACK`] of that has a bound that is too loose, or one that is not its own.
use crate::label::distinct;
use crate::record::{Record, Verdict};
use crate::units::significant;
use std::fmt::Write as _;

/// The share of `1 / sqrt(K)` that the largest error has to reach.
pub const SLACK: f64 = 1.0 / 8.0;

/// The largest error of a row over its bound, on drawn data.
#[derive(Clone, Debug, PartialEq)]
pub struct Tightness<'a> {
    /// The op.
    pub op: &'a str,
    /// The row.
    pub kernel: &'a str,
    /// Largest error over its bound.
    pub share: f64,
    /// Terms of a sum in that case.
    pub depth: f64,
    /// The case.
    pub case: &'a str,
}

impl Tightness<'_> {
    /// What the share has to reach.
    pub fn least(&self) -> f64 {
        SLACK / self.depth.sqrt()
    }
    /// Whether it does.
    pub fn is_tight(&self) -> bool {
        self.share >= self.least()
    }
}

/// Terms of a sum of a case, from its parameters; `None` for ops that add nothing in floats.
pub fn depth(record: &Record) -> Option<f64> {
    let number = |key: &str| record.parameters.get(key)?.parse::<f64>().ok();
    match record.op.as_str() {
        "linear" => number("k"),
        // A loss is one sum over all tokens and outputs.
        "awq_search" => Some(number("m")? * number("n")? * number("k")?),
        // A stage adds two values, and a value goes through log2 k of them.
        "hadamard" => Some(number("k")?.log2()),
        "conv2d" => {
            let window = number("kernel_h")? * number("kernel_w")?;
            Some(number("c_in")? / number("groups")? * window)
        }
        "attention" => Some(number("head_dim")? + number("key_len")?),
        "lowrank_projection" => number("embd"),
        "decoder_tail" => Some(number("heads")? * number("latent")?),
        _ => None,
    }
}

/// Every float row that passed on drawn data, with its largest error. Sums of one term say nothing.
pub fn tightness(records: &[Record]) -> Vec<Tightness<'_>> {
    let drawn = |r: &&Record| {
        let seen = r.agreement.as_ref().is_some_and(|seen| seen.bounded);
        let data = r.parameters.get("data").is_some_and(|data| data == "realistic");
        seen && data && r.verdict == Verdict::Passed && depth(r).is_some_and(|k| k >= 2.0)
    };
    let drawn: Vec<&Record> = records.iter().filter(drawn).collect();
    let rows = distinct(drawn.iter().map(|r| (r.op.as_str(), r.kernel.as_str())));
    let share = |r: &Record| r.agreement.as_ref().map_or(0.0, |seen| seen.error_over_bound);
    let of = |(op, kernel)| {
        let own = drawn.iter().filter(|r| (r.op.as_str(), r.kernel.as_str()) == (op, kernel));
        let most = own.max_by(|a, b| share(a).total_cmp(&share(b)))?;
        Some(Tightness { op, kernel, share: share(most), depth: depth(most)?, case: &most.case })
    };
    rows.into_iter().filter_map(of).collect()
}

/// One line a row; empty where no float row ran on drawn data.
pub fn tightness_table(records: &[Record]) -> String {
    let rows = tightness(records);
    if rows.is_empty() {
        return String::new();
    }
    let mut out = format!(
        "{:<20} {:<14} {:>9} {:>8} {:>13}\n",
        "largest error/bound", "row", "realistic", "K", "1/(8 sqrt K)"
    );
    for row in &rows {
        let flag = if row.is_tight() { "" } else { "  loose, or a sum of many short chains" };
        let (share, least) = (significant(row.share, 3), significant(row.least(), 3));
        let (op, kernel, depth) = (row.op, row.kernel, row.depth);
        let _ = writeln!(out, "{op:<20} {kernel:<14} {share:>9} {depth:>8} {least:>13}{flag}");
    }
    out
}
