//! `report`: the report of a run, written anew.
use super::{colour, print, say};
use crate::cli::ReportArgs;
use crate::exit::Exit;
use crate::machine::Machine;
use crate::plan::Usage;
use anyhow::Context as _;
use lowbit_reports::record::Record;
use lowbit_reports::{goals, table, write_report};
use std::fs::read_to_string;
use std::path::Path;

/// Write and print the report of each folder.
pub(crate) fn run(args: &ReportArgs) -> anyhow::Result<Exit> {
    for folder in &args.runs {
        let records = records(folder)?;
        let machine = machine(folder)?;
        if records.is_empty() {
            say(&format!("lowbit: {}/records.jsonl holds no record", folder.display()));
            return Ok(Exit::Nothing);
        }
        let written = write_report(folder, &machine.run_info(), &records)?;
        print(&table::summary_table(&records, colour()))?;
        let outcomes = goals::outcomes(&machine.goals, &records);
        if !outcomes.is_empty() {
            print(&goals::goals_table(&outcomes))?;
        }
        print(&format!("report: {} ({} files)", folder.display(), written.len()))?;
    }
    Ok(Exit::Ok)
}

/// The machine of a run's folder.
pub(crate) fn machine(folder: &Path) -> anyhow::Result<Machine> {
    serde_json::from_str(&read(folder, "machine.json")?)
        .with_context(|| format!("{}/machine.json", folder.display()))
}

/// The records of a run's folder.
pub(crate) fn records(folder: &Path) -> anyhow::Result<Vec<Record>> {
    let mut text = read(folder, "records.jsonl")?;
    if let Some(end) = text.rfind('\n').filter(|end| end + 1 < text.len()) {
        say(&format!("lowbit: {}: the last record is torn and left out", folder.display()));
        text.truncate(end + 1);
    }
    let parsed = Record::parse_lines(&text);
    Ok(parsed.map_err(|e| Usage(format!("{}/records.jsonl: {e}", folder.display())))?)
}

fn read(folder: &Path, name: &str) -> anyhow::Result<String> {
    let path = folder.join(name);
    let hint = "a run's folder holds records.jsonl and machine.json";
    Ok(read_to_string(&path).map_err(|e| Usage(format!("{}: {e}; {hint}", path.display())))?)
}
