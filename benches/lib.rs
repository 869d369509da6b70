//! Cargo's door: Criterion over the same cases and the same kernel tables as the harness.
//!
//! Group = op, function = row, value = short hash and case id. Criterion cuts each part of a name
//! at 64 bytes and tells equal ones apart by the order in which they come; the hash in front keeps
//! them different, so a filtered run finds the baseline of a full one.
use criterion::{BenchmarkId, Criterion, Throughput};
use lowbit_kernels::context::{Context, Poison};
use lowbit_kernels::hardware::Hardware;
use lowbit_kernels::pool::Pool;
use lowbit_kernels::{Kernel, Prepared};
use lowbit_reference::case::Case;
use lowbit_reference::data::NoFiles;
use lowbit_reference::hash::fnv1a;
use lowbit_reference::judge::judge;
use lowbit_reference::op::Op;
use lowbit_scenarios::{Planned, Scenario};
use std::time::Duration;

/// The suite that is walked.
pub const SUITE: &str = include_str!("../scenarios/suites/bench.json");

/// The suite, parsed, and its cases of one op.
///
/// # Panics
/// If the suite that is compiled in does not parse; a test of the scenarios holds that it does.
pub fn cases(op: &str) -> (Scenario, Vec<Planned>) {
    let scenario = Scenario::parse("bench.json", SUITE).unwrap_or_else(|e| panic!("{e}"));
    let mut planned = scenario.expand().unwrap_or_else(|e| panic!("{e}"));
    planned.retain(|planned| planned.case.op() == op);
    (scenario, planned)
}

/// The value part of a benchmark's name: unique within the first 64 bytes.
pub fn value(case: &Case) -> String {
    let id = case.to_string();
    let parameters = id.split_once('/').map_or(id.as_str(), |(_, parameters)| parameters);
    format!("{:08x} {parameters}", fnv1a(id.as_bytes()) & 0xffff_ffff)
}

/// Bench every row of a table on every case of its op, on one thread.
pub fn walk<O: Op>(criterion: &mut Criterion, kernels: &[&dyn Kernel<O>]) {
    let hardware = Hardware::detect();
    let mut group = criterion.benchmark_group(O::SPEC.name);
    group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    group.sample_size(20);
    let (scenario, cases) = cases(O::SPEC.name);
    for planned in cases {
        let case = &planned.case;
        let work = (O::SPEC.work)(case);
        group.throughput(match work.macs {
            0 => Throughput::Bytes(work.bytes_read + work.bytes_written),
            macs => Throughput::Elements(2 * macs),
        });
        // Generated when the first row that the filter lets through asks for it.
        let mut problem = None;
        for kernel in kernels.iter().filter(|kernel| scenario.runs(&planned, kernel.name())) {
            if let Err(why) = hardware.has(kernel.need()) {
                eprintln!("skipped: {} of {}: {why}", kernel.name(), O::SPEC.name);
                continue;
            }
            group.bench_function(BenchmarkId::new(kernel.name(), value(case)), |bencher| {
                let problem = problem.get_or_insert_with(|| {
                    O::generate(case, &NoFiles).unwrap_or_else(|e| panic!("{case}: {e}"))
                });
                if kernel.accepts(problem).is_err() {
                    return;
                }
                let mut row = checked(*kernel, problem, &hardware, case);
                bencher.iter(|| {
                    row.launch()
                        .and_then(|()| row.sync())
                        .unwrap_or_else(|e| panic!("{case}: {e}"));
                });
            });
        }
    }
}

/// A prepared row whose answer agrees with the reference: nothing wrong is ever timed.
fn checked<'p, O: Op>(
    kernel: &dyn Kernel<O>,
    problem: &'p O::Problem,
    hardware: &Hardware,
    case: &Case,
) -> Box<dyn Prepared + 'p> {
    let prepare = || -> Result<Box<dyn Prepared + 'p>, String> {
        let mut context = Context::new(Pool::new(1)?, hardware.clone(), Poison::Ones);
        let mut row = kernel.prepare(problem, &mut context).map_err(|e| e.to_string())?;
        row.launch().and_then(|()| row.sync()).map_err(|e| e.to_string())?;
        let outputs = row.read().map_err(|e| e.to_string())?;
        let reference = O::reference(problem);
        let arithmetic = kernel.arithmetic(problem);
        let expectation = O::expect(problem, &reference, arithmetic, &outputs);
        judge(&expectation, &outputs).fault.map_or(Ok(row), Err)
    };
    prepare().unwrap_or_else(|why| {
        panic!("{why}\n  lowbit check --case '{case}' --kernel {}", kernel.name())
    })
}
