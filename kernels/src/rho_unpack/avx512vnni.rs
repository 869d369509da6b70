//! `rho_unpack` AVX-512 F (no VNNI: nothing is added): two vectors of 16 values a block.
//!
//! `ternary2`: lane `i` shifts its 32 bits right by `2 i` and permutes the table
//! `[-s, 0, s, 2 s]`, four times over: `vpermps` reads four index bits, of which the upper two,
//! the next code's, then do not matter. `sign1`: the bits are the mask that chooses between `-s`
//! and `s`. The table holds `code * scale`, so every value rounds once.
use super::rows::{Row, STEP, Unpack};
use crate::quantize::avx512::Avx512;
use std::arch::x86_64::*;

/// The row.
pub(super) static ROW: Row<Avx512> = Row::new();

impl Unpack for Avx512 {
    #[inline(always)]
    fn unpack_int8(self, bytes: &[u8; STEP], scale: f32, values: &mut [f32; STEP]) {
        // SAFETY: `self` exists only where the CPU has AVX-512 F.
        unsafe { int8(bytes, scale, values) }
    }
    #[inline(always)]
    fn unpack_ternary2(self, fields: u64, scale: f32, values: &mut [f32; STEP]) {
        // SAFETY: `self` exists only where the CPU has AVX-512 F.
        unsafe { ternary2(fields, scale, values) }
    }
    #[inline(always)]
    fn unpack_sign1(self, bits: u32, scale: f32, values: &mut [f32; STEP]) {
        // SAFETY: `self` exists only where the CPU has AVX-512 F.
        unsafe { sign1(bits, scale, values) }
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn int8(bytes: &[u8; STEP], scale: f32, values: &mut [f32; STEP]) {
    let scale = _mm512_set1_ps(scale);
    for (bytes, values) in bytes.as_chunks::<16>().0.iter().zip(values.as_chunks_mut::<16>().0) {
        // SAFETY: the array is one vector of 16 bytes; the load needs no alignment.
        let bytes = unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) };
        let codes = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes));
        store(_mm512_mul_ps(codes, scale), values);
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn ternary2(fields: u64, s: f32, values: &mut [f32; STEP]) {
    let table = _mm512_broadcast_f32x4(_mm_setr_ps(-s, 0.0 * s, s, 2.0 * s));
    let shifts = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    for (i, values) in values.as_chunks_mut::<16>().0.iter_mut().enumerate() {
        let fields = _mm512_set1_epi32((fields >> (32 * i)) as i32);
        store(_mm512_permutexvar_ps(_mm512_srlv_epi32(fields, shifts), table), values);
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn sign1(bits: u32, scale: f32, values: &mut [f32; STEP]) {
    let (negative, positive) = (_mm512_set1_ps(-scale), _mm512_set1_ps(scale));
    for (i, values) in values.as_chunks_mut::<16>().0.iter_mut().enumerate() {
        let mask = (bits >> (16 * i)) as u16;
        store(_mm512_mask_mov_ps(negative, mask, positive), values);
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store(x: __m512, values: &mut [f32; 16]) {
    // SAFETY: the array is one vector of 16; the store needs no alignment.
    unsafe { _mm512_storeu_ps(values.as_mut_ptr(), x) }
}
