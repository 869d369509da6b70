//! `mutate`: plant every fault around every row, and see whether the checks notice.
use super::print;
use crate::cli::MutateArgs;
use crate::driver::Driver;
use crate::engine::Engine;
use crate::exit::Exit;
use crate::fault::{Fate, Site, all, excuse};
use crate::plan::Usage;
use crate::progress::Progress;
use anyhow::{Context as _, bail};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// What is known of a fault at a place around a row.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) fate: Fate,
    /// The case that showed it.
    pub(crate) case: String,
}

impl Known {
    /// One catch is enough, and one change that passed says more than none.
    fn rank(&self) -> u8 {
        match self.fate {
            Fate::Caught { .. } => 2,
            Fate::Survived => 1,
            Fate::Equivalent => 0,
        }
    }
}

/// Op and row.
type Row = (&'static str, String);

/// Everything known, by row and site.
#[derive(Debug, Default)]
pub(crate) struct Score(BTreeMap<Row, BTreeMap<Site, Known>>);

impl Score {
    fn note(&mut self, row: Row, site: Site, known: Known) {
        let sites = self.0.entry(row).or_default();
        match sites.get(&site) {
            Some(old) if old.rank() >= known.rank() => {}
            _ => drop(sites.insert(site, known)),
        }
    }

    /// Sites that have been caught around a row.
    fn caught(&self, row: &Row) -> BTreeSet<Site> {
        let sites = self.0.get(row).into_iter().flatten();
        sites.filter(|(_, known)| known.rank() == 2).map(|(site, _)| site.clone()).collect()
    }
}

/// Plant, print the table and the score.
pub(crate) fn run(drivers: &[&dyn Driver], args: &MutateArgs) -> anyhow::Result<Exit> {
    let plan = args.selection.selection().plan(drivers)?;
    let program = std::env::current_exe().context("finding this program")?;
    let mut engine = Engine::new(program, drivers, Some(1));
    let (mut score, mut progress) = (Score::default(), Progress::new(plan.jobs.len()));
    let mut asked: BTreeSet<Row> = BTreeSet::new();
    for job in &plan.jobs {
        let id = job.case.to_string();
        progress.begin(&id);
        let row = |kernel: &String| (job.case.op(), kernel.clone());
        asked.extend(job.rows.iter().map(row));
        let rows = job.rows.iter().map(|kernel| (kernel.clone(), score.caught(&row(kernel))));
        let rows = rows.collect();
        engine
            .mutate(job, rows, &mut |kernel, site, fate| {
                score.note((job.case.op(), kernel), site, Known { fate, case: id.clone() });
            })
            .map_err(anyhow::Error::msg)?;
        progress.end(&id);
    }
    progress.finish();
    if let Some(folder) = &args.out {
        write(folder, &score)?;
    }
    let mut unseen: Vec<_> = asked.into_iter().filter(|row| !score.0.contains_key(row)).collect();
    let hardware = engine.hardware().map_err(anyhow::Error::msg)?;
    unseen.retain(|(op, kernel)| {
        let infos = drivers.iter().filter(|d| d.spec().name == *op).flat_map(|d| d.rows());
        let mut infos = infos.filter(|row| row.name == kernel);
        infos.all(|row| hardware.has(row.need).is_ok() && !row.is_peer)
    });
    conclude(&score, &unseen)
}

/// `mutants.csv`: a line for each fault at each place around each row.
fn write(folder: &Path, score: &Score) -> anyhow::Result<()> {
    let path = folder.join("mutants.csv");
    fs::create_dir_all(folder).map_err(|e| Usage(format!("--out {}: {e}", folder.display())))?;
    if path.exists() {
        bail!(Usage(format!("--out {}: already holds mutants.csv", folder.display())));
    }
    let mut csv = csv::Writer::from_path(&path).with_context(|| path.display().to_string())?;
    csv.write_record(["op", "kernel", "fault", "place", "fate", "check", "why", "case"])?;
    for ((op, kernel), sites) in &score.0 {
        for (Site { fault, place }, Known { fate, case }) in sites {
            let (fate, by, why) = match fate {
                Fate::Caught { by, why } => ("caught", by.as_str(), why.as_str()),
                Fate::Survived => ("survived", "", excuse_of(op, kernel, fault, place)),
                Fate::Equivalent => ("equivalent", "", ""),
            };
            csv.write_record([op, kernel.as_str(), fault, place, fate, by, why, case])?;
        }
    }
    csv.flush().with_context(|| path.display().to_string())
}

fn excuse_of(op: &str, kernel: &str, fault: &str, place: &str) -> &'static str {
    let site = Site { fault: fault.to_owned(), place: place.to_owned() };
    excuse(op, kernel, &site).unwrap_or("")
}

/// What a fault came to around the rows of an op.
#[derive(Debug, Default)]
struct Cell<'a> {
    /// Rows around which it changed an answer, but for those where it is excused.
    planted: usize,
    /// Of these, rows around which it was caught wherever it did.
    caught: usize,
    /// Checks that caught it, and how often.
    checks: BTreeMap<&'a str, usize>,
    /// A case that did.
    case: &'a str,
    survivors: Vec<(&'a Row, &'a Site, &'a Known)>,
}

/// The cell of each op and fault, in the order of the table of faults.
fn cells(score: &Score) -> Vec<((&'static str, &'static str), Cell<'_>)> {
    let ops: BTreeSet<_> = score.0.keys().map(|(op, _)| *op).collect();
    let pairs = ops.into_iter().flat_map(|op| all().map(move |fault| (op, fault.name)));
    pairs.map(|(op, fault)| ((op, fault), cell(score, op, fault))).collect()
}

fn cell<'a>(score: &'a Score, op: &str, fault: &str) -> Cell<'a> {
    let mut cell = Cell::default();
    for (row, sites) in score.0.iter().filter(|((of, _), _)| *of == op) {
        let (mut planted, mut survived) = (false, false);
        for (site, known) in sites.iter().filter(|(site, _)| site.fault == fault) {
            let excused = known.fate == Fate::Survived && excuse(row.0, &row.1, site).is_some();
            planted |= known.fate != Fate::Equivalent && !excused;
            match &known.fate {
                Fate::Caught { by, .. } => {
                    *cell.checks.entry(by).or_default() += 1;
                    cell.case = &known.case;
                }
                Fate::Survived => {
                    survived |= !excused;
                    cell.survivors.push((row, site, known));
                }
                Fate::Equivalent => {}
            }
        }
        cell.planted += usize::from(planted);
        cell.caught += usize::from(planted && !survived);
    }
    cell
}

fn conclude(score: &Score, unseen: &[Row]) -> anyhow::Result<Exit> {
    let cells = cells(score);
    let mut out = format!("{:<20} {:<22} {:>7}  {:<14} case\n", "op", "fault", "caught", "check");
    for ((op, fault), cell) in cells.iter().filter(|(_, cell)| cell.planted > 0) {
        let of = format!("{}/{}", cell.caught, cell.planted);
        let check = cell.checks.iter().max_by_key(|(_, times)| **times).map_or("", |(by, _)| by);
        let _ = writeln!(out, "{op:<20} {fault:<22} {of:>7}  {check:<14} {}", cell.case);
    }
    for (row, site, known) in cells.iter().flat_map(|(_, cell)| &cell.survivors) {
        let ((op, kernel), Site { fault, place }) = (row, site);
        let verdict = excuse(op, kernel, site)
            .map_or_else(|| "SURVIVED".to_owned(), |why| format!("excused ({why})"));
        let _ =
            writeln!(out, "{verdict}: {fault} of {place} around {kernel} of {op}: {}", known.case);
    }
    for (op, kernel) in unseen {
        let _ = writeln!(out, "no case: {kernel} of {op} accepts or passes none");
    }
    let seen = cells.iter().filter(|(_, cell)| cell.planted > 0);
    let seen: BTreeSet<_> = seen.map(|((_, fault), _)| *fault).collect();
    let never: Vec<_> = all().map(|fault| fault.name).filter(|name| !seen.contains(name)).collect();
    if !never.is_empty() {
        let _ = writeln!(out, "changed no answer anywhere: {}", never.join(", "));
    }
    let planted: usize = cells.iter().map(|(_, cell)| cell.planted).sum();
    let caught: usize = cells.iter().map(|(_, cell)| cell.caught).sum();
    let (rows, faults) = (score.0.len(), seen.len());
    let equivalent = score.0.values().flat_map(BTreeMap::values);
    let equivalent = equivalent.filter(|known| known.fate == Fate::Equivalent).count();
    let _ = writeln!(out, "{equivalent} more changed no answer, and count for nothing");
    let _ = write!(out, "caught {caught} of {planted}, rows {rows}, faults {faults}");
    print(&out)?;
    Ok(match (planted, caught) {
        (0, _) => Exit::Nothing,
        _ if caught < planted || !unseen.is_empty() => Exit::Coverage,
        _ => Exit::Ok,
    })
}
