//! Failures that were mended, replayed by every later check.
//!
//! An entry is what a failure leaves in `failures/`: a scenario file, and a `.safetensors` beside it
//! where its data are kept. A suite `scenarios/suites/smoke.json` replays `scenarios/regressions/*.json`
//! for those ops it has, with the rows it asks of them.
use crate::driver::Driver;
use crate::plan::{Job, Plan, Selection, Settings, Usage};
use lowbit_reference::case::{Case, Value};
use lowbit_scenarios::Scenario;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The folder of regressions that goes with a suite: `regressions` beside the suite's folder.
pub fn folder(suite: &Path) -> PathBuf {
    match suite.parent().and_then(Path::parent) {
        Some(above) => above.join("regressions"),
        None => Path::new("..").join("regressions"),
    }
}

/// The scenario files of a folder, by name; none where there is no folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<_> = entries.map(|entry| entry.path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    files
}

/// The case of a scenario file, with kept data looked for beside the file.
pub(crate) fn located(case: Case, scenario: &Path) -> Case {
    let (Some(Value::Text(file)), "kept") = (case.get("file"), case.word("data")) else {
        return case;
    };
    let beside = scenario.with_file_name(file).to_string_lossy().into_owned();
    case.with(&[("file", Some(Value::Text(beside)))]).unwrap_or(case)
}

/// The cases of a folder of regressions, each with the name of its file.
pub(crate) fn cases(folder: &Path) -> Result<Vec<(String, Case)>, Usage> {
    let mut all = Vec::new();
    for path in files(folder) {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(&path).map_err(|e| Usage(format!("{name}: {e}")))?;
        let scenario = Scenario::parse(&name, &text).map_err(|e| Usage(e.to_string()))?;
        let stem = path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
        for planned in scenario.expand().map_err(|e| Usage(e.to_string()))? {
            all.push((stem.clone(), located(planned.case, &path)));
        }
    }
    Ok(all)
}

/// Add the regressions beside some suites to the plan of a check: for its ops, with its rows.
pub(crate) fn replay(
    selection: &Selection,
    drivers: &[&dyn Driver],
    plan: &mut Plan,
) -> Result<(), Usage> {
    let folders: BTreeSet<PathBuf> = selection.scenarios.iter().map(|s| folder(s)).collect();
    let mut seen: BTreeSet<String> = plan.jobs.iter().map(|job| job.case.to_string()).collect();
    for folder in folders {
        for (name, case) in cases(&folder)? {
            let rows = rows(plan, &case, drivers);
            if !rows.is_empty() && seen.insert(case.to_string()) {
                let name = format!("regressions/{name}");
                let sweep = Arc::new(Settings { name, ..Settings::default() });
                plan.jobs.push(Job { sweep, case, rows });
            }
        }
    }
    Ok(())
}

/// The rows that a plan asks of an op, in the order of its table.
fn rows(plan: &Plan, case: &Case, drivers: &[&dyn Driver]) -> Vec<String> {
    let jobs = plan.jobs.iter().filter(|job| job.case.op() == case.op());
    let asked: BTreeSet<&str> = jobs.flat_map(|job| &job.rows).map(String::as_str).collect();
    let table = drivers.iter().filter(|driver| driver.spec().name == case.op());
    let names = table.flat_map(|driver| driver.rows()).map(|row| row.name);
    names.filter(|name| asked.contains(name)).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regressions_lie_beside_the_suites() {
        for (suite, wanted) in [
            ("scenarios/suites/smoke.json", "scenarios/regressions"),
            ("suites/smoke.json", "regressions"),
            ("smoke.json", "../regressions"),
        ] {
            assert_eq!(folder(Path::new(suite)), Path::new(wanted), "{suite}");
        }
    }

    #[test]
    fn kept_data_are_looked_for_beside_their_scenario_and_no_others() {
        let id = "hadamard/m=1/k=1/data=kept/file=x.safetensors";
        let case: Case = id.parse().unwrap();
        let moved = located(case, Path::new("a/b/x.json")).to_string();
        assert!(moved.contains("/file=a/b/x.safetensors/"), "{moved}");
        let drawn: Case = "hadamard/m=1/k=1/data=exact".parse().unwrap();
        assert_eq!(located(drawn.clone(), Path::new("a/b/x.json")), drawn);
    }
}
