//! The result table: for the terminal, grouped under case ids that can be pasted after `--case`,
//! and as Markdown, with short case labels.
use crate::csv::violation;
use crate::label::{Labels, distinct};
use crate::record::{Cache, Clock, Record, Verdict};
use crate::units::{count, percent, significant, time};
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use std::fmt::Write as _;

/// Broken limits listed under the terminal's table before it refers to the summary.
const LIMITS_LISTED: usize = 10;
/// Results up to which a table lists all of a check.
const LISTED: usize = 1000;

/// A column: its header, whether its cells are numbers, and where they come from.
struct Column {
    header: &'static str,
    numeric: bool,
    cell: fn(&Record) -> String,
}

const COLUMNS: &[Column] = &[
    Column { header: "kernel", numeric: false, cell: |r| r.kernel.clone() },
    Column { header: "verdict", numeric: false, cell: |r| r.verdict.name().to_owned() },
    Column { header: "threads", numeric: true, cell: |r| text(r.threads) },
    Column {
        header: "cache",
        numeric: false,
        cell: |r| r.cache.map(cache_word).unwrap_or_default(),
    },
    Column {
        header: "clock",
        numeric: false,
        cell: |r| r.clock.map(clock_word).unwrap_or_default(),
    },
    Column { header: "time", numeric: true, cell: |r| r.median_ns().map(time).unwrap_or_default() },
    Column { header: "95 %", numeric: true, cell: spread },
    Column { header: "rate", numeric: true, cell: rate },
    Column { header: "of roof", numeric: true, cell: of_roof },
    Column { header: "err/bound", numeric: true, cell: error_over_bound },
    Column { header: "bits/weight", numeric: true, cell: |r| number(r.bits_per_weight) },
    Column {
        header: "SQNR dB",
        numeric: true,
        cell: |r| number(r.quality.and_then(|q| q.sqnr_db)),
    },
];

/// The table for the terminal, with what was skipped, what did not pass and why below it.
///
/// `colour` puts ANSI colours on the verdicts.
pub fn summary_table(records: &[Record], colour: bool) -> String {
    let (shown, hidden) = shown(records);
    let groups = by_case(shown);
    let rows: Vec<&Record> = groups.iter().flatten().copied().collect();
    let mut out = String::new();
    if !rows.is_empty() {
        let lines = rendered(&rows);
        let mut lines = lines.iter();
        let header = lines.next().map_or("", String::as_str);
        let width = lines.as_slice().iter().map(|l| l.trim_end().chars().count()).max();
        let rule = "─".repeat(width.unwrap_or(0).max(header.trim_end().chars().count()));
        out = format!("{}\n{rule}\n", header.trim_end());
        for group in &groups {
            line(&mut out, group.first().map_or("", |r| &r.case));
            for (record, row) in group.iter().zip(&mut lines) {
                line(&mut out, painted(row.trim_end(), record, colour).as_str());
            }
        }
    }
    if hidden > 0 {
        let _ = writeln!(out, "{} that passed are not listed", count(hidden, "result"));
    }
    for block in [not_passed(records), limits(records), skipped(records)] {
        if !block.is_empty() {
            let _ = write!(out, "\n{block}");
        }
    }
    let of = |v: Verdict| (v, records.iter().filter(|r| r.verdict == v).count());
    let counts = Verdict::ALL.into_iter().map(of).filter(|(_, n)| *n > 0);
    let counts: Vec<String> = counts.map(|(v, n)| format!("{n} {}", v.name())).collect();
    let _ = write!(out, "\n{}: {}\n", count(records.len(), "result"), counts.join(", "));
    out
}

/// The table as Markdown, a section per op; skipped rows are left out.
pub fn table_markdown(records: &[Record]) -> String {
    let mut out = String::new();
    for op in distinct(records.iter().map(|r| r.op.as_str())) {
        let of_op: Vec<&Record> =
            shown(records).0.filter(|r| r.op == op && r.verdict != Verdict::Skipped).collect();
        let labels = Labels::new(of_op.iter().copied());
        let groups = by_case(of_op.iter().copied());
        let columns = used_columns(&of_op);
        if of_op.is_empty() {
            continue;
        }
        let _ = write!(out, "### {op}\n\n");
        if !labels.common().is_empty() {
            let _ = write!(out, "All cases: `{}`.\n\n", labels.common().join(" "));
        }
        let headers: Vec<&str> = columns.iter().map(|c| c.header).collect();
        line(&mut out, &format!("| case | {} |", headers.join(" | ")));
        let rules = columns.iter().map(|c| if c.numeric { "--:" } else { "---" });
        line(&mut out, &format!("| --- | {} |", rules.collect::<Vec<_>>().join(" | ")));
        for group in &groups {
            for (i, record) in group.iter().enumerate() {
                let label = if i == 0 { labels.line(record) } else { String::new() };
                let cells = columns.iter().map(|c| markdown_cell(&(c.cell)(record)));
                let cells = cells.collect::<Vec<_>>().join(" | ");
                line(&mut out, &format!("| {} | {cells} |", markdown_cell(&label)));
            }
        }
        out.push('\n');
    }
    out
}

/// `kernel: reason (n cases)` for every skipped row, most cases first.
pub fn skipped(records: &[Record]) -> String {
    let rows = records.iter().filter(|r| r.verdict == Verdict::Skipped);
    let keys = distinct(rows.clone().map(|r| (&r.op, &r.kernel, &r.reason)));
    let cases = |key: &(&String, &String, &String)| {
        let same = rows.clone().filter(|r| (&r.op, &r.kernel, &r.reason) == *key);
        distinct(same.map(|r| &r.case)).len()
    };
    let mut lines: Vec<_> = keys.iter().map(|key| (cases(key), key)).collect();
    lines.sort_by_key(|(n, _)| std::cmp::Reverse(*n));
    let lines = lines.iter().map(|(n, (op, kernel, reason))| {
        format!("skipped {op} {kernel}: {reason} ({})\n", count(*n, "case"))
    });
    lines.collect()
}

/// A cell of a Markdown table: a bar would end it.
pub fn markdown_cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

/// Records that are shown, gathered under their cases in order of first appearance.
fn by_case<'a>(records: impl IntoIterator<Item = &'a Record>) -> Vec<Vec<&'a Record>> {
    let shown: Vec<&Record> =
        records.into_iter().filter(|r| r.verdict != Verdict::Skipped).collect();
    let cases = distinct(shown.iter().map(|r| r.case.as_str()));
    let of = |case| shown.iter().copied().filter(|r| r.case == case).collect();
    cases.into_iter().map(of).collect()
}

/// Header line and one line a row, columns aligned over all groups.
fn rendered(rows: &[&Record]) -> Vec<String> {
    let columns = used_columns(rows);
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(columns.iter().map(|c| c.header));
    for record in rows {
        table.add_row(columns.iter().map(|c| (c.cell)(record).replace('\n', " ")));
    }
    for (column, shown) in table.column_iter_mut().zip(&columns) {
        if shown.numeric {
            column.set_cell_alignment(CellAlignment::Right);
        }
        column.set_padding((2, 0));
    }
    table.lines().collect()
}

/// Columns with anything in them; the clock only where there are two to tell apart.
fn used_columns(rows: &[&Record]) -> Vec<&'static Column> {
    let clocks = distinct(rows.iter().filter_map(|r| r.clock)).len();
    let used = |c: &&Column| rows.iter().any(|r| !(c.cell)(r).is_empty());
    COLUMNS.iter().filter(|c| c.header != "clock" || clocks > 1).filter(used).collect()
}

/// Failed, mistrusted, crashed and errored rows with their reasons and the command that shows
/// each again.
fn not_passed(records: &[Record]) -> String {
    let quiet = [Verdict::Passed, Verdict::Skipped];
    let bad = records.iter().filter(|r| !quiet.contains(&r.verdict));
    let lines = bad.map(|r| {
        let verdict = r.verdict.name();
        format!("{verdict}: {} of {}: {}\n  {}\n", r.kernel, r.op, r.reason, r.reproduce())
    });
    distinct(lines).concat()
}

/// What a table lists, and how many it leaves out: of a long check without times, what passed.
fn shown(records: &[Record]) -> (impl Iterator<Item = &Record>, usize) {
    let long = records.len() > LISTED;
    let plain = |r: &Record| r.verdict == Verdict::Passed && r.timing.is_none();
    let hidden = if long { records.iter().filter(|r| plain(r)).count() } else { 0 };
    (records.iter().filter(move |r| !(long && plain(r))), hidden)
}

/// Broken limits that are enforced, a line per case, and how many are only reported: what a format loses does not depend on the row that made it.
fn limits(records: &[Record]) -> String {
    let (broken, reported): (Vec<_>, Vec<_>) =
        broken_limits(records).into_iter().partition(|b| b.enforced);
    let line = |b: &BrokenLimits<'_>| {
        format!(
            "limits broken by {}: {}\n  on {}\n",
            b.case,
            b.limits.join("; "),
            b.kernels.join(", ")
        )
    };
    let mut out: String = broken.iter().take(LIMITS_LISTED).map(line).collect();
    if broken.len() > LIMITS_LISTED {
        let _ = writeln!(out, "and {} more cases: see summary.md", broken.len() - LIMITS_LISTED);
    }
    if !reported.is_empty() {
        let kinds = distinct(reported.iter().flat_map(|b| &b.names));
        let kinds = kinds.into_iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        let n = count(reported.len(), "case");
        let _ = writeln!(out, "limits broken, reported and not enforced: {n} ({kinds})");
    }
    out
}

/// What a case broke, on which rows.
pub struct BrokenLimits<'a> {
    /// Case id.
    pub case: &'a str,
    /// Limit, value and what is allowed, in readable fragments.
    pub limits: Vec<String>,
    /// Names of the limits.
    pub names: Vec<String>,
    /// Rows whose answer broke them.
    pub kernels: Vec<&'a str>,
    /// Whether any of them decides the exit code.
    pub enforced: bool,
}

/// Broken limits by case, in order of first appearance.
pub fn broken_limits(records: &[Record]) -> Vec<BrokenLimits<'_>> {
    let broken: Vec<&Record> = records.iter().filter(|r| !r.violations.is_empty()).collect();
    distinct(broken.iter().map(|r| &r.case))
        .into_iter()
        .map(|case| {
            let of_case: Vec<&&Record> = broken.iter().filter(|r| r.case == *case).collect();
            let limits = of_case.iter().flat_map(|r| r.violations.iter().map(violation));
            let kernels = of_case.iter().map(|r| r.kernel.as_str());
            let violations = || of_case.iter().flat_map(|r| &r.violations);
            BrokenLimits {
                case,
                limits: distinct(limits),
                names: distinct(violations().map(|v| v.limit_name.clone())),
                kernels: distinct(kernels),
                enforced: violations().any(|v| v.enforced),
            }
        })
        .collect()
}

/// The row with its verdict coloured. Only text after the kernel's name is searched, and the
/// verdict is the next column.
fn painted(row: &str, record: &Record, colour: bool) -> String {
    let word = record.verdict.name();
    let start = row.find(&record.kernel).map_or(0, |at| at + record.kernel.len());
    match row[start..].find(word) {
        Some(at) if colour => {
            let (before, after) = (&row[..start + at], &row[start + at + word.len()..]);
            format!("{before}\u{1b}[{}m{word}\u{1b}[0m{after}", ansi(record.verdict))
        }
        _ => row.to_owned(),
    }
}

fn ansi(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Passed => "32",
        Verdict::Mistrusted | Verdict::Skipped => "33",
        Verdict::Failed | Verdict::Crashed | Verdict::Errored => "31",
    }
}

fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}

fn cache_word(cache: Cache) -> String {
    match cache {
        Cache::Hot => "hot".to_owned(),
        Cache::Cold => "cold".to_owned(),
    }
}

fn clock_word(clock: Clock) -> String {
    match clock {
        Clock::Wall => "wall".to_owned(),
        Clock::Device => "device".to_owned(),
    }
}

fn text<T: ToString>(value: Option<T>) -> String {
    value.map(|v| v.to_string()).unwrap_or_default()
}

fn number(value: Option<f64>) -> String {
    value.map(|v| significant(v, 3)).unwrap_or_default()
}

/// Half the interval relative to the median; `*` marks one that stayed wide.
fn spread(record: &Record) -> String {
    let Some(t) = &record.timing else { return String::new() };
    let half = (t.high_ns - t.low_ns) / 2.0 / t.median_ns;
    format!("{}±{:.1} %", if t.converged { "" } else { "*" }, half * 100.0)
}

fn rate(record: &Record) -> String {
    match (record.gops(), record.gbps()) {
        (Some(gops), _) => format!("{} GOPS", significant(gops, 3)),
        (None, Some(gbps)) => format!("{} GB/s", significant(gbps, 3)),
        (None, None) => String::new(),
    }
}

fn of_roof(record: &Record) -> String {
    let Some((share, roof)) = record.roof_share().zip(record.roof.as_ref()) else {
        return String::new();
    };
    format!("{} {}", percent(share), roof.roof)
}

fn error_over_bound(record: &Record) -> String {
    let written = |share: f64| match share == f64::MAX {
        // What JSON has for infinity: a bound of zero that was not met.
        true => "inf".to_owned(),
        false => significant(share, 2),
    };
    record.agreement.as_ref().map(|a| written(a.error_over_bound)).unwrap_or_default()
}
