//! The parent: hands cases to workers, survives them, and completes their records.
use crate::child::{Lost, Worker};
use crate::driver::{Driver, RowInfo};
use crate::fault::{Fate, Site};
use crate::machine;
use crate::peaks::{Peaks, remember};
use crate::plan::{self, Job, Settings};
use crate::protocol::{self, Depth, Reply, Request};
use lowbit_kernels::Threads;
use lowbit_kernels::hardware::Hardware;
use lowbit_reference::case::Case;
use lowbit_reference::quality::Quality;
use lowbit_reports::record::{Record, SCHEMA, Verdict, Violation};
use lowbit_scenarios::GateMode;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::time::Duration;

/// Longest the probes of the peaks may take.
const PEAKS_LIMIT: Duration = Duration::from_secs(300);

/// Check, or check and measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Compare with the reference.
    Check,
    /// Compare, then time what agreed.
    Measure,
}

/// Owns the workers, one per number of threads.
pub struct Engine<'a> {
    /// The program whose `worker` command is started.
    pub program: PathBuf,
    /// The operations.
    pub drivers: &'a [&'a dyn Driver],
    /// Threads asked for on the command line; else the scenario's.
    pub threads: Option<usize>,
    workers: BTreeMap<usize, Worker>,
    peaks: Vec<Peaks>,
}

impl<'a> Engine<'a> {
    /// No worker yet.
    pub fn new(program: PathBuf, drivers: &'a [&'a dyn Driver], threads: Option<usize>) -> Self {
        Engine { program, drivers, threads, workers: BTreeMap::new(), peaks: Vec::new() }
    }

    /// What the machine has, asked of a worker: a driver that dies of being looked at takes no
    /// more than that worker with it, and what it prints is not the user's to read.
    pub fn hardware(&mut self) -> Result<Hardware, String> {
        let worker = self.worker(self.threads.unwrap_or_else(machine::cores), false)?;
        worker.ask(&Request::Hardware);
        match worker.reply(PEAKS_LIMIT) {
            Ok(Reply::Hardware(hardware)) => Ok(hardware),
            Ok(other) => Err(format!("the worker answered {other:?} for its hardware")),
            Err(lost) => Err(format!("looking for devices: {}", lost.sentence())),
        }
    }

    /// Start workers anew.
    pub(crate) fn restart(&mut self) {
        self.workers.clear();
    }

    /// Peaks measured so far.
    pub fn peaks(&self) -> Vec<Peaks> {
        self.peaks.clone()
    }

    /// Measure the peaks for each number of threads that `jobs` will use.
    pub fn measure_peaks(&mut self, jobs: &[Job]) -> Result<(), String> {
        let mut counts: Vec<usize> =
            jobs.iter().flat_map(|job| self.thread_counts(&job.sweep)).collect();
        counts.sort_unstable();
        counts.dedup();
        self.measure_peaks_at(&counts)
    }

    /// Measure the peaks for each number of threads.
    pub fn measure_peaks_at(&mut self, counts: &[usize]) -> Result<(), String> {
        counts.iter().try_for_each(|threads| self.worker(*threads, true).map(drop))
    }

    /// Run a job and give out its records, row by row in the order of the table.
    pub fn run(&mut self, job: &Job, mode: Mode) -> Vec<Record> {
        let infos = self.rows(&job.case);
        let mut records = match mode {
            Mode::Check => {
                let threads = self.threads.unwrap_or_else(machine::cores);
                self.case(threads, job, VecDeque::from(job.rows.clone()), &Depth::Claims)
            }
            Mode::Measure => {
                let counts = self.thread_counts(&job.sweep);
                let depth = Depth::Times(settings(&job.sweep));
                let at = |i: usize| rows_at(&job.rows, &infos, i, counts.len());
                let runs = counts.iter().enumerate().map(|(i, threads)| (*threads, at(i)));
                runs.collect::<Vec<_>>()
                    .into_iter()
                    .filter(|(_, rows)| !rows.is_empty())
                    .flat_map(|(threads, rows)| self.case(threads, job, rows, &depth))
                    .collect()
            }
        };
        let rank = |r: &Record| infos.iter().position(|info| info.name == r.kernel);
        records.sort_by_key(|record| (rank(record), record.cache, record.clock, record.threads));
        records.dedup_by(|a, b| a.timing.is_none() && same_row(a, b));
        for record in &mut records {
            record.sweep.clone_from(&job.sweep.name);
            record.violations = violations(record, &job.sweep);
        }
        records
    }

    /// Plant faults around the rows of a job, each but those it is known to notice, and tell what
    /// became of them. A fault that kills the worker has been noticed.
    pub fn mutate(
        &mut self,
        job: &Job,
        mut rows: Vec<(String, BTreeSet<Site>)>,
        tell: &mut dyn FnMut(String, Site, Fate),
    ) -> Result<(), String> {
        let limit = Duration::from_secs_f64(job.sweep.measure.time_limit_seconds);
        let threads = self.threads.unwrap_or(1);
        loop {
            let worker = self.worker(threads, false)?;
            worker.ask(&Request::Mutate { case: job.case.to_string(), rows: rows.clone() });
            let (mut row, mut planting) = (None, None);
            let lost = loop {
                match worker.reply(limit) {
                    Ok(Reply::Started { kernel }) => row = Some(kernel),
                    Ok(Reply::Planting { kernel, site }) => {
                        (row, planting) = (None, Some((kernel, site)));
                    }
                    Ok(Reply::Alive) => planting = None,
                    Ok(Reply::Fate { kernel, site, fate }) => {
                        let known = rows.iter_mut().find(|(name, _)| *name == kernel);
                        known.map(|(_, known)| known.insert(site.clone()));
                        tell(kernel, site, fate);
                        planting = None;
                    }
                    Ok(Reply::Done | Reply::Impossible { .. }) => return Ok(()),
                    Ok(_) => {}
                    Err(lost) => break lost.sentence(),
                }
            };
            self.workers.remove(&threads);
            match (planting, row) {
                (Some((kernel, site)), _) => {
                    let known = rows.iter_mut().find(|(name, _)| *name == kernel);
                    known.map(|(_, known)| known.insert(site.clone()));
                    tell(kernel, site, Fate::Caught { by: "row".into(), why: lost });
                }
                // The row dies without any fault: that is for `check` to say.
                (None, Some(row)) => rows.retain(|(name, _)| *name != row),
                (None, None) => return Ok(()),
            }
        }
    }

    fn rows(&self, case: &Case) -> Vec<RowInfo> {
        let driver = self.drivers.iter().find(|d| d.spec().name == case.op());
        driver.map(|d| d.rows()).unwrap_or_default()
    }

    fn thread_counts(&self, sweep: &Settings) -> Vec<usize> {
        if let Some(threads) = self.threads {
            return vec![threads];
        }
        let cores = machine::cores();
        let mut counts: Vec<_> = sweep.measure.threads.iter().map(|t| t.on(cores)).collect();
        counts.sort_unstable();
        counts.dedup();
        counts
    }

    /// The worker of that many threads, started if need be, knowing the peaks if asked to.
    fn worker(&mut self, threads: usize, peaks: bool) -> Result<&mut Worker, String> {
        let of_threads = |p: &Peaks| p.device.is_none() && p.threads as usize == threads;
        if peaks && !self.peaks.iter().any(of_threads) {
            self.workers.remove(&threads);
        }
        if !self.workers.contains_key(&threads) {
            let mut worker = Worker::start(&self.program, threads)
                .map_err(|e| format!("cannot start {}: {e}", self.program.display()))?;
            if peaks {
                worker.ask(&Request::Peaks { known: self.peaks.clone() });
                match worker.reply(PEAKS_LIMIT) {
                    Ok(Reply::Peaks(peaks)) => remember(&mut self.peaks, peaks),
                    Ok(other) => return Err(format!("the worker answered {other:?} for peaks")),
                    Err(lost) => return Err(lost.sentence()),
                }
            }
            self.workers.insert(threads, worker);
        }
        self.workers.get_mut(&threads).ok_or_else(|| "no worker".into())
    }

    /// Run rows on a case with one number of threads, restarting the worker after each loss.
    fn case(
        &mut self,
        threads: usize,
        job: &Job,
        mut rows: VecDeque<String>,
        depth: &Depth,
    ) -> Vec<Record> {
        let limit = Duration::from_secs_f64(job.sweep.measure.time_limit_seconds);
        let mut records = Vec::new();
        while !rows.is_empty() {
            let worker = match self.worker(threads, depth.settings().is_some()) {
                Ok(worker) => worker,
                Err(why) => {
                    records.extend(rows.drain(..).map(|k| blank(job, &k, Verdict::Errored, &why)));
                    break;
                }
            };
            worker.ask(&Request::Case {
                case: job.case.to_string(),
                rows: rows.iter().cloned().collect(),
                depth: depth.clone(),
            });
            let mut higher = Vec::new();
            let heard = (&mut records, &mut higher);
            let end = converse(worker, limit, &mut rows, heard, job);
            higher.into_iter().for_each(|peaks| remember(&mut self.peaks, peaks));
            let Err((current, lost)) = end else { break };
            self.workers.remove(&threads);
            match current {
                Some(kernel) => {
                    rows.retain(|row| *row != kernel);
                    records.retain(|record| record.kernel != kernel);
                    records.push(blank(job, &kernel, Verdict::Crashed, &lost.sentence()));
                }
                None => {
                    // It died over the case itself, so it would die again for every row.
                    let why = format!("before any row began: {}", lost.sentence());
                    records.extend(rows.drain(..).map(|k| blank(job, &k, Verdict::Errored, &why)));
                }
            }
        }
        records
    }
}

/// Listen until the worker is done; on a loss, the row that was running and how it was lost.
fn converse(
    worker: &mut Worker,
    limit: Duration,
    rows: &mut VecDeque<String>,
    (records, peaks): (&mut Vec<Record>, &mut Vec<Peaks>),
    job: &Job,
) -> Result<(), (Option<String>, Lost)> {
    let mut current = None;
    loop {
        match worker.reply(limit) {
            Ok(Reply::Started { kernel }) => current = Some(kernel),
            Ok(Reply::Record(record)) => {
                // Until it has a record, a row that only waits for its turn is to be run again.
                rows.retain(|row| *row != record.kernel);
                records.push(*record);
            }
            Ok(Reply::Alive | Reply::Hardware(_) | Reply::Planting { .. } | Reply::Fate { .. }) => {
            }
            Ok(Reply::Peaks(higher)) => peaks.push(higher),
            Ok(Reply::Done) => {
                rows.clear();
                return Ok(());
            }
            Ok(Reply::Impossible { reason }) => {
                records.extend(rows.drain(..).map(|k| blank(job, &k, Verdict::Errored, &reason)));
                return Ok(());
            }
            Err(lost) => return Err((current, lost)),
        }
    }
}

/// Rows for the `i`-th of `counts` thread counts: rows of one thread run with the fewest, rows
/// with threads of their own with the most, all others with every count.
fn rows_at(rows: &[String], infos: &[RowInfo], i: usize, counts: usize) -> VecDeque<String> {
    let runs = |name: &String| match infos.iter().find(|info| info.name == name).map(|r| r.threads)
    {
        Some(Threads::One) => i == 0,
        Some(Threads::Own) => i + 1 == counts,
        _ => true,
    };
    rows.iter().filter(|name| runs(name)).cloned().collect()
}

fn settings(sweep: &Settings) -> protocol::Settings {
    let measure = &sweep.measure;
    protocol::Settings {
        caches: measure.cache.iter().copied().map(plan::cache).collect(),
        rounds: measure.rounds,
        min_samples: measure.min_samples,
        max_samples: measure.max_samples,
        max_seconds: measure.max_seconds,
        interval: measure.interval,
    }
}

fn same_row(a: &Record, b: &Record) -> bool {
    (&a.kernel, a.verdict, &a.reason) == (&b.kernel, b.verdict, &b.reason)
}

/// A record of a row that told us nothing.
pub(crate) fn blank(job: &Job, kernel: &str, verdict: Verdict, reason: &str) -> Record {
    Record {
        schema: SCHEMA,
        sweep: String::new(),
        case: job.case.to_string(),
        op: job.case.op().into(),
        kernel: kernel.into(),
        device: "unknown".into(),
        parameters: job.case.parameters().map(|(k, v)| (k.into(), v.to_string())).collect(),
        verdict,
        reason: reason.into(),
        skip: None,
        threads: None,
        cache: None,
        clock: None,
        timing: None,
        agreement: None,
        quality: None,
        bits_per_weight: None,
        bytes: None,
        work: None,
        roof: None,
        violations: Vec::new(),
    }
}

/// Broken limits of a record, of either gate. Quality is a property of format, rule and data, so it
/// is judged on rows that agreed with the reference.
fn violations(record: &Record, sweep: &Settings) -> Vec<Violation> {
    let (Some(q), Some(bits)) = (record.quality, record.bits_per_weight) else {
        return Vec::new();
    };
    // The absolute limits are for states of magnitude one; planted values are not that.
    let planted = |data: &String| ["exact", "adversarial", "kept"].contains(&data.as_str());
    let planted = record.parameters.get("data").is_some_and(planted);
    if planted || !record.op.starts_with("rho_") || record.verdict != Verdict::Passed {
        return Vec::new();
    }
    let quality = Quality {
        sqnr_db: q.sqnr_db,
        nmse: q.nmse,
        mean_abs_error: q.mean_quant_error,
        max_abs_error: q.max_quant_error,
        rms_ratio: q.rms_ratio,
        block_error: q.block_error.unwrap_or(f64::NAN),
        ..Quality::default()
    };
    let absolute = sweep.gates.rho.map(|(mode, gate)| (mode, gate.check(&quality, bits / 32.0)));
    let (nmse, block_error) = (quality.nmse, quality.block_error);
    let relative =
        sweep.gates.rho_relative.map(|(mode, gate)| (mode, gate.check(nmse, block_error)));
    let judged = absolute.into_iter().chain(relative).filter(|(mode, _)| *mode != GateMode::Off);
    judged
        .flat_map(|(mode, broken)| broken.into_iter().map(move |v| (mode, v)))
        .map(|(mode, v)| Violation {
            limit_name: v.limit_name.into(),
            value: if v.value.is_finite() { v.value } else { f64::MAX },
            allowed: v.allowed,
            enforced: mode == GateMode::Enforce,
        })
        .collect()
}
