//! `sparse_positive` in AVX-512 F: what the compiler does not find by itself.
//!
//! Kept codes of 16 values move together by one compression, and apart by one expansion. Ranks are
//! counted for 16 values at a time: `p_j + [j < i] > p_i` under the mask of its comparison.
use super::BLOCK;
use super::sparse_positive::{HEADER, KEPT, MOST, Positive, decode};
use crate::quantize::avx512::Avx512;
use std::arch::x86_64::*;

impl Positive for Avx512 {
    #[inline(always)]
    fn encode_positive(self, x: &[f32; BLOCK], out: &mut [u8; MOST]) -> usize {
        // SAFETY: `self` exists only where the CPU has AVX-512 F.
        unsafe { compress(x, out) }
    }

    #[inline(always)]
    fn decode_positive(self, payload: &[u8], x: &mut [f32; BLOCK]) -> usize {
        // Both vectors of codes are read whole; the last blocks have no such room behind them.
        match payload.first_chunk() {
            // SAFETY: `self` exists only where the CPU has AVX-512 F.
            Some(block) => unsafe { expand(block, x) },
            None => decode(payload, x),
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn compress(x: &[f32; BLOCK], out: &mut [u8; MOST]) -> usize {
    let (mut p, mut positive) = ([_mm512_setzero_ps(); 2], 0);
    for (i, (p, x)) in p.iter_mut().zip(x.as_chunks::<16>().0).enumerate() {
        // SAFETY: 16 values are a vector; the load needs no alignment.
        let x = unsafe { _mm512_loadu_ps(x.as_ptr()) };
        let above = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(x, _mm512_setzero_ps());
        *p = _mm512_maskz_min_ps(above, x, _mm512_set1_ps(f32::MAX));
        positive |= u32::from(above) << (16 * i);
    }
    let scale = _mm512_reduce_max_ps(_mm512_max_ps(p[0], p[1])) / 255.0;
    let bitmap = if scale == 0.0 {
        0
    } else if positive.count_ones() > KEPT {
        largest([_mm512_castps_si512(p[0]), _mm512_castps_si512(p[1])])
    } else {
        positive
    };
    let mut bytes = [0; HEADER + 2 * 16];
    bytes[..4].copy_from_slice(&bitmap.to_le_bytes());
    bytes[4..HEADER].copy_from_slice(&scale.to_le_bytes());
    let mut at = HEADER;
    for (i, p) in p.into_iter().enumerate() {
        let kept = (bitmap >> (16 * i)) as u16;
        let q = _mm512_min_ps(_mm512_div_ps(p, _mm512_set1_ps(scale)), _mm512_set1_ps(255.0));
        let codes = _mm512_maskz_compress_epi32(kept, _mm512_cvtps_epi32(q));
        if let Some(place) = bytes[at..].first_chunk_mut::<16>() {
            // SAFETY: the array is one vector of 16 bytes; the store needs no alignment.
            unsafe { _mm_storeu_si128(place.as_mut_ptr().cast(), _mm512_cvtepi32_epi8(codes)) };
        }
        at += kept.count_ones() as usize;
    }
    out.copy_from_slice(&bytes[..MOST]);
    at
}

/// The bits of the values whose rank is below 16.
#[inline]
#[target_feature(enable = "avx512f")]
fn largest(p: [__m512i; 2]) -> u32 {
    let mut all = [0i32; BLOCK];
    for (all, p) in all.as_chunks_mut::<16>().0.iter_mut().zip(p) {
        // SAFETY: 16 values are a vector; the store needs no alignment.
        unsafe { _mm512_storeu_si512(all.as_mut_ptr().cast(), p) };
    }
    let (one, mut ranks) = (_mm512_set1_epi32(1), [_mm512_setzero_si512(); 2]);
    for (j, other) in all.into_iter().enumerate() {
        let (other, later) = (_mm512_set1_epi32(other), u64::from(u32::MAX) << (j + 1));
        for (i, (rank, p)) in ranks.iter_mut().zip(p).enumerate() {
            let later = (later >> (16 * i)) as u16;
            let other = _mm512_mask_add_epi32(other, later, other, one);
            *rank = _mm512_mask_add_epi32(*rank, _mm512_cmpgt_epu32_mask(other, p), *rank, one);
        }
    }
    let (kept, [low, high]) = (_mm512_set1_epi32(KEPT.cast_signed()), ranks);
    let (low, high) = (_mm512_cmplt_epu32_mask(low, kept), _mm512_cmplt_epu32_mask(high, kept));
    u32::from(low) | u32::from(high) << 16
}

#[inline]
#[target_feature(enable = "avx512f")]
fn expand(block: &[u8; HEADER + 2 * 16], x: &mut [f32; BLOCK]) -> usize {
    let [a, b, c, d, e, f, g, h, ..] = *block;
    let (bitmap, scale) = (u32::from_le_bytes([a, b, c, d]), f32::from_le_bytes([e, f, g, h]));
    let mut at = HEADER;
    for (i, x) in x.as_chunks_mut::<16>().0.iter_mut().enumerate() {
        let kept = (bitmap >> (16 * i)) as u16;
        let mut codes = _mm512_setzero_si512();
        if let Some(place) = block[at..].first_chunk::<16>() {
            // SAFETY: the array is one vector of 16 bytes; the load needs no alignment.
            let bytes = unsafe { _mm_loadu_si128(place.as_ptr().cast()) };
            codes = _mm512_maskz_expand_epi32(kept, _mm512_cvtepu8_epi32(bytes));
        }
        let values = _mm512_cvtepi32_ps(codes);
        let values = _mm512_maskz_mul_ps(kept, values, _mm512_set1_ps(scale));
        // SAFETY: 16 values are a vector; the store needs no alignment.
        unsafe { _mm512_storeu_ps(x.as_mut_ptr(), values) };
        at += kept.count_ones() as usize;
    }
    at
}
