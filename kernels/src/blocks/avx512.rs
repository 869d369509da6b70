//! AVX-512 F, BW and VL: coding of 32 values in two vectors of 16, or four of 8 doubles.
//!
//! *Ties away from zero*: `trunc(q + copysign(h, q))` with `h = 0.5 - 2^-25`, the float below one half: at
//! a tie the sum rounds up to the whole number, below one it stays below. *Halves*: in f64, where
//! `x inverse` is exact, a fused sum rounds as a separate one does. *E2M1*: midpoints times 4 are the
//! whole numbers 1, 3, 5, 7, 10, 14, 20, and `4 q > t` for a whole `t` where `ceil(4 q) > t`: a table
//! of 32 codes, two vectors, is asked at `min(ceil(4 q), 31)`.
use super::Blocks;
use crate::quantize::avx512::Avx512;
use crate::quantize::isa::STEP;
use std::arch::x86_64::*;

/// Methods that are one call of a function compiled for the set.
macro_rules! inlined {
    ($($name:ident($($arg:ident: $type:ty),*);)*) => { $(
        #[inline(always)]
        fn $name(self, x: &[f32; STEP], $($arg: $type,)* codes: &mut [u8; STEP]) {
            // SAFETY: `self` exists only where the CPU has the features.
            unsafe { $name(x, $($arg,)* codes) }
        }
    )* };
}

impl Blocks for Avx512 {
    inlined! {
        nearest(inverse: f32);
        halves(scale: (f32, u8));
        digits_of(inverse: f32);
        e2m1(inverse: f32);
    }
    #[inline(always)]
    fn largest(self, x: &[f32; STEP], absmax: f32) -> (u32, u32) {
        // SAFETY: `self` exists only where the CPU has the features.
        unsafe { largest(x, absmax) }
    }
}

/// Largest float below one half.
const BELOW_HALF: f32 = 0.499_999_97;
/// Codes of E2M1 by `ceil(4 q)`.
const E2M1: [i32; 32] = [
    0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 4, 5, 5, 5, 5, 6, 6, 6, 6, 6, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
];

#[inline]
#[target_feature(enable = "avx512f")]
fn load(x: &[f32; 16]) -> __m512 {
    // SAFETY: 16 values are a vector; the load needs no alignment.
    unsafe { _mm512_loadu_ps(x.as_ptr()) }
}

/// The upper eight lanes.
#[inline]
#[target_feature(enable = "avx512f")]
fn upper(x: __m512) -> __m256 {
    _mm256_castpd_ps(_mm512_extractf64x4_pd::<1>(_mm512_castps_pd(x)))
}

/// The low bytes of all lanes in one store: who loads them next waits for two that meet.
#[inline]
#[target_feature(enable = "avx512f,avx512vl")]
pub(crate) fn store_bytes([a, b]: [__m512i; 2], codes: &mut [u8; STEP]) {
    let (a, b) = (_mm512_cvtepi32_epi8(a), _mm512_cvtepi32_epi8(b));
    // SAFETY: the array is one vector of 32 bytes; the store needs no alignment.
    unsafe { _mm256_storeu_si256(codes.as_mut_ptr().cast(), _mm256_set_m128i(b, a)) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn largest(x: &[f32; STEP], absmax: f32) -> (u32, u32) {
    let absmax = _mm512_set1_ps(absmax);
    let (mut largest, mut negative) = (0, 0);
    for (i, x) in x.as_chunks::<16>().0.iter().enumerate() {
        let x = load(x);
        let found = _mm512_cmp_ps_mask::<_CMP_EQ_OQ>(_mm512_abs_ps(x), absmax);
        let sign = _mm512_cmplt_epi32_mask(_mm512_castps_si512(x), _mm512_setzero_si512());
        largest |= u32::from(found) << (16 * i);
        negative |= u32::from(sign) << (16 * i);
    }
    (largest, negative)
}

#[inline]
#[target_feature(enable = "avx512f,avx512vl")]
fn nearest(x: &[f32; STEP], inverse: f32, codes: &mut [u8; STEP]) {
    let inverse = _mm512_set1_ps(inverse);
    let sign = _mm512_set1_epi32(i32::MIN);
    let half = _mm512_castps_si512(_mm512_set1_ps(BELOW_HALF));
    let mut lanes = [_mm512_setzero_si512(); 2];
    for (lane, x) in lanes.iter_mut().zip(x.as_chunks::<16>().0) {
        let q = _mm512_mul_ps(load(x), inverse);
        // half | (q & sign)
        let half = _mm512_ternarylogic_epi32::<0xf8>(half, _mm512_castps_si512(q), sign);
        *lane = _mm512_cvttps_epi32(_mm512_add_ps(q, _mm512_castsi512_ps(half)));
    }
    store_bytes(lanes, codes);
}

#[inline]
#[target_feature(enable = "avx512f,avx512vl")]
fn halves(x: &[f32; STEP], (inverse, half): (f32, u8), codes: &mut [u8; STEP]) {
    let inverse = _mm512_set1_pd(inverse.into());
    let middle = _mm512_set1_pd(f64::from(half) + 0.5);
    let most = _mm512_set1_epi32(i32::from(2 * half) - 1);
    let mut lanes = [_mm512_setzero_si512(); 2];
    for (lane, x) in lanes.iter_mut().zip(x.as_chunks::<16>().0) {
        let x = load(x);
        let (low, high) = (_mm512_castps512_ps256(x), upper(x));
        let low = _mm512_fmadd_pd(_mm512_cvtps_pd(low), inverse, middle);
        let high = _mm512_fmadd_pd(_mm512_cvtps_pd(high), inverse, middle);
        let low = _mm512_castps256_ps512(_mm512_cvtpd_ps(low));
        let high = _mm256_castps_pd(_mm512_cvtpd_ps(high));
        let sums = _mm512_insertf64x4::<1>(_mm512_castps_pd(low), high);
        let sums = _mm512_castpd_ps(sums);
        *lane = _mm512_min_epi32(_mm512_cvttps_epi32(sums), most);
    }
    store_bytes(lanes, codes);
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn digits_of(x: &[f32; STEP], inverse: f32, digits: &mut [u8; STEP]) {
    let inverse = _mm512_set1_ps(inverse);
    let (half, other) = (_mm512_set1_ps(0.5), _mm512_set1_ps(-0.5));
    let (mut above, mut below) = (0, 0);
    for (i, x) in x.as_chunks::<16>().0.iter().enumerate() {
        let q = _mm512_mul_ps(load(x), inverse);
        above |= u32::from(_mm512_cmp_ps_mask::<_CMP_GE_OQ>(q, half)) << (16 * i);
        below |= u32::from(_mm512_cmp_ps_mask::<_CMP_LE_OQ>(q, other)) << (16 * i);
    }
    let bytes = _mm256_mask_mov_epi8(_mm256_set1_epi8(1), above, _mm256_set1_epi8(2));
    let bytes = _mm256_mask_mov_epi8(bytes, below, _mm256_setzero_si256());
    // SAFETY: the array is one vector of 32 bytes; the store needs no alignment.
    unsafe { _mm256_storeu_si256(digits.as_mut_ptr().cast(), bytes) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512vl")]
fn e2m1(x: &[f32; STEP], inverse: f32, codes: &mut [u8; STEP]) {
    const UP: i32 = _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC;
    let (low, high) = E2M1.split_at(16);
    // SAFETY: each half is one vector of 16; the loads need no alignment.
    let (low, high) = unsafe {
        (_mm512_loadu_si512(low.as_ptr().cast()), _mm512_loadu_si512(high.as_ptr().cast()))
    };
    let (inverse, four) = (_mm512_set1_ps(inverse), _mm512_set1_ps(4.0));
    let zero = _mm512_setzero_ps();
    let mut lanes = [_mm512_setzero_si512(); 2];
    for (lane, x) in lanes.iter_mut().zip(x.as_chunks::<16>().0) {
        let x = load(x);
        let quarters = _mm512_mul_ps(_mm512_abs_ps(_mm512_mul_ps(x, inverse)), four);
        let quarters = _mm512_min_ps(quarters, _mm512_set1_ps(31.0));
        let quarters = _mm512_mask_mov_ps(quarters, _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(x, x), zero);
        let index = _mm512_cvtps_epi32(_mm512_roundscale_ps::<UP>(quarters));
        let code = _mm512_permutex2var_epi32(low, index, high);
        let negative = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(x, zero);
        let negative = _mm512_mask_test_epi32_mask(negative, code, code);
        *lane = _mm512_mask_or_epi32(code, negative, code, _mm512_set1_epi32(8));
    }
    store_bytes(lanes, codes);
}
