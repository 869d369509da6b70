//! `avx512vnni`: 10 pixels by 32 output channels in 20 registers.
//!
//! int8: `vpdpbusd` takes four channels of 16 outputs at a time: a cell of four bytes `x + 128`,
//! broadcast, is the unsigned operand, the panel's weights are the signed one. `4 * 255 * 128` is
//! far below 2^31, and the sum may wrap, which the shared loop's offsets undo. Floats: one FMA for
//! 16 outputs. A cell is loaded once for 32 outputs and weights once for 10 pixels: 12 loads for 20
//! products, so that two products a clock need 1.2 loads. The registers left, 2 for weights and 10
//! for cells, are all that the compiler takes: it loads every cell of a step first, and with 14
//! pixels spills sums instead (measured: a third of the speed).
//!
//! Lanes are output channels and y has its pixels side by side: two 16 x 16 transposes a tile.
use super::depthwise::Depthwise;
use super::layout::{Float, Quad};
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
pub(super) struct Avx512Vnni;

impl Kernel<Conv2d> for Avx512Vnni {
    fn name(&self) -> &'static str {
        "avx512vnni"
    }
    fn need(&self) -> Need {
        Need::Avx512Vnni
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
        rows::bind::<Found, Quad, PANEL>(Found(()), problem, context)
    }
}

/// Made only where the instructions were detected.
#[derive(Clone, Copy)]
struct Found(());

/// Output channels of a panel: two vectors.
const PANEL: usize = 2 * LANES;
const LANES: usize = 16;

impl Dot<Quad, PANEL> for Found {
    const PIXELS: usize = 10;
    #[inline]
    fn tile(self, tile: &Tile<'_, Quad>, y: &mut [&mut [f32]], at: usize) {
        // SAFETY: a `Found` is made only after detection.
        unsafe {
            match (tile.pixels.len(), y.len() > LANES) {
                (1, _) => integers::<1, 2>(tile, y, at),
                (2..=4, _) => integers::<4, 2>(tile, y, at),
                (5..=7, _) => integers::<7, 2>(tile, y, at),
                (_, false) => integers::<10, 1>(tile, y, at),
                (_, true) => integers::<10, 2>(tile, y, at),
            }
        }
    }
}

impl Dot<Float, PANEL> for Found {
    const PIXELS: usize = 10;
    #[inline]
    fn tile(self, tile: &Tile<'_, Float>, y: &mut [&mut [f32]], at: usize) {
        // SAFETY: a `Found` is made only after detection.
        unsafe {
            match (tile.pixels.len(), y.len() > LANES) {
                (1, _) => floats::<1, 2>(tile, y, at),
                (2..=4, _) => floats::<4, 2>(tile, y, at),
                (5..=7, _) => floats::<7, 2>(tile, y, at),
                (_, false) => floats::<10, 1>(tile, y, at),
                (_, true) => floats::<10, 2>(tile, y, at),
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

/// `T` pixels by `R` vectors of channels.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn integers<const T: usize, const R: usize>(
    tile: &Tile<'_, Quad>,
    y: &mut [&mut [f32]],
    at: usize,
) {
    let places = tile.places::<T>();
    let mut sums = [[_mm512_setzero_si512(); R]; T];
    let units = tile.weights.as_chunks::<{ 4 * LANES }>().0.as_chunks::<2>().0;
    for (unit, step) in units.iter().zip(tile.steps.offsets()) {
        let mut w = [_mm512_setzero_si512(); R];
        for r in 0..R {
            w[r] = load_bytes(&unit[r]);
        }
        for t in 0..T {
            // SAFETY: `places` holds that the place and the farthest tap are within `x`.
            let x = unsafe { *tile.x.get_unchecked(step + places[t]) };
            let x = _mm512_set1_epi32(x.cast_signed());
            for r in 0..R {
                sums[t][r] = _mm512_dpbusd_epi32(sums[t][r], x, w[r]);
            }
        }
    }
    for (r, y) in y.chunks_mut(LANES).enumerate().take(R) {
        let offset = load_offsets(&tile.offsets[r * LANES..][..y.len()]);
        let scale = load_scales(&tile.scales[r * LANES..][..y.len()]);
        let mut block = [_mm512_setzero_ps(); LANES];
        for t in 0..T {
            let sum = _mm512_cvtepi32_ps(_mm512_sub_epi32(sums[t][r], offset));
            block[t] = _mm512_mul_ps(sum, scale);
        }
        store_transposed(&block, tile.pixels.len(), y, at);
    }
}

/// `T` pixels by `R` vectors of channels.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn floats<const T: usize, const R: usize>(tile: &Tile<'_, Float>, y: &mut [&mut [f32]], at: usize) {
    let places = tile.places::<T>();
    let mut sums = [[_mm512_setzero_ps(); R]; T];
    let units = tile.weights.as_chunks::<LANES>().0.as_chunks::<2>().0;
    for (unit, step) in units.iter().zip(tile.steps.offsets()) {
        let mut w = [_mm512_setzero_ps(); R];
        for r in 0..R {
            w[r] = load(&unit[r]);
        }
        for t in 0..T {
            // SAFETY: `places` holds that the place and the farthest tap are within `x`.
            let x = _mm512_set1_ps(unsafe { *tile.x.get_unchecked(step + places[t]) });
            for r in 0..R {
                sums[t][r] = _mm512_fmadd_ps(w[r], x, sums[t][r]);
            }
        }
    }
    for (r, y) in y.chunks_mut(LANES).enumerate().take(R) {
        let mut block = [_mm512_setzero_ps(); LANES];
        for t in 0..T {
            block[t] = sums[t][r];
        }
        store_transposed(&block, tile.pixels.len(), y, at);
    }
}

/// The first `count` rows of a block, pixels by channels, from `at` on in the slice of each channel.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn store_transposed(block: &[__m512; LANES], count: usize, y: &mut [&mut [f32]], at: usize) {
    let channels = transpose(block);
    for (y, channel) in y.iter_mut().zip(channels) {
        store(channel, &mut y[at..][..count]);
    }
}

/// Rows become columns: pairs, quads, then the four lanes of 128 bits.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn transpose(rows: &[__m512; LANES]) -> [__m512; LANES] {
    // Lane b of `quads[4 g + c]` is column `4 b + c` of the rows `4 g .. 4 g + 4`.
    let mut quads = [_mm512_setzero_pd(); LANES];
    for g in 0..4 {
        let [a, b, c, d] = [rows[4 * g], rows[4 * g + 1], rows[4 * g + 2], rows[4 * g + 3]];
        let low = [pairs(_mm512_unpacklo_ps(a, b)), pairs(_mm512_unpacklo_ps(c, d))];
        let high = [pairs(_mm512_unpackhi_ps(a, b)), pairs(_mm512_unpackhi_ps(c, d))];
        quads[4 * g] = _mm512_unpacklo_pd(low[0], low[1]);
        quads[4 * g + 1] = _mm512_unpackhi_pd(low[0], low[1]);
        quads[4 * g + 2] = _mm512_unpacklo_pd(high[0], high[1]);
        quads[4 * g + 3] = _mm512_unpackhi_pd(high[0], high[1]);
    }
    let mut columns = [_mm512_setzero_ps(); LANES];
    for c in 0..4 {
        let [a, b, d, e] = [quads[c], quads[4 + c], quads[8 + c], quads[12 + c]];
        let even = [_mm512_shuffle_f64x2::<0x88>(a, b), _mm512_shuffle_f64x2::<0x88>(d, e)];
        let odd = [_mm512_shuffle_f64x2::<0xdd>(a, b), _mm512_shuffle_f64x2::<0xdd>(d, e)];
        columns[c] = singles(_mm512_shuffle_f64x2::<0x88>(even[0], even[1]));
        columns[4 + c] = singles(_mm512_shuffle_f64x2::<0x88>(odd[0], odd[1]));
        columns[8 + c] = singles(_mm512_shuffle_f64x2::<0xdd>(even[0], even[1]));
        columns[12 + c] = singles(_mm512_shuffle_f64x2::<0xdd>(odd[0], odd[1]));
    }
    columns
}

/// Four vectors of outputs at a time, then one.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn depthwise(x: &[f32], taps: &Taps, w: &[f32], scale: f32, y: &mut [f32]) {
    assert_eq!(w.len(), taps.offsets().len());
    let scale = _mm512_set1_ps(scale);
    let (blocks, rest) = y.as_chunks_mut::<{ 4 * LANES }>();
    let done = blocks.len() * 4 * LANES;
    for (block, y) in blocks.iter_mut().enumerate() {
        let sums = shifted::<4>(&x[block * 4 * LANES..], taps, w);
        for (sum, y) in sums.iter().zip(y.chunks_mut(LANES)) {
            store(_mm512_mul_ps(*sum, scale), y);
        }
    }
    for (vector, y) in rest.chunks_mut(LANES).enumerate() {
        let [sum] = shifted::<1>(&x[done + vector * LANES..], taps, w);
        store(_mm512_mul_ps(sum, scale), y);
    }
}

/// `sum_t w[t] x[taps[t] ..]` of `V` vectors.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn shifted<const V: usize>(x: &[f32], taps: &Taps, w: &[f32]) -> [__m512; V] {
    let mut sums = [_mm512_setzero_ps(); V];
    for (tap, w) in taps.offsets().iter().zip(w) {
        let (x, w) = (&x[*tap..][..V * LANES], _mm512_set1_ps(*w));
        for (sum, x) in sums.iter_mut().zip(x.as_chunks::<LANES>().0) {
            *sum = _mm512_fmadd_ps(load(x), w, *sum);
        }
    }
    sums
}

#[target_feature(enable = "avx512f")]
fn load_bytes(bytes: &[i8; 4 * LANES]) -> __m512i {
    // SAFETY: 64 bytes; `loadu` has no alignment rule.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

#[target_feature(enable = "avx512f")]
fn load(x: &[f32; LANES]) -> __m512 {
    // SAFETY: 16 floats are 64 bytes; `loadu` has no alignment rule.
    unsafe { _mm512_loadu_ps(x.as_ptr()) }
}

/// A lane for each of at most 16 values.
fn mask(values: usize) -> __mmask16 {
    assert!(values <= LANES);
    ((1u32 << values) - 1) as __mmask16
}

#[target_feature(enable = "avx512f")]
fn load_offsets(offsets: &[i32]) -> __m512i {
    // SAFETY: the mask has a lane for each value of the slice, and no other is read.
    unsafe { _mm512_maskz_loadu_epi32(mask(offsets.len()), offsets.as_ptr()) }
}

#[target_feature(enable = "avx512f")]
fn load_scales(scales: &[f32]) -> __m512 {
    // SAFETY: the mask has a lane for each value of the slice, and no other is read.
    unsafe { _mm512_maskz_loadu_ps(mask(scales.len()), scales.as_ptr()) }
}

/// The first lanes, as many as the slice has values.
#[target_feature(enable = "avx512f")]
fn store(x: __m512, to: &mut [f32]) {
    // SAFETY: the mask has a lane for each value of the slice, and no other is written.
    unsafe { _mm512_mask_storeu_ps(to.as_mut_ptr(), mask(to.len()), x) }
}

#[target_feature(enable = "avx512f")]
fn pairs(x: __m512) -> __m512d {
    _mm512_castps_pd(x)
}

#[target_feature(enable = "avx512f")]
fn singles(x: __m512d) -> __m512 {
    _mm512_castpd_ps(x)
}
