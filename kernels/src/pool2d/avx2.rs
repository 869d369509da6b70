//! `avx2`: 8 outputs a `vmaxps` or `vaddps`.
//!
//! `vmaxps a, b` is b where either is NaN: with the running maximum first
//! a new NaN is taken, but one already met would be lost, so lanes where the maximum is NaN are
//! blended back.
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
pub(super) struct Avx2;

impl Kernel<Pool2d> for Avx2 {
    fn name(&self) -> &'static str {
        "avx2"
    }
    fn need(&self) -> Need {
        Need::Avx2
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

const LANES: usize = 8;

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
#[target_feature(enable = "avx2,fma")]
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
#[target_feature(enable = "avx2,fma")]
fn shifted<const MAX: bool, const V: usize>(x: &[f32], taps: &Taps) -> [__m256; V] {
    let neutral = if MAX { Fold::Max.neutral() } else { Fold::Sum.neutral() };
    let mut folded = [_mm256_set1_ps(neutral); V];
    for tap in taps.offsets() {
        let x = &x[*tap..][..V * LANES];
        for (folded, x) in folded.iter_mut().zip(x.as_chunks::<LANES>().0) {
            let x = load(x);
            *folded = if MAX { larger(*folded, x) } else { _mm256_add_ps(*folded, x) };
        }
    }
    folded
}

/// The larger value, NaN where one of them is.
#[target_feature(enable = "avx2,fma")]
fn larger(max: __m256, x: __m256) -> __m256 {
    let nan = _mm256_cmp_ps::<_CMP_UNORD_Q>(max, max);
    _mm256_blendv_ps(_mm256_max_ps(max, x), max, nan)
}

#[target_feature(enable = "avx2,fma")]
fn load(x: &[f32; LANES]) -> __m256 {
    // SAFETY: 8 floats are 32 bytes; `loadu` has no alignment rule.
    unsafe { _mm256_loadu_ps(x.as_ptr()) }
}

/// The first lanes, as many as the slice has values.
#[target_feature(enable = "avx2,fma")]
fn store(x: __m256, to: &mut [f32]) {
    let mut lanes = [0.0; LANES];
    // SAFETY: 8 floats are 32 bytes; `storeu` has no alignment rule.
    unsafe { _mm256_storeu_ps(lanes.as_mut_ptr(), x) };
    to.copy_from_slice(&lanes[..to.len()]);
}
