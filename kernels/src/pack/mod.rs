//! Rows of `pack`: codes one a byte to packed rows (`codes/mod.rs` has the formulas).
//!
//! Rows that fill their bytes are one run; others each start on a byte of their own, and the bits
//! beyond their last code are zero. Codes are not looked at: of one out of range the low bits are
//! taken (`int4`, `uint4`), or its sign (`sign1`); a ternary one spoils its byte, and up to four of its
//! neighbours in it.
use crate::Kernel;
use crate::buffer::Buffer;
use crate::codes::fill::{Filled, Make, Runs};
use crate::codes::{Codes, pack};
use crate::context::Context;
use crate::hardware::Need;
use crate::quantize::Packing;
use crate::quantize::scalar::Scalar;
#[cfg(target_arch = "x86_64")]
use crate::quantize::{avx2::Avx2, avx512::Avx512};
use crate::{Determinism, Failure, Prepared};
use lowbit_reference::op::packing::{Pack, PackingProblem};
use lowbit_reference::op::{Arithmetic, Tensor};
use std::marker::PhantomData;
use std::ops::Range;

/// The table. Tests, benches and the harness read it; nothing else lists rows.
pub static KERNELS: &[&dyn Kernel<Pack>] = &[
    &Row::<Scalar>(PhantomData),
    #[cfg(target_arch = "x86_64")]
    &Row::<Avx2>(PhantomData),
    #[cfg(target_arch = "x86_64")]
    &Row::<Avx512>(PhantomData),
];

/// The row of an instruction set.
#[derive(Debug)]
struct Row<I>(PhantomData<fn() -> I>);

impl<I: Codes> Kernel<Pack> for Row<I> {
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
        let codes = context.copy("codes", &problem.codes);
        let runs = Runs::new(Packing::named(problem.format.name())?, problem.k, codes.len());
        let (read, len) = (codes.len(), problem.packed.len());
        Filled::<I, _, u8>::prepared(
            (Packed { runs, codes }, runs.of_bytes()),
            (read, len),
            context,
        )
    }
}

/// Codes one a byte.
struct Packed {
    runs: Runs,
    codes: Buffer<u8>,
}

impl Make<u8> for Packed {
    #[inline(always)]
    fn make<I: Codes>(&self, isa: I, at: Range<usize>, to: &mut [u8]) {
        let Runs { packing, len, bytes } = self.runs;
        let (run, from) = (at.start / bytes * len, at.start % bytes * packing.per_byte());
        let end = (from + at.len() * packing.per_byte()).min(len);
        pack(isa, packing, &self.codes[run + from..run + end], to);
    }
    fn answer(&self, made: &[u8]) -> (&'static str, Tensor) {
        ("packed", Tensor::U8(made.to_vec()))
    }
}
