//! Goals: how fast rows should be, and what was reached, from records alone.
//!
//! A goal is the speed of one measurement relative to a limit of the machine or to another
//! measurement, both of the same run. What is missing is said, never taken for reached.
use crate::ReportError;
use crate::label::{Labels, distinct};
use crate::record::{Cache, Clock, Record, Timing, Verdict};
use crate::rounds::Ratio;
use crate::table::markdown_cell;
use crate::units::{count, percent, significant};
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;

/// One measurement: a kernel on a case under one setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// Case id.
    pub case: String,
    /// Kernel row.
    pub kernel: String,
    /// Threads.
    pub threads: u32,
    /// Cache state.
    pub cache: Cache,
}

/// What a speed is divided by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Of {
    /// A limit of the machine: `roof`, or a name in the record's `limits_ns`.
    Limit(String),
    /// The speed of another measurement.
    Subject(Subject),
}

/// How fast a row should be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Goal {
    /// Whose speed.
    pub subject: Subject,
    /// What it is divided by.
    pub of: Of,
    /// The least that the quotient should be.
    pub at_least: f64,
}

/// What became of a goal.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Short name of the case.
    pub case: String,
    /// The goal.
    pub goal: Goal,
    /// The goal in words.
    pub words: String,
    /// What was reached, or why nothing is known.
    pub reached: Result<Ratio, String>,
    /// The clock it was reached by: the device's where all that is compared has one.
    pub clock: Clock,
}

impl Outcome {
    /// What was reached over what was wanted: 1 and more is met.
    pub fn ratio(&self) -> Option<f64> {
        self.reached.as_ref().ok().map(|reached| reached.median / self.goal.at_least)
    }

    /// Whether the goal was reached; not so where nothing is known.
    pub fn met(&self) -> bool {
        self.ratio().is_some_and(|ratio| ratio >= 1.0)
    }

    fn word(&self) -> &'static str {
        match (&self.reached, self.met()) {
            (Err(_), _) => "unknown",
            (Ok(_), true) => "yes",
            (Ok(_), false) => "no",
        }
    }

    /// A number of this goal as its reader thinks of it: a share in percent, or so many times.
    fn number(&self, value: f64) -> String {
        match self.goal.of {
            Of::Limit(_) => percent(value),
            Of::Subject(_) => format!("{}x", significant(value, 3)),
        }
    }

    fn reached_text(&self) -> String {
        match &self.reached {
            Ok(r) if r.least < r.most => {
                let [median, least, most] = [r.median, r.least, r.most].map(|v| self.number(v));
                format!("{median} ({least} to {most}){}", self.by())
            }
            Ok(r) => format!("{}{}", self.number(r.median), self.by()),
            Err(why) => why.clone(),
        }
    }

    /// Which clock, where it is not the host's.
    fn by(&self) -> &'static str {
        match self.clock {
            Clock::Device => ", device clock",
            Clock::Wall => "",
        }
    }
}

/// The outcome of each goal, in their order.
pub fn outcomes(goals: &[Goal], records: &[Record]) -> Vec<Outcome> {
    let names = Names::new(goals, records);
    let outcome = |goal: &Goal| {
        let (clock, reached) = reached(goal, records);
        Outcome {
            case: names.of(&goal.subject.case),
            words: words(goal, &names),
            reached,
            clock,
            goal: goal.clone(),
        }
    };
    goals.iter().map(outcome).collect()
}

/// Short names of the cases that goals are about: op, and what tells its cases apart.
struct Names<'a> {
    cases: Vec<(&'a str, String)>,
}

impl<'a> Names<'a> {
    fn new(goals: &'a [Goal], records: &'a [Record]) -> Names<'a> {
        let ids = distinct(goals.iter().flat_map(|goal| {
            let other = match &goal.of {
                Of::Subject(other) => Some(other.case.as_str()),
                Of::Limit(_) => None,
            };
            std::iter::once(goal.subject.case.as_str()).chain(other)
        }));
        let found = ids.iter().filter_map(|id| records.iter().find(|r| r.case == *id));
        let found: Vec<&Record> = found.collect();
        let name = |record: &&'a Record| {
            let of_op = found.iter().copied().filter(|r| r.op == record.op);
            let label = Labels::new(of_op).line(record);
            (record.case.as_str(), format!("{} {label}", record.op))
        };
        Names { cases: found.iter().map(name).collect() }
    }

    /// The id itself where no record knows the case.
    fn of(&self, case: &str) -> String {
        let found = self.cases.iter().find(|(id, _)| *id == case);
        found.map_or(case, |(_, name)| name.as_str()).to_owned()
    }
}

fn setting(subject: &Subject) -> String {
    let cache = match subject.cache {
        Cache::Hot => "hot",
        Cache::Cold => "cold",
    };
    format!("{}, {cache}", count(subject.threads as usize, "thread"))
}

/// `avx2, 1 thread, hot: at least 65 % of int8 dot`.
fn words(goal: &Goal, names: &Names) -> String {
    let Goal { subject, of, at_least } = goal;
    let least = match of {
        Of::Limit(limit) => format!("{} of {limit}", percent(*at_least)),
        Of::Subject(other) => {
            let mut differs = Vec::new();
            if other.kernel != subject.kernel {
                differs.push(other.kernel.clone());
            }
            if other.threads != subject.threads {
                differs.push(count(other.threads as usize, "thread"));
            }
            if other.cache != subject.cache {
                differs.push(setting(other));
            }
            if other.case != subject.case {
                differs.push(names.of(&other.case));
            }
            format!("{}x the speed of {}", significant(*at_least, 3), differs.join(", "))
        }
    };
    format!("{}, {}: at least {least}", subject.kernel, setting(subject))
}

/// By the device's clock where all that is compared has one, else by the host's.
fn reached(goal: &Goal, records: &[Record]) -> (Clock, Result<Ratio, String>) {
    match reached_by(goal, records, Clock::Device) {
        Ok(ratio) => (Clock::Device, Ok(ratio)),
        Err(_) => (Clock::Wall, reached_by(goal, records, Clock::Wall)),
    }
}

fn reached_by(goal: &Goal, records: &[Record], clock: Clock) -> Result<Ratio, String> {
    let (record, timing) = find(&goal.subject, records, clock)?;
    match &goal.of {
        Of::Limit(name) => {
            let roof = record.roof.as_ref();
            let limit = match name.as_str() {
                "roof" => roof.map(|roof| roof.roof_ns),
                name => roof.and_then(|roof| roof.limits_ns.get(name).copied()),
            };
            let limit = limit.ok_or_else(|| format!("{name} is no limit of this case"))?;
            Ok(timing.share_of(limit))
        }
        Of::Subject(other) => Ok(timing.times_as_fast_as(find(other, records, clock)?.1)),
    }
}

/// The record of a measurement that can be believed.
fn find<'a>(
    wanted: &Subject,
    records: &'a [Record],
    clock: Clock,
) -> Result<(&'a Record, &'a Timing), String> {
    let Subject { case, kernel, .. } = wanted;
    let of_row: Vec<&Record> =
        records.iter().filter(|r| r.case == *case && r.kernel == *kernel).collect();
    let Some(first) = of_row.first() else {
        return Err(format!(
            "no record of {kernel} (a peer needs --features peers, or lowbit merge)"
        ));
    };
    let asked = |r: &&&Record| {
        (r.threads, r.cache, r.clock) == (Some(wanted.threads), Some(wanted.cache), Some(clock))
    };
    let found = of_row.iter().find(asked).copied();
    // A row that was not timed has one record for all settings, which says why.
    let record = found.unwrap_or(first);
    if record.verdict != Verdict::Passed {
        return Err(format!("{kernel} {}: {}", record.verdict.name(), record.reason));
    }
    let timing = found.and_then(|record| record.timing.as_ref());
    let timing =
        timing.ok_or_else(|| format!("{kernel} was not timed with {}", setting(wanted)))?;
    Ok((record, timing))
}

/// Header of the table and of the CSV.
const HEADER: [&str; 5] = ["case", "goal", "reached", "ratio", "met"];

fn cells(outcome: &Outcome) -> [String; 5] {
    let ratio = outcome.ratio().map(|ratio| significant(ratio, 3)).unwrap_or_default();
    let Outcome { case, words, .. } = outcome;
    [case.clone(), words.clone(), outcome.reached_text(), ratio, outcome.word().to_owned()]
}

/// `12 goals: 9 met, 2 not met, 1 unknown`.
fn tally(outcomes: &[Outcome]) -> String {
    let of = |word: &str| outcomes.iter().filter(|o| o.word() == word).count();
    let (met, not, unknown) = (of("yes"), of("no"), of("unknown"));
    format!("{}: {met} met, {not} not met, {unknown} unknown", count(outcomes.len(), "goal"))
}

/// The goals for the terminal, a case above its goals; empty without goals.
pub fn goals_table(outcomes: &[Outcome]) -> String {
    if outcomes.is_empty() {
        return String::new();
    }
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(&HEADER[1..]);
    for outcome in outcomes {
        table.add_row(cells(outcome)[1..].iter().map(|cell| cell.replace('\n', " ")));
    }
    for (i, column) in table.column_iter_mut().enumerate() {
        column.set_padding((2, 0));
        if i == 2 {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let mut lines = table.lines();
    let mut out = format!("{}\n", lines.next().unwrap_or_default().trim_end());
    let mut above = "";
    for (outcome, row) in outcomes.iter().zip(lines) {
        if outcome.case != above {
            let _ = writeln!(out, "{}", outcome.case);
            above = &outcome.case;
        }
        let _ = writeln!(out, "{}", row.trim_end());
    }
    let _ = write!(out, "\n{}\n", tally(outcomes));
    out
}

/// The goals as a section of the summary; empty without goals.
pub fn goals_markdown(outcomes: &[Outcome]) -> String {
    if outcomes.is_empty() {
        return String::new();
    }
    let mut out = format!("## Goals\n\n{}.\n\n| {} |\n", tally(outcomes), HEADER.join(" | "));
    out.push_str("| --- | --- | --- | --: | --- |\n");
    for outcome in outcomes {
        let cells = cells(outcome).map(|cell| markdown_cell(&cell));
        let _ = writeln!(out, "| {} |", cells.join(" | "));
    }
    out.push('\n');
    out
}

/// `goals.csv`: a row per goal, numbers as they are.
pub fn goals_csv(outcomes: &[Outcome]) -> Result<String, ReportError> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record([
        "case", "kernel", "threads", "cache", "of", "goal", "reached", "least", "most", "ratio",
        "met", "clock", "reason",
    ])?;
    for outcome in outcomes {
        let Goal { subject, of, at_least } = &outcome.goal;
        let of = match of {
            Of::Limit(limit) => limit.clone(),
            Of::Subject(o) => format!("{} on {} ({})", o.kernel, o.case, setting(o)),
        };
        let cache = if subject.cache == Cache::Hot { "hot" } else { "cold" };
        let number = |value: Option<f64>| value.map(|v| format!("{v:?}")).unwrap_or_default();
        let reached = outcome.reached.as_ref().ok();
        writer.write_record([
            subject.case.clone(),
            subject.kernel.clone(),
            subject.threads.to_string(),
            cache.to_owned(),
            of,
            format!("{at_least:?}"),
            number(reached.map(|r| r.median)),
            number(reached.map(|r| r.least)),
            number(reached.map(|r| r.most)),
            number(outcome.ratio()),
            outcome.word().to_owned(),
            if outcome.clock == Clock::Device { "device" } else { "wall" }.to_owned(),
            outcome.reached.as_ref().err().cloned().unwrap_or_default(),
        ])?;
    }
    crate::csv::finish(writer)
}
