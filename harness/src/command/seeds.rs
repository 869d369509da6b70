//! `check --seeds N`: random cases from a suite's axes, until every row has had N that it accepts.
use super::{failures, print};
use crate::driver::Driver;
use crate::engine::{Engine, Mode};
use crate::exit::{self, Exit};
use crate::plan::{Job, Selection, Source};
use crate::progress::Progress;
use crate::urn::{Odds, pick};
use anyhow::Context as _;
use lowbit_reports::record::{Agreement, Record, SkipKind, Verdict};
use lowbit_reports::units::count;
use lowbit_scenarios::Dice;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

/// Draws of an op, for each case that a row is to accept, before it is given up. Many draws make no
/// case, and a row may accept one format of many.
const TRIES: usize = 400;
/// Failures listed in full.
const LISTED: usize = 40;

/// What became of a row.
#[derive(Debug, Default)]
struct Tally {
    accepted: usize,
    failed: usize,
    mistrusted: usize,
    /// Cases of which next to nothing could have been wrong: they do not count as accepted.
    empty: usize,
    /// Why it last took no case.
    refusal: String,
    /// Its hardware is not here, so that it can accept nothing.
    absent: bool,
    /// It is somebody else's, and took none of the cases so far.
    excused: bool,
}

/// Where an op's cases are drawn from, and how often a draw there was of use.
struct Urn<'a> {
    source: &'a Source,
    sweep: usize,
    rows: Vec<&'a str>,
    odds: Odds,
}

impl Urn<'_> {
    /// Likelier where draws are accepted by rows that still need some; never zero.
    fn weight(&self, tallies: &BTreeMap<&str, Tally>, wanted: usize) -> f64 {
        let needed = self.rows.iter().any(|row| needs(&tallies[row], wanted));
        if needed { self.odds.weight() } else { 0.0 }
    }
}

fn needs(tally: &Tally, wanted: usize) -> bool {
    !tally.absent && !tally.excused && tally.accepted < wanted
}

/// The draws of one op.
struct Draws<'a> {
    urns: Vec<Urn<'a>>,
    tallies: BTreeMap<&'a str, Tally>,
    dice: Dice,
    wanted: usize,
    /// Records that did not pass.
    bad: Vec<Record>,
}

impl<'a> Draws<'a> {
    fn new(sources: &'a [Source], op: &str, (wanted, seed): (usize, u64)) -> Draws<'a> {
        let urns = urns(sources, op);
        let rows = urns.iter().flat_map(|urn| &urn.rows);
        let tallies = rows.map(|row| (*row, Tally::default())).collect();
        Draws { urns, tallies, dice: Dice::new(seed), wanted, bad: Vec::new() }
    }

    /// Draw until every row has its cases, or too many draws were made.
    fn run(&mut self, engine: &mut Engine<'_>, progress: &mut Progress) -> anyhow::Result<()> {
        for _ in 0..TRIES * self.wanted {
            let Some(at) = self.pick() else { break };
            self.urns[at].odds.drawn();
            let Urn { source, sweep, .. } = self.urns[at];
            let Some(case) = source.scenario.draw(sweep, &mut self.dice)? else { continue };
            let needy = |row: &&&str| needs(&self.tallies[**row], self.wanted);
            let rows = self.urns[at].rows.iter().filter(needy).map(|row| (*row).to_owned());
            let (id, rows) = (case.to_string(), rows.collect());
            let (before, settings) = (self.most(), source.settings[sweep].clone());
            let records = engine.run(&Job { sweep: settings, case, rows }, Mode::Check);
            let accepted = records.iter().any(|r| r.verdict != Verdict::Skipped && !empty(r));
            self.urns[at].odds.was_useful(accepted);
            for record in records {
                note(&mut self.tallies, &record);
                let fine = matches!(record.verdict, Verdict::Passed | Verdict::Skipped);
                if !fine && !empty(&record) {
                    self.bad.push(record);
                }
            }
            if self.most() > before {
                progress.end(&id);
            }
        }
        Ok(())
    }

    /// Cases of the row that has had most.
    fn most(&self) -> usize {
        self.tallies.values().map(|tally| tally.accepted).max().unwrap_or(0)
    }

    /// An urn that some row still needs, by weight; nothing when no row needs any.
    fn pick(&mut self) -> Option<usize> {
        let weight = |urn: &Urn| urn.weight(&self.tallies, self.wanted);
        let weights: Vec<f64> = self.urns.iter().map(weight).collect();
        pick(&weights, &mut self.dice)
    }
}

/// Draw and check until every row has had `wanted` cases; print what came out.
pub(crate) fn check(
    selection: &Selection,
    drivers: &[&dyn Driver],
    engine: &mut Engine<'_>,
    ((wanted, seed), shrink): ((usize, u64), u16),
    out: Option<&Path>,
) -> anyhow::Result<Exit> {
    let sources = selection.sources(drivers)?;
    if let Some(out) = out {
        std::fs::create_dir_all(out).with_context(|| format!("creating {}", out.display()))?;
    }
    let mut table = String::new();
    let _ = writeln!(
        table,
        "{:<24} {:<14} {:>9} {:>7} {:>11} {:>6}",
        "op", "row", "accepted", "failed", "mistrusted", "empty"
    );
    let (mut bad, mut short) = (Vec::new(), false);
    let mut progress = Progress::new(wanted * ops(&sources).len());
    for op in ops(&sources) {
        let mut draws = Draws::new(&sources, op, (wanted, seed));
        draws.run(engine, &mut progress)?;
        table.push_str(&rows_of(op, &draws.tallies));
        table.push_str(&fell_short(op, &draws.tallies, wanted));
        short |= draws.tallies.values().any(|tally| needs(tally, wanted));
        bad.append(&mut draws.bad);
    }
    progress.finish();
    print(&format!("{table}\n{}", listed(&bad)))?;
    failures::shrink(engine, &bad, shrink, out)?;
    // The cases differ, so what did not pass is judged as in a check of those cases alone.
    Ok(match exit::judge(&bad, &BTreeSet::new()) {
        Exit::Nothing | Exit::Ok if short => Exit::Coverage,
        Exit::Nothing => Exit::Ok,
        exit => exit,
    })
}

/// The first `wanted` cases drawn for each op, without running them.
pub(crate) fn list(
    selection: &Selection,
    drivers: &[&dyn Driver],
    (wanted, seed): (usize, u64),
) -> anyhow::Result<Exit> {
    let sources = selection.sources(drivers)?;
    for op in ops(&sources) {
        let (urns, mut dice, mut found) = (urns(&sources, op), Dice::new(seed), 0);
        for _ in 0..TRIES * wanted {
            if found == wanted {
                break;
            }
            let urn = &urns[dice.below(urns.len())];
            if let Some(case) = urn.source.scenario.draw(urn.sweep, &mut dice)? {
                print(&case.to_string())?;
                found += 1;
            }
        }
    }
    Ok(Exit::Ok)
}

/// The ops of the sweeps that have rows, in the order of the files.
fn ops(sources: &[Source]) -> Vec<&'static str> {
    let with_rows = |source: &Source| {
        let sweeps = source.scenario.sweeps.iter().zip(source.rows.clone());
        sweeps
            .filter(|(_, rows)| !rows.is_empty())
            .map(|(sweep, _)| sweep.op.name)
            .collect::<Vec<_>>()
    };
    lowbit_reports::label::distinct(sources.iter().flat_map(with_rows))
}

fn urns<'a>(sources: &'a [Source], op: &str) -> Vec<Urn<'a>> {
    let of = |source: &'a Source| {
        let sweeps = source.scenario.sweeps.iter().enumerate().filter(|(_, s)| s.op.name == op);
        sweeps.map(move |(sweep, _)| {
            let rows = source.rows[sweep].iter().map(String::as_str).collect();
            Urn { source, sweep, rows, odds: Odds::default() }
        })
    };
    sources.iter().flat_map(of).filter(|urn| !urn.rows.is_empty()).collect()
}

/// Whether the row was right, and so many of its values zero that little could have been wrong. A
/// random case may be so; it is another's turn then.
pub(crate) fn empty(record: &Record) -> bool {
    record.verdict == Verdict::Mistrusted && record.agreement.as_ref().is_some_and(of_zeros)
}

fn of_zeros(seen: &Agreement) -> bool {
    seen.most_zeros.is_some_and(|most| seen.zero_share > most)
}

fn note(tallies: &mut BTreeMap<&str, Tally>, record: &Record) {
    let Some(tally) = tallies.get_mut(record.kernel.as_str()) else { return };
    match record.verdict {
        Verdict::Skipped => {
            tally.refusal.clone_from(&record.reason);
            tally.absent |= record.skip == Some(SkipKind::Hardware);
            tally.excused = record.skip == Some(SkipKind::Peer) && tally.accepted == 0;
            return;
        }
        Verdict::Passed => {}
        Verdict::Mistrusted if empty(record) => {
            tally.empty += 1;
            return;
        }
        Verdict::Mistrusted => tally.mistrusted += 1,
        Verdict::Failed | Verdict::Crashed | Verdict::Errored => tally.failed += 1,
    }
    tally.accepted += 1;
    tally.excused = false;
}

/// A line for each row.
fn rows_of(op: &str, tallies: &BTreeMap<&str, Tally>) -> String {
    let line = |(row, tally): (&&str, &Tally)| {
        let Tally { accepted, failed, mistrusted, empty, .. } = tally;
        format!("{op:<24} {row:<14} {accepted:>9} {failed:>7} {mistrusted:>11} {empty:>6}\n")
    };
    tallies.iter().map(line).collect()
}

/// A line for each row that did not get its cases, or whose hardware is not here.
fn fell_short(op: &str, tallies: &BTreeMap<&str, Tally>, wanted: usize) -> String {
    let short = tallies.iter().filter(|(_, tally)| tally.accepted < wanted);
    let line = |(row, tally): (&&str, &Tally)| {
        if tally.absent || tally.excused {
            return format!("skipped: {row} of {op}: {}\n", tally.refusal);
        }
        let why = match tally.refusal.as_str() {
            _ if tally.empty > 0 => format!("{} proved nothing", count(tally.empty, "case")),
            "" => "no draw made a case of at most 2^20 operations and bytes".to_owned(),
            refusal => format!("last refusal: {refusal}"),
        };
        format!("fell short: {row} of {op}: {} of {wanted}; {why}\n", tally.accepted)
    };
    short.map(line).collect()
}

fn listed(bad: &[Record]) -> String {
    let mut out = String::new();
    for r in bad.iter().take(LISTED) {
        let verdict = r.verdict.name();
        let _ =
            writeln!(out, "{verdict}: {} of {}: {}\n  {}", r.kernel, r.op, r.reason, r.reproduce());
    }
    if bad.len() > LISTED {
        let _ = writeln!(out, "and {} more", bad.len() - LISTED);
    }
    let _ = write!(out, "{} did not pass", count(bad.len(), "result"));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_output_of_zeros_is_empty() {
        let seen =
            |zero_share| Agreement { zero_share, most_zeros: Some(0.9), ..Agreement::default() };
        assert!(of_zeros(&seen(0.91)));
        // Mistrusted for another reason, such as its quality: that counts.
        assert!(!of_zeros(&seen(0.9)));
    }
}
