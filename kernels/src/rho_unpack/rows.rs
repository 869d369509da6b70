//! What the CPU rows of `rho_unpack` share: blocks of 32 codes times their scale.
//!
//! A value is `code * scale`, one rounding, so every row gives the same bits.
use crate::buffer::Buffer;
use crate::context::Context;
use crate::hardware::Need;
use crate::pool::Pool;
pub(super) use crate::quantize::isa::STEP;
use crate::quantize::isa::{Isa, Work, bytes_of};
use crate::quantize::{Packing, STREAMED};
use crate::{Determinism, Failure, Kernel, Prepared};
use lowbit_reference::op::rho::unpack::{RhoUnpack, UnpackProblem};
use lowbit_reference::op::{Arithmetic, Outputs, Tensor};
use std::marker::PhantomData;

/// Blocks of a task: 32768 values, some ten microseconds.
const TASK: usize = 1024;
/// Blocks unpacked before they go past the caches: 1 KiB.
const STAGED: usize = 8;

/// An instruction set that unpacks a block.
pub(super) trait Unpack: Isa {
    /// A byte a code.
    fn unpack_int8(self, bytes: &[u8; STEP], scale: f32, values: &mut [f32; STEP]);
    /// Two bits a code, low bits first, stored as `code + 1`; the pattern 3 never occurs.
    fn unpack_ternary2(self, fields: u64, scale: f32, values: &mut [f32; STEP]);
    /// A bit a code, low bit first, 1 for +1.
    fn unpack_sign1(self, bits: u32, scale: f32, values: &mut [f32; STEP]);
}

/// How a block of `BYTES` bytes becomes values; types, since closures would not be compiled for the
/// instruction set (`quantize::isa`).
trait Decode<const BYTES: usize> {
    fn step<I: Unpack>(isa: I, bytes: &[u8; BYTES], scale: f32, values: &mut [f32; STEP]);
}
struct Int8;
struct Ternary2;
struct Sign1;

impl Decode<STEP> for Int8 {
    #[inline(always)]
    fn step<I: Unpack>(isa: I, bytes: &[u8; STEP], scale: f32, values: &mut [f32; STEP]) {
        isa.unpack_int8(bytes, scale, values);
    }
}

impl Decode<{ STEP / 4 }> for Ternary2 {
    #[inline(always)]
    fn step<I: Unpack>(isa: I, bytes: &[u8; STEP / 4], scale: f32, values: &mut [f32; STEP]) {
        isa.unpack_ternary2(u64::from_le_bytes(*bytes), scale, values);
    }
}

impl Decode<{ STEP / 8 }> for Sign1 {
    #[inline(always)]
    fn step<I: Unpack>(isa: I, bytes: &[u8; STEP / 8], scale: f32, values: &mut [f32; STEP]) {
        isa.unpack_sign1(u32::from_le_bytes(*bytes), scale, values);
    }
}

/// Whole blocks; the last of all may be short.
struct Blocks<'a> {
    packing: Packing,
    packed: &'a [u8],
    scales: &'a [f32],
    values: &'a mut [f32],
    /// Whether values go past the caches.
    stream: bool,
}

/// Blocks on their way past the caches.
#[repr(C, align(64))]
struct Stage([[f32; STEP]; STAGED]);

impl<I: Unpack> Work<I> for Blocks<'_> {
    #[inline(always)]
    fn run(self, isa: I) {
        match self.packing {
            Packing::Byte => self.decode::<I, Int8, STEP>(isa),
            // `accepts` lets nothing else through.
            Packing::Ternary2 => self.decode::<I, Ternary2, { STEP / 4 }>(isa),
            _ => self.decode::<I, Sign1, { STEP / 8 }>(isa),
        }
    }
}

impl Blocks<'_> {
    #[inline(always)]
    fn decode<I: Unpack, D: Decode<BYTES>, const BYTES: usize>(self, isa: I) {
        let (full, tail) = self.values.as_chunks_mut::<STEP>();
        let (packed, rest) = self.packed.split_at(full.len() * BYTES);
        if self.stream {
            // A line past the caches is written whole, so what is unpacked stays in L1 first.
            let mut stage = Stage([[0.0; STEP]; STAGED]);
            let blocks = full.chunks_mut(STAGED).zip(packed.as_chunks::<BYTES>().0.chunks(STAGED));
            for ((values, bytes), scales) in blocks.zip(self.scales.chunks(STAGED)) {
                for ((values, bytes), scale) in stage.0.iter_mut().zip(bytes).zip(scales) {
                    D::step(isa, bytes, *scale, values);
                }
                let ready = stage.0[..values.len()].as_flattened_mut();
                isa.stream(bytes_of(ready), bytes_of(values.as_flattened_mut()));
            }
            isa.fence();
        } else {
            let blocks = full.iter_mut().zip(packed.as_chunks::<BYTES>().0);
            for ((values, bytes), scale) in blocks.zip(self.scales) {
                D::step(isa, bytes, *scale, values);
            }
        }
        if let (false, Some(scale)) = (tail.is_empty(), self.scales.last()) {
            let (mut bytes, mut values) = ([0; BYTES], [0.0; STEP]);
            bytes[..rest.len()].copy_from_slice(rest);
            D::step(isa, &bytes, *scale, &mut values);
            tail.copy_from_slice(&values[..tail.len()]);
        }
    }
}

/// The row of an instruction set.
#[derive(Debug)]
pub(super) struct Row<I>(PhantomData<fn() -> I>);

impl<I> Row<I> {
    pub(super) const fn new() -> Row<I> {
        Row(PhantomData)
    }
}

impl<I: Unpack> Kernel<RhoUnpack> for Row<I> {
    fn name(&self) -> &'static str {
        I::NAME
    }

    fn need(&self) -> Need {
        I::NEED
    }

    fn determinism(&self) -> Determinism {
        Determinism::EXACT
    }

    fn arithmetic(&self, _: &UnpackProblem) -> Arithmetic {
        Arithmetic::FLOAT
    }

    fn accepts(&self, problem: &UnpackProblem) -> Result<(), String> {
        Packing::named(problem.source.format.name())?;
        match (problem.source.group_len, problem.source.packed_len) {
            (STEP, STEP) => Ok(()),
            (group, run) => Err(format!("blocks of {group} and {run} values, not {STEP}")),
        }
    }

    fn prepare<'p>(
        &self,
        problem: &'p UnpackProblem,
        context: &mut Context,
    ) -> Result<Box<dyn Prepared + 'p>, Failure> {
        let isa = I::detect().ok_or_else(|| Failure(format!("no {}", I::NAME)))?;
        Ok(Box::new(Unpacking {
            isa,
            packing: Packing::named(problem.source.format.name())?,
            pool: context.pool().clone(),
            packed: context.copy("packed", &problem.packed),
            scales: context.copy("scales", &problem.quantized.scales()),
            values: context.buffer("values", problem.source.x.len()),
        }))
    }
}

/// A row bound to its problem.
struct Unpacking<I> {
    isa: I,
    packing: Packing,
    pool: Pool,
    packed: Buffer<u8>,
    scales: Buffer<f32>,
    values: Buffer<f32>,
}

impl<I: Unpack> Prepared for Unpacking<I> {
    fn launch(&mut self) -> Result<(), Failure> {
        let Unpacking { isa, packing, .. } = *self;
        let stream = 4 * self.values.len() + self.packed.len() >= STREAMED;
        let packed = self.packed.chunks(TASK * STEP / packing.per_byte());
        let tasks = packed.zip(self.scales.chunks(TASK)).zip(self.values.chunks_mut(TASK * STEP));
        let tasks = tasks.map(|((packed, scales), values)| Blocks {
            packing,
            packed,
            scales,
            values,
            stream,
        });
        self.pool.for_each(tasks.collect(), |blocks| isa.enter(blocks));
        Ok(())
    }

    fn forget(&mut self) -> Result<(), Failure> {
        self.values.fill(f32::NAN);
        Ok(())
    }

    fn read(&mut self) -> Result<Outputs, Failure> {
        Ok(Outputs(vec![("values", Tensor::F32(self.values.to_vec()))]))
    }
}
