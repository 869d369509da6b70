//! Kernels that end their process, or hang, through `check_kernel`: each refused by name, within ten
//! seconds, with a case that no single step makes smaller, and the test goes on.
use lowbit_harness::own::check_kernel_in;
use lowbit_harness::shrink::Fault;
use lowbit_kernels::context::Context;
use lowbit_kernels::{Failure, Kernel, Prepared, hadamard};
use lowbit_reference::op::hadamard::{HadamardProblem, HadamardTransform};
use lowbit_reference::op::{Arithmetic, Outputs, Tensor};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// What happens where there are at least three rows of 32 values or more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Nothing,
    Abort,
    /// As a test that passes ends.
    Exit,
    /// A write to address 8.
    Segfault,
    StackOverflow,
    /// A panic while another one unwinds.
    PanicInDrop,
    /// More memory than there is.
    Memory,
    Hang,
    /// The same on threads of the pool, which nothing can end but their process.
    Spin,
    Panic,
    /// A wrong answer, once the process has launched a hundred times.
    Later,
}

/// Launches of this process.
static LAUNCHES: AtomicUsize = AtomicUsize::new(0);

#[derive(Debug)]
struct Row(End);

impl Kernel<HadamardTransform> for Row {
    fn name(&self) -> &'static str {
        "ends"
    }
    fn arithmetic(&self, problem: &HadamardProblem) -> Arithmetic {
        hadamard::KERNELS[0].arithmetic(problem)
    }
    fn accepts(&self, problem: &HadamardProblem) -> Result<(), String> {
        hadamard::KERNELS[0].accepts(problem)
    }
    fn prepare<'p>(
        &self,
        problem: &'p HadamardProblem,
        context: &mut Context,
    ) -> Result<Box<dyn Prepared + 'p>, Failure> {
        let (rows, length) = (problem.x.len() / problem.row_len.max(1), problem.row_len);
        let end = if rows >= 3 && length >= 32 { self.0 } else { End::Nothing };
        Ok(Box::new(Run { row: hadamard::KERNELS[0].prepare(problem, context)?, end }))
    }
}

struct Run<'p> {
    row: Box<dyn Prepared + 'p>,
    end: End,
}

/// Panics when it is dropped.
struct Brittle;

impl Drop for Brittle {
    fn drop(&mut self) {
        panic!("in drop");
    }
}

fn deep(depth: usize) -> usize {
    let page = std::hint::black_box([depth; 512]);
    if depth == usize::MAX { 0 } else { deep(depth + 1) + page[depth % 512] }
}

impl Prepared for Run<'_> {
    fn launch(&mut self) -> Result<(), Failure> {
        match self.end {
            End::Nothing => {}
            End::Later => drop(LAUNCHES.fetch_add(1, Relaxed)),
            End::Abort => std::process::abort(),
            End::Exit => std::process::exit(0),
            // SAFETY: it is not; the process is to die of it, and no object is at that address.
            End::Segfault => unsafe {
                std::ptr::null_mut::<u8>().wrapping_add(8).write_volatile(1);
            },
            End::StackOverflow => drop(std::hint::black_box(deep(0))),
            End::PanicInDrop => {
                let _brittle = Brittle;
                panic!("and once more");
            }
            End::Memory => drop(std::hint::black_box(Vec::<u8>::with_capacity(1 << 46))),
            End::Hang | End::Spin => loop {
                if self.end == End::Hang {
                    std::thread::sleep(Duration::from_millis(100));
                }
            },
            End::Panic => panic!("three long rows"),
        }
        self.row.launch()
    }
    fn forget(&mut self) -> Result<(), Failure> {
        self.row.forget()
    }
    fn in_place(&self) -> bool {
        self.row.in_place()
    }
    fn reset(&mut self) -> Result<(), Failure> {
        self.row.reset()
    }
    fn read(&mut self) -> Result<Outputs, Failure> {
        let mut outputs = self.row.read()?;
        let late = self.end == End::Later && LAUNCHES.load(Relaxed) > 100;
        if let Some((_, Tensor::F32(values))) = outputs.0.first_mut().filter(|_| late) {
            values[0] += 1.0;
        }
        Ok(outputs)
    }
}

/// Refused within ten seconds, in the right way, for a reason that says `why`, and minimal.
fn refused(row: &'static Row, fault: Fault, why: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    #[expect(clippy::disallowed_methods, reason = "the time is what is promised")]
    let begun = Instant::now();
    let refused = check_kernel_in(row, folder.path()).expect_err("it ends its process");
    let seconds = begun.elapsed().as_secs_f64();
    println!("{refused}\n{seconds:.1} s");
    assert_eq!(refused.fault(), Some(fault), "{refused}");
    assert!(refused.to_string().contains(why), "{refused}");
    assert!(refused.minimal(), "{refused}");
    let smallest = refused.smallest().expect("a case");
    assert_eq!((smallest.number("m"), smallest.number("k")), (3, 32), "{refused}");
    assert!(seconds < 10.0, "{seconds} s\n{refused}");
}

#[test]
fn abort() {
    refused(&Row(End::Abort), Fault::Died, "signal 6 (abort)");
}

#[test]
fn an_exit_that_a_test_runner_takes_for_success() {
    refused(&Row(End::Exit), Fault::Died, "exit status: 0");
}

#[test]
fn a_write_where_nothing_is() {
    refused(&Row(End::Segfault), Fault::Died, "signal 11 (segmentation fault)");
}

#[test]
fn a_stack_that_overflows() {
    refused(&Row(End::StackOverflow), Fault::Died, "stack overflow");
}

#[test]
fn a_panic_while_another_one_unwinds() {
    refused(&Row(End::PanicInDrop), Fault::Died, "signal 6 (abort)");
}

#[test]
fn memory_that_is_not_there() {
    refused(&Row(End::Memory), Fault::Died, "memory allocation of 70368744177664 bytes failed");
}

#[test]
fn a_launch_that_sleeps_for_ever() {
    refused(&Row(End::Hang), Fault::Silent, "no answer within");
}

#[test]
fn a_launch_that_spins_for_ever() {
    refused(&Row(End::Spin), Fault::Silent, "no answer within");
}

#[test]
fn a_panic_is_told_by_its_message() {
    refused(&Row(End::Panic), Fault::Died, "panicked: three long rows");
}

#[test]
fn wrong_only_after_other_cases() {
    let folder = tempfile::tempdir().expect("a folder");
    let refused = check_kernel_in(&Row(End::Later), folder.path()).expect_err("it is faulty");
    assert!(!refused.minimal(), "{refused}");
    assert!(refused.to_string().contains("it fails only after other cases"), "{refused}");
}

/// A child on its way to the second check passes the first one over.
#[test]
fn the_second_kernel_of_a_test() {
    let folder = tempfile::tempdir().expect("a folder");
    let report = check_kernel_in(&Row(End::Nothing), folder.path());
    report.unwrap_or_else(|refused| panic!("{refused}"));
    refused(&Row(End::Abort), Fault::Died, "signal 6 (abort)");
}

/// A thread of another name than a test's: there is no way to run it again, so that it is checked
/// in this process.
#[test]
fn a_thread_that_is_no_test() {
    let check = || {
        let folder = tempfile::tempdir().expect("a folder");
        let report = check_kernel_in(&Row(End::Nothing), folder.path());
        report.unwrap_or_else(|refused| panic!("{refused}"));
        refused(&Row(End::Panic), Fault::Died, "panicked: three long rows");
    };
    let thread = std::thread::Builder::new().name("no such test".into());
    thread.spawn(check).expect("a thread").join().expect("refused");
    std::thread::spawn(check).join().expect("refused");
}
