//! Where a row runs while its case is made smaller.
use crate::engine::{Engine, Mode};
use crate::plan::{Job, Settings};
use lowbit_reference::case::Case;
use lowbit_reference::data::Files;
use lowbit_reports::record::{Record, Verdict};
use std::sync::Arc;

/// Silence, in seconds, after which a small case is taken to hang.
const SILENCE: f64 = 0.4;
/// The same on a device, where a launch may compile first.
const DEVICE_SILENCE: f64 = 20.0;

/// A row under suspicion.
pub trait Subject {
    /// What the row answers to a case; nothing where it cannot be built.
    fn record(&mut self, case: &Case) -> Option<Record>;
    /// The same in a new process or thread, where no other case was run before.
    fn alone(&mut self, case: &Case) -> Option<Record> {
        self.record(case)
    }
    /// Make the data of a case, and no more. The error is why they cannot be made.
    fn generate(&self, case: &Case, files: &dyn Files) -> Result<(), String>;
    /// Whether it can take no more trials.
    fn exhausted(&self) -> bool {
        false
    }
}

/// A row in workers: whatever it does to its process, another one takes the next trial.
pub(crate) struct InWorkers<'e, 'd> {
    engine: &'e mut Engine<'d>,
    row: String,
    settings: Arc<Settings>,
}

impl<'e, 'd> InWorkers<'e, 'd> {
    pub(crate) fn new(engine: &'e mut Engine<'d>, op: &str, row: &str) -> InWorkers<'e, 'd> {
        let rows = engine.drivers.iter().filter(|d| d.spec().name == op).flat_map(|d| d.rows());
        let device = rows.into_iter().any(|info| info.name == row && info.need.is_device());
        let mut settings = Settings::default();
        settings.measure.time_limit_seconds = if device { DEVICE_SILENCE } else { SILENCE };
        InWorkers { engine, row: row.to_owned(), settings: Arc::new(settings) }
    }
}

impl Subject for InWorkers<'_, '_> {
    fn record(&mut self, case: &Case) -> Option<Record> {
        let (sweep, rows) = (Arc::clone(&self.settings), vec![self.row.clone()]);
        let job = Job { sweep, case: case.clone(), rows };
        let record = self.engine.run(&job, Mode::Check).pop();
        if record.as_ref().is_some_and(|record| record.verdict == Verdict::Crashed) {
            // Another worker is started now: the next trial's clock is not for that.
            let _ = self.engine.hardware();
        }
        record
    }

    fn alone(&mut self, case: &Case) -> Option<Record> {
        self.engine.restart();
        // Another worker is started now, as above.
        let _ = self.engine.hardware();
        self.record(case)
    }

    fn generate(&self, case: &Case, files: &dyn Files) -> Result<(), String> {
        let mut drivers = self.engine.drivers.iter();
        let driver = drivers.find(|driver| driver.spec().name == case.op());
        driver.ok_or_else(|| format!("no driver for op {}", case.op()))?.generate(case, files)
    }
}
