//! AVX-512 F, BW and VL (no VNNI: there is no product to add): two vectors of 16 values a step.
//!
//! `int8`: `q = x * (1 / step)`, clamped to `min..=127` (at most 128, so the integer conversion
//! cannot overflow), rounded by the hardware. Where `|q - round(q)| <= 0.4999` for all 32 values
//! the code is that of the true quotient, whichever way ties go (`isa::CLEAR` has the bound); a
//! step with another value (1 in 160 for spread-out quotients) divides. There `q - r` is exact, and
//! where it is half a code and ties go away from zero, `q + copysign(0.5, q)` replaces `r`.
//! `sign1`: the comparison's mask register is the bits. `ternary2`: a byte a value, 1, or 2 under
//! the mask `|x| > limit`, or 0 under that and `x < 0`; four neighbours meet by `maddubs` with 1, 4
//! and `madd` with 1, 16, at most 170, so nothing saturates.
use super::isa::{CLEAR, Fold, Int8, Isa, MAX, STEP, Sign, Ternary, Work};
use crate::hardware::{self, Need};
use std::arch::x86_64::*;

/// Proof of AVX-512 F, BW, VL and VNNI.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx512(());

type Lanes = [__m512; 2];

impl Isa for Avx512 {
    const NAME: &'static str = "avx512vnni";
    const NEED: Need = Need::Avx512Vnni;
    type Lanes = Lanes;

    fn detect() -> Option<Avx512> {
        hardware::avx512vnni().then_some(Avx512(()))
    }

    fn enter(self, work: impl Work<Self>) {
        #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
        fn run(isa: Avx512, work: impl Work<Avx512>) {
            work.run(isa);
        }
        // SAFETY: `self` exists only where the CPU has the features.
        unsafe { run(self, work) }
    }

    #[inline(always)]
    fn zeros(self) -> Lanes {
        // SAFETY: as in `enter`.
        unsafe { zeros() }
    }
    #[inline(always)]
    fn take(self, fold: Fold, lanes: Lanes, x: &[f32; STEP]) -> Lanes {
        // SAFETY: as in `enter`.
        unsafe { take(fold, lanes, x) }
    }
    #[inline(always)]
    fn finish(self, fold: Fold, lanes: Lanes) -> f32 {
        // SAFETY: as in `enter`.
        unsafe { finish(fold, lanes) }
    }
    #[inline(always)]
    fn sign1(self, to: Sign, x: &[f32; STEP]) -> u32 {
        // SAFETY: as in `enter`.
        unsafe { sign1(to, x) }
    }
    #[inline(always)]
    fn ternary2(self, to: Ternary, x: &[f32; STEP]) -> u64 {
        // SAFETY: as in `enter`.
        unsafe { ternary2(to, x) }
    }
    #[inline(always)]
    fn int8(self, to: Int8, x: &[f32; STEP], bytes: &mut [u8; STEP]) {
        // SAFETY: as in `enter`.
        unsafe { int8(to, x, bytes) }
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load(x: &[f32; STEP]) -> Lanes {
    let x = x.as_ptr();
    // SAFETY: 32 values are two vectors of 16; the loads need no alignment.
    unsafe { [_mm512_loadu_ps(x), _mm512_loadu_ps(x.add(16))] }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn zeros() -> Lanes {
    [_mm512_setzero_ps(); 2]
}

#[inline]
#[target_feature(enable = "avx512f")]
fn take(fold: Fold, mut lanes: Lanes, x: &[f32; STEP]) -> Lanes {
    for (lane, x) in lanes.iter_mut().zip(load(x)) {
        *lane = match fold {
            Fold::Absmax => larger(_mm512_abs_ps(x), *lane),
            Fold::Magnitudes => _mm512_add_ps(*lane, _mm512_abs_ps(x)),
            Fold::Values => _mm512_add_ps(*lane, x),
        };
    }
    lanes
}

/// The larger of magnitudes, as integers: their bits are in order, and those of NaN above all.
#[inline]
#[target_feature(enable = "avx512f")]
fn larger(a: __m512, b: __m512) -> __m512 {
    let bits = _mm512_max_epu32(_mm512_castps_si512(a), _mm512_castps_si512(b));
    _mm512_castsi512_ps(bits)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn finish(fold: Fold, lanes: Lanes) -> f32 {
    let [a, b] = lanes;
    match fold {
        Fold::Absmax => f32::from_bits(_mm512_reduce_max_epu32(_mm512_castps_si512(larger(a, b)))),
        Fold::Magnitudes | Fold::Values => _mm512_reduce_add_ps(_mm512_add_ps(a, b)),
    }
}

/// Mask of `x > y`, or of `x >= y`; false for NaN.
#[inline]
#[target_feature(enable = "avx512f")]
fn above([a, b]: Lanes, y: __m512, or_equal: bool) -> u32 {
    if or_equal {
        join(_mm512_cmp_ps_mask::<_CMP_GE_OQ>(a, y), _mm512_cmp_ps_mask::<_CMP_GE_OQ>(b, y))
    } else {
        join(_mm512_cmp_ps_mask::<_CMP_GT_OQ>(a, y), _mm512_cmp_ps_mask::<_CMP_GT_OQ>(b, y))
    }
}

#[inline(always)]
fn join(low: u16, high: u16) -> u32 {
    u32::from(low) | u32::from(high) << 16
}

#[inline]
#[target_feature(enable = "avx512f")]
fn sign1(to: Sign, x: &[f32; STEP]) -> u32 {
    let centre = _mm512_set1_ps(to.centre);
    let [a, b] = load(x);
    let x = [_mm512_sub_ps(a, centre), _mm512_sub_ps(b, centre)];
    above(x, _mm512_setzero_ps(), to.zero_is_positive)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn ternary2(to: Ternary, x: &[f32; STEP]) -> u64 {
    let [a, b] = load(x);
    let magnitudes = [_mm512_abs_ps(a), _mm512_abs_ps(b)];
    let active = above(magnitudes, _mm512_set1_ps(to.limit), to.inclusive);
    let zero = _mm512_setzero_ps();
    let negative =
        join(_mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, zero), _mm512_cmp_ps_mask::<_CMP_LT_OQ>(b, zero));
    let stored = _mm256_mask_mov_epi8(_mm256_set1_epi8(1), active, _mm256_set1_epi8(2));
    let stored = _mm256_mask_mov_epi8(stored, active & negative, _mm256_setzero_si256());
    let pairs = _mm256_maddubs_epi16(stored, _mm256_set1_epi16(0x0401));
    let fours = _mm256_madd_epi16(pairs, _mm256_set1_epi32(0x0010_0001));
    _mm_cvtsi128_si64(_mm256_cvtepi32_epi8(fours)).cast_unsigned()
}

#[inline]
#[target_feature(enable = "avx512f")]
fn int8(to: Int8, x: &[f32; STEP], bytes: &mut [u8; STEP]) {
    let [a, b] = load(x);
    let reciprocal = _mm512_set1_ps(to.reciprocal);
    let a = clamp(to, _mm512_mul_ps(a, reciprocal));
    let b = clamp(to, _mm512_mul_ps(b, reciprocal));
    let near = join(near_tie(a), near_tie(b));
    if near == 0 {
        store([_mm512_cvtps_epi32(a), _mm512_cvtps_epi32(b)], bytes);
    } else {
        int8_divided(to, x, bytes);
    }
}

/// The same by division, for steps with a value near a tie, or a NaN.
#[cold]
#[inline(never)]
#[target_feature(enable = "avx512f")]
fn int8_divided(to: Int8, x: &[f32; STEP], bytes: &mut [u8; STEP]) {
    let [a, b] = load(x);
    store([divided(to, a), divided(to, b)], bytes);
}

#[inline]
#[target_feature(enable = "avx512f")]
fn divided(to: Int8, x: __m512) -> __m512i {
    let q = clamp(to, _mm512_div_ps(x, _mm512_set1_ps(to.step)));
    // NaN becomes 0.
    let q = _mm512_maskz_mov_ps(_mm512_cmp_ps_mask::<_CMP_ORD_Q>(q, q), q);
    let even = round(q);
    let half = _mm512_set1_ps(0.5);
    let tie = _mm512_cmp_ps_mask::<_CMP_EQ_OQ>(_mm512_abs_ps(_mm512_sub_ps(q, even)), half);
    let tie = if to.half_away { tie } else { 0 };
    let sign = _mm512_and_si512(_mm512_castps_si512(q), _mm512_set1_epi32(i32::MIN));
    let half = _mm512_castsi512_ps(_mm512_or_si512(_mm512_castps_si512(half), sign));
    _mm512_cvtps_epi32(_mm512_mask_add_ps(even, tie, q, half))
}

/// The second operand of `max` and `min` is the answer where it is NaN.
#[inline]
#[target_feature(enable = "avx512f")]
fn clamp(to: Int8, q: __m512) -> __m512 {
    _mm512_min_ps(_mm512_set1_ps(MAX), _mm512_max_ps(_mm512_set1_ps(to.min), q))
}

/// Ties to even.
#[inline]
#[target_feature(enable = "avx512f")]
fn round(q: __m512) -> __m512 {
    _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(q)
}

/// Mask of what is not clear of a tie; NaN is not.
#[inline]
#[target_feature(enable = "avx512f")]
fn near_tie(q: __m512) -> u16 {
    let distance = _mm512_abs_ps(_mm512_sub_ps(q, round(q)));
    _mm512_cmp_ps_mask::<_CMP_NLE_UQ>(distance, _mm512_set1_ps(CLEAR))
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store([a, b]: [__m512i; 2], bytes: &mut [u8; STEP]) {
    let bytes: *mut __m128i = bytes.as_mut_ptr().cast();
    // SAFETY: the array is 32 bytes, two vectors of 16; the stores need no alignment.
    unsafe {
        _mm_storeu_si128(bytes, _mm512_cvtepi32_epi8(a));
        _mm_storeu_si128(bytes.add(1), _mm512_cvtepi32_epi8(b));
    }
}
