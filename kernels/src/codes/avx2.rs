//! AVX2: signs by comparison of single bits, tables of 16 floats as two of 8.
//!
//! `split_signs`: byte `i / 8` of the word goes to byte `i`, whose bit `i % 8` is compared. A lookup
//! takes the low three bits of a code in both halves of the table and chooses by the fourth.
use super::{Codes, STEP};
use crate::quantize::avx2::Avx2;
use std::arch::x86_64::*;

impl Codes for Avx2 {
    #[inline(always)]
    fn signs(self, codes: &[u8; STEP]) -> u32 {
        // SAFETY: `self` exists only where the CPU has AVX2.
        unsafe { signs(codes) }
    }
    #[inline(always)]
    fn split_signs(self, bits: u32, codes: &mut [u8; STEP]) {
        // SAFETY: `self` exists only where the CPU has AVX2.
        unsafe { split_signs(bits, codes) }
    }
    #[inline(always)]
    fn split_nibbles(self, bytes: &[u8; STEP / 2], signed: bool, codes: &mut [u8; STEP]) {
        // SAFETY: `self` exists only where the CPU has AVX2.
        unsafe { split_nibbles(bytes, signed, codes) }
    }
    #[inline(always)]
    fn split_high_nibbles(self, bytes: &[u8; STEP / 2], codes: &mut [u8; STEP]) {
        // SAFETY: `self` exists only where the CPU has AVX2.
        unsafe { split_high_nibbles(bytes, codes) }
    }
    #[inline(always)]
    fn split_halves(self, bytes: &[u8; STEP / 2], codes: &mut [u8; STEP]) {
        // SAFETY: `self` exists only where the CPU has AVX2.
        unsafe { split_halves(bytes, codes) }
    }
    #[inline(always)]
    fn join_halves(self, codes: &[u8; STEP], bytes: &mut [u8; STEP / 2]) {
        // SAFETY: `self` exists only where the CPU has AVX2.
        unsafe { join_halves(codes, bytes) }
    }
    #[inline(always)]
    fn looked_up(self, codes: &[u8; STEP], table: &[f32; 16], x: &mut [f32; STEP]) {
        // SAFETY: `self` exists only where the CPU has AVX2.
        unsafe { looked_up(codes, table, x) }
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn signs(codes: &[u8; STEP]) -> u32 {
    // SAFETY: the array is one vector of 32 bytes; the load needs no alignment.
    let codes = unsafe { _mm256_loadu_si256(codes.as_ptr().cast()) };
    !_mm256_movemask_epi8(codes).cast_unsigned()
}

#[inline]
#[target_feature(enable = "avx2")]
fn split_signs(bits: u32, codes: &mut [u8; STEP]) {
    let word = _mm256_set1_epi32(bits.cast_signed());
    let (first, second) = (0x0101_0101_0101_0101, 0x0303_0303_0303_0303);
    let spread = _mm256_setr_epi64x(0, first, 2 * first, second);
    let bit = _mm256_set1_epi64x(0x8040_2010_0804_0201_u64.cast_signed());
    let alone = _mm256_and_si256(_mm256_shuffle_epi8(word, spread), bit);
    let set = _mm256_cmpeq_epi8(alone, bit);
    // -1, or -1 + 2.
    let codes_of = _mm256_sub_epi8(_mm256_set1_epi8(-1), _mm256_add_epi8(set, set));
    // SAFETY: the array is one vector of 32 bytes; the store needs no alignment.
    unsafe { _mm256_storeu_si256(codes.as_mut_ptr().cast(), codes_of) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn load_half(bytes: &[u8; STEP / 2]) -> __m128i {
    // SAFETY: the array is one vector of 16 bytes; the load needs no alignment.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}

/// One store of all codes: who loads them next would wait for two that meet.
#[inline]
#[target_feature(enable = "avx2")]
fn store(vector: __m256i, codes: &mut [u8; STEP]) {
    // SAFETY: the array is one vector of 32 bytes; the store needs no alignment.
    unsafe { _mm256_storeu_si256(codes.as_mut_ptr().cast(), vector) }
}

/// In the lane of each byte, the code of its high nibble below that of the low one.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn split_high_nibbles(bytes: &[u8; STEP / 2], codes: &mut [u8; STEP]) {
    let wide = _mm256_cvtepu8_epi16(load_half(bytes));
    let pairs = _mm256_or_si256(_mm256_srli_epi16::<4>(wide), _mm256_slli_epi16::<8>(wide));
    store(_mm256_and_si256(pairs, _mm256_set1_epi8(15)), codes);
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn split_halves(bytes: &[u8; STEP / 2], codes: &mut [u8; STEP]) {
    let bytes = load_half(bytes);
    let both = _mm256_set_m128i(_mm_srli_epi16::<4>(bytes), bytes);
    store(_mm256_and_si256(both, _mm256_set1_epi8(15)), codes);
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn join_halves(codes: &[u8; STEP], bytes: &mut [u8; STEP / 2]) {
    // SAFETY: the array is one vector of 32 bytes; the load needs no alignment.
    let codes = unsafe { _mm256_loadu_si256(codes.as_ptr().cast()) };
    let fours = _mm256_and_si256(codes, _mm256_set1_epi8(15));
    let (low, high) = (_mm256_castsi256_si128(fours), _mm256_extracti128_si256::<1>(fours));
    let pairs = _mm_or_si128(low, _mm_slli_epi16::<4>(high));
    // SAFETY: the array is one vector of 16 bytes; the store needs no alignment.
    unsafe { _mm_storeu_si128(bytes.as_mut_ptr().cast(), pairs) }
}

/// Two codes in the lane of each byte; the sign is `(u ^ 8) - 8`.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn split_nibbles(bytes: &[u8; STEP / 2], signed: bool, codes: &mut [u8; STEP]) {
    let wide = _mm256_cvtepu8_epi16(load_half(bytes));
    let wide = _mm256_or_si256(wide, _mm256_slli_epi16::<4>(wide));
    let fours = _mm256_and_si256(wide, _mm256_set1_epi8(15));
    let flip = _mm256_set1_epi8(if signed { 8 } else { 0 });
    store(_mm256_sub_epi8(_mm256_xor_si256(fours, flip), flip), codes);
}

#[inline]
#[target_feature(enable = "avx2")]
fn looked_up(codes: &[u8; STEP], table: &[f32; 16], x: &mut [f32; STEP]) {
    // SAFETY: the table is two vectors of 8; the loads need no alignment.
    let (low, high) =
        unsafe { (_mm256_loadu_ps(table.as_ptr()), _mm256_loadu_ps(table.as_ptr().add(8))) };
    for (codes, x) in codes.as_chunks::<8>().0.iter().zip(x.as_chunks_mut::<8>().0) {
        let codes = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128(i64::from_le_bytes(*codes)));
        let upper = _mm256_castsi256_ps(_mm256_slli_epi32::<28>(codes));
        let values = _mm256_blendv_ps(
            _mm256_permutevar8x32_ps(low, codes),
            _mm256_permutevar8x32_ps(high, codes),
            upper,
        );
        // SAFETY: the array is one vector of 8; the store needs no alignment.
        unsafe { _mm256_storeu_ps(x.as_mut_ptr(), values) }
    }
}
