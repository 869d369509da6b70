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

/// The low bytes of 16 lanes.
#[inline]
#[target_feature(enable = "avx512f,avx512vl")]
fn store_bytes(lanes: __m512i, codes: &mut [u8; 16]) {
    // SAFETY: the array is one vector of 16 bytes; the store needs no alignment.
    unsafe { _mm_storeu_si128(codes.as_mut_ptr().cast(), _mm512_cvtepi32_epi8(lanes)) }
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
    for (x, codes) in x.as_chunks::<16>().0.iter().zip(codes.as_chunks_mut::<16>().0) {
        let q = _mm512_mul_ps(load(x), inverse);
        // half | (q & sign)
        let half = _mm512_ternarylogic_epi32::<0xf8>(half, _mm512_castps_si512(q), sign);
        let whole = _mm512_cvttps_epi32(_mm512_add_ps(q, _mm512_castsi512_ps(half)));
        store_bytes(whole, codes);
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512vl")]
fn halves(x: &[f32; STEP], (inverse, half): (f32, u8), codes: &mut [u8; STEP]) {
    let inverse = _mm512_set1_pd(inverse.into());
    let middle = _mm512_set1_pd(f64::from(half) + 0.5);
    let most = _mm256_set1_epi32(i32::from(2 * half) - 1);
    for (x, codes) in x.as_chunks::<8>().0.iter().zip(codes.as_chunks_mut::<8>().0) {
        // SAFETY: 8 values are a vector; the load needs no alignment.
        let x = unsafe { _mm256_loadu_ps(x.as_ptr()) };
        let sum = _mm512_fmadd_pd(_mm512_cvtps_pd(x), inverse, middle);
        let whole = _mm256_min_epi32(_mm256_cvttps_epi32(_mm512_cvtpd_ps(sum)), most);
        *codes = _mm_cvtsi128_si64(_mm256_cvtepi32_epi8(whole)).to_le_bytes();
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn digits_of(x: &[f32; STEP], inverse: f32, digits: &mut [u8; STEP]) {
    let inverse = _mm512_set1_ps(inverse);
    let (half, other) = (_mm512_set1_ps(0.5), _mm512_set1_ps(-0.5));
    for (x, digits) in x.as_chunks::<16>().0.iter().zip(digits.as_chunks_mut::<16>().0) {
        let q = _mm512_mul_ps(load(x), inverse);
        let above = _mm512_cmp_ps_mask::<_CMP_GE_OQ>(q, half);
        let below = _mm512_cmp_ps_mask::<_CMP_LE_OQ>(q, other);
        let bytes = _mm_mask_mov_epi8(_mm_set1_epi8(1), above, _mm_set1_epi8(2));
        let bytes = _mm_mask_mov_epi8(bytes, below, _mm_setzero_si128());
        // SAFETY: the array is one vector of 16 bytes; the store needs no alignment.
        unsafe { _mm_storeu_si128(digits.as_mut_ptr().cast(), bytes) }
    }
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
    for (x, codes) in x.as_chunks::<16>().0.iter().zip(codes.as_chunks_mut::<16>().0) {
        let x = load(x);
        let quarters = _mm512_mul_ps(_mm512_abs_ps(_mm512_mul_ps(x, inverse)), four);
        let quarters = _mm512_min_ps(quarters, _mm512_set1_ps(31.0));
        let quarters = _mm512_mask_mov_ps(quarters, _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(x, x), zero);
        let index = _mm512_cvtps_epi32(_mm512_roundscale_ps::<UP>(quarters));
        let code = _mm512_permutex2var_epi32(low, index, high);
        let negative = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(x, zero);
        let negative = _mm512_mask_test_epi32_mask(negative, code, code);
        let code = _mm512_mask_or_epi32(code, negative, code, _mm512_set1_epi32(8));
        store_bytes(code, codes);
    }
}
