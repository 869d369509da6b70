//! Rows of `unpack`: packed rows to codes one a byte (`codes/mod.rs` has the formulas).
//!
//! Rows that fill their bytes are one run; others each start on a byte of their own. The bits beyond
//! the last code of a row are not read.
use crate::Kernel;
use crate::buffer::Buffer;
use crate::codes::fill::{Filled, Make, Runs};
use crate::codes::{Codes, unpack};
use crate::context::Context;
use crate::hardware::Need;
use crate::quantize::Packing;
use crate::quantize::scalar::Scalar;
#[cfg(target_arch = "x86_64")]
use crate::quantize::{avx2::Avx2, avx512::Avx512};
use crate::{Determinism, Failure, Prepared};
use lowbit_reference::op::packing::{PackingProblem, Unpack};
use lowbit_reference::op::{Arithmetic, Tensor};
use std::marker::PhantomData;
use std::ops::Range;

/// The table. Tests, benches and the harness read it; nothing else lists rows.
pub static KERNELS: &[&dyn Kernel<Unpack>] = &[
    &Row::<Scalar>(PhantomData),
    #[cfg(target_arch = "x86_64")]
    &Row::<Avx2>(PhantomData),
    #[cfg(target_arch = "x86_64")]
    &Row::<Avx512>(PhantomData),
];

/// The row of an instruction set.
#[derive(Debug)]
struct Row<I>(PhantomData<fn() -> I>);

impl<I: Codes> Kernel<Unpack> for Row<I> {
    fn name(&self) -> &'static str {
        I::NAME
    }
    fn need(&self) -> Need {
        I::NEED
    }
    fn determinism(&self) -> Determinism {
        Determinism::EXACT
    }
    fn arithmetic(&self, _: &PackingProblem) -> Arithmetic {
        Arithmetic::INTEGER
    }
    fn accepts(&self, problem: &PackingProblem) -> Result<(), String> {
        Packing::named(problem.format.name()).map(drop)
    }
    fn prepare<'p>(
        &self,
        problem: &'p PackingProblem,
        context: &mut Context,
    ) -> Result<Box<dyn Prepared + 'p>, Failure> {
        let len = problem.codes.len();
        let runs = Runs::new(Packing::named(problem.format.name())?, problem.k, len);
        let signed = !problem.format.levels().unsigned();
        let maker = Unpacked { runs, signed, packed: context.copy("packed", &problem.packed) };
        Filled::<I, _, u8>::prepared((maker, runs), (problem.packed.len(), len), context)
    }
}

/// Packed codes.
struct Unpacked {
    runs: Runs,
    signed: bool,
    packed: Buffer<u8>,
}

impl Make<u8> for Unpacked {
    #[inline(always)]
    fn make<I: Codes>(&self, isa: I, at: Range<usize>, to: &mut [u8]) {
        let bytes = &self.packed[self.runs.byte(at.start)..];
        unpack(isa, (self.runs.packing, self.signed), bytes, to);
    }
    fn answer(&self, made: &[u8]) -> (&'static str, Tensor) {
        let codes = match self.signed {
            true => Tensor::I8(made.iter().map(|code| code.cast_signed()).collect()),
            false => Tensor::U8(made.to_vec()),
        };
        ("codes", codes)
    }
}
