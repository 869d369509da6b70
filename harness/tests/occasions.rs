//! Kernels of `hadamard` that are right but on some occasion: on other threads, when they are launched
//! again, when nobody looks; and kernels that declare what would let anything pass.
use lowbit_harness::own::{check_kernel_in, fault_on};
use lowbit_harness::shrink::Fault;
use lowbit_kernels::buffer::Buffer;
use lowbit_kernels::context::Context;
use lowbit_kernels::{Determinism, Failure, Kernel, Prepared, Threads};
use lowbit_reference::op::hadamard::{HadamardProblem, HadamardTransform, hadamard_f32};
use lowbit_reference::op::{Arithmetic, Operands, Outputs, Tensor};

/// When an answer is off, or what else is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Occasion {
    Never,
    /// On so many threads.
    Threads(usize),
    /// On so many threads or more.
    ManyThreads(usize),
    /// From that launch on.
    Launch(usize),
    /// It works once, and `forget` does nothing.
    Once,
    /// It adds what lies so many values past its input, or before it, times zero.
    Reads(isize),
    /// It writes past its input, and puts back what was there.
    Restores,
    /// It writes its input, which is the caller's.
    Writes,
    /// Zeros have the other sign.
    NegativeZeros,
    /// Answers below the least normal float are zero.
    Flushes,
    /// From that launch on subnormals are zero for whatever runs on its thread.
    LeavesFlushing(usize),
    /// Never, but rows of two values are not accepted.
    Picky,
}

/// A kernel: when it is off, and what it declares.
struct Row {
    occasion: Occasion,
    determinism: Determinism,
    threads: Threads,
    arithmetic: Arithmetic,
}

const NOTHING: Determinism =
    Determinism { runs: false, threads: false, batch: false, backend: false };

const fn row(occasion: Occasion, determinism: Determinism) -> Row {
    Row { occasion, determinism, threads: Threads::Pool, arithmetic: Arithmetic::FLOAT }
}

const fn declared(arithmetic: Arithmetic, threads: Threads) -> Row {
    Row { arithmetic, threads, ..row(Occasion::Never, Determinism::NATIVE) }
}

impl Kernel<HadamardTransform> for Row {
    fn name(&self) -> &'static str {
        "occasion"
    }
    fn threads(&self) -> Threads {
        self.threads
    }
    fn determinism(&self) -> Determinism {
        self.determinism
    }
    fn arithmetic(&self, _: &HadamardProblem) -> Arithmetic {
        self.arithmetic
    }
    fn accepts(&self, problem: &HadamardProblem) -> Result<(), String> {
        let refuses = self.occasion == Occasion::Picky && problem.row_len == 2;
        if refuses { Err("rows of two values".into()) } else { Ok(()) }
    }
    fn prepare<'p>(
        &self,
        problem: &'p HadamardProblem,
        context: &mut Context,
    ) -> Result<Box<dyn Prepared + 'p>, Failure> {
        if self.occasion == Occasion::Writes && !problem.x.is_empty() {
            // SAFETY: the vector holds an element; that nobody may write it is the test.
            unsafe { problem.x.as_ptr().cast_mut().write_volatile(-problem.x[0]) };
        }
        let y = hadamard_f32(&problem.x, problem.row_len).map_err(|e| Failure(e.to_string()))?;
        Ok(Box::new(Run {
            occasion: self.occasion,
            threads: context.pool().threads(),
            launches: 0,
            x: context.copy("x", &problem.x),
            y: context.buffer("y", y.len()),
            want: y,
        }))
    }
}

struct Run {
    occasion: Occasion,
    threads: usize,
    launches: usize,
    x: Buffer<f32>,
    y: Buffer<f32>,
    want: Vec<f32>,
}

impl Prepared for Run {
    fn launch(&mut self) -> Result<(), Failure> {
        self.launches += 1;
        let is_off = match self.occasion {
            Occasion::Threads(count) => self.threads == count,
            Occasion::ManyThreads(least) => self.threads >= least,
            Occasion::Launch(first) => self.launches >= first,
            Occasion::Once if self.launches > 1 => return Ok(()),
            _ => false,
        };
        self.y.copy_from_slice(&self.want);
        for y in self.y.iter_mut() {
            match self.occasion {
                Occasion::NegativeZeros if *y == 0.0 => *y = -0.0,
                Occasion::Flushes if y.is_subnormal() => *y = 0.0,
                _ => {}
            }
        }
        if let Occasion::Reads(past) = self.occasion {
            // SAFETY: inside the allocation: the bands are 256 bytes wide; that is the test.
            let stray = unsafe { self.x.as_ptr().offset(past).read_volatile() };
            self.y.iter_mut().for_each(|y| *y += 0.0 * stray);
        }
        if self.occasion == Occasion::Restores {
            // SAFETY: as above; where a page ends there instead, the process is to die of it.
            unsafe {
                let past = self.x.as_mut_ptr().add(self.x.len());
                let old = past.read_volatile();
                past.write_volatile(1.0);
                past.write_volatile(old);
            }
        }
        if matches!(self.occasion, Occasion::LeavesFlushing(first) if self.launches >= first) {
            flush_from_now_on();
        }
        if let (true, Some(y)) = (is_off, self.y.last_mut()) {
            *y += 1.0;
        }
        Ok(())
    }
    fn forget(&mut self) -> Result<(), Failure> {
        if self.occasion != Occasion::Once {
            self.y.fill(f32::NAN);
        }
        Ok(())
    }
    fn read(&mut self) -> Result<Outputs, Failure> {
        Ok(Outputs(vec![("y", Tensor::F32(self.y.to_vec()))]))
    }
}

#[cfg(target_arch = "x86_64")]
fn flush_from_now_on() {
    let flushing = 0x9fc0u32;
    // SAFETY: SSE is part of x86-64, and the bits are those it begins with and the two that flush.
    unsafe { std::arch::asm!("ldmxcsr [{at}]", at = in(reg) &raw const flushing) }
}
#[cfg(not(target_arch = "x86_64"))]
fn flush_from_now_on() {}

/// 64 values: 512 bytes.
const SMALL: &str = "hadamard/m=4/k=16/data=realistic/distribution=normal/sigma=1/seed=1";
/// 8,192 values: 65,536 bytes.
const LARGER: &str = "hadamard/m=8/k=1024/data=realistic/distribution=normal/sigma=1/seed=1";
const ZEROS: &str = "hadamard/m=4/k=64/data=adversarial/pattern=zeros/seed=1";
const DENORMALS: &str = "hadamard/m=16/k=64/data=adversarial/pattern=denormals/seed=1";

/// Why a kernel is refused on a case; empty where it is not.
fn why(row: Row, case: &str) -> String {
    let case = case.parse().unwrap_or_else(|e| panic!("{case}: {e:?}"));
    fault_on(Box::leak(Box::new(row)), &case).map(|(_, why)| why).unwrap_or_default()
}

#[test]
fn an_answer_is_judged_on_every_thread_count_whatever_is_declared() {
    use Occasion::{ManyThreads, Threads as On};
    let one = |occasion| Row { threads: Threads::One, ..row(occasion, Determinism::NATIVE) };
    for case in [SMALL, LARGER] {
        for (row, reason) in [
            (row(On(2), Determinism::REPEATABLE), "on 2 threads: `y`["),
            (row(On(1), Determinism::REPEATABLE), "on 1 threads: `y`["),
            (row(ManyThreads(8), Determinism::REPEATABLE), "on 8 threads: `y`["),
            (row(ManyThreads(4), NOTHING), "on 4 threads: `y`["),
            (row(ManyThreads(4), Determinism::NATIVE), "the same bits on 4 threads, but `y`["),
            (one(On(1)), "the same bits on 1 threads, but `y`["),
            (one(On(2)), "the same bits on 2 threads, but `y`["),
        ] {
            let why = why(row, case);
            assert!(why.contains(reason), "{reason}: {why}");
        }
    }
}

#[test]
fn a_kernel_is_launched_dozens_of_times() {
    for launch in [3, 5, 9, 20] {
        let seen = why(row(Occasion::Launch(launch), Determinism::NATIVE), SMALL);
        assert!(seen.contains("the same bits run to run, but `y`["), "{launch}: {seen}");
        let seen = why(row(Occasion::Launch(launch), NOTHING), SMALL);
        assert!(seen.starts_with("run to run: `y`["), "{launch}: {seen}");
    }
}

#[test]
fn what_forget_leaves_is_read() {
    for case in [SMALL, LARGER] {
        let why = why(row(Occasion::Once, Determinism::NATIVE), case);
        assert_eq!(why, "`forget` left the old answer in place");
    }
}

#[test]
fn a_value_read_outside_a_buffer_shows_even_times_zero() {
    for past in [64, 64 + 63, -1, -64] {
        let seen = why(row(Occasion::Reads(past), Determinism::NATIVE), SMALL);
        assert!(seen.contains("buffers of different content disagree"), "{past}: {seen}");
    }
    assert_eq!(why(row(Occasion::Reads(63), Determinism::NATIVE), SMALL), "");
}

/// No band shows that it was written for a moment; a page that may not be touched ends the process.
#[cfg(target_os = "linux")]
#[test]
fn a_value_written_outside_a_buffer_shows_even_when_it_is_put_back() {
    static RESTORES: Row = row(Occasion::Restores, Determinism::NATIVE);
    let folder = tempfile::tempdir().expect("a folder");
    let refused = check_kernel_in(&RESTORES, folder.path()).expect_err("it strays");
    assert_eq!(refused.fault(), Some(Fault::Died), "{refused}");
    assert!(refused.to_string().contains("signal 11 (segmentation fault)"), "{refused}");
    assert!(refused.minimal(), "{refused}");
}

#[test]
fn the_problem_is_left_as_it_was() {
    // Every second time it is what it was: the answers are right, and the last one is not.
    let seen = why(row(Occasion::Writes, NOTHING), SMALL);
    assert!(!seen.is_empty(), "{seen}");
    let seen = why(row(Occasion::Writes, NOTHING), ZEROS);
    assert_eq!(seen, "the row changes the problem it was given");
}

#[test]
fn the_sign_of_a_zero_is_a_bit_of_the_reference() {
    let seen = why(row(Occasion::NegativeZeros, Determinism::EXACT), ZEROS);
    assert!(seen.contains("the reference's bits, but 256 zeros have the other sign"), "{seen}");
    assert_eq!(why(row(Occasion::NegativeZeros, Determinism::NATIVE), ZEROS), "");
    assert_eq!(why(row(Occasion::Never, Determinism::EXACT), ZEROS), "");
}

#[test]
fn answers_below_the_least_normal_float_may_be_flushed() {
    assert_eq!(why(row(Occasion::Flushes, Determinism::NATIVE), DENORMALS), "");
}

/// It would change whatever runs next, the reference included; and is undone.
#[cfg(target_arch = "x86_64")]
#[test]
fn a_launch_that_leaves_its_thread_flushing_is_refused_wherever_it_is() {
    for launch in [1, 2, 9] {
        let seen = why(row(Occasion::LeavesFlushing(launch), Determinism::NATIVE), SMALL);
        assert_eq!(seen, "the launch leaves its thread flushing subnormals", "{launch}");
    }
    assert_eq!(why(row(Occasion::Never, Determinism::EXACT), DENORMALS), "");
}

#[test]
fn declarations_that_no_processor_needs_are_refused() {
    let short = |bits| Arithmetic { operands: Operands::Short { bits }, ..Arithmetic::FLOAT };
    for (arithmetic, threads, reason) in [
        (short(1), Threads::Pool, "operands of 1 bits, but 5 is the least"),
        (short(4), Threads::Own, "operands of 4 bits, but 5 is the least"),
        (short(8), Threads::Pool, ""),
        (Arithmetic::FLOAT_GPU, Threads::Pool, "divisions that are not exact"),
        (Arithmetic::INTEGER_GPU, Threads::One, "divisions that are not exact"),
        // A device of its own.
        (Arithmetic::FLOAT_GPU, Threads::Own, ""),
    ] {
        let seen = why(declared(arithmetic, threads), SMALL);
        assert_eq!(seen.is_empty(), reason.is_empty(), "{arithmetic}: {seen}");
        assert!(seen.contains(reason), "{arithmetic}: {seen}");
    }
}

#[test]
fn a_report_says_what_was_declared_and_how_far_the_check_went() {
    static PICKY: Row = row(Occasion::Picky, Determinism::NATIVE);
    let folder = tempfile::tempdir().expect("a folder");
    let report = check_kernel_in(&PICKY, folder.path());
    let report = report.unwrap_or_else(|refused| panic!("{refused}"));
    let seen = &report.seen;
    assert_eq!(seen.arithmetic, [Arithmetic::FLOAT]);
    assert_eq!(seen.threads.iter().copied().collect::<Vec<_>>(), [1, 2, 3, 4, 8]);
    assert!(seen.error_over_bound < 1.0 && seen.sizes["k"] >= 1024 && seen.work > 1 << 16);
    let text = report.to_string();
    let outside = format!("  outside   {} cases: rows of two values", report.refused);
    for line in [
        outside.as_str(),
        "  declares  float sums; the same bits: runs, threads, batch\n",
        "  error     at most 0.",
        "  largest   k ",
        "  threads   1, 2, 3, 4, 8",
    ] {
        assert!(text.contains(line), "{text}");
    }
}
