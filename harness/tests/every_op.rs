//! `check_kernel` on a row of every op: as it is, and with one wrong element in its answer.
//!
//! The wrong ones are refused with a case that no single step makes smaller; with the feature `heavy`
//! the row as it is must be accepted, too, which takes most of six minutes. Only the answer is touched here: `lowbit mutate` has faults of other kinds.
use lowbit_harness::own::check_kernel_in;
use lowbit_harness::shrink::Fault;
use lowbit_kernels::context::Context;
use lowbit_kernels::hardware::Need;
use lowbit_kernels::{self as kernels, Failure, Kernel, Prepared};
use lowbit_reference::op::{Arithmetic, Op, Outputs, Tensor};

/// What is wrong with the first output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mistake {
    None,
    /// Its last element.
    Last,
    /// Its first element, from 200 elements on.
    FirstOfMany,
    /// Its middle element, from the second launch on.
    LaterLaunch,
}

struct Wrong<O: Op>(&'static dyn Kernel<O>, Mistake);

impl<O: Op> Kernel<O> for Wrong<O> {
    fn name(&self) -> &'static str {
        self.0.name()
    }
    fn need(&self) -> Need {
        self.0.need()
    }
    fn arithmetic(&self, problem: &O::Problem) -> Arithmetic {
        self.0.arithmetic(problem)
    }
    fn accepts(&self, problem: &O::Problem) -> Result<(), String> {
        self.0.accepts(problem)
    }
    fn prepare<'p>(
        &self,
        problem: &'p O::Problem,
        context: &mut Context,
    ) -> Result<Box<dyn Prepared + 'p>, Failure> {
        Ok(Box::new(Run { row: self.0.prepare(problem, context)?, mistake: self.1, launches: 0 }))
    }
}

struct Run<'p> {
    row: Box<dyn Prepared + 'p>,
    mistake: Mistake,
    launches: usize,
}

impl Prepared for Run<'_> {
    fn launch(&mut self) -> Result<(), Failure> {
        self.launches += 1;
        self.row.launch()
    }
    fn sync(&mut self) -> Result<(), Failure> {
        self.row.sync()
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
        let Some((_, first)) = outputs.0.first_mut() else { return Ok(outputs) };
        let at = match (self.mistake, first.len()) {
            (Mistake::None, _) | (_, 0) => return Ok(outputs),
            (Mistake::FirstOfMany, len) if len < 200 => return Ok(outputs),
            (Mistake::LaterLaunch, _) if self.launches < 2 => return Ok(outputs),
            (Mistake::Last, len) => len - 1,
            (Mistake::FirstOfMany, _) => 0,
            (Mistake::LaterLaunch, len) => len / 2,
        };
        match first {
            Tensor::F32(values) => values[at] = if values[at] == 1.0 { 2.0 } else { 1.0 },
            Tensor::I32(values) => values[at] = values[at].wrapping_add(1),
            Tensor::I8(values) => values[at] ^= 1,
            Tensor::U8(values) => values[at] ^= 1,
        }
        Ok(outputs)
    }
}

fn op<O: Op>(table: &'static [&'static dyn Kernel<O>]) {
    let row = |mistake| -> &'static Wrong<O> { Box::leak(Box::new(Wrong(table[0], mistake))) };
    let folder = tempfile::tempdir().expect("a folder");
    if cfg!(feature = "heavy") {
        let report = check_kernel_in(row(Mistake::None), folder.path());
        println!("{}", report.unwrap_or_else(|refused| panic!("{refused}")));
    }
    for mistake in [Mistake::Last, Mistake::FirstOfMany, Mistake::LaterLaunch] {
        // The first output of a search has few elements on every case.
        if mistake == Mistake::FirstOfMany && O::SPEC.name == "awq_search" {
            continue;
        }
        let refused = check_kernel_in(row(mistake), folder.path());
        let refused = refused.err().unwrap_or_else(|| panic!("{mistake:?} is accepted"));
        let fault = if mistake == Mistake::LaterLaunch { Fault::Declared } else { Fault::Wrong };
        assert_eq!(refused.fault(), Some(fault), "{mistake:?}: {refused}");
        assert!(refused.minimal(), "{mistake:?}: {refused}");
        println!("{mistake:?}: {}", refused.smallest().expect("a case"));
    }
}

macro_rules! ops {
    ($($name:ident),* $(,)?) => {
        $(#[test]
        fn $name() {
            op(kernels::$name::KERNELS);
        })*

        #[test]
        fn every_op_is_here() {
            let here = [$(stringify!($name)),*];
            for op in lowbit_reference::op::OPS {
                assert!(here.contains(&op.name), "{} is not here", op.name);
            }
        }
    };
}

ops!(
    quantize_weight,
    quantize_activation,
    awq_search,
    pack,
    unpack,
    dequantize,
    quantize_blocks,
    dequantize_blocks,
    quantize_nf4,
    dequantize_nf4,
    quantize_int8,
    dequantize_int8,
    pack_linear,
    linear,
    conv2d,
    pool2d,
    lowrank_projection,
    decoder_tail,
    attention,
    hadamard,
    top_k,
    rho_pack,
    rho_unpack,
    rho_encode,
    rho_decode,
    rho_drift,
    fake_quantize,
);
