//! AVX2 and FMA: coding of 32 values in four vectors of 8, or eight of 4 doubles.
//!
//! *Ties away from zero*: `trunc(q + copysign(h, q))` with `h = 0.5 - 2^-25`, the float below one half: at
//! a tie the sum rounds up to the whole number, below one it stays below. *Halves*: in f64, where
//! `x inverse` is exact, a fused sum rounds as a separate one does. *E2M1*: the number of the seven
//! midpoints below the magnitude, a comparison each, which is -1.
use super::Blocks;
use crate::quantize::avx2::Avx2;
use crate::quantize::isa::STEP;
use std::arch::x86_64::*;

/// Methods that are one call of a function compiled for the set.
macro_rules! inlined {
    ($($name:ident($($arg:ident: $type:ty),*);)*) => { $(
        #[inline(always)]
        fn $name(self, x: &[f32; STEP], $($arg: $type,)* codes: &mut [u8; STEP]) {
            // SAFETY: `self` exists only where the CPU has AVX2 and FMA.
            unsafe { $name(x, $($arg,)* codes) }
        }
    )* };
}

impl Blocks for Avx2 {
    inlined! {
        nearest(inverse: f32);
        halves(scale: (f32, u8));
        digits_of(inverse: f32);
        e2m1(inverse: f32);
    }
    #[inline(always)]
    fn largest(self, x: &[f32; STEP], absmax: f32) -> (u32, u32) {
        // SAFETY: `self` exists only where the CPU has AVX2.
        unsafe { largest(x, absmax) }
    }
}

/// Largest float below one half.
const BELOW_HALF: f32 = 0.499_999_97;

#[inline]
#[target_feature(enable = "avx2")]
fn load(x: &[f32; STEP]) -> [__m256; 4] {
    let x = x.as_ptr();
    // SAFETY: 32 values are four vectors of 8; the loads need no alignment.
    unsafe {
        [
            _mm256_loadu_ps(x),
            _mm256_loadu_ps(x.add(8)),
            _mm256_loadu_ps(x.add(16)),
            _mm256_loadu_ps(x.add(24)),
        ]
    }
}

/// Lanes from -128 to 127, a byte each in the order of the values.
#[inline]
#[target_feature(enable = "avx2")]
fn store([a, b, c, d]: [__m256i; 4], codes: &mut [u8; STEP]) {
    let bytes = _mm256_packs_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
    let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    let bytes = _mm256_permutevar8x32_epi32(bytes, order);
    // SAFETY: the array is one vector of 32 bytes; the store needs no alignment.
    unsafe { _mm256_storeu_si256(codes.as_mut_ptr().cast(), bytes) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn largest(x: &[f32; STEP], absmax: f32) -> (u32, u32) {
    let (absmax, sign) = (_mm256_set1_ps(absmax), _mm256_set1_ps(-0.0));
    let (mut largest, mut negative) = (0, 0);
    for (i, x) in load(x).into_iter().enumerate() {
        let found = _mm256_cmp_ps::<_CMP_EQ_OQ>(_mm256_andnot_ps(sign, x), absmax);
        largest |= _mm256_movemask_ps(found).cast_unsigned() << (8 * i);
        negative |= _mm256_movemask_ps(x).cast_unsigned() << (8 * i);
    }
    (largest, negative)
}

#[inline]
#[target_feature(enable = "avx2")]
fn nearest(x: &[f32; STEP], inverse: f32, codes: &mut [u8; STEP]) {
    let (inverse, sign) = (_mm256_set1_ps(inverse), _mm256_set1_ps(-0.0));
    let half = _mm256_set1_ps(BELOW_HALF);
    let mut lanes = [_mm256_setzero_si256(); 4];
    for (lane, x) in lanes.iter_mut().zip(load(x)) {
        let q = _mm256_mul_ps(x, inverse);
        let half = _mm256_or_ps(_mm256_and_ps(q, sign), half);
        *lane = _mm256_cvttps_epi32(_mm256_add_ps(q, half));
    }
    store(lanes, codes);
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn halves(x: &[f32; STEP], (inverse, half): (f32, u8), codes: &mut [u8; STEP]) {
    let inverse = _mm256_set1_pd(inverse.into());
    let middle = _mm256_set1_pd(f64::from(half) + 0.5);
    let most = _mm256_set1_epi32(i32::from(2 * half) - 1);
    let mut lanes = [_mm256_setzero_si256(); 4];
    for (lane, x) in lanes.iter_mut().zip(load(x)) {
        let low = _mm256_cvtps_pd(_mm256_castps256_ps128(x));
        let high = _mm256_cvtps_pd(_mm256_extractf128_ps::<1>(x));
        let low = _mm256_cvtpd_ps(_mm256_fmadd_pd(low, inverse, middle));
        let high = _mm256_cvtpd_ps(_mm256_fmadd_pd(high, inverse, middle));
        let whole = _mm256_cvttps_epi32(_mm256_set_m128(high, low));
        *lane = _mm256_min_epi32(whole, most);
    }
    store(lanes, codes);
}

#[inline]
#[target_feature(enable = "avx2")]
fn digits_of(x: &[f32; STEP], inverse: f32, digits: &mut [u8; STEP]) {
    let inverse = _mm256_set1_ps(inverse);
    let (half, other) = (_mm256_set1_ps(0.5), _mm256_set1_ps(-0.5));
    let mut lanes = [_mm256_setzero_si256(); 4];
    for (lane, x) in lanes.iter_mut().zip(load(x)) {
        let q = _mm256_mul_ps(x, inverse);
        let above = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_GE_OQ>(q, half));
        let below = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_LE_OQ>(q, other));
        let one = _mm256_set1_epi32(1);
        *lane = _mm256_add_epi32(_mm256_sub_epi32(one, above), below);
    }
    store(lanes, digits);
}

#[inline]
#[target_feature(enable = "avx2")]
fn e2m1(x: &[f32; STEP], inverse: f32, codes: &mut [u8; STEP]) {
    let inverse = _mm256_set1_ps(inverse);
    let (sign, zero) = (_mm256_set1_ps(-0.0), _mm256_setzero_ps());
    let mut lanes = [_mm256_setzero_si256(); 4];
    for (lane, x) in lanes.iter_mut().zip(load(x)) {
        let q = _mm256_andnot_ps(sign, _mm256_mul_ps(x, inverse));
        let mut code = _mm256_setzero_si256();
        for midpoint in [0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0] {
            let above = _mm256_cmp_ps::<_CMP_GT_OQ>(q, _mm256_set1_ps(midpoint));
            code = _mm256_sub_epi32(code, _mm256_castps_si256(above));
        }
        let negative = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_LT_OQ>(x, zero));
        let some = _mm256_cmpgt_epi32(code, _mm256_setzero_si256());
        let eight = _mm256_and_si256(_mm256_and_si256(negative, some), _mm256_set1_epi32(8));
        *lane = _mm256_or_si256(code, eight);
    }
    store(lanes, codes);
}
