//! `summary.md`: what was swept, what became of it, and what to run again.
use crate::goals::{Goal, goals_markdown, outcomes};
use crate::label::distinct;
use crate::plot::Chart;
use crate::record::{Record, Verdict};
use crate::rule_costs::rule_costs_markdown;
use crate::table::{BrokenLimits, broken_limits, markdown_cell, skipped, table_markdown};
use crate::units::{count, significant};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// What a run was: the part of `machine.json` that reports print.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunInfo {
    /// Headline, usually the scenario's name.
    pub title: String,
    /// What was swept and why, one paragraph each: the scenario's own words.
    pub about: Vec<String>,
    /// Command line that made the run.
    pub command: String,
    /// When it began, as the harness writes dates; empty when unknown.
    pub started: String,
    /// The machine: name of the fact, and the fact.
    pub machine: Vec<(String, String)>,
    /// Peaks measured in this run; shares of the roof refer to them.
    pub peaks: Vec<PeakLine>,
    /// How fast rows should be.
    #[serde(default)]
    pub goals: Vec<Goal>,
    /// Kernels that are not ours.
    #[serde(default)]
    pub peers: Vec<String>,
}

/// One measured peak.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PeakLine {
    /// Which peak, e.g. `L2 read`.
    pub name: String,
    /// Threads that ran the probe; 0 for a device's.
    pub threads: u32,
    /// Value.
    pub value: f64,
    /// Unit of the value.
    pub unit: String,
}

const HOW_TO_READ: &str = "\
## How to read this

- **time** is the median of the samples; **95 %** is half the width of its bootstrap interval, relative to the
  median. `*`: time was up before the interval became narrow.
- **hot**: the same buffers again and again. **cold**: the caches were swept before each sample. They are
  different questions and never averaged.
- **rate** is GOPS (two operations a multiply-accumulate), or GB/s where the op has none: bytes that must move,
  divided by the time.
- **of roof** is the share of the fastest this machine or device could be, from peaks measured in this run; the
  peak that binds is named. More than 105 % means that something is wrong with one of the two numbers: a row of
  the processor is `mistrusted`, one of a device is shown as it is.
- **err/bound** is the largest error divided by the bound derived for it. At most 1 agrees with the reference;
  0 is exact.
- **bits/weight** counts packed codes and scales. **SQNR** is `10 log10(sum x^2 / sum (x - q)^2)`: what the format
  and rule cost, whichever kernel computed it.
- `mistrusted` ran and agreed, but the comparison proves little or the speed is above the roof. `skipped` did not
  run; the reason is listed.
- A **goal** compares two numbers of this run: **reached** is their ratio, with the least and the most of its
  rounds where rows took turns.
- Every number is in `results.csv`, every sample in `samples.csv`, and `records.jsonl` is the source of both.
";

/// The whole `summary.md`; `charts` are embedded by their file names.
pub fn summary_md(run: &RunInfo, records: &[Record], charts: &[Chart]) -> String {
    let mut out = format!("# {}\n\n", run.title);
    for paragraph in &run.about {
        let _ = write!(out, "{paragraph}\n\n");
    }
    if !run.command.is_empty() {
        let _ = write!(out, "```\n{}\n```\n\n", run.command);
    }
    out.push_str(&failures(records));
    out.push_str(&limits(records));
    out.push_str(&goals_markdown(&outcomes(&run.goals, records)));
    out.push_str(&verdicts(records));
    out.push_str(&chart_list(charts));
    out.push_str(&rule_costs_markdown(records));
    let table = table_markdown(records);
    if !table.is_empty() {
        let _ = write!(out, "## Results\n\n{table}");
    }
    let skipped = skipped(records);
    if !skipped.is_empty() {
        let _ = write!(out, "## Skipped\n\n");
        for line in skipped.lines() {
            let _ = writeln!(out, "- {}", line.trim_start_matches("skipped "));
        }
        out.push('\n');
    }
    out.push_str(&machine(run));
    out.push_str(HOW_TO_READ);
    out
}

/// What did not pass, worst first, each with the command that runs it again.
fn failures(records: &[Record]) -> String {
    let order = [Verdict::Errored, Verdict::Crashed, Verdict::Failed, Verdict::Mistrusted];
    let bad: Vec<&Record> =
        order.iter().flat_map(|v| records.iter().filter(move |r| r.verdict == *v)).collect();
    if bad.is_empty() {
        return "Every row that ran agreed with the reference.\n\n".to_owned();
    }
    let mut out = "## What did not pass\n\n".to_owned();
    for (verdict, op, kernel, case) in
        distinct(bad.iter().map(|r| (r.verdict, &r.op, &r.kernel, &r.case)))
    {
        let same =
            bad.iter().filter(|r| (r.verdict, &r.kernel, &r.case) == (verdict, kernel, case));
        let reasons = distinct(same.map(|r| r.reason.as_str())).join("; ");
        let _ = writeln!(out, "- **{}** `{op}` `{kernel}`: {reasons}", verdict.name());
        let _ = write!(out, "\n  ```\n  lowbit check --case '{case}' --kernel {kernel}\n  ```\n\n");
    }
    out
}

fn limits(records: &[Record]) -> String {
    let broken = broken_limits(records);
    if broken.is_empty() {
        return String::new();
    }
    let line = |b: &BrokenLimits<'_>| {
        let kernels = b.kernels.join("`, `");
        format!("- `{}`: {} (rows `{kernels}`)\n", b.case, b.limits.join("; "))
    };
    format!("## Broken limits\n\n{}\n", broken.iter().map(line).collect::<String>())
}

/// Cases per verdict for every kernel row.
fn verdicts(records: &[Record]) -> String {
    let ops = distinct(records.iter().map(|r| &r.op));
    let rows_of = |op: &'_ String| {
        distinct(records.iter().filter(|r| r.op == *op).map(|r| &r.kernel)).into_iter()
    };
    let rows: Vec<_> = ops.iter().flat_map(|op| rows_of(op).map(move |k| (*op, k))).collect();
    if rows.is_empty() {
        return "No row ran.\n\n".to_owned();
    }
    let names: Vec<&str> = Verdict::ALL.iter().map(|v| v.name()).collect();
    let mut out = format!("## Verdicts\n\nCases per row and verdict ({} in all).\n\n", {
        count(distinct(records.iter().map(|r| &r.case)).len(), "case")
    });
    let _ = writeln!(out, "| op | kernel | {} |", names.join(" | "));
    let _ = writeln!(out, "| --- | ---{} |", " | --:".repeat(names.len()));
    for (op, kernel) in rows {
        // A case counts once, by the worst that happened to it.
        let mut worst: BTreeMap<&str, Verdict> = BTreeMap::new();
        for r in records.iter().filter(|r| (&r.op, &r.kernel) == (op, kernel)) {
            let verdict = worst.entry(&r.case).or_insert(r.verdict);
            *verdict = (*verdict).max(r.verdict);
        }
        let cells = Verdict::ALL.map(|v| worst.values().filter(|worst| **worst == v).count());
        let cells = cells.map(|n| if n == 0 { "·".to_owned() } else { n.to_string() });
        let _ = writeln!(out, "| {op} | {kernel} | {} |", cells.join(" | "));
    }
    out.push('\n');
    out
}

fn chart_list(charts: &[Chart]) -> String {
    if charts.is_empty() {
        return String::new();
    }
    let images = charts.iter().map(|c| format!("![{}](charts/{}.png)\n\n", c.title, c.name));
    format!("## Charts\n\n{}", images.collect::<String>())
}

fn machine(run: &RunInfo) -> String {
    let mut out = String::new();
    if !run.machine.is_empty() || !run.started.is_empty() {
        out.push_str("## Machine\n\n| | |\n| --- | --- |\n");
        let started = (!run.started.is_empty()).then(|| ("started".into(), run.started.clone()));
        for (name, fact) in started.iter().chain(&run.machine) {
            let _ = writeln!(out, "| {} | {} |", markdown_cell(name), markdown_cell(fact));
        }
        out.push('\n');
    }
    if !run.peaks.is_empty() {
        out.push_str(
            "Peaks measured in this run:\n\n| peak | threads | value |\n| --- | --: | --: |\n",
        );
        for peak in &run.peaks {
            let value = significant(peak.value, 4);
            let threads = if peak.threads > 0 { peak.threads.to_string() } else { String::new() };
            let _ = writeln!(out, "| {} | {threads} | {value} {} |", peak.name, peak.unit);
        }
        out.push('\n');
    }
    out
}
