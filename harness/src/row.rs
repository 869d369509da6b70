//! One row on one case: its checks, and its records.
use crate::bench::Bench;
use crate::determinism::{Passed, chance, no_copies};
use crate::driver::Task;
use crate::peaks::too_good;
use crate::protocol::{Depth, Reply};
use crate::refusal::{Check, Refusal};
use crate::rounding;
use crate::truth::{Truth, finite};
use crate::turns::RETRIES;
use lowbit_kernels::buffer::Guard;
use lowbit_kernels::context::{Context, Poison};
use lowbit_kernels::hardware::Need;
use lowbit_kernels::{Failure, Kernel, Prepared, Threads};
use lowbit_reference::judge::{Agreement, judge};
use lowbit_reference::op::{Arithmetic, CodesSeen, Expectation, Op, Operands, Outputs};
use lowbit_reports::record::{self, Cache, Clock, Record, SCHEMA, SkipKind, Timing, Verdict};

/// The least significand of operands that a row may declare: shorter floats are formats of the suite.
const LEAST_BITS: u32 = 5;

/// A row and what it is run on.
pub(crate) struct RowRun<'a, O: Op> {
    pub(crate) kernel: &'static dyn Kernel<O>,
    pub(crate) task: &'a Task<'a>,
    pub(crate) problem: &'a O::Problem,
    /// What the row is told the problem is: the same, unless a fault is planted there.
    pub(crate) given: &'a O::Problem,
}

/// A row that passed its check, ready to be timed.
pub(crate) struct Checked<'p> {
    pub(crate) prepared: Box<dyn Prepared + 'p>,
    /// Keeps the guard bands that are checked after timing.
    context: Context,
    outputs: Outputs,
    workspace: u64,
}

/// What a check came to.
pub(crate) enum Outcome<'p> {
    /// All there is to say of the row.
    Said(Box<Record>),
    /// It passed and is to be timed: what its records have in common, and the row.
    Ready(Box<Record>, Box<Checked<'p>>),
}

impl<'a, O: Op> RowRun<'a, O> {
    /// The row's name.
    pub(crate) fn name(&self) -> String {
        self.kernel.name().into()
    }

    /// Check the row on its problem.
    pub(crate) fn checked(
        &self,
        truth: &mut Option<Truth<O>>,
        bench: &mut Bench,
        answer: &mut dyn FnMut(Reply),
    ) -> Outcome<'a> {
        let mut record = Box::new(self.blank(bench));
        let need = bench.hardware.has(self.kernel.need());
        let outside = if self.kernel.is_peer() { SkipKind::Peer } else { SkipKind::Problem };
        let skip = need
            .map_err(|why| (SkipKind::Hardware, why))
            .and_then(|()| self.kernel.accepts(self.given).map_err(|why| (outside, why)));
        if let Err((kind, why)) = skip {
            (record.verdict, record.skip, record.reason) = (Verdict::Skipped, Some(kind), why);
            return Outcome::Said(record);
        }
        let truth = &*truth.get_or_insert_with(|| Truth::of(self.problem));
        answer(Reply::Alive);
        record.quality = truth.quality();
        match self.check(truth, bench, &mut record) {
            Ok(checked)
                if self.task.depth.settings().is_some() && record.verdict == Verdict::Passed =>
            {
                Outcome::Ready(record, Box::new(checked))
            }
            Ok(_) => Outcome::Said(record),
            Err(Refusal { by, why }) => {
                (record.verdict, record.reason) = (by.verdict(), why);
                Outcome::Said(record)
            }
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

    /// Run under two poison patterns and weigh the two answers; where one is asked for, under one.
    /// `Err` is a failure; a check that proves nothing is written into the record.
    fn check(
        &self,
        truth: &Truth<O>,
        bench: &mut Bench,
        record: &mut Record,
    ) -> Result<Checked<'a>, Refusal> {
        let reference = &truth.reference;
        let depth = self.task.depth;
        let (first, guard) = match depth {
            Depth::Answer => (None, self.guard(bench)),
            _ => (Some(self.once(bench, Poison::Ones, Guard::Bands)?.outputs), Guard::Bands),
        };
        let mut checked = self.once(bench, Poison::Sevens, guard)?;
        let first = first.as_ref().unwrap_or(&checked.outputs);
        let (agreement, most_zeros, refusal) = self.weigh(truth, first, &checked.outputs);
        record.agreement = Some(seen(&agreement, most_zeros, O::codes(self.problem, reference)));
        match refusal {
            Some(refusal) if refusal.by.mistrusts() => {
                (record.verdict, record.reason) = (refusal.by.verdict(), refusal.why);
            }
            Some(refusal) => return Err(refusal),
            None => {
                self.declares_what_it_needs()?;
                if *depth == Depth::Claims {
                    let outputs = &checked.outputs;
                    let passed = Passed { run: self, reference, outputs, agreement: &agreement };
                    passed.verify(&mut *checked.prepared, bench)?;
                    checked.context.check_guards().map_err(Failure)?;
                }
            }
        }
        Ok(checked)
    }

    /// What the buffers of the only launch lie between: the case decides.
    fn guard(&self, bench: &Bench) -> Guard {
        match chance(self.task.case, 3) {
            0 if bench.expendable => Guard::PageAfterAligned,
            1 if bench.expendable => Guard::PageBefore,
            _ => Guard::Bands,
        }
    }

    /// Bounds follow from the arithmetic that a row declares: some would let everything pass.
    fn declares_what_it_needs(&self) -> Result<(), Failure> {
        let Arithmetic { exact_division, operands, .. } = self.kernel.arithmetic(self.problem);
        let here = !self.kernel.need().is_device() && self.kernel.threads() != Threads::Own;
        match operands {
            Operands::Short { bits } if bits < LEAST_BITS => Err(Failure(format!(
                "the row declares operands of {bits} bits, but {LEAST_BITS} is the least"
            ))),
            _ if here && !exact_division => {
                let what = "divisions that are not exact, but processors divide exactly";
                Err(Failure(format!("the row declares {what}")))
            }
            _ => Ok(()),
        }
    }

    /// Compare the second answer with the reference and the first with the second. What was seen,
    /// the largest share of zeros to be expected, and the first reason to refuse the row.
    pub(crate) fn weigh(
        &self,
        truth: &Truth<O>,
        first: &Outputs,
        second: &Outputs,
    ) -> (Agreement, f64, Option<Refusal>) {
        let reference = &truth.reference;
        let agreement = self.judge(reference, second);
        let most_zeros = agreement.most_zeros_of(self.task.case, O::predicted_zeros(self.problem));
        let refused = |by, why| Some(Refusal { by, why });
        // Kept data are those few that showed a defect: most of them may be zero.
        let kept = self.task.case.word("data") == "kept";
        let refusal = if let (Some(why), Some(broken)) = (&agreement.fault, agreement.broken) {
            refused(Check::Output(broken), why.clone())
        } else if let Some(why) = self.disagreement(reference, first, second) {
            refused(Check::Runs, why)
        } else if let Some(why) = agreement.vacuous(most_zeros).filter(|_| !kept) {
            refused(Check::Zeros, why)
        } else {
            truth.unexpected().and_then(|why| refused(Check::Quality, why))
        };
        (agreement, most_zeros, refusal)
    }

    /// How the first run differs from the second. A row that declares no such thing may differ, as
    /// long as both agree with the reference.
    fn disagreement(
        &self,
        reference: &O::Reference,
        first: &Outputs,
        second: &Outputs,
    ) -> Option<String> {
        if first == second {
            return None;
        }
        match self.kernel.determinism().runs {
            true => Some("two runs on buffers of different content disagree".into()),
            false => self.judge(reference, first).fault,
        }
    }

    fn expectation(&self, reference: &O::Reference, outputs: &Outputs) -> Expectation {
        let arithmetic = self.kernel.arithmetic(self.problem);
        O::expect(self.problem, reference, arithmetic, outputs)
    }

    /// An answer beside what it must be.
    pub(crate) fn judge(&self, reference: &O::Reference, outputs: &Outputs) -> Agreement {
        judge(&self.expectation(reference, outputs), outputs)
    }

    /// Whether an answer would pass if bounds were so many times as wide.
    pub(crate) fn admits(&self, reference: &O::Reference, outputs: &Outputs, factor: f64) -> bool {
        judge(&self.expectation(reference, outputs).loosened(factor), outputs).fault.is_none()
    }

    /// The answer with one float so many bounds off; nothing where no output is a float in bounds.
    pub(crate) fn displaced(
        &self,
        reference: &O::Reference,
        outputs: &Outputs,
        bounds: f64,
    ) -> Option<Outputs> {
        self.expectation(reference, outputs).displaced(outputs, bounds)
    }

    /// Prepare and launch the row once, on buffers that hold `poison`.
    fn once(&self, bench: &Bench, poison: Poison, guard: Guard) -> Result<Checked<'a>, Refusal> {
        let mut context = bench.context(poison).with_guard(guard);
        let before = bench.heap.mark();
        let unlaunched = |why| Refusal::unlaunched(self.kernel.need(), why);
        let mut prepared = self.kernel.prepare(self.given, &mut context).map_err(unlaunched)?;
        let copies = prepared.host_copies();
        prepared.launch().and_then(|()| prepared.sync()).map_err(unlaunched)?;
        no_copies(&*prepared, copies)?;
        rounding::as_ever()?;
        let held = bench.heap.peak().saturating_sub(before);
        let outputs = prepared.read()?;
        context.check_guards().map_err(Failure)?;
        let work = (O::SPEC.work)(self.task.case);
        let declared = work.bytes_read + work.bytes_written + O::storage(self.problem).scale_bytes;
        Ok(Checked { prepared, context, outputs, workspace: held.saturating_sub(declared) })
    }

    /// What the row answers, and what its buffers held before it was launched, where it can say.
    pub(crate) fn answer(
        &self,
        bench: &Bench,
        poison: Poison,
    ) -> Result<(Outputs, Option<Outputs>), Refusal> {
        let mut context = bench.context(poison);
        let before = self.kernel.prepare(self.given, &mut context)?.read().ok();
        Ok((self.once(bench, poison, Guard::Bands)?.outputs, before))
    }

    /// Whether the output of a later launch, named for people, is what it must be.
    pub(crate) fn still_agrees(
        &self,
        reference: &O::Reference,
        checked: &mut Checked<'_>,
        which: &str,
    ) -> Result<(), Failure> {
        let last = checked.prepared.read()?;
        checked.context.check_guards()?;
        if last != checked.outputs {
            let fault = self.judge(reference, &last).fault;
            fault.map_or(Ok(()), |f| Err(Failure(format!("{which}: {f}"))))?;
        }
        Ok(())
    }

    /// One record per clock, from what the row's records have in common and its times.
    pub(crate) fn timed(
        &self,
        common: &Record,
        checked: &Checked<'_>,
        (cache, timings): (Cache, Vec<(Clock, Timing)>),
        bench: &Bench,
    ) -> Vec<Record> {
        let mut record = common.clone();
        record.threads = Some(match self.kernel.threads() {
            Threads::One => 1,
            _ => bench.pool.threads() as u32,
        });
        record.cache = Some(cache);
        if let Some(bytes) = &mut record.bytes {
            bytes.workspace_bytes = Some(checked.workspace);
            bytes.device_bytes = checked.prepared.device_bytes();
        }
        let with = |(clock, timing)| {
            let mut record = record.clone();
            (record.clock, record.timing) = (Some(clock), Some(timing));
            self.roof(&mut record, cache, bench);
            record
        };
        timings.into_iter().map(with).collect()
    }

    /// Whether the row runs on the processor, be it as a software device.
    pub(crate) fn on_processor(&self, bench: &Bench) -> bool {
        let software = bench.hardware.wgpu.as_ref().is_ok_and(|adapter| adapter.software);
        match self.kernel.need() {
            Need::Wgpu => software,
            need => !need.is_device(),
        }
    }

    fn roof_of(&self, cache: Cache, bench: &Bench) -> Option<record::Roof> {
        // A software device has none, and another may not have been probed to its end.
        let peaks = bench.peaks_for(self.kernel.need()).filter(|peaks| !peaks.read.is_empty())?;
        let arithmetic = self.kernel.arithmetic(self.problem);
        Some(peaks.roof((O::SPEC.work)(self.task.case), arithmetic, cache, bench.caches))
    }

    pub(crate) fn above_roof(
        &self,
        timings: &[(Clock, Timing)],
        cache: Cache,
        bench: &Bench,
    ) -> bool {
        self.roof_of(cache, bench).is_some_and(|roof| {
            timings.iter().any(|(_, timing)| self.too_good(roof.roof_ns / timing.median_ns))
        })
    }

    fn too_good(&self, share: f64) -> bool {
        too_good(share, self.kernel.need().is_device())
    }

    fn roof(&self, record: &mut Record, cache: Cache, bench: &Bench) {
        record.roof = self.roof_of(cache, bench);
        if let Some(share) = record.roof_share().filter(|share| self.too_good(*share)) {
            record.verdict = Verdict::Mistrusted;
            let percent = 100.0 * share;
            record.reason =
                format!("{percent:.0} % of what this machine can do, {RETRIES} times over");
        }
    }
}

fn seen(agreement: &Agreement, most_zeros: f64, codes: Vec<CodesSeen>) -> record::Agreement {
    let codes = codes.into_iter().map(|CodesSeen { what, format, wanted, seen, ties }| {
        record::Codes { what: what.to_owned(), format, wanted, seen, ties }
    });
    record::Agreement {
        compared: agreement.compared,
        mismatches: agreement.mismatches,
        near_ties: agreement.near_ties,
        max_abs_error: finite(agreement.max_abs_error),
        error_over_bound: finite(agreement.error_over_bound),
        zero_share: agreement.zero_share,
        most_zeros: Some(most_zeros),
        sampled: agreement.sampled,
        bounded: agreement.bounded,
        codes: codes.collect(),
    }
}
