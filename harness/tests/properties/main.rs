//! A property of every row of every op: it answers what the scalar reference answers, whatever the
//! shape, config, layout, tier and data.
//!
//! proptest draws cases from the axes of the suite `nightly` (for a device, `gpu-smoke`) and makes a failing one small; the
//! check is that of every command. Rows run in `lowbit worker`, on three threads: one that crashes or
//! hangs, while it is drawn for or made small, ends its worker and fails. 32 cases a row; five
//! hundred with the feature `heavy`. `cargo test -p lowbit-harness --test properties --
//! linear::avx2`.
//!
//! Rows of `linear` are also compared with the product of fake-quantized operands: directly, without
//! the reference's sums between the two. Those of the projections are, in `training/tests/gradients`.
mod fake_quant;
mod faulty;
use libtest_mimic::{Arguments, Failed, Trial};
use lowbit_harness::driver::{DRIVERS, Driver, RowInfo};
use lowbit_harness::engine::{Engine, Mode};
use lowbit_harness::plan::{Job, Settings};
use lowbit_harness::shrink::Cases;
use lowbit_reference::case::Case;
use lowbit_reference::hash::fnv1a;
use lowbit_reports::record::{Record, SkipKind, Verdict};
use lowbit_scenarios::Scenario;
use proptest::test_runner::{
    Config, RngAlgorithm, RngSeed, TestCaseError, TestCaseResult, TestError, TestRunner,
};
use std::cell::Cell;
use std::process::ExitCode;
use std::sync::Arc;

/// A suite by its name.
type Suite = (&'static str, &'static str);
const NIGHTLY: Suite = ("nightly", include_str!("../../../scenarios/suites/nightly.json"));
const DEVICES: Suite = ("gpu-smoke", include_str!("../../../scenarios/suites/gpu-smoke.json"));
/// Cases that a row has to accept.
const CASES: u32 = if cfg!(feature = "heavy") { 500 } else { 32 };
/// Longest silence of a row on a small case, seconds: on a device, a compiler's.
const SILENCE: f64 = 10.0;
const DEVICE_SILENCE: f64 = 60.0;
/// Cases that it may refuse, for each that it is to accept: it may take one format of many.
const REFUSED: u32 = 400;
/// Most operations and bytes of a case.
const MOST_WORK: u64 = 1 << 18;

fn main() -> ExitCode {
    // Suites name files from the root of the repository.
    if let Err(why) = std::env::set_current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/..")) {
        eprintln!("the repository: {why}");
        return ExitCode::FAILURE;
    }
    let mut trials = Vec::new();
    for driver in DRIVERS.iter().copied() {
        for row in driver.rows() {
            let name = format!("{}::{}", driver.spec().name, row.name);
            trials.push(Trial::test(name, move || in_workers(driver, row)));
        }
    }
    trials.extend(fake_quant::trials());
    trials.push(faulty::trial());
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// So many cases, always the same ones of a row.
fn runner((op, row): (&str, &str), cases: u32) -> TestRunner {
    TestRunner::new(Config {
        cases,
        max_global_rejects: REFUSED * cases,
        failure_persistence: None,
        rng_algorithm: RngAlgorithm::ChaCha,
        rng_seed: RngSeed::Fixed(fnv1a(format!("{op}::{row}").as_bytes())),
        max_shrink_time: 10_000,
        ..Config::default()
    })
}

/// The sweeps of the suite that are for a row of an op.
fn sweeps(suite: &Scenario, op: &str, row: &str) -> Vec<usize> {
    let sweeps = suite.sweeps.iter().enumerate();
    let mine = sweeps.filter(|(_, sweep)| sweep.op.name == op && sweep.kernel_matches(row));
    mine.map(|(i, _)| i).collect()
}

fn small(case: &Case) -> bool {
    let work = (case.spec().work)(case);
    work.macs.max(work.bytes_read + work.bytes_written) <= MOST_WORK
}

/// Run a property over cases of the suite that are for a row; the error has the smallest case.
fn over(
    (op, row): (&str, &str),
    ((suite, text), cases): (Suite, u32),
    property: impl Fn(&Case) -> TestCaseResult,
) -> Result<(), Failed> {
    let scenario = Scenario::parse(suite, text)?;
    let sweeps = sweeps(&scenario, op, row);
    if sweeps.is_empty() {
        return Err(format!("{suite} has no sweep of {op} for {row}").into());
    }
    let strategy = Cases { scenario: &scenario, sweeps };
    let run = runner((op, row), cases).run(&strategy, |case| {
        if small(&case) { property(&case) } else { Err(TestCaseError::reject("large")) }
    });
    run.map_err(|error| match error {
        TestError::Fail(why, case) => {
            format!("{why}\nlowbit check --case '{case}' --kernel {row}").into()
        }
        TestError::Abort(why) => format!("aborted: {why}").into(),
    })
}

/// The property of a row that runs in workers.
fn in_workers(driver: &'static dyn Driver, row: RowInfo) -> Result<(), Failed> {
    let mut engine = Engine::new(env!("CARGO_BIN_EXE_lowbit").into(), DRIVERS, Some(3));
    if let Err(missing) = engine.hardware()?.has(row.need) {
        eprintln!("{}::{} not run: {missing}", driver.spec().name, row.name);
        return Ok(());
    }
    let device = row.need.is_device();
    let mut settings = Settings::default();
    settings.measure.time_limit_seconds = if device { DEVICE_SILENCE } else { SILENCE };
    // proptest calls what it is given through a shared reference.
    let (settings, engine) = (Arc::new(settings), Cell::new(Some(engine)));
    let suite = if device { DEVICES } else { NIGHTLY };
    property((driver.spec().name, row.name), (suite, CASES), |case| {
        let (sweep, rows) = (Arc::clone(&settings), vec![row.name.to_owned()]);
        let mut lent = engine.take().ok_or("panicked before")?;
        let mut records = lent.run(&Job { sweep, case: case.clone(), rows }, Mode::Check);
        engine.set(Some(lent));
        records.pop().ok_or_else(|| "no record".into())
    })
}

/// What runs a row on a case says that it is right.
fn property(
    (op, row): (&str, &str),
    cases: (Suite, u32),
    record: impl Fn(&Case) -> Result<Record, String>,
) -> Result<(), Failed> {
    over((op, row), cases, |case| judged(&record(case).map_err(TestCaseError::fail)?))
}

fn judged(record: &Record) -> TestCaseResult {
    let zeros = |seen: &lowbit_reports::record::Agreement| {
        seen.most_zeros.is_some_and(|most| seen.zero_share > most)
    };
    match record.verdict {
        Verdict::Passed => Ok(()),
        Verdict::Skipped if record.skip != Some(SkipKind::Hardware) => {
            Err(TestCaseError::reject(record.reason.clone()))
        }
        // Nearly all of the right answer is zero, so little could have been wrong.
        Verdict::Mistrusted if record.agreement.as_ref().is_some_and(zeros) => {
            Err(TestCaseError::reject("empty"))
        }
        verdict => Err(TestCaseError::fail(format!("{}: {}", verdict.name(), record.reason))),
    }
}
