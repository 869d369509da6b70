//! Rows of `quantize_nf4`: sixteen blocks take their largest magnitudes, then each its codes; the
//! absmax are themselves quantized at the end, where the format says so (`double.rs`).
use super::double::{self, LEAST_DIVISOR};
use super::{Nf4, code, low_first};
use crate::buffer::Buffer;
use crate::context::Context;
use crate::hardware::Need;
use crate::pool::Pool;
use crate::quantize::STREAMED;
use crate::quantize::isa::{AHEAD, BATCH, Fold, STEP, Work};
use crate::{Determinism, Failure, Kernel, Prepared};
use lowbit_reference::format::codebook::Table;
use lowbit_reference::format::double_quant::{DOUBLE_QUANT_BLOCK, DoubleQuant};
use lowbit_reference::format::nf4::Nibbles;
use lowbit_reference::op::nf4::quantize::{QuantizeNf4, QuantizeNf4Problem};
use lowbit_reference::op::{Arithmetic, Outputs, Tensor};
use std::marker::PhantomData;

/// Values of a task: whole blocks of every size.
const TASK: usize = 32_768;
/// Values of a stage: whole blocks of every size, 2 KiB of codes.
const STAGED: usize = 4096;

/// The row of an instruction set.
#[derive(Debug)]
pub(crate) struct Row<I>(PhantomData<fn() -> I>);

impl<I> Row<I> {
    pub(crate) const fn new() -> Row<I> {
        Row(PhantomData)
    }
}

impl<I: Nf4> Kernel<QuantizeNf4> for Row<I> {
    fn name(&self) -> &'static str {
        I::NAME
    }
    fn need(&self) -> Need {
        I::NEED
    }
    fn determinism(&self) -> Determinism {
        Determinism::EXACT
    }
    fn arithmetic(&self, _: &QuantizeNf4Problem) -> Arithmetic {
        Arithmetic::FLOAT
    }
    fn accepts(&self, problem: &QuantizeNf4Problem) -> Result<(), String> {
        match problem.format.table() {
            Table::Nf4 => Ok(()),
            Table::Fp4 => Err("no codes for the table of FP4".into()),
        }
    }
    fn prepare<'p>(
        &self,
        problem: &'p QuantizeNf4Problem,
        context: &mut Context,
    ) -> Result<Box<dyn Prepared + 'p>, Failure> {
        let (format, len) = (problem.format, problem.x.len());
        let blocks = len.div_ceil(format.block_size());
        let doubled = if format.double_quant().is_some() { blocks } else { 0 };
        Ok(Box::new(Quantizing {
            isa: I::detect().ok_or_else(|| Failure(format!("no {}", I::NAME)))?,
            pool: context.pool().clone(),
            block_size: format.block_size(),
            nibbles: format.nibbles(),
            scheme: format.double_quant(),
            x: context.copy("x", &problem.x),
            packed: context.buffer("packed", len.div_ceil(2)),
            absmax: context.buffer("absmax", blocks),
            codes: context.buffer("absmax codes", doubled),
            absmax2: context.buffer("absmax2", doubled.div_ceil(DOUBLE_QUANT_BLOCK)),
            offset: f32::NAN,
        }))
    }
}

struct Quantizing<I> {
    isa: I,
    pool: Pool,
    block_size: usize,
    nibbles: Nibbles,
    scheme: Option<DoubleQuant>,
    x: Buffer<f32>,
    packed: Buffer<u8>,
    absmax: Buffer<f32>,
    /// Codes of the absmax and their second absmax; empty unless there is a scheme.
    codes: Buffer<u8>,
    absmax2: Buffer<f32>,
    offset: f32,
}

impl<I: Nf4> Prepared for Quantizing<I> {
    fn launch(&mut self) -> Result<(), Failure> {
        let Quantizing { isa, block_size, nibbles, .. } = *self;
        let stream = 4 * self.x.len() + self.packed.len() >= STREAMED;
        let parts = self.x.chunks(TASK).zip(self.packed.chunks_mut(TASK / 2));
        let tasks = parts.zip(self.absmax.chunks_mut(TASK / block_size));
        let tasks = tasks.map(|((x, packed), absmax)| Blocks {
            block_size,
            nibbles,
            stream,
            x,
            packed,
            absmax,
        });
        self.pool.for_each(tasks.collect(), |task| isa.enter(task));
        let Some(scheme) = self.scheme else { return Ok(()) };
        let offset = double::offset(scheme, &self.absmax);
        self.offset = offset;
        let blocks = self.absmax.chunks(DOUBLE_QUANT_BLOCK);
        let blocks =
            blocks.zip(self.codes.chunks_mut(DOUBLE_QUANT_BLOCK)).zip(&mut self.absmax2[..]);
        self.pool.for_each(blocks.collect(), |(block, absmax2)| {
            *absmax2 = double::encode(scheme, offset, block);
        });
        Ok(())
    }
    fn forget(&mut self) -> Result<(), Failure> {
        self.packed.fill(0xff);
        self.absmax.fill(f32::NAN);
        self.codes.fill(0xff);
        self.absmax2.fill(f32::NAN);
        self.offset = f32::NAN;
        Ok(())
    }
    fn read(&mut self) -> Result<Outputs, Failure> {
        let mut outputs = vec![("packed", Tensor::U8(self.packed.to_vec()))];
        match self.scheme {
            None => outputs.push(("absmax", Tensor::F32(self.absmax.to_vec()))),
            Some(scheme) => {
                outputs.push(("absmax2", Tensor::F32(self.absmax2.to_vec())));
                outputs.push(("absmax_codes", Tensor::U8(self.codes.to_vec())));
                if scheme != DoubleQuant::Fp8E4m3 {
                    outputs.push(("offset", Tensor::F32(vec![self.offset])));
                }
            }
        }
        Ok(Outputs(outputs))
    }
}

/// Whole blocks; the last of all may be short.
struct Blocks<'a> {
    block_size: usize,
    nibbles: Nibbles,
    /// Whether codes go past the caches.
    stream: bool,
    x: &'a [f32],
    packed: &'a mut [u8],
    absmax: &'a mut [f32],
}

#[repr(C, align(64))]
struct Stage([u8; STAGED / 2]);

impl<I: Nf4> Work<I> for Blocks<'_> {
    #[inline(always)]
    fn run(self, isa: I) {
        let Blocks { block_size, nibbles, stream, x, packed, absmax } = self;
        let mut stage = Stage([0; STAGED / 2]);
        let parts = x.chunks(STAGED).zip(packed.chunks_mut(STAGED / 2));
        for ((x, packed), absmax) in parts.zip(absmax.chunks_mut(STAGED / block_size)) {
            let whole = x.len() / block_size * block_size;
            let ((x, rest), (absmax, last)) =
                (x.split_at(whole), absmax.split_at_mut(whole / block_size));
            let (packed, tail) = packed.split_at_mut(whole / 2);
            if stream {
                let made = &mut stage.0[..packed.len()];
                batches(isa, (block_size, nibbles, true), x, &mut *made, absmax);
                isa.stream(made, packed);
            } else {
                batches(isa, (block_size, nibbles, false), x, packed, absmax);
            }
            if let Some(last) = last.first_mut() {
                *last = short(nibbles, rest, tail);
            }
        }
        if stream {
            isa.fence();
        }
    }
}

/// Whole blocks, up to sixteen at a time.
#[inline(always)]
fn batches<I: Nf4>(
    isa: I,
    (block_size, nibbles, stream): (usize, Nibbles, bool),
    x: &[f32],
    packed: &mut [u8],
    absmax: &mut [f32],
) {
    let each = BATCH * block_size;
    let parts = x.chunks(each).zip(packed.chunks_mut(each / 2));
    for ((x, packed), absmax) in parts.zip(absmax.chunks_mut(BATCH)) {
        let mut lanes = [isa.splat(0.0); BATCH];
        for (lanes, x) in lanes.iter_mut().zip(x.chunks_exact(block_size)) {
            for x in x.as_chunks::<STEP>().0 {
                if stream {
                    isa.prefetch(x, AHEAD);
                }
                *lanes = isa.take(Fold::Absmax, *lanes, x);
            }
        }
        let largest = isa.finish_batch(Fold::Absmax, &lanes);
        absmax.copy_from_slice(&largest[..absmax.len()]);
        let reciprocals = largest.map(|most| 1.0 / divisor(most));
        let blocks = x.chunks_exact(block_size).zip(packed.chunks_exact_mut(block_size / 2));
        for (i, (x, packed)) in blocks.enumerate() {
            let steps = x.as_chunks::<STEP>().0.iter();
            for (x, bytes) in steps.zip(packed.as_chunks_mut::<{ STEP / 2 }>().0) {
                let mut codes = [0; STEP];
                if largest[i] < f32::INFINITY {
                    isa.codes(x, reciprocals[i], &mut codes);
                } else {
                    single(x, reciprocals[i], &mut codes);
                }
                isa.nibbles(&codes, bytes);
                *bytes = low_first(bytes, nibbles);
            }
        }
    }
}

/// What a block is divided by; NaN if its absmax is.
#[inline(always)]
fn divisor(absmax: f32) -> f32 {
    if absmax < LEAST_DIVISOR { LEAST_DIVISOR } else { absmax }
}

/// NaN counts as above every midpoint.
#[cold]
#[inline(never)]
fn single(x: &[f32; STEP], reciprocal: f32, codes: &mut [u8; STEP]) {
    codes.iter_mut().zip(x).for_each(|(to, x)| *to = code(x * reciprocal));
}

/// A short block: quotients are true ones, and what is divided by is stored. A missing last code is
/// that of 0.
fn short(nibbles: Nibbles, x: &[f32], packed: &mut [u8]) -> f32 {
    let larger = |most: f32, x: &f32| if x.abs() > most || x.is_nan() { x.abs() } else { most };
    let divisor = divisor(x.iter().fold(0.0, larger));
    for (pair, byte) in x.chunks(2).zip(packed) {
        let first = code(pair[0] / divisor);
        let second = code(pair.get(1).map_or(0.0, |x| x / divisor));
        *byte = match nibbles {
            Nibbles::HighFirst => first << 4 | second,
            Nibbles::LowFirst => second << 4 | first,
        };
    }
    divisor
}
