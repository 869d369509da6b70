//! AVX-512 F, BW and VL: signs are mask registers, a table of 16 floats is one vector; nibbles as
//! AVX2 has them, whose vectors hold a step.
use super::{Codes, STEP, avx2};
use crate::quantize::avx512::Avx512;
use std::arch::x86_64::*;

impl Codes for Avx512 {
    #[inline(always)]
    fn signs(self, codes: &[u8; STEP]) -> u32 {
        // SAFETY: `self` exists only where the CPU has AVX-512 BW and VL.
        unsafe { signs(codes) }
    }
    #[inline(always)]
    fn split_signs(self, bits: u32, codes: &mut [u8; STEP]) {
        // SAFETY: `self` exists only where the CPU has AVX-512 BW and VL.
        unsafe { split_signs(bits, codes) }
    }
    #[inline(always)]
    fn split_nibbles(self, bytes: &[u8; STEP / 2], signed: bool, codes: &mut [u8; STEP]) {
        // SAFETY: `self` exists only where the CPU has AVX-512, and so AVX2.
        unsafe { avx2::split_nibbles(bytes, signed, codes) }
    }
    #[inline(always)]
    fn split_high_nibbles(self, bytes: &[u8; STEP / 2], codes: &mut [u8; STEP]) {
        // SAFETY: `self` exists only where the CPU has AVX-512, and so AVX2.
        unsafe { avx2::split_high_nibbles(bytes, codes) }
    }
    #[inline(always)]
    fn split_halves(self, bytes: &[u8; STEP / 2], codes: &mut [u8; STEP]) {
        // SAFETY: `self` exists only where the CPU has AVX-512, and so AVX2.
        unsafe { avx2::split_halves(bytes, codes) }
    }
    #[inline(always)]
    fn join_halves(self, codes: &[u8; STEP], bytes: &mut [u8; STEP / 2]) {
        // SAFETY: `self` exists only where the CPU has AVX-512, and so AVX2.
        unsafe { avx2::join_halves(codes, bytes) }
    }
    #[inline(always)]
    fn looked_up(self, codes: &[u8; STEP], table: &[f32; 16], x: &mut [f32; STEP]) {
        // SAFETY: `self` exists only where the CPU has AVX-512 F.
        unsafe { looked_up(codes, table, x) }
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn signs(codes: &[u8; STEP]) -> u32 {
    // SAFETY: the array is one vector of 32 bytes; the load needs no alignment.
    let codes = unsafe { _mm256_loadu_si256(codes.as_ptr().cast()) };
    !_mm256_movepi8_mask(codes)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn split_signs(bits: u32, codes: &mut [u8; STEP]) {
    let signs = _mm256_mask_mov_epi8(_mm256_set1_epi8(-1), bits, _mm256_set1_epi8(1));
    // SAFETY: the array is one vector of 32 bytes; the store needs no alignment.
    unsafe { _mm256_storeu_si256(codes.as_mut_ptr().cast(), signs) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn looked_up(codes: &[u8; STEP], table: &[f32; 16], x: &mut [f32; STEP]) {
    // SAFETY: the table is one vector of 16; the load needs no alignment.
    let table = unsafe { _mm512_loadu_ps(table.as_ptr()) };
    for (codes, x) in codes.as_chunks::<16>().0.iter().zip(x.as_chunks_mut::<16>().0) {
        // SAFETY: the arrays are one vector each; neither access needs alignment.
        unsafe {
            let codes = _mm512_cvtepu8_epi32(_mm_loadu_si128(codes.as_ptr().cast()));
            _mm512_storeu_ps(x.as_mut_ptr(), _mm512_permutexvar_ps(codes, table));
        }
    }
}
