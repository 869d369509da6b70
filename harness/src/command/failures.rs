//! What a check does about rows that fail: makes one case of each small, and says how to keep it.
use super::{print, say};
use crate::engine::Engine;
use crate::shrink::subject::InWorkers;
use crate::shrink::{Found, Small, Subject};
use lowbit_reference::case::Case;
use lowbit_reports::record::Record;
use std::path::Path;
use std::time::Duration;

/// Failing rows whose cases are made small.
const MOST_ROWS: usize = 4;

/// Make the least case of each failing row small, `seconds` for each, and print what came out.
/// Files go to `failures` in the folder of the run, if there is one.
pub(crate) fn shrink(
    engine: &mut Engine<'_>,
    records: &[Record],
    seconds: u16,
    folder: Option<&Path>,
) -> anyhow::Result<()> {
    let found = least(records);
    if seconds == 0 || found.is_empty() {
        return Ok(());
    }
    let folder = folder.map(|folder| folder.join("failures"));
    let mut written = false;
    for found in found.iter().take(MOST_ROWS) {
        let (row, op) = (&found.record.kernel, found.case.op());
        say(&format!("making the failure of {row} of {op} small, for at most {seconds} s ..."));
        let mut subject = InWorkers::new(engine, op, row);
        if !repeats(found, &mut subject) {
            print(&format!("{row} of {op}: does not fail again in a check of {}", found.case))?;
            continue;
        }
        let limit = Duration::from_secs(u64::from(seconds));
        let small = Small::of(found.clone(), &mut subject, folder.as_deref(), limit);
        written |= !small.files.is_empty();
        print(&small.to_string())?;
    }
    if found.len() > MOST_ROWS {
        print(&format!(
            "{} more rows fail; --kernel and --op select them",
            found.len() - MOST_ROWS
        ))?;
    }
    match (written, folder) {
        (true, Some(folder)) => print(&format!(
            "Once mended, copy the files in {} to scenarios/regressions: every later check replays them.",
            folder.display()
        )),
        (_, Some(_)) => Ok(()),
        (_, None) => {
            print("With --out DIR the scenarios and the data are written to DIR/failures.")
        }
    }
}

/// The failing case of least work of each row.
fn least(records: &[Record]) -> Vec<Found> {
    let mut all: Vec<Found> = Vec::new();
    for record in records.iter().filter(|record| record.timing.is_none()) {
        let case = record.case.parse::<Case>().ok();
        let Some(found) = case.and_then(|case| Found::new(case, record.clone())) else { continue };
        let same = |other: &Found| {
            (&other.record.kernel, other.case.op()) == (&record.kernel, found.case.op())
        };
        match all.iter_mut().find(|other| same(other)) {
            Some(other) if work(&found.case) < work(&other.case) => *other = found,
            Some(_) => {}
            None => all.push(found),
        }
    }
    all
}

fn work(case: &Case) -> u64 {
    let work = (case.spec().work)(case);
    work.macs.max(work.bytes_read.saturating_add(work.bytes_written))
}

/// Whether a check shows the failure: one of a timed launch it may not.
fn repeats(found: &Found, subject: &mut dyn Subject) -> bool {
    let again = subject.record(&found.case);
    again.and_then(|record| Found::new(found.case.clone(), record)).is_some()
}
