//! `rho_unpack` AVX2: four vectors of 8 values a block, codes looked up where there are few.
//!
//! `ternary2`: lane `i` shifts its 16 bits right by `2 i` and permutes the table
//! `[-s, 0, s, 2 s]`, twice over: `vpermps` reads three index bits, of which the third, the next
//! code's, then does not matter. `sign1`: lane `i` shifts its byte left by `31 - i`, and the sign
//! bit chooses between `-s` and `s`. The table holds `code * scale`, so every value rounds once.
use super::rows::{Row, STEP, Unpack};
use crate::quantize::avx2::Avx2;
use std::arch::x86_64::*;

/// The row.
pub(super) static ROW: Row<Avx2> = Row::new();

impl Unpack for Avx2 {
    #[inline(always)]
    fn unpack_int8(self, bytes: &[u8; STEP], scale: f32, values: &mut [f32; STEP]) {
        // SAFETY: `self` exists only where the CPU has AVX2.
        unsafe { int8(bytes, scale, values) }
    }
    #[inline(always)]
    fn unpack_ternary2(self, fields: u64, scale: f32, values: &mut [f32; STEP]) {
        // SAFETY: `self` exists only where the CPU has AVX2.
        unsafe { ternary2(fields, scale, values) }
    }
    #[inline(always)]
    fn unpack_sign1(self, bits: u32, scale: f32, values: &mut [f32; STEP]) {
        // SAFETY: `self` exists only where the CPU has AVX2.
        unsafe { sign1(bits, scale, values) }
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn int8(bytes: &[u8; STEP], scale: f32, values: &mut [f32; STEP]) {
    let scale = _mm256_set1_ps(scale);
    for (eight, values) in bytes.as_chunks::<8>().0.iter().zip(values.as_chunks_mut::<8>().0) {
        let codes = _mm256_cvtepi8_epi32(_mm_cvtsi64_si128(i64::from_le_bytes(*eight)));
        store(_mm256_mul_ps(_mm256_cvtepi32_ps(codes), scale), values);
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn ternary2(fields: u64, s: f32, values: &mut [f32; STEP]) {
    let (low, zero, high) = (-s, 0.0 * s, 2.0 * s);
    let table = _mm256_setr_ps(low, zero, s, high, low, zero, s, high);
    let shifts = _mm256_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14);
    for (i, values) in values.as_chunks_mut::<8>().0.iter_mut().enumerate() {
        let fields = i32::from((fields >> (16 * i)) as i16);
        let index = _mm256_srlv_epi32(_mm256_set1_epi32(fields), shifts);
        store(_mm256_permutevar8x32_ps(table, index), values);
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn sign1(bits: u32, scale: f32, values: &mut [f32; STEP]) {
    let (negative, positive) = (_mm256_set1_ps(-scale), _mm256_set1_ps(scale));
    let shifts = _mm256_setr_epi32(31, 30, 29, 28, 27, 26, 25, 24);
    for (byte, values) in bits.to_le_bytes().iter().zip(values.as_chunks_mut::<8>().0) {
        let chosen = _mm256_sllv_epi32(_mm256_set1_epi32(i32::from(*byte)), shifts);
        store(_mm256_blendv_ps(negative, positive, _mm256_castsi256_ps(chosen)), values);
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn store(x: __m256, values: &mut [f32; 8]) {
    // SAFETY: the array is one vector of 8; the store needs no alignment.
    unsafe { _mm256_storeu_ps(values.as_mut_ptr(), x) }
}
