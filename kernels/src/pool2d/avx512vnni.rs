//! `avx512vnni`: 16 outputs a `vmaxps` or `vaddps`.
//!
//! `vmaxps a, b` is b where either is NaN: with the running maximum first a new NaN is taken; lanes
//! where the maximum is NaN already are masked out, and keep it.
use super::rows::{self, Fold, Rows};
use crate::context::Context;
use crate::hardware::Need;
use crate::plane::Taps;
use crate::{Failure, Kernel, Prepared};
use core::arch::x86_64::*;
use lowbit_reference::op::Arithmetic;
use lowbit_reference::op::pool2d::{Pool2d, Pool2dProblem};

/// The row.
#[derive(Debug)]
pub(super) struct Avx512Vnni;

impl Kernel<Pool2d> for Avx512Vnni {
    fn name(&self) -> &'static str {
        "avx512vnni"
    }
    fn need(&self) -> Need {
        Need::Avx512Vnni
    }
    fn arithmetic(&self, _: &Pool2dProblem) -> Arithmetic {
        Arithmetic::FLOAT
    }
    fn accepts(&self, _: &Pool2dProblem) -> Result<(), String> {
        Ok(())
    }
    fn prepare<'p>(
        &self,
        problem: &'p Pool2dProblem,
        context: &mut Context,
    ) -> Result<Box<dyn Prepared + 'p>, Failure> {
        context.hardware().has(self.need())?;
        rows::bind(Found(()), problem, context)
    }
}

/// Made only where the instructions were detected.
#[derive(Clone, Copy)]
struct Found(());

const LANES: usize = 16;

impl Rows for Found {
    #[inline]
    fn fold(self, fold: Fold, x: &[f32], taps: &Taps, y: &mut [f32]) {
        // SAFETY: a `Found` is made only after detection.
        unsafe {
            match fold {
                Fold::Max => vectors::<true>(x, taps, y),
                Fold::Sum => vectors::<false>(x, taps, y),
            }
        }
    }
}

/// Two vectors of outputs at a time, then one.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn vectors<const MAX: bool>(x: &[f32], taps: &Taps, y: &mut [f32]) {
    let (blocks, rest) = y.as_chunks_mut::<{ 2 * LANES }>();
    let done = blocks.len() * 2 * LANES;
    for (block, y) in blocks.iter_mut().enumerate() {
        let folded = shifted::<MAX, 2>(&x[block * 2 * LANES..], taps);
        for (folded, y) in folded.iter().zip(y.chunks_mut(LANES)) {
            store(*folded, y);
        }
    }
    for (vector, y) in rest.chunks_mut(LANES).enumerate() {
        let [folded] = shifted::<MAX, 1>(&x[done + vector * LANES..], taps);
        store(folded, y);
    }
}

/// The fold of `x[taps[t] ..]` over `V` vectors.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn shifted<const MAX: bool, const V: usize>(x: &[f32], taps: &Taps) -> [__m512; V] {
    let neutral = if MAX { Fold::Max.neutral() } else { Fold::Sum.neutral() };
    let mut folded = [_mm512_set1_ps(neutral); V];
    for tap in taps.offsets() {
        let x = &x[*tap..][..V * LANES];
        for (folded, x) in folded.iter_mut().zip(x.as_chunks::<LANES>().0) {
            let x = load(x);
            *folded = if MAX { larger(*folded, x) } else { _mm512_add_ps(*folded, x) };
        }
    }
    folded
}

/// The larger value, NaN where one of them is.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn larger(max: __m512, x: __m512) -> __m512 {
    let number = _mm512_cmp_ps_mask::<_CMP_ORD_Q>(max, max);
    _mm512_mask_max_ps(max, number, max, x)
}

#[target_feature(enable = "avx512f")]
fn load(x: &[f32; LANES]) -> __m512 {
    // SAFETY: 16 floats are 64 bytes; `loadu` has no alignment rule.
    unsafe { _mm512_loadu_ps(x.as_ptr()) }
}

/// The first lanes, as many as the slice has values.
#[target_feature(enable = "avx512f")]
fn store(x: __m512, to: &mut [f32]) {
    assert!(to.len() <= LANES);
    let mask = ((1u32 << to.len()) - 1) as __mmask16;
    // SAFETY: the mask has a lane for each value of the slice, and no other is written.
    unsafe { _mm512_mask_storeu_ps(to.as_mut_ptr(), mask, x) }
}
