//! Rows of `dequantize` and `dequantize_int8`: `x = (code - zero_point) * scale`.
//!
//! A piece of codes is unpacked to bytes in the first cache (`codes/mod.rs`), then each part of it
//! that shares a scale becomes floats: the difference, at most 510, is exact, the product rounds
//! once, so every row gives the same bits.
use crate::Kernel;
use crate::buffer::Buffer;
use crate::codes::fill::{Filled, Make, Runs};
use crate::codes::{Codes, PIECE, floats, unpack};
use crate::context::Context;
use crate::hardware::Need;
use crate::quantize::Packing;
use crate::quantize::scalar::Scalar;
#[cfg(target_arch = "x86_64")]
use crate::quantize::{avx2::Avx2, avx512::Avx512};
use crate::{Determinism, Failure, Prepared};
use lowbit_reference::op::dequantize::{Dequantize, DequantizeProblem};
use lowbit_reference::op::{Arithmetic, Op, Tensor};
use lowbit_reference::rule::Range as Statistic;
use std::marker::PhantomData;
use std::ops::Range;

/// The table. Tests, benches and the harness read it; nothing else lists rows.
pub static KERNELS: &[&dyn Kernel<Dequantize>] = &[
    &Row::<Scalar>::new(),
    #[cfg(target_arch = "x86_64")]
    &Row::<Avx2>::new(),
    #[cfg(target_arch = "x86_64")]
    &Row::<Avx512>::new(),
];

/// The row of an instruction set, for every op that dequantizes packed codes.
#[derive(Debug)]
pub(crate) struct Row<I>(PhantomData<fn() -> I>);

impl<I> Row<I> {
    pub(crate) const fn new() -> Row<I> {
        Row(PhantomData)
    }
}

impl<I: Codes, O: Op<Problem = DequantizeProblem>> Kernel<O> for Row<I> {
    fn name(&self) -> &'static str {
        I::NAME
    }
    fn need(&self) -> Need {
        I::NEED
    }
    fn determinism(&self) -> Determinism {
        Determinism::EXACT
    }
    fn arithmetic(&self, _: &DequantizeProblem) -> Arithmetic {
        Arithmetic::FLOAT
    }
    fn accepts(&self, problem: &DequantizeProblem) -> Result<(), String> {
        Packing::named(problem.source.format.name()).map(drop)
    }
    fn prepare<'p>(
        &self,
        problem: &'p DequantizeProblem,
        context: &mut Context,
    ) -> Result<Box<dyn Prepared + 'p>, Failure> {
        let (source, quantized) = (&problem.source, &problem.quantized);
        let packing = Packing::named(source.format.name())?;
        let len = source.x.len();
        let runs = Runs::new(packing, source.packed_len, len);
        let zero_points: Vec<f32> = match source.rule.range {
            Statistic::Minmax => quantized.zero_points().into_iter().map(f32::from).collect(),
            _ => Vec::new(),
        };
        let maker = Scaled {
            runs,
            signed: !source.format.levels().unsigned(),
            group_len: source.group_len.max(1),
            packed: context.copy("packed", &problem.packed),
            scales: context.copy("scales", &quantized.scales()),
            zero_points: context.copy("zero points", &zero_points),
        };
        Filled::<I, _, f32>::prepared((maker, runs), (problem.packed.len(), len), context)
    }
}

/// Packed codes and what their groups share.
struct Scaled {
    runs: Runs,
    signed: bool,
    group_len: usize,
    packed: Buffer<u8>,
    scales: Buffer<f32>,
    /// Empty unless the rule has zero points.
    zero_points: Buffer<f32>,
}

impl Make<f32> for Scaled {
    #[inline(always)]
    fn make<I: Codes>(&self, isa: I, at: Range<usize>, to: &mut [f32]) {
        let mut codes = [0; PIECE];
        let codes = &mut codes[..at.len()];
        let packing = self.runs.packing;
        unpack(isa, (packing, self.signed), &self.packed[self.runs.byte(at.start)..], codes);
        let (mut codes, mut to, mut start) = (&*codes, to, at.start);
        while !codes.is_empty() {
            let group = start / self.group_len;
            let few = ((group + 1) * self.group_len - start).min(codes.len());
            let zero_point = self.zero_points.get(group).copied().unwrap_or(0.0);
            let (now, later) = to.split_at_mut(few);
            floats(&codes[..few], self.signed, (zero_point, self.scales[group]), now);
            (codes, to, start) = (&codes[few..], later, start + few);
        }
    }
    fn answer(&self, made: &[f32]) -> (&'static str, Tensor) {
        ("values", Tensor::F32(made.to_vec()))
    }
}
