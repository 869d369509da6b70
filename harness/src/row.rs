//! One row on one case: check, then measure, then check again.
use crate::driver::Task;
use crate::machine;
use crate::measure::Sampler;
use crate::memory::Counting;
use crate::peaks::{CacheSizes, Peaks};
use crate::protocol::{Reply, Settings};
use lowbit_kernels::context::{Context, Poison};
use lowbit_kernels::hardware::{Hardware, Need};
use lowbit_kernels::pool::Pool;
use lowbit_kernels::{Failure, Kernel, Prepared, Threads};
use lowbit_reference::data::Files;
use lowbit_reference::judge::{Agreement, judge};
use lowbit_reference::op::{Op, Outputs};
use lowbit_reports::record::{self, Cache, Clock, Record, SCHEMA, SkipKind, Timing, Verdict};

/// A speed above this share of the roof is measured again, and mistrusted if it stays.
const ABOVE_ROOF: f64 = 1.05;
/// How often.
const RETRIES: u32 = 3;

/// What a process brings to the rows it runs.
pub struct Bench {
    pool: Pool,
    hardware: Hardware,
    sampler: Sampler,
    heap: &'static Counting,
    caches: CacheSizes,
    /// Peaks, once they have been measured or told.
    pub peaks: Option<Peaks>,
    /// The file system.
    pub files: &'static dyn Files,
}

impl Bench {
    /// Threads, machine, files and the counting allocator.
    pub fn new(
        pool: Pool,
        hardware: Hardware,
        files: &'static dyn Files,
        heap: &'static Counting,
    ) -> Bench {
        let (sampler, caches) = (Sampler::new(pool.clone()), machine::cache_sizes());
        Bench { pool, hardware, sampler, heap, caches, peaks: None, files }
    }

    /// Measure the peaks again and keep the higher of old and new.
    fn raise_peaks(&mut self) -> Peaks {
        let again = Peaks::measure(&self.pool);
        let peaks = self.peaks.take().map_or(again.clone(), |old| old.higher(again));
        self.peaks = Some(peaks.clone());
        peaks
    }

    /// What the machine has.
    pub fn hardware(&self) -> &Hardware {
        &self.hardware
    }

    /// Measure the peaks, unless they are told.
    pub fn peaks(&mut self, known: Option<Peaks>) -> Peaks {
        let peaks = known.unwrap_or_else(|| Peaks::measure(&self.pool));
        self.peaks = Some(peaks.clone());
        peaks
    }
}

/// A row and what it is run on.
pub(crate) struct RowRun<'a, O: Op> {
    pub(crate) kernel: &'static dyn Kernel<O>,
    pub(crate) task: &'a Task<'a>,
    pub(crate) problem: &'a O::Problem,
}

/// What measuring a row needs of its process.
struct Session<'a> {
    bench: &'a mut Bench,
    settings: &'a Settings,
    answer: &'a mut dyn FnMut(Reply),
}

/// A row that passed its check, ready to be timed.
struct Checked<'p> {
    prepared: Box<dyn Prepared + 'p>,
    /// Keeps the guard bands that are checked after timing.
    context: Context,
    outputs: Outputs,
    workspace: u64,
}

impl<'a, O: Op> RowRun<'a, O> {
    /// One record for a check or a row that did not pass, one per cache state and clock else.
    pub(crate) fn records(
        &self,
        reference: &mut Option<O::Reference>,
        bench: &mut Bench,
        answer: &mut dyn FnMut(Reply),
    ) -> Vec<Record> {
        let mut record = self.blank(bench);
        let need = bench.hardware.has(self.kernel.need());
        let skip = need.map_err(|why| (SkipKind::Hardware, why)).and_then(|()| {
            self.kernel.accepts(self.problem).map_err(|why| (SkipKind::Problem, why))
        });
        if let Err((kind, why)) = skip {
            (record.verdict, record.skip, record.reason) = (Verdict::Skipped, Some(kind), why);
            return vec![record];
        }
        let reference = &*reference.get_or_insert_with(|| O::reference(self.problem));
        answer(Reply::Alive);
        record.quality = O::quality(self.problem, reference).map(quality);
        let checked = match self.check(reference, bench, &mut record) {
            Ok(checked) => checked,
            Err(Failure(why)) => {
                (record.verdict, record.reason) = (Verdict::Failed, why);
                return vec![record];
            }
        };
        match self.task.measure {
            Some(settings) if record.verdict == Verdict::Passed => {
                let session = Session { bench, settings, answer };
                self.measure(reference, checked, session, &record)
            }
            _ => vec![record],
        }
    }

    fn blank(&self, bench: &Bench) -> Record {
        let case = self.task.case;
        let storage = O::storage(self.problem);
        let work = (O::SPEC.work)(case);
        Record {
            schema: SCHEMA,
            sweep: String::new(),
            case: case.to_string(),
            op: case.op().into(),
            kernel: self.kernel.name().into(),
            device: bench.hardware.device(self.kernel.need()),
            parameters: case.parameters().map(|(k, v)| (k.into(), v.to_string())).collect(),
            verdict: Verdict::Passed,
            reason: String::new(),
            skip: None,
            threads: None,
            cache: None,
            clock: None,
            timing: None,
            agreement: None,
            quality: None,
            bits_per_weight: Some(storage.bits_per_element()),
            bytes: Some(record::Bytes {
                artifact_bytes: storage.artifact_bytes,
                scale_bytes: storage.scale_bytes,
                ..record::Bytes::default()
            }),
            work: Some(record::Work {
                macs: work.macs,
                bytes_read: work.bytes_read,
                bytes_written: work.bytes_written,
            }),
            roof: None,
            violations: Vec::new(),
        }
    }

    /// Run under two poison patterns, compare the two answers with each other and the second
    /// with the reference. `Err` is a failure; a mistrusted check is written into the record.
    fn check(
        &self,
        reference: &O::Reference,
        bench: &Bench,
        record: &mut Record,
    ) -> Result<Checked<'a>, Failure> {
        let first = self.once(bench, Poison::Ones)?.outputs;
        let checked = self.once(bench, Poison::Sevens)?;
        let agreement = self.judge(reference, &checked.outputs);
        record.agreement = Some(seen(&agreement));
        if let Some(fault) = &agreement.fault {
            return Err(Failure(fault.clone()));
        }
        if first != checked.outputs {
            return Err(Failure("two runs on buffers of different content disagree".into()));
        }
        let vacuous = agreement.vacuous(O::predicted_zeros(self.problem));
        let expected = O::expected_nmse(self.problem, reference);
        let unexpected = || O::quality(self.problem, reference)?.unexpected(expected?);
        if let Some(why) = vacuous.or_else(unexpected) {
            (record.verdict, record.reason) = (Verdict::Mistrusted, why);
        }
        Ok(checked)
    }

    fn judge(&self, reference: &O::Reference, outputs: &Outputs) -> Agreement {
        let arithmetic = self.kernel.arithmetic(self.problem);
        judge(&O::expect(self.problem, reference, arithmetic, outputs), outputs)
    }

    fn once(&self, bench: &Bench, poison: Poison) -> Result<Checked<'a>, Failure> {
        let mut context = Context::new(bench.pool.clone(), bench.hardware.clone(), poison);
        let before = bench.heap.mark();
        let mut prepared = self.kernel.prepare(self.problem, &mut context)?;
        prepared.launch()?;
        prepared.sync()?;
        let held = bench.heap.peak().saturating_sub(before);
        let outputs = prepared.read()?;
        context.check_guards()?;
        let work = (O::SPEC.work)(self.task.case);
        let declared = work.bytes_read + work.bytes_written + O::storage(self.problem).scale_bytes;
        Ok(Checked { prepared, context, outputs, workspace: held.saturating_sub(declared) })
    }

    fn measure(
        &self,
        reference: &O::Reference,
        mut checked: Checked<'_>,
        mut session: Session<'_>,
        record: &Record,
    ) -> Vec<Record> {
        let mut records = Vec::new();
        for cache in &session.settings.caches {
            // Sweeping the processor's caches leaves a device's own as they are.
            if *cache == Cache::Cold && !self.on_processor(session.bench) {
                continue;
            }
            (session.answer)(Reply::Alive);
            let mut record = record.clone();
            record.threads = Some(match self.kernel.threads() {
                Threads::One => 1,
                _ => session.bench.pool.threads() as u32,
            });
            record.cache = Some(*cache);
            if let Some(bytes) = &mut record.bytes {
                bytes.workspace_bytes = Some(checked.workspace);
                bytes.device_bytes = checked.prepared.device_bytes();
            }
            match self.timed(reference, &mut checked, *cache, &mut session) {
                Ok(timings) => {
                    for (clock, timing) in timings {
                        let mut record = record.clone();
                        (record.clock, record.timing) = (Some(clock), Some(timing));
                        self.roof(&mut record, *cache, session.bench);
                        records.push(record);
                    }
                }
                Err(Failure(why)) => {
                    // A row that fails while it is timed keeps no time at all.
                    (record.verdict, record.reason) = (Verdict::Failed, why);
                    return vec![record];
                }
            }
        }
        // Every cache state asked for may have been one that the device does not have.
        if records.is_empty() { vec![record.clone()] } else { records }
    }

    /// Sample, measure again what is above the roof, and check the last timed output.
    fn timed(
        &self,
        reference: &O::Reference,
        checked: &mut Checked<'_>,
        cache: Cache,
        session: &mut Session<'_>,
    ) -> Result<Vec<(Clock, Timing)>, Failure> {
        let Session { bench, settings, answer } = session;
        let mut timings = bench.sampler.sample(&mut *checked.prepared, cache, settings)?;
        for _ in 0..RETRIES {
            if !self.above_roof(&timings, cache, bench) {
                break;
            }
            // A peak is the most that was ever seen in the run, so a second look only raises it.
            answer(Reply::Peaks(bench.raise_peaks()));
            timings = bench.sampler.sample(&mut *checked.prepared, cache, settings)?;
        }
        let last = checked.prepared.read()?;
        checked.context.check_guards()?;
        if last != checked.outputs {
            let fault = self.judge(reference, &last).fault;
            fault.map_or(Ok(()), |f| Err(Failure(format!("the last timed output: {f}"))))?;
        }
        Ok(timings)
    }

    /// Whether the row runs on the processor, be it as a software device.
    fn on_processor(&self, bench: &Bench) -> bool {
        let software = bench.hardware.wgpu.as_ref().is_ok_and(|adapter| adapter.software);
        self.kernel.need() != Need::Wgpu || software
    }

    fn roof_of(&self, cache: Cache, bench: &Bench) -> Option<record::Roof> {
        // The probes run on the CPU and say nothing of a device.
        let peaks = bench.peaks.as_ref().filter(|_| self.kernel.need() != Need::Wgpu)?;
        let arithmetic = self.kernel.arithmetic(self.problem);
        Some(peaks.roof((O::SPEC.work)(self.task.case), arithmetic, cache, bench.caches))
    }

    fn above_roof(&self, timings: &[(Clock, Timing)], cache: Cache, bench: &Bench) -> bool {
        self.roof_of(cache, bench).is_some_and(|roof| {
            timings.iter().any(|(_, timing)| roof.roof_ns > ABOVE_ROOF * timing.median_ns)
        })
    }

    fn roof(&self, record: &mut Record, cache: Cache, bench: &Bench) {
        record.roof = self.roof_of(cache, bench);
        if let Some(share) = record.roof_share().filter(|share| *share > ABOVE_ROOF) {
            record.verdict = Verdict::Mistrusted;
            let percent = 100.0 * share;
            record.reason =
                format!("{percent:.0} % of what this machine can do, {RETRIES} times over");
        }
    }
}

/// JSON has no NaN and no infinity.
fn finite(x: f64) -> f64 {
    if x.is_finite() { x } else { f64::MAX }
}

fn quality(q: lowbit_reference::quality::Quality) -> record::Quality {
    record::Quality {
        sqnr_db: q.sqnr_db.map(finite),
        nmse: finite(q.nmse),
        mean_quant_error: finite(q.mean_abs_error),
        max_quant_error: finite(q.max_abs_error),
        rms_ratio: finite(q.rms_ratio),
    }
}

fn seen(agreement: &Agreement) -> record::Agreement {
    record::Agreement {
        compared: agreement.compared,
        mismatches: agreement.mismatches,
        near_ties: agreement.near_ties,
        max_abs_error: finite(agreement.max_abs_error),
        error_over_bound: finite(agreement.error_over_bound),
        zero_share: agreement.zero_share,
        sampled: agreement.sampled,
    }
}
