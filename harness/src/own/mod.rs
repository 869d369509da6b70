//! Your own kernel: [`check_kernel`] for a test, [`with_rows`] for a binary.
mod apart;
mod cases;
mod crew;
mod longest;
mod mixed;
mod process;
mod runner;
mod seen;
mod stretch;
mod verdict;
use crate::command::seeds::empty;
use crate::determinism::chance;
use crate::driver::{Driver, OpDriver};
use crate::protocol::Depth;
use crate::shrink::{Fault, Found, Small, Subject};
use apart::{Again, Role};
use crew::{Asked, Crew};
use longest::Longest;
use lowbit_kernels::Kernel;
use lowbit_reference::case::Case;
use lowbit_reference::op::Op;
use lowbit_reports::record::{Agreement, Record, SkipKind, Verdict};
use runner::Runner;
pub use seen::Seen;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;
pub use verdict::{Refused, Report, Why};

/// Work of the cases that a kernel is asked about its arithmetic for: they are made once more.
const DECLARED_WORK: u64 = 1 << 14;
/// Cases until it is asked whether it is late.
const AT_ONCE: usize = 64;
/// Of so many cases that are not the suite's one is run as often as those.
const ALL_CLAIMS: u64 = 4;
/// Seconds after which a kernel, a slow one, is tried on nothing more than the suite.
const LONGEST: f64 = 100.0;
/// Seconds until a faulty kernel is refused, if it was found in time and a run of it takes none.
const REFUSED: f64 = 9.5;
/// Least and most seconds that a failing case is made smaller.
const SHRINK: (f64, f64) = (3.0, 8.0);
/// Seconds that are kept to run the smallest case of a kernel that hangs once more.
const ONCE_MORE: f64 = 1.2;

/// Check a kernel of your own against the scalar reference of its op.
///
/// It runs on every case of the op in the suite `smoke`; on the committed regressions; for each
/// setting that it accepted there on sizes around every power of two up to 2^18, strides, other
/// rules and values at the end of the range; on the longest sums, and on cases of some 2^21 values or
/// 2^16 rows where nothing is multiplied (20 MiB at most), some of both first; on cases whose sizes
/// are all drawn at once; on large cases of the suite `nightly`; and on random ones drawn from its
/// axes. Every answer is compared
/// element by element with derived bounds. On the suite's cases and a quarter of the others the
/// kernel runs as every row of the suite does: twice, on buffers of different content between guard
/// bands, again, and on other threads; on the rest once. What it does not accept is left out; at
/// least one answer must be compared. A slow kernel is launched less often, and after 100 s tried on no more than the suite: then the
/// report is [`cut_short`](Report::cut_short), and says so.
///
/// In some of these runs (on Linux, in a child) the buffers that it gets from its context begin at a
/// page that may not be touched, or end at most 63 bytes before one: a kernel that reads or writes
/// there is refused as one that died.
///
/// The kernel runs in a child: this executable, run again up to this call. So a kernel that panics,
/// aborts, exits or does not answer is refused like any other. It costs a process start and what
/// the test does before the call, for each of up to four children and for each case that ends one. Check one kernel a
/// test: a child passes earlier checks over, as if they had been accepted. On a thread whose name
/// is no test's (and not `main`), or where the child takes more than 5 s to the call, the kernel
/// runs on a thread of this process; there one that ends the process ends the test.
///
/// # Errors
///
/// [`Refused`] names the case, the smallest case that fails in the same way, the command that
/// shows it again, and the files of its scenario and data, in `target/lowbit-failures`.
///
/// # Examples
///
/// ```no_run
/// # use lowbit_kernels::{Kernel, Failure, Prepared, context::Context};
/// # use lowbit_reference::op::{Arithmetic, hadamard::{HadamardProblem, HadamardTransform}};
/// # struct Mine;
/// # impl Kernel<HadamardTransform> for Mine {
/// #     fn name(&self) -> &'static str { "mine" }
/// #     fn arithmetic(&self, _: &HadamardProblem) -> Arithmetic { Arithmetic::FLOAT }
/// #     fn accepts(&self, _: &HadamardProblem) -> Result<(), String> { Ok(()) }
/// #     fn prepare<'p>(&self, _: &'p HadamardProblem, _: &mut Context)
/// #         -> Result<Box<dyn Prepared + 'p>, Failure> { Err(Failure("none".into())) }
/// # }
/// // In a test of the crate that has `struct Mine` and `impl Kernel<HadamardTransform> for Mine`.
/// let report = lowbit_harness::check_kernel(&Mine).unwrap_or_else(|refused| panic!("{refused}"));
/// println!("{report}");
/// ```
pub fn check_kernel<O: Op, K: Kernel<O>>(kernel: &'static K) -> Result<Report, Refused> {
    check_kernel_in(kernel, &folder())
}

/// [`check_kernel`] with the files of a failure in `folder`.
pub fn check_kernel_in<O: Op, K: Kernel<O>>(
    kernel: &'static K,
    folder: &Path,
) -> Result<Report, Refused> {
    let (driver, row) = (driver_of(kernel), kernel.name());
    match Role::of(O::SPEC.name, row) {
        Role::Parent(again) => Check::new(driver, row, again).run(folder),
        Role::Child => apart::serve(driver, row),
        Role::PassedOver => Ok(Report::new(driver, row)),
    }
}

/// In which way a kernel fails on one case, and the reason; nothing where it is right, does not
/// accept the case, or the case cannot be built. It runs on a thread of this process, where a
/// debugger sees it: a kernel that ends the process, or touches a page beyond its buffers, ends it
/// here.
pub fn fault_on<O: Op, K: Kernel<O>>(kernel: &'static K, case: &Case) -> Option<(Fault, String)> {
    let record = Runner::here(driver_of(kernel), kernel.name()).record(case)?;
    Some((Fault::of(&record)?, record.reason))
}

/// A table of one kernel, for the life of the process: a kernel that hangs may still use it.
fn driver_of<O: Op, K: Kernel<O>>(kernel: &'static K) -> &'static dyn Driver {
    let table: &'static [&'static dyn Kernel<O>] = Box::leak(Box::new([kernel as _]));
    Box::leak(Box::new(OpDriver::<O> { kernels: table }))
}

/// The suite's operations with rows of your own at the end of one op's table.
///
/// ```no_run
/// # use lowbit_kernels::Kernel;
/// # use lowbit_reference::op::hadamard::HadamardTransform;
/// # static MINE: &[&dyn Kernel<HadamardTransform>] = &[];
/// use lowbit_harness::{driver::DRIVERS, memory::Counting, own::with_rows};
///
/// #[global_allocator]
/// static HEAP: Counting = Counting::new();
///
/// fn main() -> std::process::ExitCode {
///     let drivers = with_rows(DRIVERS, MINE).expect("a name that no other row has");
///     lowbit_harness::cli::main(&drivers, &HEAP)
/// }
/// ```
///
/// # Errors
///
/// An op that is not among `drivers`, or a name that a row of it has already.
pub fn with_rows<O: Op>(
    drivers: &[&'static dyn Driver],
    rows: &[&'static dyn Kernel<O>],
) -> Result<Vec<&'static dyn Driver>, String> {
    let op = O::SPEC.name;
    let mut drivers = drivers.to_vec();
    let driver = drivers.iter_mut().find(|driver| driver.spec().name == op);
    let driver = driver.ok_or_else(|| format!("no driver for op {op}"))?;
    let table = driver.table().downcast_ref::<&'static [&'static dyn Kernel<O>]>();
    let mut table = table.ok_or_else(|| format!("{op}: another table"))?.to_vec();
    for row in rows {
        if table.iter().any(|other| other.name() == row.name()) {
            return Err(format!("op {op} has a row {} already", row.name()));
        }
        table.push(*row);
    }
    // Once in a program's life, and for all of it.
    *driver = Box::leak(Box::new(OpDriver::<O> { kernels: table.leak() }));
    Ok(drivers)
}

/// The nearest `target` above the working directory, or else the system's temporary folder.
fn folder() -> PathBuf {
    let here = std::env::current_dir().unwrap_or_default();
    let target = here.ancestors().map(|folder| folder.join("target")).find(|t| t.is_dir());
    target.unwrap_or_else(std::env::temp_dir).join("lowbit-failures")
}

/// One kernel under check.
struct Check {
    crew: Crew,
    driver: &'static dyn Driver,
    report: Report,
    /// Why it last took no case, and whether for want of hardware.
    refusal: Option<(SkipKind, String)>,
}

/// Cases, and of those that were tried whether an answer that is not all zeros was compared.
struct Tried {
    asked: Vec<Asked>,
    proofs: Vec<bool>,
    /// The first that failed.
    found: Option<Found>,
}

impl Tried {
    fn each(&self) -> impl Iterator<Item = (&Case, bool)> {
        self.asked.iter().map(|(case, _)| case).zip(self.proofs.iter().copied())
    }

    fn proved(&self) -> usize {
        self.proofs.iter().filter(|proof| **proof).count()
    }
}

impl Check {
    fn new(driver: &'static dyn Driver, row: &'static str, again: Option<Again>) -> Check {
        let crew = Crew::new(driver, row, again);
        Check { crew, driver, report: Report::new(driver, row), refusal: None }
    }

    fn run(mut self, folder: &Path) -> Result<Report, Refused> {
        let begun = crate::measure::now();
        let found = match self.all(|| begun.elapsed().as_secs_f64() > LONGEST) {
            Ok(found) => found,
            Err(why) => return Err(self.refused(Why::Suite(why))),
        };
        self.report.seconds = begun.elapsed().as_secs_f64();
        if let Some(found) = found {
            let subject = self.crew.first();
            subject.shrinking(&found);
            let kept = if found.fault == Fault::Silent { ONCE_MORE } else { 0.0 };
            let left = (REFUSED - kept - self.report.seconds).clamp(SHRINK.0, SHRINK.1);
            let small = Small::of(found, subject, Some(folder), Duration::from_secs_f64(left));
            return Err(self.refused(Why::Failed(Box::new(small))));
        }
        match (self.report.accepted(), self.refusal.take()) {
            (0, Some((SkipKind::Hardware, why))) => Err(self.refused(Why::Hardware(why))),
            (0, Some((_, why))) => Err(self.refused(Why::AcceptsNothing(why))),
            (0, None) => Err(self.refused(Why::AcceptsNothing("there is no case".into()))),
            _ => Ok(self.report),
        }
    }

    fn refused(&self, why: Why) -> Refused {
        Refused::new(self.report.clone(), why)
    }

    /// Every case, once it is late those of the suite alone; the first that fails.
    fn all(&mut self, late: impl Fn() -> bool) -> Result<Option<Found>, String> {
        let op = self.driver.spec().name;
        let suite = cases::suite(op)?.into_iter().map(|case| (case, Depth::Claims));
        let tried = self.tried(suite.collect())?;
        self.report.suite += tried.proved();
        if tried.found.is_some() {
            return Ok(tried.found);
        }
        let proved = tried.each().filter(|(_, proof)| *proof);
        let accepted: Vec<Case> = proved.map(|(case, _)| case.clone()).collect();
        let mut small = stretch::stretched(&accepted);
        small.extend(mixed::mixed(&accepted));
        let longest = Longest::new(&accepted);
        small.extend(longest.sums());
        small.sort_by_cached_key(|case| (stretch::work(case), case.to_string()));
        let mut all = longest.scouts();
        all.extend(small);
        all.extend(cases::large(op, &accepted)?);
        all.extend(longest.blocks());
        let mut seen = BTreeSet::new();
        all.retain(|case| seen.insert(case.to_string()));
        for cases in all.chunks(AT_ONCE) {
            if late() {
                self.report.cut_short = true;
                return Ok(None);
            }
            let tried = self.tried(cases.iter().cloned().map(glanced).collect())?;
            self.report.suite += tried.proved();
            if tried.found.is_some() {
                return Ok(tried.found);
            }
        }
        self.random(late)
    }

    fn random(&mut self, late: impl Fn() -> bool) -> Result<Option<Found>, String> {
        let mut random = cases::Random::new(self.driver.spec().name)?;
        loop {
            let cases = random.next()?;
            if cases.is_empty() {
                return Ok(None);
            }
            if late() {
                self.report.cut_short = true;
                return Ok(None);
            }
            let tried = self.tried(cases.into_iter().map(glanced).collect())?;
            self.report.random += tried.proved();
            random.were_useful(tried.each());
            if tried.found.is_some() {
                return Ok(tried.found);
            }
        }
    }

    /// Try cases up to the first that fails.
    fn tried(&mut self, asked: Vec<Asked>) -> Result<Tried, String> {
        let answers = self.crew.answers(&asked, |record| fault(record).is_some());
        let mut tried = Tried { asked, proofs: Vec::new(), found: None };
        for ((case, depth), record) in tried.asked.iter().zip(answers) {
            let record = record.ok_or_else(|| format!("{case}: cannot be built"))?;
            self.note(case, depth, &record);
            let of = |seen: &Agreement| seen.compared > 0 && seen.zero_share < 1.0;
            tried.proofs.push(record.agreement.as_ref().is_some_and(of) && !empty(&record));
            if fault(&record).is_some() {
                tried.found = Found::new(case.clone(), record);
                break;
            }
        }
        Ok(tried)
    }

    /// What the report says of an answer.
    fn note(&mut self, case: &Case, depth: &Depth, record: &Record) {
        if let Some(kind) = record.skip {
            self.refusal = Some((kind, record.reason.clone()));
            self.report.refused += 1;
        }
        self.report.seen.add(case, record);
        if *depth == Depth::Claims && record.verdict == Verdict::Passed {
            let small = stretch::work(case) <= DECLARED_WORK;
            let arithmetic = || self.driver.arithmetic(self.report.kernel, case, &cases::Sources);
            let arithmetic = if small { arithmetic() } else { None };
            self.report.seen.claims(case, arithmetic);
        }
    }
}

/// All that the kernel declares on a share of the cases, one answer on the rest.
fn glanced(case: Case) -> Asked {
    let all = chance(&case, ALL_CLAIMS) == 0;
    (case, if all { Depth::Claims } else { Depth::Answer })
}

/// The fault of an answer. Where next to nothing can be wrong nothing is proved, which is none.
fn fault(record: &Record) -> Option<Fault> {
    Fault::of(record).filter(|fault| !(*fault == Fault::Mistrusted && empty(record)))
}
