//! `run`, `check` and `measure`: one loop with different ends.
use super::{colour, print};
use crate::cli::{Required, RunArgs};
use crate::driver::Driver;
use crate::engine::{Engine, Mode};
use crate::exit::{self, Exit};
use crate::machine::Machine;
use crate::measure::{now, unix_seconds, utc};
use crate::plan::{Job, Plan, Usage};
use crate::progress::Progress;
use anyhow::{Context as _, bail};
use lowbit_kernels::hardware::Hardware;
use lowbit_reports::record::Record;
use lowbit_reports::{table, write_report};
use lowbit_scenarios::GateMode;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Which of the three commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    /// Check, measure, write a folder.
    Run,
    /// Check.
    Check,
    /// Check and measure.
    Measure,
}

/// Run the selected cases.
pub(crate) fn run(drivers: &[&dyn Driver], args: &RunArgs, verb: Verb) -> anyhow::Result<Exit> {
    let plan = args.selection.selection().plan(drivers)?;
    let program = std::env::current_exe().context("finding this program")?;
    let mut engine = Engine::new(program, drivers, args.threads.map(usize::from));
    let hardware = engine.hardware().map_err(anyhow::Error::msg)?;
    if let Some(missing) = missing(&args.require, &hardware) {
        eprintln!("lowbit: required hardware is missing: {missing}");
        return Ok(Exit::Infrastructure);
    }
    let folder = folder(args, verb, &plan)?;
    let mut journal = folder.as_deref().map(journal).transpose()?;
    let mut machine = Machine::detect(&hardware, command_line());
    (machine.title, machine.about) = (plan.title.clone(), plan.about.clone());
    let mode = if verb == Verb::Check { Mode::Check } else { Mode::Measure };
    let started = now();
    if mode == Mode::Measure {
        eprintln!("measuring what this machine can do ...");
        engine.measure_peaks(&plan.jobs).map_err(anyhow::Error::msg)?;
    }
    let records = all(&mut engine, &plan, mode, &mut journal)?;
    machine.peaks = engine.peaks();
    let written = match &folder {
        Some(folder) => write(folder, &machine, &records)?,
        None => Vec::new(),
    };
    let seconds = started.elapsed().as_secs_f64();
    conclude(&plan, &records, (folder.as_deref(), &written), seconds)
}

/// The first required hardware that is missing, as `wgpu (reason)`.
pub(crate) fn missing(required: &[Required], hardware: &Hardware) -> Option<String> {
    required.iter().find_map(|required| {
        let why = hardware.has(required.need()).err()?;
        Some(format!("{} ({why})", format!("{required:?}").to_lowercase()))
    })
}

/// The arguments as a shell would take them; the program's path is left to the reader.
fn command_line() -> String {
    let quoted = |arg: String| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=,:*".contains(c);
        if arg.chars().all(plain) { arg } else { format!("'{}'", arg.replace('\'', r"'\''")) }
    };
    let arguments = std::env::args().skip(1).map(quoted);
    std::iter::once("lowbit".to_owned()).chain(arguments).collect::<Vec<_>>().join(" ")
}

/// The folder of the run, made if absent; one that holds a run is refused.
fn folder(args: &RunArgs, verb: Verb, plan: &Plan) -> anyhow::Result<Option<PathBuf>> {
    let default = || {
        let name: String = plan
            .title
            .chars()
            .map(|c| if c.is_alphanumeric() { c } else { '-' })
            .take(40)
            .collect();
        PathBuf::from("runs").join(format!("{}-{name}", utc(unix_seconds())))
    };
    let folder = match (&args.out, verb) {
        (Some(out), _) => out.clone(),
        (None, Verb::Run) => default(),
        (None, _) => return Ok(None),
    };
    if folder.join("records.jsonl").exists() {
        bail!(Usage(format!(
            "--out {}: already holds records.jsonl; name a new folder",
            folder.display()
        )));
    }
    fs::create_dir_all(&folder).map_err(|e| Usage(format!("--out {}: {e}", folder.display())))?;
    Ok(Some(folder))
}

/// Records are appended and flushed one by one: what is done survives whatever comes.
fn journal(folder: &Path) -> anyhow::Result<File> {
    let path = folder.join("records.jsonl");
    File::create_new(&path).with_context(|| path.display().to_string())
}

fn all(
    engine: &mut Engine<'_>,
    plan: &Plan,
    mode: Mode,
    journal: &mut Option<File>,
) -> anyhow::Result<Vec<Record>> {
    let mut progress = Progress::new(plan.jobs.len());
    let mut records = Vec::new();
    for job in &plan.jobs {
        let id = job.case.to_string();
        progress.begin(&id);
        for record in engine.run(job, mode) {
            if let Some(file) = journal {
                writeln!(file, "{}", record.to_line()).context("writing records.jsonl")?;
            }
            records.push(record);
        }
        progress.end(&id);
    }
    progress.finish();
    Ok(records)
}

fn write(folder: &Path, machine: &Machine, records: &[Record]) -> anyhow::Result<Vec<PathBuf>> {
    let path = folder.join("machine.json");
    let text = serde_json::to_string_pretty(machine)?;
    fs::write(&path, text + "\n").with_context(|| path.display().to_string())?;
    let mut written = vec![folder.join("records.jsonl"), path];
    written.extend(write_report(folder, &machine.run_info(), records)?);
    Ok(written)
}

/// Print the table, rows that never ran, and where the files are.
fn conclude(
    plan: &Plan,
    records: &[Record],
    (folder, written): (Option<&Path>, &[PathBuf]),
    seconds: f64,
) -> anyhow::Result<Exit> {
    print(&table::summary_table(records, colour()))?;
    for (op, kernel) in exit::never_ran(records) {
        print(&format!("never ran: row {kernel} of {op} accepted none of its cases"))?;
    }
    match folder {
        Some(folder) => print(&format!(
            "{seconds:.1} s; report: {} ({} files)",
            folder.display(),
            written.len()
        ))?,
        None => print(&format!("{seconds:.1} s"))?,
    }
    let settings: BTreeMap<&str, &Job> =
        plan.jobs.iter().map(|job| (job.sweep.name.as_str(), job)).collect();
    let enforced = |record: &Record| {
        let job = settings.get(record.sweep.as_str());
        job.is_none_or(|job| job.sweep.gates.correctness == GateMode::Enforce)
    };
    Ok(exit::judge(records, enforced))
}
