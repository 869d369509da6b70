//! Rows of `dequantize_blocks`: a block at a time, past the caches where values are larger than those.
use super::{Format, Mxfp4, Q4_0, Q5_0, Q8_0, Tq2_0, with_format};
use crate::buffer::Buffer;
use crate::codes::Codes;
use crate::codes::fill::{Filled, Make, Runs};
use crate::context::Context;
use crate::hardware::Need;
use crate::quantize::Packing;
use crate::{Determinism, Failure, Kernel, Prepared};
use lowbit_reference::op::blocks::dequantize::{DequantizeBlocks, DequantizeBlocksProblem};
use lowbit_reference::op::{Arithmetic, Tensor};
use std::marker::PhantomData;
use std::ops::Range;

/// The row of an instruction set.
#[derive(Debug)]
pub(crate) struct Row<I>(PhantomData<fn() -> I>);

impl<I> Row<I> {
    pub(crate) const fn new() -> Row<I> {
        Row(PhantomData)
    }
}

/// A row with a format, bound to its problem.
macro_rules! prepared {
    ($format:ident, $len:literal, $bytes:literal, $problem:expr, $context:expr) => {{
        let bytes = &$problem.bytes;
        let len = bytes.len() / $bytes * $len;
        let maker = Blocked::<$format, $len, $bytes> {
            bytes: $context.copy("bytes", bytes),
            format: PhantomData,
        };
        // Values are one run, whose tasks and pieces are whole blocks.
        let runs = Runs::new(Packing::Byte, len, len);
        Filled::<I, _, f32>::prepared((maker, runs), (bytes.len(), len), $context)
    }};
}
macro_rules! known {
    ($format:ident, $len:literal, $bytes:literal,) => {
        ()
    };
}

impl<I: Codes> Kernel<DequantizeBlocks> for Row<I> {
    fn name(&self) -> &'static str {
        I::NAME
    }
    fn need(&self) -> Need {
        I::NEED
    }
    fn determinism(&self) -> Determinism {
        Determinism::EXACT
    }
    fn arithmetic(&self, _: &DequantizeBlocksProblem) -> Arithmetic {
        Arithmetic::FLOAT
    }
    fn accepts(&self, problem: &DequantizeBlocksProblem) -> Result<(), String> {
        with_format!(problem.format.name(), known!())
    }
    fn prepare<'p>(
        &self,
        problem: &'p DequantizeBlocksProblem,
        context: &mut Context,
    ) -> Result<Box<dyn Prepared + 'p>, Failure> {
        with_format!(problem.format.name(), prepared!(problem, context))?
    }
}

/// Blocks to read.
struct Blocked<F, const LEN: usize, const BYTES: usize> {
    bytes: Buffer<u8>,
    format: PhantomData<fn() -> F>,
}

impl<F: Format<LEN, BYTES>, const LEN: usize, const BYTES: usize> Make<f32>
    for Blocked<F, LEN, BYTES>
{
    #[inline(always)]
    fn make<I: Codes>(&self, isa: I, at: Range<usize>, to: &mut [f32]) {
        let bytes = &self.bytes.as_chunks::<BYTES>().0[at.start / LEN..at.end / LEN];
        for (bytes, x) in bytes.iter().zip(to.as_chunks_mut::<LEN>().0) {
            F::decode(isa, bytes, x);
        }
    }
    fn answer(&self, made: &[f32]) -> (&'static str, Tensor) {
        ("values", Tensor::F32(made.to_vec()))
    }
}
