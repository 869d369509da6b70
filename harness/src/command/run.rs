//! `run`, `check` and `measure`: one loop with different ends.
use super::{colour, failures, print, say, seeds};
use crate::cli::{CheckArgs, Required, RunArgs};
use crate::driver::Driver;
use crate::engine::{Engine, Mode};
use crate::exit::{self, Exit};
use crate::machine::Machine;
use crate::measure::{now, unix_seconds, utc};
use crate::nvidia;
use crate::plan::{Job, Plan, Usage};
use crate::progress::Progress;
use crate::regressions;
use anyhow::{Context as _, bail};
use lowbit_kernels::hardware::Hardware;
use lowbit_reports::record::Record;
use lowbit_reports::{coverage, goals, rule_costs, table, tightness, write_report};
use lowbit_scenarios::GateMode;
use std::collections::BTreeSet;
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

/// Check the selected cases, or random ones.
pub(crate) fn check(drivers: &[&dyn Driver], args: &CheckArgs) -> anyhow::Result<Exit> {
    let Some(wanted) = args.seeds.wanted() else { return run(drivers, &args.run, Verb::Check) };
    let program = std::env::current_exe().context("finding this program")?;
    let mut engine = Engine::new(program, drivers, args.run.threads.map(usize::from));
    let hardware = engine.hardware().map_err(anyhow::Error::msg)?;
    if let Some(missing) = missing(&args.run.require, &hardware) {
        say(&format!("lowbit: required hardware is missing: {missing}"));
        return Ok(Exit::Infrastructure);
    }
    let selection = args.run.selection.selection();
    seeds::check(
        &selection,
        drivers,
        &mut engine,
        (wanted, args.run.shrink),
        args.run.out.as_deref(),
    )
}

/// Run the selected cases.
pub(crate) fn run(drivers: &[&dyn Driver], args: &RunArgs, verb: Verb) -> anyhow::Result<Exit> {
    let selection = args.selection.selection();
    let mut plan = selection.plan(drivers)?;
    if verb == Verb::Check {
        regressions::replay(&selection, drivers, &mut plan)?;
    }
    let program = std::env::current_exe().context("finding this program")?;
    let mut engine = Engine::new(program, drivers, args.threads.map(usize::from));
    let hardware = engine.hardware().map_err(anyhow::Error::msg)?;
    if let Some(missing) = missing(&args.require, &hardware) {
        say(&format!("lowbit: required hardware is missing: {missing}"));
        return Ok(Exit::Infrastructure);
    }
    let folder = folder(args, verb, &plan)?;
    let mut journal = folder.as_deref().map(journal).transpose()?;
    let mut machine = Machine::detect(&hardware, command_line());
    (machine.title, machine.about) = (plan.title.clone(), plan.about.clone());
    (machine.goals, machine.peers) = (plan.goals.clone(), plan.peers.clone());
    if let Some(folder) = &folder {
        write_machine(folder, &machine)?;
    }
    let mode = if verb == Verb::Check { Mode::Check } else { Mode::Measure };
    let started = now();
    if mode == Mode::Measure {
        say("measuring what this machine can do ...");
        machine.busy().iter().for_each(|warning| say(warning));
        engine.measure_peaks(&plan.jobs).map_err(anyhow::Error::msg)?;
    }
    let records = all(&mut engine, &plan, mode, &mut journal)?;
    (machine.peaks, machine.nvidia_at_end) = (engine.peaks(), nvidia::clocks());
    let written = match &folder {
        Some(folder) => write(folder, &machine, &records.0)?,
        None => Vec::new(),
    };
    let seconds = started.elapsed().as_secs_f64();
    let exit = conclude(&records, (folder.as_deref(), &written), seconds)?;
    failures::shrink(&mut engine, &records.0, args.shrink, folder.as_deref())?;
    // A check times nothing, so it reaches no goal and misses none.
    let outcomes = match mode {
        Mode::Check => Vec::new(),
        Mode::Measure => goals::outcomes(&plan.goals, &records.0),
    };
    if !outcomes.is_empty() {
        print(&goals::goals_table(&outcomes))?;
    }
    let claims = |job: &&Job| job.sweep.gates.codes == GateMode::Enforce;
    let claimed = plan.jobs.iter().filter(claims).map(|job| job.sweep.name.clone()).collect();
    if matches!(exit, Exit::Ok | Exit::Quality) && exit::codes_missing(&records.0, &claimed) {
        return Ok(Exit::Coverage);
    }
    let missed = args.enforce_goals && !outcomes.iter().all(goals::Outcome::met);
    Ok(if exit == Exit::Ok && missed { Exit::Speed } else { exit })
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
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=,:".contains(c);
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

/// Records are appended case by case, each line in one write: what is done survives an
/// interruption, and `report` makes a report of it.
fn journal(folder: &Path) -> anyhow::Result<File> {
    let path = folder.join("records.jsonl");
    File::create_new(&path).with_context(|| path.display().to_string())
}

fn all(
    engine: &mut Engine<'_>,
    plan: &Plan,
    mode: Mode,
    journal: &mut Option<File>,
) -> anyhow::Result<(Vec<Record>, BTreeSet<usize>)> {
    let mut progress = Progress::new(plan.jobs.len());
    let (mut records, mut forgiven) = (Vec::new(), BTreeSet::new());
    for job in &plan.jobs {
        let id = job.case.to_string();
        progress.begin(&id);
        for record in engine.run(job, mode) {
            if let Some(file) = journal {
                let line = record.to_line() + "\n";
                file.write_all(line.as_bytes()).context("writing records.jsonl")?;
            }
            if job.sweep.gates.correctness != GateMode::Enforce {
                forgiven.insert(records.len());
            }
            records.push(record);
        }
        progress.end(&id);
    }
    progress.finish();
    Ok((records, forgiven))
}

fn write_machine(folder: &Path, machine: &Machine) -> anyhow::Result<PathBuf> {
    let path = folder.join("machine.json");
    let text = serde_json::to_string_pretty(machine)? + "\n";
    fs::write(&path, text).with_context(|| path.display().to_string())?;
    Ok(path)
}

fn write(folder: &Path, machine: &Machine, records: &[Record]) -> anyhow::Result<Vec<PathBuf>> {
    let path = write_machine(folder, machine)?;
    let mut written = vec![folder.join("records.jsonl"), path];
    written.extend(write_report(folder, &machine.run_info(), records)?);
    Ok(written)
}

/// Print the table, rows that never ran, and where the files are.
fn conclude(
    (records, forgiven): &(Vec<Record>, BTreeSet<usize>),
    (folder, written): (Option<&Path>, &[PathBuf]),
    seconds: f64,
) -> anyhow::Result<Exit> {
    print(&table::summary_table(records, colour()))?;
    let costs = rule_costs::rule_costs(records);
    if !costs.is_empty() {
        print(&costs)?;
    }
    let seen = coverage::coverage(records);
    for lines in [tightness::tightness_table(records), coverage::coverage_lines(&seen)] {
        if !lines.is_empty() {
            print(lines.trim_end())?;
        }
    }
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
    Ok(exit::judge(records, forgiven))
}
