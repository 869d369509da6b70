//! `check_kernel` on kernels that are wrong only at sizes, and on data, that no suite has for them.
use lowbit_harness::own::check_kernel_in;
use lowbit_harness::shrink::Fault;
use lowbit_kernels::context::Context;
use lowbit_kernels::hardware::Need;
use lowbit_kernels::{self as kernels, Failure, Kernel, Prepared};
use lowbit_reference::op::linear::{Linear, LinearProblem, Weight};
use lowbit_reference::op::{Arithmetic, Op, Outputs, Tensor};

/// A row whose last element is wrong where a problem says so, on the formats of a case alone.
struct Wrong<O: Op> {
    name: &'static str,
    row: &'static dyn Kernel<O>,
    takes: fn(&O::Problem) -> bool,
    wrong: fn(&O::Problem) -> bool,
}

impl<O: Op> Kernel<O> for Wrong<O> {
    fn name(&self) -> &'static str {
        self.name
    }
    fn need(&self) -> Need {
        self.row.need()
    }
    fn arithmetic(&self, problem: &O::Problem) -> Arithmetic {
        self.row.arithmetic(problem)
    }
    fn accepts(&self, problem: &O::Problem) -> Result<(), String> {
        let taken = (self.takes)(problem);
        taken.then_some(()).ok_or("another format").map_err(String::from)?;
        self.row.accepts(problem)
    }
    fn prepare<'p>(
        &self,
        problem: &'p O::Problem,
        context: &mut Context,
    ) -> Result<Box<dyn Prepared + 'p>, Failure> {
        let (row, wrong) = (self.row.prepare(problem, context)?, (self.wrong)(problem));
        Ok(Box::new(Run { row, wrong }))
    }
}

struct Run<'p> {
    row: Box<dyn Prepared + 'p>,
    wrong: bool,
}

impl Prepared for Run<'_> {
    fn launch(&mut self) -> Result<(), Failure> {
        self.row.launch()
    }
    fn forget(&mut self) -> Result<(), Failure> {
        self.row.forget()
    }
    fn read(&mut self) -> Result<Outputs, Failure> {
        let mut outputs = self.row.read()?;
        if let Some((_, Tensor::F32(values))) = outputs.0.first_mut().filter(|_| self.wrong)
            && let Some(last) = values.last_mut()
        {
            *last = if *last == 1.0 { 2.0 } else { 1.0 };
        }
        Ok(outputs)
    }
}

/// Ternary weights by 8-bit activations: few cases of the suites have both.
fn ternary_by_bytes(problem: &LinearProblem) -> bool {
    let ternary =
        matches!(&problem.weight, Weight::Codes(codes) if codes.format.word().name == "ternary2");
    ternary && problem.activation.name() == "int8"
}

fn refused(name: &'static str, wrong: fn(&LinearProblem) -> bool) {
    refused_of(name, ternary_by_bytes, wrong);
}

fn refused_of(
    name: &'static str,
    takes: fn(&LinearProblem) -> bool,
    wrong: fn(&LinearProblem) -> bool,
) {
    let row = kernels::linear::KERNELS[0];
    let kernel: &'static Wrong<Linear> = Box::leak(Box::new(Wrong { name, row, takes, wrong }));
    let folder = tempfile::tempdir().expect("a folder");
    let refused = check_kernel_in(kernel, folder.path()).err();
    let refused = refused.unwrap_or_else(|| panic!("{name} is accepted"));
    println!("{name}: {}", refused.smallest().expect("a case"));
    assert_eq!(refused.fault(), Some(Fault::Wrong), "{refused}");
    assert!(refused.minimal(), "{refused}");
}

#[test]
fn many_tokens() {
    refused("from 65 tokens", |problem| problem.m >= 65);
}

#[test]
fn many_rows() {
    refused("from 385 rows", |problem| problem.n >= 385);
}

#[test]
fn long_rows() {
    refused("from 4,096 values", |problem| problem.k >= 4096);
}

#[test]
fn many_elements() {
    refused("beyond 16 bits", |problem| problem.m > 16 && problem.m * problem.n >= 1 << 16);
}

/// Many formats, each of which has a share of the cases.
#[test]
fn groups_that_no_suite_has() {
    let codes = |problem: &LinearProblem| matches!(&problem.weight, Weight::Codes(_));
    refused_of("groups of 256", codes, |problem| match &problem.weight {
        Weight::Codes(codes) => codes.group_size == 256 && codes.groups > 1,
        _ => false,
    });
}
