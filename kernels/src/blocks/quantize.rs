//! Rows of `quantize_blocks`: sixteen blocks take their largest magnitudes, then each its codes.
//!
//! Where input and output together are larger than caches, bytes are made in a stage of
//! [`STAGED`] blocks, whole lines of every format, and leave it past the caches; values are asked for
//! ahead of use.
use super::{Blocks, Format, Mxfp4, Q4_0, Q5_0, Q8_0, Shared, Tq2_0, with_format};
use crate::buffer::Buffer;
use crate::context::Context;
use crate::hardware::Need;
use crate::pool::Pool;
use crate::quantize::STREAMED;
use crate::quantize::isa::{AHEAD, BATCH, Fold, STEP, Work};
use crate::{Determinism, Failure, Kernel, Prepared};
use lowbit_reference::op::blocks::quantize::{QuantizeBlocks, QuantizeBlocksProblem};
use lowbit_reference::op::{Arithmetic, Outputs, Tensor};
use std::marker::PhantomData;

/// Blocks of a stage: whole batches, whose bytes are whole lines.
const STAGED: usize = 4 * BATCH;
/// Bytes of the largest stage.
const STAGE: usize = STAGED * 66;
/// Values of a task, whole stages of every format.
const TASK: usize = 2 * STAGED * 256;

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
    ($format:ident, $len:literal, $bytes:literal, $isa:expr, $problem:expr, $context:expr) => {
        Box::new(Quantizing::<I, $format, $len, $bytes>::new($isa, $problem, $context))
            as Box<dyn Prepared>
    };
}
macro_rules! known {
    ($format:ident, $len:literal, $bytes:literal,) => {
        ()
    };
}

impl<I: Blocks> Kernel<QuantizeBlocks> for Row<I> {
    fn name(&self) -> &'static str {
        I::NAME
    }
    fn need(&self) -> Need {
        I::NEED
    }
    fn determinism(&self) -> Determinism {
        Determinism::EXACT
    }
    fn arithmetic(&self, _: &QuantizeBlocksProblem) -> Arithmetic {
        Arithmetic::FLOAT
    }
    fn accepts(&self, problem: &QuantizeBlocksProblem) -> Result<(), String> {
        with_format!(problem.format.name(), known!())
    }
    fn prepare<'p>(
        &self,
        problem: &'p QuantizeBlocksProblem,
        context: &mut Context,
    ) -> Result<Box<dyn Prepared + 'p>, Failure> {
        let isa = I::detect().ok_or_else(|| Failure(format!("no {}", I::NAME)))?;
        let prepared = with_format!(problem.format.name(), prepared!(isa, problem, context))?;
        Ok(prepared)
    }
}

struct Quantizing<I, F, const LEN: usize, const BYTES: usize> {
    isa: I,
    pool: Pool,
    x: Buffer<f32>,
    bytes: Buffer<u8>,
    format: PhantomData<fn() -> F>,
}

impl<I: Blocks, F: Format<LEN, BYTES>, const LEN: usize, const BYTES: usize>
    Quantizing<I, F, LEN, BYTES>
{
    fn new(isa: I, problem: &QuantizeBlocksProblem, context: &mut Context) -> Self {
        Quantizing {
            isa,
            pool: context.pool().clone(),
            x: context.copy("x", &problem.x),
            bytes: context.buffer("bytes", problem.x.len() / LEN * BYTES),
            format: PhantomData,
        }
    }
}

impl<I: Blocks, F: Format<LEN, BYTES>, const LEN: usize, const BYTES: usize> Prepared
    for Quantizing<I, F, LEN, BYTES>
{
    fn launch(&mut self) -> Result<(), Failure> {
        let isa = self.isa;
        let stream = 4 * self.x.len() + self.bytes.len() >= STREAMED;
        let x = self.x.as_chunks::<LEN>().0.chunks(TASK / LEN);
        let bytes = self.bytes.as_chunks_mut::<BYTES>().0.chunks_mut(TASK / LEN);
        let tasks = x.zip(bytes).map(|(x, bytes)| Encoding::<F, LEN, BYTES> {
            x,
            bytes,
            stream,
            format: PhantomData,
        });
        self.pool.for_each(tasks.collect(), |task| isa.enter(task));
        Ok(())
    }
    fn forget(&mut self) -> Result<(), Failure> {
        self.bytes.fill(0xff);
        Ok(())
    }
    fn read(&mut self) -> Result<Outputs, Failure> {
        Ok(Outputs(vec![("bytes", Tensor::U8(self.bytes.to_vec()))]))
    }
}

/// Whole blocks.
struct Encoding<'a, F, const LEN: usize, const BYTES: usize> {
    x: &'a [[f32; LEN]],
    bytes: &'a mut [[u8; BYTES]],
    /// Whether bytes go past the caches.
    stream: bool,
    format: PhantomData<fn() -> F>,
}

#[repr(C, align(64))]
struct Stage([u8; STAGE]);

impl<I: Blocks, F: Format<LEN, BYTES>, const LEN: usize, const BYTES: usize> Work<I>
    for Encoding<'_, F, LEN, BYTES>
{
    #[inline(always)]
    fn run(self, isa: I) {
        if !self.stream {
            batches::<I, F, LEN, BYTES>(isa, self.x, self.bytes, false);
            return;
        }
        let mut stage = Stage([0; STAGE]);
        for (x, bytes) in self.x.chunks(STAGED).zip(self.bytes.chunks_mut(STAGED)) {
            let made = &mut stage.0.as_chunks_mut::<BYTES>().0[..bytes.len()];
            batches::<I, F, LEN, BYTES>(isa, x, made, true);
            isa.stream(made.as_flattened(), bytes.as_flattened_mut());
        }
        isa.fence();
    }
}

/// Blocks, sixteen at a time.
#[inline(always)]
fn batches<I: Blocks, F: Format<LEN, BYTES>, const LEN: usize, const BYTES: usize>(
    isa: I,
    x: &[[f32; LEN]],
    bytes: &mut [[u8; BYTES]],
    stream: bool,
) {
    for (x, bytes) in x.chunks(BATCH).zip(bytes.chunks_mut(BATCH)) {
        let mut lanes = [isa.splat(0.0); BATCH];
        for (lanes, x) in lanes.iter_mut().zip(x) {
            for x in x.as_chunks::<STEP>().0 {
                if stream {
                    isa.prefetch(x, AHEAD);
                }
                *lanes = isa.take(Fold::Absmax, *lanes, x);
            }
        }
        let absmax = isa.finish_batch(Fold::Absmax, &lanes);
        let shared = Shared::batch::<F, LEN, BYTES>(absmax);
        for ((x, bytes), shared) in x.iter().zip(bytes).zip(&shared) {
            F::encode(isa, x, shared, bytes);
        }
    }
}
