//! From the command line to a list of jobs: which rows on which cases, measured how, gated how.
use crate::driver::Driver;
use crate::exit::Exit;
use crate::machine;
use crate::regressions;
use anyhow::{Context as _, anyhow, bail};
use globset::{Glob, GlobSet, GlobSetBuilder};
use lowbit_reference::case::Case;
use lowbit_reports::goals::{Goal, Of, Subject};
use lowbit_reports::record;
use lowbit_scenarios::{Cache, Gates, Measure, Scenario};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One case, the rows to run on it, and its sweep's settings.
#[derive(Clone, Debug)]
pub struct Job {
    /// Settings shared by the cases of a sweep.
    pub sweep: Arc<Settings>,
    /// The case.
    pub case: Case,
    /// Rows, in the order of the op's table.
    pub rows: Vec<String>,
}

/// What the cases of a sweep share.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// `scenario/sweep`; empty for `--case`.
    pub name: String,
    /// How to measure.
    pub measure: Measure,
    /// Limits.
    pub gates: Gates,
}

/// Jobs, and why they exist.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Title: names of the scenarios, or the case.
    pub title: String,
    /// The scenarios' own words.
    pub about: Vec<String>,
    /// Jobs in file order.
    pub jobs: Vec<Job>,
    /// How fast rows should be.
    pub goals: Vec<Goal>,
    /// Kernels that are not ours.
    pub peers: Vec<String>,
}

/// A scenario file, read.
#[derive(Debug)]
pub struct Source {
    /// File name without folder and extension.
    pub stem: String,
    /// What it says.
    pub scenario: Scenario,
    /// Settings of each sweep.
    pub settings: Vec<Arc<Settings>>,
    /// Rows of each sweep that are selected.
    pub rows: Vec<Vec<String>>,
}

/// What the command line selects.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Scenario files.
    pub scenarios: Vec<PathBuf>,
    /// Case ids.
    pub cases: Vec<String>,
    /// Globs of rows; empty for all.
    pub kernels: Vec<String>,
    /// Globs of ops; empty for all.
    pub ops: Vec<String>,
}

/// An error of usage: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub String);

fn globs(patterns: &[String]) -> anyhow::Result<Option<GlobSet>> {
    if patterns.is_empty() {
        return Ok(None);
    }
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        set.add(Glob::new(pattern).map_err(|e| Usage(format!("`{pattern}`: {e}")))?);
    }
    Ok(Some(set.build()?))
}

/// Whether a row's name passes a list of globs; an empty list passes everything.
fn passes(set: &Option<GlobSet>, name: &str) -> bool {
    set.as_ref().is_none_or(|set| set.is_match(name))
}

impl Selection {
    /// Expand everything selected. Names that match nothing are errors, not empty runs.
    pub fn plan(&self, drivers: &[&dyn Driver]) -> anyhow::Result<Plan> {
        if self.scenarios.is_empty() && self.cases.is_empty() {
            bail!(Usage("name a scenario file, or a case with --case".into()));
        }
        self.known(drivers)?;
        let (kernels, ops) = (globs(&self.kernels)?, globs(&self.ops)?);
        let mut plan = Plan::default();
        let mut titles = Vec::new();
        for path in &self.scenarios {
            titles.push(self.scenario(path, drivers, (&kernels, &ops), &mut plan)?);
        }
        for id in &self.cases {
            titles.push(id.clone());
            let case: Case = id.parse().map_err(|e| Usage(format!("--case {id}: {e}")))?;
            let rows = rows(drivers, &case, |name| passes(&kernels, name))?;
            let sweep = Arc::new(Settings::default());
            plan.jobs.push(Job { sweep, case, rows });
        }
        plan.title = titles.join(", ");
        plan.jobs.retain(|job| !job.rows.is_empty() && passes(&ops, job.case.op()));
        if plan.jobs.is_empty() {
            bail!(Usage("no case is left after --kernel and --op".into()));
        }
        Ok(plan)
    }

    /// Every glob must match something there is.
    fn known(&self, drivers: &[&dyn Driver]) -> anyhow::Result<()> {
        let all_ops: BTreeSet<_> = drivers.iter().map(|d| d.spec().name).collect();
        let all_rows: BTreeSet<_> =
            drivers.iter().flat_map(|d| d.rows()).map(|row| row.name).collect();
        let flags = [("--kernel", &self.kernels, all_rows), ("--op", &self.ops, all_ops)];
        for (flag, patterns, names) in flags {
            for pattern in patterns {
                let set = globs(std::slice::from_ref(pattern))?;
                if !names.iter().any(|name| passes(&set, name)) {
                    let near = lowbit_reference::case::nearest(pattern, names.iter().copied());
                    let near = near.map(|n| format!(" (did you mean `{n}`?)")).unwrap_or_default();
                    let list = names.into_iter().collect::<Vec<_>>().join(", ");
                    bail!(Usage(format!(
                        "{flag} `{pattern}` matches nothing{near}; there are: {list}"
                    )));
                }
            }
        }
        Ok(())
    }

    /// The scenario files with what is selected of each, to draw cases from.
    pub fn sources(&self, drivers: &[&dyn Driver]) -> anyhow::Result<Vec<Source>> {
        if self.scenarios.is_empty() || !self.cases.is_empty() {
            bail!(Usage("--seeds draws from scenario files: name one, and no --case".into()));
        }
        self.known(drivers)?;
        let (kernels, ops) = (globs(&self.kernels)?, globs(&self.ops)?);
        let mut sources = Vec::new();
        for path in &self.scenarios {
            let mut source = source(path, drivers, &kernels)?;
            let of_ops = source.scenario.sweeps.iter().map(|sweep| passes(&ops, sweep.op.name));
            let of_ops: Vec<bool> = of_ops.collect();
            source
                .rows
                .iter_mut()
                .zip(of_ops)
                .filter(|(_, kept)| !kept)
                .for_each(|(r, _)| r.clear());
            sources.push(source);
        }
        Ok(sources)
    }

    fn scenario(
        &self,
        path: &Path,
        drivers: &[&dyn Driver],
        (kernels, ops): (&Option<GlobSet>, &Option<GlobSet>),
        plan: &mut Plan,
    ) -> anyhow::Result<String> {
        let Source { stem, scenario, settings: sweeps, rows: all } =
            source(path, drivers, kernels)?;
        let usage = |e: lowbit_scenarios::ScenarioError| Usage(e.to_string());
        for planned in scenario.expand().map_err(usage)? {
            if passes(ops, planned.case.op()) {
                let sweep = Arc::clone(&sweeps[planned.sweep]);
                let rows = all[planned.sweep].iter();
                // Not the rows for which an earlier sweep has the same case.
                let rows = rows.filter(|row| scenario.runs(&planned, row)).cloned().collect();
                let case = regressions::located(planned.case, path);
                plan.jobs.push(Job { sweep, case, rows });
            }
        }
        plan.goals.extend(scenario.goals().map_err(usage)?.iter().map(goal));
        plan.goals.retain(|goal| plan.jobs.iter().any(|job| job.is(&goal.subject)));
        plan.peers.extend(scenario.peers.iter().cloned());
        plan.about.push(scenario.about.clone());
        Ok(stem)
    }
}

impl Job {
    /// Whether a row of this job is what a goal is about.
    fn is(&self, subject: &Subject) -> bool {
        self.rows.contains(&subject.kernel) && self.case.to_string() == subject.case
    }
}

/// A cache state as records name it.
pub(crate) fn cache(cache: Cache) -> record::Cache {
    match cache {
        Cache::Hot => record::Cache::Hot,
        Cache::Cold => record::Cache::Cold,
    }
}

/// A goal as reports take it, on this machine.
fn goal(planned: &lowbit_scenarios::PlannedGoal) -> Goal {
    let subject = |s: &lowbit_scenarios::Subject| Subject {
        case: s.case.to_string(),
        kernel: s.kernel.clone(),
        threads: s.threads.on(machine::cores()) as u32,
        cache: cache(s.cache),
    };
    let of = match &planned.of {
        lowbit_scenarios::Of::Limit(limit) => Of::Limit((*limit).to_owned()),
        lowbit_scenarios::Of::Subject(other) => Of::Subject(subject(other)),
    };
    Goal { subject: subject(&planned.subject), of, at_least: planned.at_least }
}

/// Read and parse a scenario file.
fn source(
    path: &Path,
    drivers: &[&dyn Driver],
    kernels: &Option<GlobSet>,
) -> anyhow::Result<Source> {
    let file = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|e| Usage(format!("{file}: {e}")))?;
    let scenario = Scenario::parse(&file, &text).map_err(|e| Usage(e.to_string()))?;
    let stem = path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    let settings = scenario.sweeps.iter().map(|sweep| {
        Arc::new(Settings {
            name: format!("{stem}/{}", sweep.name),
            measure: sweep.measure.clone(),
            gates: sweep.gate.clone(),
        })
    });
    let settings = settings.collect();
    let rows = rows_by_sweep(&scenario, drivers, kernels)?;
    Ok(Source { stem, scenario, settings, rows })
}

fn rows_by_sweep(
    scenario: &Scenario,
    drivers: &[&dyn Driver],
    kernels: &Option<GlobSet>,
) -> anyhow::Result<Vec<Vec<String>>> {
    let names = |sweep: &lowbit_scenarios::Sweep| -> anyhow::Result<Vec<String>> {
        let driver = drivers.iter().find(|d| d.spec().name == sweep.op.name);
        let driver = driver.ok_or_else(|| anyhow!("no driver for op {}", sweep.op.name))?;
        let rows = driver.rows().into_iter().map(|row| row.name);
        let kept = rows.filter(|n| sweep.kernel_matches(n) && passes(kernels, n));
        Ok(kept.map(str::to_owned).collect())
    };
    scenario.sweeps.iter().map(names).collect()
}

fn rows(
    drivers: &[&dyn Driver],
    case: &Case,
    keep: impl Fn(&str) -> bool,
) -> anyhow::Result<Vec<String>> {
    let driver = drivers.iter().find(|d| d.spec().name == case.op());
    let driver = driver.with_context(|| format!("no driver for op {}", case.op()))?;
    let names = driver.rows().into_iter().map(|row| row.name);
    Ok(names.filter(|name| keep(name)).map(str::to_owned).collect())
}

/// The exit code of an error: usage if that is what it is, infrastructure else.
pub fn exit_of(error: &anyhow::Error) -> Exit {
    if error.is::<Usage>() { Exit::Usage } else { Exit::Infrastructure }
}
