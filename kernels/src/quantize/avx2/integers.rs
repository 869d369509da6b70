//! AVX2 and FMA: values to integers, in steps of 32; a line is two of them.
//!
//! `w = round(x r)`, `r = 1 / step`, by the conversion instruction, and `d = x r - w`
//! by one fused operation. Where `|d| <= 0.49996` for all 32 values the code is that of the true
//! quotient, whichever way ties go (`isa::CLEAR` has the bound); a step with another value (1 in
//! 400) divides. The distances are compared as integers, `2 bits(d)`, which drops the sign and
//! puts NaN above all. Out of range `w` is -2^31, `d` is not small, and the step divides too.
//! Codes saturate to 16 bits in packing, where the zero point (at most 255) is added, and to bytes,
//! where both limits are applied.
use super::super::isa::{CLEAR, Halves, Integer, LINE, Line, STEP};
use super::{abs, copy_past, load, ordered, store};
use std::arch::x86_64::*;

#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) fn line(to: &Integer, x: &[f32; LINE], bytes: &mut [u8; LINE]) {
    for (x, bytes) in x.as_chunks().0.iter().zip(bytes.as_chunks_mut().0) {
        integers(to, x, bytes);
    }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) fn line_past(to: &Integer, x: &[f32; LINE], past: &mut Line) {
    let mut bytes = [0; LINE];
    line(to, x, &mut bytes);
    copy_past(&bytes, past);
}

#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) fn pair(to: &Integer, by: Halves, x: &[f32; LINE], bytes: &mut [u8; LINE]) {
    let halves = x.as_chunks().0.iter().zip(bytes.as_chunks_mut().0);
    for ((x, bytes), (step, reciprocal)) in halves.zip(by.step.iter().zip(by.reciprocal)) {
        step_of(to, (step, *reciprocal), x, bytes);
    }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) fn pair_past(to: &Integer, by: Halves, x: &[f32; LINE], past: &mut Line) {
    let mut bytes = [0; LINE];
    pair(to, by, x, &mut bytes);
    copy_past(&bytes, past);
}

#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) fn integers(to: &Integer, x: &[f32; STEP], bytes: &mut [u8; STEP]) {
    step_of(to, (&to.step, to.reciprocal), x, bytes);
}

/// Codes under a step, which is read only where it is divided by, and its reciprocal.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn step_of(to: &Integer, (step, reciprocal): (&f32, f32), x: &[f32; STEP], bytes: &mut [u8; STEP]) {
    let reciprocal = _mm256_set1_ps(reciprocal);
    let mut codes = [_mm256_setzero_si256(); 4];
    let mut farthest = _mm256_setzero_si256();
    for (code, x) in codes.iter_mut().zip(load(x)) {
        *code = _mm256_cvtps_epi32(_mm256_mul_ps(x, reciprocal));
        let distance = _mm256_fmsub_ps(x, reciprocal, _mm256_cvtepi32_ps(*code));
        let distance = _mm256_slli_epi32::<1>(_mm256_castps_si256(distance));
        farthest = _mm256_max_epu32(farthest, distance);
    }
    let clear = _mm256_set1_epi32((CLEAR.to_bits() << 1).cast_signed());
    let clear = _mm256_cmpeq_epi32(_mm256_max_epu32(farthest, clear), clear);
    if _mm256_movemask_epi8(clear) == -1 {
        store_codes(to, codes, bytes);
    } else {
        // A copy for the call, so that the original can stay in registers.
        step_divided(&Integer { ..*to }, *step, x, bytes);
    }
}

/// The same by division, for steps with a value near a tie, or a NaN.
#[cold]
#[inline(never)]
#[target_feature(enable = "avx2")]
fn step_divided(to: &Integer, step: f32, x: &[f32; STEP], bytes: &mut [u8; STEP]) {
    let mut codes = [_mm256_setzero_si256(); 4];
    for (code, x) in codes.iter_mut().zip(load(x)) {
        *code = divided(to, step, x);
    }
    store_codes(to, codes, bytes);
}

#[inline]
#[target_feature(enable = "avx2")]
fn divided(to: &Integer, step: f32, x: __m256) -> __m256i {
    let (least, most) = to.limits();
    let q = _mm256_div_ps(x, _mm256_set1_ps(step));
    // NaN becomes 0.
    let q = _mm256_and_ps(q, _mm256_cmp_ps::<_CMP_ORD_Q>(q, q));
    let q = _mm256_min_ps(_mm256_set1_ps(most), _mm256_max_ps(_mm256_set1_ps(least), q));
    if !to.half_away {
        return _mm256_cvtps_epi32(q);
    }
    let even = _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(q);
    let half = _mm256_set1_ps(0.5);
    let tie = _mm256_cmp_ps::<_CMP_EQ_OQ>(abs(_mm256_sub_ps(q, even)), half);
    let away = _mm256_add_ps(q, _mm256_or_ps(half, _mm256_and_ps(q, _mm256_set1_ps(-0.0))));
    _mm256_cvtps_epi32(_mm256_blendv_ps(even, away, tie))
}

#[inline]
#[target_feature(enable = "avx2")]
fn store_codes(to: &Integer, [a, b, c, d]: [__m256i; 4], bytes: &mut [u8; STEP]) {
    let (low, high) = (_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
    let (least, most) = to.bytes();
    let codes = if to.unsigned() {
        let zero_point = _mm256_set1_epi16(to.zero_point);
        let (low, high) = (_mm256_adds_epi16(low, zero_point), _mm256_adds_epi16(high, zero_point));
        _mm256_min_epu8(_mm256_packus_epi16(low, high), _mm256_set1_epi8(most))
    } else {
        let codes = _mm256_max_epi8(_mm256_packs_epi16(low, high), _mm256_set1_epi8(least));
        _mm256_min_epi8(codes, _mm256_set1_epi8(most))
    };
    store(ordered(codes), bytes);
}
