//! A property of every row of every op: it answers what the scalar reference answers, whatever the
//! shape, config, layout, tier and data.
//!
//! proptest draws cases from the axes of the suite `nightly` and makes a failing one small; the
//! check is that of every command, on three threads. 32 cases a row; five hundred with the feature
//! `heavy`. `cargo test -p lowbit-harness --test properties -- linear::avx2`.
//!
//! Rows of `linear` are also compared with the product of fake-quantized operands: directly, without
//! the reference's sums between the two.
mod fake_quant;
mod faulty;
use libtest_mimic::{Arguments, Failed, Trial};
use lowbit_harness::bench::Bench;
use lowbit_harness::driver::{DRIVERS, Driver, RowInfo, Task};
use lowbit_harness::files::Disk;
use lowbit_harness::memory::Counting;
use lowbit_harness::protocol::{Depth, Reply};
use lowbit_harness::shrink::Cases;
use lowbit_kernels::hardware::{Hardware, Need};
use lowbit_kernels::pool::Pool;
use lowbit_reference::case::Case;
use lowbit_reference::data::{Files, Matrix};
use lowbit_reports::record::{Record, SkipKind, Verdict};
use lowbit_scenarios::Scenario;
use proptest::test_runner::{
    Config, RngAlgorithm, RngSeed, TestCaseError, TestCaseResult, TestError, TestRunner,
};
use std::cell::Cell;
use std::process::ExitCode;

/// Files by their path from the root of the repository.
struct Root;

impl Files for Root {
    fn matrix(&self, path: &str, tensor: &str) -> Result<Matrix, String> {
        Disk.matrix(&format!("{}/../{path}", env!("CARGO_MANIFEST_DIR")), tensor)
    }
}

/// Counts nothing here: it is not the process's allocator.
static HEAP: Counting = Counting::new();
const NIGHTLY: &str = include_str!("../../../scenarios/suites/nightly.json");
/// Cases that a row has to accept.
const CASES: u32 = if cfg!(feature = "heavy") { 500 } else { 32 };
/// Cases that it may refuse, for each that it is to accept: it may take one format of many.
const REFUSED: u32 = 400;
/// Most operations and bytes of a case.
const MOST_WORK: u64 = 1 << 18;

fn main() -> ExitCode {
    let mut trials = Vec::new();
    for driver in DRIVERS.iter().copied() {
        for row in driver.rows().into_iter().filter(|row| row.need != Need::Wgpu) {
            let name = format!("{}::{}", driver.spec().name, row.name);
            trials.push(Trial::test(name, move || property(driver, row)));
        }
    }
    trials.extend(fake_quant::trials());
    trials.push(faulty::trial());
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// So many cases, always the same ones of an op.
fn runner(cases: u32) -> TestRunner {
    TestRunner::new(Config {
        cases,
        max_global_rejects: REFUSED * cases,
        failure_persistence: None,
        rng_algorithm: RngAlgorithm::ChaCha,
        rng_seed: RngSeed::Fixed(5),
        max_shrink_time: 10_000,
        ..Config::default()
    })
}

/// The sweeps of the suite that are for a row of an op.
fn sweeps(nightly: &Scenario, op: &str, row: &str) -> Vec<usize> {
    let sweeps = nightly.sweeps.iter().enumerate();
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
    cases: u32,
    property: impl Fn(&Case) -> TestCaseResult,
) -> Result<(), Failed> {
    let nightly = Scenario::parse("nightly.json", NIGHTLY)?;
    let sweeps = sweeps(&nightly, op, row);
    if sweeps.is_empty() {
        return Err(format!("nightly.json has no sweep of {op} for {row}").into());
    }
    let strategy = Cases { scenario: &nightly, sweeps };
    let run = runner(cases).run(&strategy, |case| {
        if small(&case) { property(&case) } else { Err(TestCaseError::reject("large")) }
    });
    run.map_err(|error| match error {
        TestError::Fail(why, case) => {
            format!("{why}\nlowbit check --case '{case}' --kernel {row}").into()
        }
        TestError::Abort(why) => format!("aborted: {why}").into(),
    })
}

fn property(driver: &'static dyn Driver, row: RowInfo) -> Result<(), Failed> {
    let hardware = Hardware::detect();
    if let Err(missing) = hardware.has(row.need) {
        eprintln!("{}::{} not run: {missing}", driver.spec().name, row.name);
        return Ok(());
    }
    // Trials share threads, and a thread can join one pool in its life.
    let bench = Cell::new(Some(Bench::new(Pool::new(3)?, hardware, &Root, &HEAP)));
    over((driver.spec().name, row.name), CASES, |case| {
        let mut lent = bench.take().ok_or_else(|| TestCaseError::fail("panicked before"))?;
        let record = record(driver, row.name, case, &mut lent);
        bench.set(Some(lent));
        judged(&record.map_err(TestCaseError::fail)?)
    })
}

fn record(
    driver: &dyn Driver,
    row: &str,
    case: &Case,
    bench: &mut Bench,
) -> Result<Record, String> {
    let rows = [row.to_owned()];
    let mut record = None;
    let mut answer = |reply| {
        if let Reply::Record(answered) = reply {
            record = Some(*answered);
        }
    };
    driver.run(&Task { case, rows: &rows, depth: &Depth::Claims }, bench, &mut answer)?;
    record.ok_or_else(|| "no record".into())
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
