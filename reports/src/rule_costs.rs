//! What each rule costs: SQNR per format and rule, a column per distribution.
//!
//! The figure belongs to format, rule and data, not to the row that computed it, so each case
//! counts once. Small tensors say little about a rule: only cases of at least 65,536 values
//! count, and of those the largest. Where several are as large (seeds), a cell holds their mean
//! and how far from it the farthest lies.
use crate::label::distinct;
use crate::record::Record;
use crate::table::markdown_cell;
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// The parameters that name a format and a rule, by op.
const FORMATS: &[&str] = &["weight", "activation"];
const RULES: &[&str] = &["weight_rule", "activation_rule"];

/// Values below which a case is left out.
const FEWEST: f64 = 65_536.0;

/// One table: what is quantized, and a line per format and rule.
struct Costs<'a> {
    op: &'a str,
    distributions: Vec<&'a str>,
    lines: Vec<Line<'a>>,
}

struct Line<'a> {
    format: &'a str,
    rule: &'a str,
    bits: Option<f64>,
    /// One per distribution.
    cells: Vec<String>,
}

fn parameter<'a>(record: &'a Record, keys: &[&str]) -> Option<&'a str> {
    keys.iter().find_map(|key| record.parameters.get(*key)).map(String::as_str)
}

fn of_op<'a>(op: &'a str, records: &'a [Record]) -> Option<Costs<'a>> {
    // `linear` has two rules; what one of them costs is not to be had from a product of both.
    let drawn = |r: &&Record| {
        let sqnr = r.quality.as_ref().is_some_and(|q| q.sqnr_db.is_some());
        r.op == op && sqnr && values(r) >= FEWEST && r.parameters.contains_key("distribution")
    };
    let mut seen = BTreeSet::new();
    let drawn: Vec<&Record> =
        records.iter().filter(drawn).filter(|r| seen.insert(r.case.as_str())).collect();
    let key = |r: &&'a Record| {
        (parameter(r, FORMATS).unwrap_or_default(), parameter(r, RULES).unwrap_or_default())
    };
    let keys = distinct(drawn.iter().map(key));
    if keys.len() < 2 || keys.iter().any(|(_, rule)| rule.is_empty()) {
        return None;
    }
    let column = |r: &&'a Record| parameter(r, &["distribution"]).unwrap_or_default();
    let distributions = distinct(drawn.iter().map(column));
    let line = |(format, rule)| {
        let own: Vec<&Record> =
            drawn.iter().copied().filter(|r| key(r) == (format, rule)).collect();
        let cell = |d: &&str| cell(own.iter().filter(|r| column(r) == *d).copied());
        let bits = own.first().and_then(|r| r.bits_per_weight);
        Line { format, rule, bits, cells: distributions.iter().map(cell).collect() }
    };
    let lines = keys.into_iter().map(line).collect();
    Some(Costs { op, distributions, lines })
}

/// Values of a case's tensor.
fn values(record: &Record) -> f64 {
    let size = |key: &&str| record.parameters.get(*key).and_then(|text| text.parse::<f64>().ok());
    ["m", "n", "k"].iter().filter_map(size).product()
}

/// Mean and, of several cases, the farthest from it, of the largest cases there are.
fn cell<'a>(records: impl Iterator<Item = &'a Record>) -> String {
    let records: Vec<&Record> = records.collect();
    let largest = records.iter().map(|r| values(r)).fold(0.0, f64::max);
    let largest = records.iter().filter(|r| values(r) == largest);
    let sqnr: Vec<f64> =
        largest.filter_map(|r| r.quality.as_ref().and_then(|q| q.sqnr_db)).collect();
    if sqnr.is_empty() {
        return String::new();
    }
    let mean = sqnr.iter().sum::<f64>() / sqnr.len() as f64;
    let least = sqnr.iter().copied().fold(f64::INFINITY, f64::min);
    let most = sqnr.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    match sqnr.len() {
        1 => format!("{mean:.2}"),
        _ => format!("{mean:.2} ±{:.2}", (mean - least).max(most - mean)),
    }
}

fn all(records: &[Record]) -> Vec<Costs<'_>> {
    let ops = distinct(records.iter().map(|r| r.op.as_str()));
    ops.into_iter()
        .filter(|op| op.starts_with("quantize"))
        .filter_map(|op| of_op(op, records))
        .collect()
}

impl Costs<'_> {
    fn header(&self) -> Vec<String> {
        let distributions = self.distributions.iter().map(|d| format!("{d} dB"));
        ["format", "rule", "bits/value"]
            .map(str::to_owned)
            .into_iter()
            .chain(distributions)
            .collect()
    }

    fn rows(&self) -> impl Iterator<Item = Vec<String>> + '_ {
        self.lines.iter().map(|line| {
            let bits = line.bits.map(|bits| format!("{bits:.3}")).unwrap_or_default();
            let start = [line.format.to_owned(), line.rule.to_owned(), bits];
            start.into_iter().chain(line.cells.iter().cloned()).collect()
        })
    }
}

/// The tables for the terminal; empty where no op has two rules on drawn data.
pub fn rule_costs(records: &[Record]) -> String {
    let mut out = String::new();
    for costs in all(records) {
        let mut table = Table::new();
        table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(costs.header());
        costs.rows().for_each(|row| {
            table.add_row(row);
        });
        for (i, column) in table.column_iter_mut().enumerate() {
            column.set_padding((2, 0));
            if i >= 2 {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        let _ = writeln!(out, "SQNR of {}:", costs.op);
        table.lines().for_each(|line| {
            let _ = writeln!(out, "{}", line.trim_end());
        });
        out.push('\n');
    }
    out
}

/// The same as Markdown, for `summary.md`.
pub fn rule_costs_markdown(records: &[Record]) -> String {
    let mut out = String::new();
    for costs in all(records) {
        let header = costs.header();
        let _ = write!(out, "### SQNR of {}\n\n| {} |\n", costs.op, header.join(" | "));
        let _ = writeln!(out, "| --- | --- |{}", " --: |".repeat(header.len() - 2));
        for row in costs.rows() {
            let cells: Vec<String> = row.iter().map(|cell| markdown_cell(cell)).collect();
            let _ = writeln!(out, "| {} |", cells.join(" | "));
        }
        out.push('\n');
    }
    match out.is_empty() {
        true => out,
        false => format!("## What each rule costs\n\n{out}"),
    }
}
