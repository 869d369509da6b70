//! `merge`: judge what outside peers answered, and join them to a run.
use super::export::CASE_FILE;
use super::print;
use crate::bench::Bench;
use crate::cli::{MergeArgs, ReportArgs};
use crate::driver::{self, Driver};
use crate::exit::{self, Exit};
use crate::files::Disk;
use crate::machine::Machine;
use crate::memory::Counting;
use crate::outside::answer::{Answer, PROCESSOR, Timed};
use crate::outside::{Given, exchange, tensors};
use crate::peaks::too_good;
use crate::plan::Usage;
use anyhow::Context as _;
use lowbit_reference::case::Case;
use lowbit_reference::op::Arithmetic;
use lowbit_reports::record::{Clock, Record, Roof, Verdict};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// What a run's folder says of the peers that were joined to it: `peers.json`, by row.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Joined {
    version: String,
    arithmetic: Arithmetic,
}

/// Judge every answer of the folders, write the run anew and print its report.
pub(crate) fn run(
    drivers: &[&dyn Driver],
    args: &MergeArgs,
    heap: &'static Counting,
) -> anyhow::Result<Exit> {
    let mut records = super::report::records(&args.run)?;
    let mut bench = driver::bench(1, &Disk, heap).map_err(anyhow::Error::msg)?;
    let mut peers = joined(&args.run)?;
    let machine = super::report::machine(&args.run)?;
    let mut merged = Vec::new();
    for folder in &args.answers {
        for path in answers(folder)? {
            let (answer, new) = judged(drivers, folder, &path, &mut bench, (&records, &machine))?;
            print(&sentence(&answer, &new))?;
            let Answer { kernel, version, arithmetic, .. } = answer;
            peers.insert(kernel, Joined { version, arithmetic });
            merged.extend(new);
        }
    }
    for record in &merged {
        join(&mut records, record.clone());
    }
    let text: String = records.iter().map(|record| record.to_line() + "\n").collect();
    replace(&args.run.join("records.jsonl"), &text)?;
    replace(&peers_file(&args.run), &(serde_json::to_string_pretty(&peers)? + "\n"))?;
    super::report::run(&ReportArgs { runs: vec![args.run.clone()] })?;
    Ok(exit::judge(&merged, &BTreeSet::new()))
}

fn peers_file(run: &Path) -> PathBuf {
    run.join("peers.json")
}

fn joined(run: &Path) -> anyhow::Result<BTreeMap<String, Joined>> {
    let path = peers_file(run);
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(serde_json::from_str(&text).with_context(|| path.display().to_string())?),
        Err(_) => Ok(BTreeMap::new()),
    }
}

/// Written beside and moved into place: an interruption leaves the old file.
fn replace(path: &Path, text: &str) -> anyhow::Result<()> {
    let beside = path.with_extension("new");
    std::fs::write(&beside, text).with_context(|| beside.display().to_string())?;
    std::fs::rename(&beside, path).with_context(|| path.display().to_string())
}

/// The peers' files of a folder of answers, by name.
fn answers(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder)
        .map_err(|e| Usage(format!("{}: {e}; `lowbit export` writes it", folder.display())))?;
    let json = |path: &PathBuf| {
        path.extension().is_some_and(|e| e == "json") && !path.ends_with(CASE_FILE)
    };
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).filter(json).collect();
    paths.sort();
    match paths.is_empty() {
        true => Err(Usage(format!("{}: holds no answer, <peer>.json", folder.display())).into()),
        false => Ok(paths),
    }
}

/// The case that a folder was exported for.
pub(super) fn case(folder: &Path) -> anyhow::Result<Case> {
    let path = folder.join(CASE_FILE);
    let text = std::fs::read_to_string(&path)
        .map_err(|e| Usage(format!("{}: {e}; `lowbit export` writes it", path.display())))?;
    let json: serde_json::Value =
        serde_json::from_str(&text).map_err(|e| Usage(format!("{}: {e}", path.display())))?;
    let id = json["case"].as_str().unwrap_or_default();
    Ok(id.parse().map_err(|e| Usage(format!("{}: case is `{id}`: {e}", path.display())))?)
}

/// Check one answer; a record for each of its timings if it passed, else one without times.
fn judged(
    drivers: &[&dyn Driver],
    folder: &Path,
    path: &Path,
    bench: &mut Bench,
    (run, machine): (&[Record], &Machine),
) -> anyhow::Result<(Answer, Vec<Record>)> {
    let case = case(folder)?;
    let answer = Answer::read(path).map_err(Usage)?;
    let rows = drivers.iter().filter(|d| d.spec().name == case.op()).flat_map(|d| d.rows());
    if let Some(row) = rows.map(|row| row.name).find(|name| *name == answer.kernel) {
        let file = path.display();
        return Err(Usage(format!("{file}: kernel is `{row}`, a row of this program")).into());
    }
    let device = machine.device(&answer.device).ok_or_else(|| {
        let (file, device) = (path.display(), &answer.device);
        Usage(format!("{file}: device is `{device}`, but the run's machine.json has none"))
    })?;
    let outputs = tensors::read(&path.with_extension("safetensors")).map_err(Usage)?;
    let Answer { kernel, arithmetic, timings, .. } = answer.clone();
    let given = Given { kernel, arithmetic, outputs };
    let mut record = exchange(&case).and_then(|op| op.check(&case, given, bench)).map_err(Usage)?;
    record.device = device;
    if let Some(same) = run.iter().find(|r| r.case == record.case) {
        record.sweep.clone_from(&same.sweep);
    }
    let records = match record.verdict {
        Verdict::Passed if !timings.is_empty() => {
            timings.iter().map(|timed| measured(&record, timed, run)).collect()
        }
        _ => vec![record],
    };
    Ok((answer, records))
}

/// A time faster than the processor is not believed, as of a row's.
fn measured(record: &Record, timed: &Timed, run: &[Record]) -> Record {
    let mut measured = Record {
        threads: Some(timed.threads),
        cache: Some(timed.cache),
        clock: Some(Clock::Wall),
        timing: Some(timed.timing()),
        roof: roof(record, timed, run),
        ..record.clone()
    };
    let on_device = record.device != PROCESSOR;
    if let Some(share) = measured.roof_share().filter(|share| too_good(*share, on_device)) {
        measured.verdict = Verdict::Mistrusted;
        measured.reason = format!("{:.0} % of what this machine can do", 100.0 * share);
    }
    measured
}

/// The fastest its device could do the case, as the run's own rows there have found.
fn roof(record: &Record, timed: &Timed, run: &[Record]) -> Option<Roof> {
    let same = |r: &&Record| {
        (&r.case, &r.device) == (&record.case, &record.device)
            && (r.threads, r.cache) == (Some(timed.threads), Some(timed.cache))
    };
    let roofs = run.iter().filter(same).filter_map(|r| r.roof.as_ref());
    roofs.min_by(|a, b| a.roof_ns.total_cmp(&b.roof_ns)).cloned()
}

/// Put a record behind the others of its case, in the place of an earlier one of its kind.
fn join(records: &mut Vec<Record>, new: Record) {
    let same = |r: &Record| {
        r.case == new.case
            && r.kernel == new.kernel
            && (r.timing.is_none() || (r.threads, r.cache) == (new.threads, new.cache))
    };
    records.retain(|r| !same(r));
    let end = records.iter().rposition(|r| r.case == new.case).map_or(records.len(), |at| at + 1);
    records.insert(end, new);
}

fn sentence(answer: &Answer, records: &[Record]) -> String {
    let Some(record) = records.first() else { return String::new() };
    let why = if record.reason.is_empty() { String::new() } else { format!(": {}", record.reason) };
    let (kernel, version) = (&answer.kernel, &answer.version);
    format!("{kernel} {version} {} on {}{why}", record.verdict.name(), record.case)
}
