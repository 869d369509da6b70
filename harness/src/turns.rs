//! Rows of one case: each is checked, then all are timed in turns.
//!
//! With one round every row is timed to its end. With more, round one of every row comes before
//! round two of any, so that a machine that is busy for a second is busy for all of them alike.
use crate::bench::Bench;
use crate::measure::Samples;
use crate::pinning::Pinned;
use crate::protocol::{Reply, Settings};
use crate::row::{Checked, Outcome, RowRun};
use crate::truth::Truth;
use lowbit_kernels::{Failure, Threads};
use lowbit_reference::op::Op;
use lowbit_reports::record::{Cache, Record, Verdict};

/// How often rows above their roof are measured again.
pub(crate) const RETRIES: u32 = 3;

/// A row that takes turns.
struct Turn<'r, 'p, O: Op> {
    run: &'r RowRun<'p, O>,
    checked: Checked<'p>,
    /// What its records have in common.
    common: Record,
    records: Vec<Record>,
    samples: Samples,
    /// Why it takes no more turns: it went wrong while it was timed.
    failure: Option<String>,
}

/// Check rows, time in turns those that passed, and answer everything there is to say of them.
pub(crate) fn run<O: Op>(
    runs: &[RowRun<'_, O>],
    truth: &mut Option<Truth<O>>,
    bench: &mut Bench,
    answer: &mut dyn FnMut(Reply),
) {
    let mut turns = Vec::new();
    for run in runs {
        answer(Reply::Started { kernel: run.name() });
        match run.checked(truth, bench, answer) {
            Outcome::Said(record) => answer(Reply::Record(record)),
            Outcome::Ready(common, checked) => turns.push(Turn {
                run,
                checked: *checked,
                common: *common,
                records: Vec::new(),
                samples: Samples::default(),
                failure: None,
            }),
        }
    }
    let settings = runs.first().and_then(|run| run.task.depth.settings());
    let (Some(settings), Some(truth)) = (settings, truth.as_ref()) else { return };
    for turn in &turns {
        let need = turn.run.kernel.need();
        let device = Some(need).filter(|_| !turn.run.on_processor(bench));
        if let Some(unknown) = device.and_then(|need| bench.before_probing(need)) {
            answer(Reply::Started { kernel: turn.run.name() });
            answer(Reply::Peaks(unknown));
            let peaks = bench.probe_device(need, &mut || answer(Reply::Alive));
            peaks.into_iter().for_each(|peaks| answer(Reply::Peaks(peaks)));
        }
    }
    for cache in &settings.caches {
        in_cache(&mut turns, (*cache, settings), &truth.reference, (&mut *bench, &mut *answer));
    }
    for turn in turns {
        answer(Reply::Started { kernel: turn.run.name() });
        for record in turn.records() {
            answer(Reply::Record(Box::new(record)));
        }
    }
}

/// All rounds in one cache state, again while a row is above its roof, and the last check.
fn in_cache<O: Op>(
    turns: &mut [Turn<'_, '_, O>],
    (cache, settings): (Cache, &Settings),
    reference: &O::Reference,
    (bench, answer): (&mut Bench, &mut dyn FnMut(Reply)),
) {
    let here = |turn: &&mut Turn<O>| turn.failure.is_none() && turn.reaches(cache, bench);
    let mut turns: Vec<&mut Turn<O>> = turns.iter_mut().filter(here).collect();
    for retry in 0..=RETRIES {
        turns.iter_mut().for_each(|turn| turn.samples = Samples::default());
        for _ in 0..settings.rounds.max(1) {
            for turn in turns.iter_mut().filter(|turn| turn.failure.is_none()) {
                answer(Reply::Started { kernel: turn.run.name() });
                let row = &mut *turn.checked.prepared;
                let ours = turn.run.kernel.threads() == Threads::Pool;
                let _pinned = ours.then(|| Pinned::new(&bench.pool));
                let done = bench.sampler.round(row, cache, settings, &mut turn.samples);
                turn.fail(done);
            }
        }
        let above = |turn: &&mut Turn<O>| {
            let timings = turn.samples.timings(settings);
            turn.failure.is_none() && turn.run.above_roof(&timings, cache, bench)
        };
        if retry == RETRIES || !turns.iter().any(above) {
            break;
        }
        // A peak is the most that was ever seen in the run, so a second look only raises it.
        answer(Reply::Peaks(bench.raise_peaks()));
    }
    for turn in turns.into_iter().filter(|turn| turn.failure.is_none()) {
        answer(Reply::Started { kernel: turn.run.name() });
        let agrees = turn.run.still_agrees(reference, &mut turn.checked, "the last timed output");
        turn.fail(agrees);
        let timings = turn.samples.timings(settings);
        let records = turn.run.timed(&turn.common, &turn.checked, (cache, timings), bench);
        turn.records.extend(records);
    }
}

impl<O: Op> Turn<'_, '_, O> {
    fn fail(&mut self, done: Result<(), Failure>) {
        self.failure = done.err().map(|Failure(why)| why);
    }

    /// Whether the row can be brought to that state: sweeping the processor's caches leaves a device's
    /// own as they are, which the row must empty itself.
    fn reaches(&self, cache: Cache, bench: &Bench) -> bool {
        let caches = self.run.on_processor(bench) || self.checked.prepared.device_caches();
        cache == Cache::Hot || caches
    }

    /// One record per cache state and clock; the failure alone where there is one, since a row that
    /// fails while it is timed keeps no time at all.
    fn records(self) -> Vec<Record> {
        let Turn { mut common, records, failure, .. } = self;
        if let Some(why) = failure {
            (common.verdict, common.reason) = (Verdict::Failed, why);
            return vec![common];
        }
        // Every cache state asked for may have been one that the device does not have.
        if records.is_empty() { vec![common] } else { records }
    }
}
