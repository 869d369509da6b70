//! `avx2`: 6 pixels by 16 output channels in 12 registers.
//!
//! int8: 8 bit weights times 8 bit activations, both signed, would saturate in `vpmaddubsw`
//! (`2 * 128 * 128 = 2^15`). Activations are arranged as i16 pairs, weights widened as they are
//! loaded (`vpmovsxbw`), and `vpmaddwd` adds two products, at most 2^15, in i32: exact, and a sum
//! stays below 2^31 up to `linear::max_k` products. Floats: one FMA for 8 channels. A cell is
//! loaded once for 16 channels, weights once for 6 pixels: 8 loads for 12 products.
use super::depthwise::Depthwise;
use super::layout::{Float, Pair};
use super::rows::{self, Dot, Tile};
use crate::context::Context;
use crate::hardware::Need;
use crate::plane::Taps;
use crate::{Failure, Kernel, Prepared};
use core::arch::x86_64::*;
use lowbit_reference::op::Arithmetic;
use lowbit_reference::op::conv2d::{Conv2d, Conv2dProblem};

/// The row.
#[derive(Debug)]
pub(super) struct Avx2;

impl Kernel<Conv2d> for Avx2 {
    fn name(&self) -> &'static str {
        "avx2"
    }
    fn need(&self) -> Need {
        Need::Avx2
    }
    fn arithmetic(&self, problem: &Conv2dProblem) -> Arithmetic {
        rows::arithmetic(problem)
    }
    fn accepts(&self, _: &Conv2dProblem) -> Result<(), String> {
        Ok(())
    }
    fn prepare<'p>(
        &self,
        problem: &'p Conv2dProblem,
        context: &mut Context,
    ) -> Result<Box<dyn Prepared + 'p>, Failure> {
        context.hardware().has(self.need())?;
        rows::bind::<Found, Pair, PANEL>(Found(()), problem, context)
    }
}

/// Made only where the instructions were detected.
#[derive(Clone, Copy)]
struct Found(());

/// Output channels of a panel: two vectors.
const PANEL: usize = 16;
const LANES: usize = 8;

impl Dot<Pair, PANEL> for Found {
    const PIXELS: usize = 6;
    #[inline]
    fn tile(self, tile: &Tile<'_, Pair>, y: &mut [&mut [f32]], at: usize) {
        // SAFETY: a `Found` is made only after detection.
        unsafe {
            match tile.pixels.len() {
                1 => integers::<1>(tile, y, at),
                2 | 3 => integers::<3>(tile, y, at),
                _ => integers::<6>(tile, y, at),
            }
        }
    }
}

impl Dot<Float, PANEL> for Found {
    const PIXELS: usize = 6;
    #[inline]
    fn tile(self, tile: &Tile<'_, Float>, y: &mut [&mut [f32]], at: usize) {
        // SAFETY: a `Found` is made only after detection.
        unsafe {
            match tile.pixels.len() {
                1 => floats::<1>(tile, y, at),
                2 | 3 => floats::<3>(tile, y, at),
                _ => floats::<6>(tile, y, at),
            }
        }
    }
}

impl Depthwise for Found {
    #[inline]
    fn row(self, x: &[f32], taps: &Taps, w: &[f32], scale: f32, y: &mut [f32]) {
        // SAFETY: a `Found` is made only after detection.
        unsafe { depthwise(x, taps, w, scale, y) }
    }
}

#[target_feature(enable = "avx2,fma")]
fn integers<const T: usize>(tile: &Tile<'_, Pair>, y: &mut [&mut [f32]], at: usize) {
    let places = tile.places::<T>();
    let mut sums = [[_mm256_setzero_si256(); 2]; T];
    let units = tile.weights.as_chunks::<{ 2 * PANEL }>().0;
    for (unit, step) in units.iter().zip(tile.steps.offsets()) {
        let w = [widened(unit, 0), widened(unit, 1)];
        for t in 0..T {
            // SAFETY: `places` holds that the place and the farthest tap are within `x`.
            let x = _mm256_set1_epi32(unsafe { *tile.x.get_unchecked(step + places[t]) });
            for r in 0..2 {
                sums[t][r] = _mm256_add_epi32(sums[t][r], _mm256_madd_epi16(w[r], x));
            }
        }
    }
    for (t, sums) in sums.iter().enumerate().take(tile.pixels.len()) {
        let mut lanes = [0i32; PANEL];
        store_integers(sums, &mut lanes);
        for (o, y) in y.iter_mut().enumerate() {
            y[at + t] = (lanes[o] - tile.offsets[o]) as f32 * tile.scales[o];
        }
    }
}

#[target_feature(enable = "avx2,fma")]
fn floats<const T: usize>(tile: &Tile<'_, Float>, y: &mut [&mut [f32]], at: usize) {
    let places = tile.places::<T>();
    let mut sums = [[_mm256_setzero_ps(); 2]; T];
    let units = tile.weights.as_chunks::<PANEL>().0;
    for (unit, step) in units.iter().zip(tile.steps.offsets()) {
        let halves = unit.as_chunks::<LANES>().0;
        let w = [load(&halves[0]), load(&halves[1])];
        for t in 0..T {
            // SAFETY: `places` holds that the place and the farthest tap are within `x`.
            let x = _mm256_set1_ps(unsafe { *tile.x.get_unchecked(step + places[t]) });
            for r in 0..2 {
                sums[t][r] = _mm256_fmadd_ps(w[r], x, sums[t][r]);
            }
        }
    }
    for (t, sums) in sums.iter().enumerate().take(tile.pixels.len()) {
        let mut lanes = [[0f32; LANES]; 2];
        store(sums[0], &mut lanes[0]);
        store(sums[1], &mut lanes[1]);
        for (y, sum) in y.iter_mut().zip(lanes.as_flattened()) {
            y[at + t] = *sum;
        }
    }
}

/// Four vectors of outputs at a time, then one.
#[target_feature(enable = "avx2,fma")]
fn depthwise(x: &[f32], taps: &Taps, w: &[f32], scale: f32, y: &mut [f32]) {
    assert_eq!(w.len(), taps.offsets().len());
    let scale = _mm256_set1_ps(scale);
    let (blocks, rest) = y.as_chunks_mut::<{ 4 * LANES }>();
    let done = blocks.len() * 4 * LANES;
    for (block, y) in blocks.iter_mut().enumerate() {
        let sums = shifted::<4>(&x[block * 4 * LANES..], taps, w);
        for (sum, y) in sums.iter().zip(y.as_chunks_mut::<LANES>().0) {
            store(_mm256_mul_ps(*sum, scale), y);
        }
    }
    for (vector, y) in rest.chunks_mut(LANES).enumerate() {
        let [sum] = shifted::<1>(&x[done + vector * LANES..], taps, w);
        let mut lanes = [0.0; LANES];
        store(_mm256_mul_ps(sum, scale), &mut lanes);
        y.copy_from_slice(&lanes[..y.len()]);
    }
}

/// `sum_t w[t] x[taps[t] ..]` of `V` vectors.
#[target_feature(enable = "avx2,fma")]
fn shifted<const V: usize>(x: &[f32], taps: &Taps, w: &[f32]) -> [__m256; V] {
    let mut sums = [_mm256_setzero_ps(); V];
    for (tap, w) in taps.offsets().iter().zip(w) {
        let (x, w) = (&x[*tap..][..V * LANES], _mm256_set1_ps(*w));
        for (sum, x) in sums.iter_mut().zip(x.as_chunks::<LANES>().0) {
            *sum = _mm256_fmadd_ps(load(x), w, *sum);
        }
    }
    sums
}

/// Half of a unit, 8 channels of two weights, as i16.
#[target_feature(enable = "avx2,fma")]
fn widened(unit: &[i8; 2 * PANEL], half: usize) -> __m256i {
    let half: &[i8; PANEL] = &unit.as_chunks().0[half];
    // SAFETY: 16 bytes; `loadu` has no alignment rule.
    _mm256_cvtepi8_epi16(unsafe { _mm_loadu_si128(half.as_ptr().cast()) })
}

#[target_feature(enable = "avx2,fma")]
fn load(x: &[f32; LANES]) -> __m256 {
    // SAFETY: 8 floats are 32 bytes; `loadu` has no alignment rule.
    unsafe { _mm256_loadu_ps(x.as_ptr()) }
}

#[target_feature(enable = "avx2,fma")]
fn store(x: __m256, to: &mut [f32; LANES]) {
    // SAFETY: 8 floats are 32 bytes; `storeu` has no alignment rule.
    unsafe { _mm256_storeu_ps(to.as_mut_ptr(), x) }
}

#[target_feature(enable = "avx2,fma")]
fn store_integers(sums: &[__m256i; 2], to: &mut [i32; PANEL]) {
    for (sum, to) in sums.iter().zip(to.as_chunks_mut::<LANES>().0) {
        // SAFETY: 8 integers are 32 bytes; `storeu` has no alignment rule.
        unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), *sum) }
    }
}
