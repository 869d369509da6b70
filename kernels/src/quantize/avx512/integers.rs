//! AVX-512: values to integers, in steps of 32 or lines of 64.
//!
//! `w = round(x r)`, `r = 1 / step`, by the conversion instruction, and `d = x r - w` by one fused
//! operation, exact but for its own rounding. Where
//! `|d| <= 0.49996` for all 64 values the code is that of the true quotient, whichever way ties go
//! (`isa::CLEAR` has the bound); a line with another value (1 in 200) divides. The distances are
//! compared as integers, `2 bits(d)`, which drops the sign and puts NaN above all: two operations
//! a vector and one comparison a line. Out of range, `w` is -2^31, `d` is not small, and the line
//! divides too. Codes saturate to 16 bits in packing, where the zero point (at most 255) is added,
//! and to bytes, where both limits are applied.
use super::super::isa::{CLEAR, Halves, Integer, LINE, Line, STEP};
use super::{both, load, store32};
use std::arch::x86_64::*;

/// Codes without limits and zero point, and how far from them quotients may be.
#[inline]
#[target_feature(enable = "avx512f")]
fn whole(reciprocal: f32, x: __m512, farthest: &mut __m512i) -> __m512i {
    let reciprocal = _mm512_set1_ps(reciprocal);
    let whole = _mm512_cvtps_epi32(_mm512_mul_ps(x, reciprocal));
    let distance = _mm512_fmsub_ps(x, reciprocal, _mm512_cvtepi32_ps(whole));
    let distance = _mm512_slli_epi32::<1>(_mm512_castps_si512(distance));
    *farthest = _mm512_max_epu32(*farthest, distance);
    whole
}

/// Whether a distance is not clear of a tie.
#[inline]
#[target_feature(enable = "avx512f")]
fn near(farthest: __m512i) -> bool {
    let clear = _mm512_set1_epi32((CLEAR.to_bits() << 1).cast_signed());
    _mm512_cmpgt_epu32_mask(farthest, clear) != 0
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub(super) fn integers(to: &Integer, x: &[f32; STEP], bytes: &mut [u8; STEP]) {
    let ([a, b], mut farthest) = (both(x), _mm512_setzero_si512());
    let reciprocal = to.reciprocal;
    let codes = [whole(reciprocal, a, &mut farthest), whole(reciprocal, b, &mut farthest)];
    if near(farthest) {
        // A copy for the call, so that the original can stay in registers.
        return integers_divided(&Integer { ..*to }, x, bytes);
    }
    store_step(to, codes, bytes);
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn line(to: &Integer, x: &[f32; LINE], bytes: &mut [u8; LINE]) {
    pair(to, Halves { step: &[to.step; 2], reciprocal: &[to.reciprocal; 2] }, x, bytes);
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn line_past(to: &Integer, x: &[f32; LINE], line: &mut Line) {
    pair_past(to, Halves { step: &[to.step; 2], reciprocal: &[to.reciprocal; 2] }, x, line);
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn pair(to: &Integer, by: Halves, x: &[f32; LINE], bytes: &mut [u8; LINE]) {
    store_line(line_codes(to, by, x), bytes);
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn pair_past(to: &Integer, by: Halves, x: &[f32; LINE], line: &mut Line) {
    // SAFETY: a `Line` is 64 bytes with the alignment of the store.
    unsafe { _mm512_stream_si512(line.0.as_mut_ptr().cast(), line_codes(to, by, x)) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn line_codes(to: &Integer, by: Halves, x: &[f32; LINE]) -> __m512i {
    let [a, b, c, d] = x.as_chunks().0 else { unreachable!("four vectors of 16") };
    let (mut farthest, [low, high]) = (_mm512_setzero_si512(), *by.reciprocal);
    let codes = [
        whole(low, load(a), &mut farthest),
        whole(low, load(b), &mut farthest),
        whole(high, load(c), &mut farthest),
        whole(high, load(d), &mut farthest),
    ];
    if !near(farthest) {
        return packed(to, codes);
    }
    let mut bytes = [0; LINE];
    // A copy for the call, so that the original can stay in registers.
    line_divided(&Integer { ..*to }, by.step, x, &mut bytes);
    // SAFETY: the array is one vector of 64 bytes; the load needs no alignment.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

/// The same by division, for steps with a value near a tie, or a NaN.
#[cold]
#[inline(never)]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn integers_divided(to: &Integer, x: &[f32; STEP], bytes: &mut [u8; STEP]) {
    let ([a, b], step) = (both(x), to.step);
    store_step(to, [divided(to, step, a), divided(to, step, b)], bytes);
}

/// The same of a line.
#[cold]
#[inline(never)]
#[target_feature(enable = "avx512f,avx512bw")]
fn line_divided(to: &Integer, step: &[f32; 2], x: &[f32; LINE], bytes: &mut [u8; LINE]) {
    let [a, b, c, d] = x.as_chunks().0 else { unreachable!("four vectors of 16") };
    let [low, high] = *step;
    let (a, b) = (divided(to, low, load(a)), divided(to, low, load(b)));
    let (c, d) = (divided(to, high, load(c)), divided(to, high, load(d)));
    store_line(packed(to, [a, b, c, d]), bytes);
}

#[inline]
#[target_feature(enable = "avx512f")]
fn divided(to: &Integer, step: f32, x: __m512) -> __m512i {
    let (least, most) = to.limits();
    let q = _mm512_div_ps(x, _mm512_set1_ps(step));
    // NaN becomes 0.
    let q = _mm512_maskz_mov_ps(_mm512_cmp_ps_mask::<_CMP_ORD_Q>(q, q), q);
    let q = _mm512_min_ps(_mm512_set1_ps(most), _mm512_max_ps(_mm512_set1_ps(least), q));
    // Ties to even.
    let even = _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(q);
    let half = _mm512_set1_ps(0.5);
    let tie = _mm512_cmp_ps_mask::<_CMP_EQ_OQ>(_mm512_abs_ps(_mm512_sub_ps(q, even)), half);
    let tie = if to.half_away { tie } else { 0 };
    let sign = _mm512_and_si512(_mm512_castps_si512(q), _mm512_set1_epi32(i32::MIN));
    let half = _mm512_castsi512_ps(_mm512_or_si512(_mm512_castps_si512(half), sign));
    _mm512_cvtps_epi32(_mm512_mask_add_ps(even, tie, q, half))
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn store_step(to: &Integer, [a, b]: [__m512i; 2], bytes: &mut [u8; STEP]) {
    let codes = _mm512_packs_epi32(a, b);
    // Fours of vectors 0 1 | 0 1 | .. back in the order of the values.
    let codes = _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7), codes);
    let (least, most) = to.bytes();
    let codes = if to.unsigned() {
        let codes = _mm512_adds_epi16(codes, _mm512_set1_epi16(to.zero_point));
        let codes = _mm512_max_epi16(codes, _mm512_setzero_si512());
        _mm256_min_epu8(_mm512_cvtusepi16_epi8(codes), _mm256_set1_epi8(most))
    } else {
        let codes = _mm256_max_epi8(_mm512_cvtsepi16_epi8(codes), _mm256_set1_epi8(least));
        _mm256_min_epi8(codes, _mm256_set1_epi8(most))
    };
    store32(codes, bytes);
}

/// Four vectors of codes as bytes, with the zero point and within the limits.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn packed(to: &Integer, [a, b, c, d]: [__m512i; 4]) -> __m512i {
    let (low, high) = (_mm512_packs_epi32(a, b), _mm512_packs_epi32(c, d));
    let (least, most) = to.bytes();
    let codes = if to.unsigned() {
        let zero_point = _mm512_set1_epi16(to.zero_point);
        let (low, high) = (_mm512_adds_epi16(low, zero_point), _mm512_adds_epi16(high, zero_point));
        _mm512_min_epu8(_mm512_packus_epi16(low, high), _mm512_set1_epi8(most))
    } else {
        let codes = _mm512_max_epi8(_mm512_packs_epi16(low, high), _mm512_set1_epi8(least));
        _mm512_min_epi8(codes, _mm512_set1_epi8(most))
    };
    // Fours of vectors 0 1 2 3 | 0 1 2 3 | .. back in the order of the values.
    let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    _mm512_permutexvar_epi32(order, codes)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store_line(codes: __m512i, bytes: &mut [u8; LINE]) {
    // SAFETY: the array is one vector of 64 bytes; the store needs no alignment.
    unsafe { _mm512_storeu_si512(bytes.as_mut_ptr().cast(), codes) }
}
