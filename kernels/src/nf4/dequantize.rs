//! Rows of `dequantize_nf4`: `x = table[code] * absmax`.
//!
//! The table times the absmax of a block is one vector of 16, whose products are those of the values:
//! a value is then looked up, and rounded no more. Quantized absmax are made floats first.
use super::double;
use crate::buffer::Buffer;
use crate::codes::Codes;
use crate::codes::fill::{Filled, Make, Runs};
use crate::context::Context;
use crate::hardware::Need;
use crate::pool::Pool;
use crate::quantize::Packing;
use crate::quantize::isa::STEP;
use crate::{Determinism, Failure, Kernel, Prepared};
use lowbit_reference::format::double_quant::{DOUBLE_QUANT_BLOCK, DoubleQuant};
use lowbit_reference::format::nf4::{Absmax, Nf4Tensor, Nibbles};
use lowbit_reference::op::nf4::dequantize::DequantizeNf4;
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

impl<I: Codes> Kernel<DequantizeNf4> for Row<I> {
    fn name(&self) -> &'static str {
        I::NAME
    }
    fn need(&self) -> Need {
        I::NEED
    }
    fn determinism(&self) -> Determinism {
        Determinism::EXACT
    }
    fn arithmetic(&self, _: &Nf4Tensor) -> Arithmetic {
        Arithmetic::FLOAT
    }
    fn accepts(&self, _: &Nf4Tensor) -> Result<(), String> {
        Ok(())
    }
    fn prepare<'p>(
        &self,
        problem: &'p Nf4Tensor,
        context: &mut Context,
    ) -> Result<Box<dyn Prepared + 'p>, Failure> {
        let (format, len) = (problem.format(), problem.len());
        let blocks = len.div_ceil(format.block_size());
        let (absmax, stored) = match problem.absmax() {
            Absmax::Float(absmax) => (context.copy("absmax", absmax), None),
            Absmax::Double(stored) => {
                let doubled = Stored {
                    scheme: stored.scheme(),
                    codes: context.copy("absmax codes", stored.codes()),
                    absmax2: context.copy("absmax2", stored.absmax2()),
                    offset: stored.offset(),
                };
                (context.buffer("absmax", blocks), Some(doubled))
            }
        };
        let maker = Coded {
            table: *format.table().values(),
            block_size: format.block_size(),
            nibbles: format.nibbles(),
            packed: context.copy("packed", problem.packed()),
            absmax,
            stored,
        };
        let runs = Runs::new(Packing::Nibble, len, len);
        Filled::<I, _, f32>::prepared((maker, runs), (problem.packed().len(), len), context)
    }
}

/// Absmax in a byte each.
struct Stored {
    scheme: DoubleQuant,
    codes: Buffer<u8>,
    absmax2: Buffer<f32>,
    offset: f32,
}

/// Codes and the absmax of their blocks.
struct Coded {
    table: [f32; 16],
    block_size: usize,
    nibbles: Nibbles,
    packed: Buffer<u8>,
    /// Made anew in every launch where they are stored in bytes.
    absmax: Buffer<f32>,
    stored: Option<Stored>,
}

impl Make<f32> for Coded {
    fn begin<I: Codes>(&mut self, _: I, pool: &Pool) {
        let Some(stored) = &self.stored else { return };
        let absmax = self.absmax.chunks_mut(DOUBLE_QUANT_BLOCK);
        let blocks = stored.codes.chunks(DOUBLE_QUANT_BLOCK).zip(absmax).zip(&stored.absmax2[..]);
        pool.for_each(blocks.collect(), |(block, absmax2)| {
            double::decode(stored.scheme, (*absmax2, stored.offset), block);
        });
    }

    #[inline(always)]
    fn make<I: Codes>(&self, isa: I, at: Range<usize>, to: &mut [f32]) {
        let bytes = &self.packed[at.start / 2..at.end.div_ceil(2)];
        let (mut block, mut table) = (usize::MAX, self.table);
        // A block is whole steps, and a piece begins with one.
        for (i, (x, bytes)) in to.chunks_mut(STEP).zip(bytes.chunks(STEP / 2)).enumerate() {
            let own = (at.start + i * STEP) / self.block_size;
            if own != block {
                let absmax = self.absmax[own];
                (block, table) = (own, self.table.map(|value| value * absmax));
            }
            match (x.as_mut_array::<STEP>(), bytes.as_array()) {
                (Some(x), Some(bytes)) => self.step(isa, bytes, &table, x),
                _ => {
                    let (mut all, mut values) = ([0; STEP / 2], [0.0; STEP]);
                    all[..bytes.len()].copy_from_slice(bytes);
                    self.step(isa, &all, &table, &mut values);
                    x.copy_from_slice(&values[..x.len()]);
                }
            }
        }
    }

    fn answer(&self, made: &[f32]) -> (&'static str, Tensor) {
        ("values", Tensor::F32(made.to_vec()))
    }
}

impl Coded {
    #[inline(always)]
    fn step<I: Codes>(
        &self,
        isa: I,
        bytes: &[u8; STEP / 2],
        table: &[f32; 16],
        x: &mut [f32; STEP],
    ) {
        let mut codes = [0; STEP];
        match self.nibbles {
            Nibbles::HighFirst => isa.split_high_nibbles(bytes, &mut codes),
            Nibbles::LowFirst => isa.split_nibbles(bytes, false, &mut codes),
        }
        isa.looked_up(&codes, table, x);
    }
}
