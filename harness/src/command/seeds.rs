//! `check --seeds N`: random cases from a suite's axes, until every row has had N that it accepts.
use super::print;
use crate::driver::Driver;
use crate::engine::{Engine, Mode};
use crate::exit::Exit;
use crate::plan::{Job, Selection, Source};
use crate::progress::Progress;
use lowbit_reports::record::{Record, SkipKind, Verdict};
use lowbit_reports::units::count;
use lowbit_scenarios::Dice;
use std::collections::BTreeMap;
use std::fmt::Write as _;

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
    /// Why it last took no case.
    refusal: String,
    /// Its hardware is not here, so that it can accept nothing.
    absent: bool,
}

/// Where an op's cases are drawn from, and how often a draw there was of use.
struct Urn<'a> {
    source: &'a Source,
    sweep: usize,
    rows: Vec<&'a str>,
    draws: usize,
    useful: usize,
}

impl Urn<'_> {
    /// Likelier where draws are accepted by rows that still need some; never zero.
    fn weight(&self, tallies: &BTreeMap<&str, Tally>, wanted: usize) -> f64 {
        let needed = self.rows.iter().any(|row| needs(&tallies[row], wanted));
        if needed { (self.useful + 2) as f64 / (self.draws + 2) as f64 } else { 0.0 }
    }
}

fn needs(tally: &Tally, wanted: usize) -> bool {
    !tally.absent && tally.accepted < wanted
}

/// Draw and check until every row has had `wanted` cases; print what came out.
pub(crate) fn check(
    selection: &Selection,
    drivers: &[&dyn Driver],
    engine: &mut Engine<'_>,
    (wanted, seed): (usize, u64),
) -> anyhow::Result<Exit> {
    let sources = selection.sources(drivers)?;
    let (mut table, mut bad, mut exit) = (String::new(), Vec::new(), Exit::Ok);
    let _ = writeln!(
        table,
        "{:<24} {:<14} {:>9} {:>7} {:>11}",
        "op", "row", "accepted", "failed", "mistrusted"
    );
    let mut progress = Progress::new(wanted * ops(&sources).len());
    for op in ops(&sources) {
        let mut urns = urns(&sources, op);
        let mut tallies: BTreeMap<&str, Tally> = BTreeMap::new();
        urns.iter().flat_map(|urn| &urn.rows).for_each(|row| drop(tallies.entry(row).or_default()));
        let mut dice = Dice::new(seed);
        for _ in 0..TRIES * wanted {
            let Some(at) = pick(&urns, &tallies, wanted, &mut dice) else { break };
            let urn = &mut urns[at];
            urn.draws += 1;
            let Some(case) = urn.source.scenario.draw(urn.sweep, &mut dice)? else { continue };
            let rows = urn.rows.iter().filter(|row| needs(&tallies[*row], wanted));
            let rows = rows.map(|row| (*row).to_owned()).collect();
            let most = |tallies: &BTreeMap<&str, Tally>| tallies.values().map(|t| t.accepted).max();
            let before = most(&tallies);
            let id = case.to_string();
            let job = Job { sweep: urn.source.settings[urn.sweep].clone(), case, rows };
            let records = engine.run(&job, Mode::Check);
            let accepted = records.iter().filter(|r| r.verdict != Verdict::Skipped).count();
            urn.useful += usize::from(accepted > 0);
            for record in records {
                note(&mut tallies, &record);
                if !matches!(record.verdict, Verdict::Passed | Verdict::Skipped) {
                    exit = worse(exit, record.verdict);
                    bad.push(record);
                }
            }
            if most(&tallies) > before {
                progress.end(&id);
            }
        }
        rows_of(op, &tallies, &mut table);
        let short = fell_short(op, &tallies, wanted);
        if short.1 && exit == Exit::Ok {
            exit = Exit::Coverage;
        }
        table.push_str(&short.0);
    }
    progress.finish();
    print(&format!("{table}\n{}", listed(&bad)))?;
    Ok(exit)
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
            Urn { source, sweep, rows, draws: 0, useful: 0 }
        })
    };
    sources.iter().flat_map(of).filter(|urn| !urn.rows.is_empty()).collect()
}

/// An urn that some row still needs, by weight; nothing when no row needs any.
fn pick(
    urns: &[Urn<'_>],
    tallies: &BTreeMap<&str, Tally>,
    wanted: usize,
    dice: &mut Dice,
) -> Option<usize> {
    let weights: Vec<f64> = urns.iter().map(|urn| urn.weight(tallies, wanted)).collect();
    let mut left = dice.unit() * weights.iter().sum::<f64>();
    let mut last = None;
    for (i, weight) in weights.into_iter().enumerate().filter(|(_, weight)| *weight > 0.0) {
        last = Some(i);
        left -= weight;
        if left < 0.0 {
            break;
        }
    }
    last
}

fn note(tallies: &mut BTreeMap<&str, Tally>, record: &Record) {
    let Some(tally) = tallies.get_mut(record.kernel.as_str()) else { return };
    match record.verdict {
        Verdict::Skipped => {
            tally.refusal.clone_from(&record.reason);
            tally.absent |= record.skip == Some(SkipKind::Hardware);
            return;
        }
        Verdict::Passed => {}
        Verdict::Mistrusted => tally.mistrusted += 1,
        Verdict::Failed | Verdict::Crashed | Verdict::Errored => tally.failed += 1,
    }
    tally.accepted += 1;
}

/// The exit code once another record with that verdict has been seen: the first of 8, 4, 7.
fn worse(exit: Exit, verdict: Verdict) -> Exit {
    let rank = |exit| {
        [Exit::Ok, Exit::Coverage, Exit::Correctness, Exit::Infrastructure]
            .iter()
            .position(|other| *other == exit)
    };
    let new = match verdict {
        Verdict::Passed | Verdict::Skipped => Exit::Ok,
        Verdict::Mistrusted => Exit::Coverage,
        Verdict::Failed => Exit::Correctness,
        Verdict::Crashed | Verdict::Errored => Exit::Infrastructure,
    };
    if rank(new) > rank(exit) { new } else { exit }
}

fn rows_of(op: &str, tallies: &BTreeMap<&str, Tally>, table: &mut String) {
    for (row, tally) in tallies {
        let Tally { accepted, failed, mistrusted, .. } = tally;
        let _ = writeln!(table, "{op:<24} {row:<14} {accepted:>9} {failed:>7} {mistrusted:>11}");
    }
}

/// A line for each row that did not get its cases, and whether one of those that could got none.
fn fell_short(op: &str, tallies: &BTreeMap<&str, Tally>, wanted: usize) -> (String, bool) {
    let (mut lines, mut nothing) = (String::new(), false);
    for (row, tally) in tallies.iter().filter(|(_, tally)| tally.accepted < wanted) {
        let Tally { accepted, refusal, absent, .. } = tally;
        let _ = writeln!(
            lines,
            "fell short: {row} of {op}: {accepted} of {wanted}; last refusal: {refusal}"
        );
        nothing |= *accepted == 0 && !absent;
    }
    (lines, nothing)
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
