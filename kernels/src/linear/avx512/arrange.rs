//! int8 activations arranged and totalled by `avx512vnni`.
//!
//! A step of `F` fields is `4 F` activations, a transposed matrix of bytes: for four fields
//! `vpshufb` turns four steps at once within their lanes of 128 bits; for eight it first gathers
//! the bytes of a lane, then `vpermd` the words of both; for five two overlapping loads of 16
//! bytes hold a step's 20. What is left at the end takes the plain way.
use super::super::arrange::plain;
use super::super::avx512vnni::BYTES;
use core::arch::x86_64::*;

/// See `Dot::arrange`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
pub(in super::super) fn codes<const FIELDS: usize>(
    x: &[i8],
    to: &mut [[[i8; BYTES]; FIELDS]],
) -> i32 {
    let ones = _mm512_set1_epi8(1);
    let mut sum = _mm512_setzero_si512();
    let (vectors, rest) = x.as_chunks::<64>();
    for x in vectors {
        sum = _mm512_dpbusd_epi32(sum, ones, load(x));
    }
    let rest = rest.iter().map(|x| i32::from(*x)).sum();
    let total = _mm512_reduce_add_epi32(sum).wrapping_add(rest);
    let done = match FIELDS {
        5 => {
            let (steps, _) = x.as_chunks::<20>();
            for (x, to) in steps.iter().zip(&mut *to) {
                fives(x, to.as_flattened_mut());
            }
            steps.len() * 20
        }
        _ => {
            let out = to.as_flattened_mut().as_flattened_mut().as_chunks_mut().0;
            vectors.iter().zip(out).for_each(|(x, out)| store(out, transposed::<FIELDS>(load(x))));
            vectors.len() * 64
        }
    };
    plain(&x[done..], &mut to[done / (BYTES * FIELDS)..]);
    total
}

/// The steps of 64 activations, each with its bytes in the order of fields.
#[target_feature(enable = "avx512f,avx512bw")]
fn transposed<const FIELDS: usize>(x: __m512i) -> __m512i {
    match FIELDS {
        4 => {
            let order = _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
            _mm512_shuffle_epi8(x, _mm512_broadcast_i32x4(order))
        }
        8 => {
            // Pair j of a lane: field j of its two bytes.
            let order = _mm_setr_epi8(0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15);
            let pairs = _mm512_shuffle_epi8(x, _mm512_broadcast_i32x4(order));
            // Pair j of an even lane, then pair j of the lane after it.
            let zip = |from: i16| {
                _mm256_add_epi16(
                    _mm256_setr_epi16(0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15),
                    _mm256_set1_epi16(from),
                )
            };
            let order = _mm512_inserti64x4::<1>(_mm512_castsi256_si512(zip(0)), zip(16));
            _mm512_permutexvar_epi16(order, pairs)
        }
        _ => x,
    }
}

/// One step of five fields.
#[target_feature(enable = "avx512f,avx512vl,avx512bw")]
fn fives(x: &[i8; 20], to: &mut [i8]) {
    let (Some(low), Some(high)) = (x.first_chunk(), x.last_chunk()) else { return };
    let (low, high) = (load_16(low), load_16(high));
    let from_low = _mm_setr_epi8(0, 5, 10, 15, 1, 6, 11, -1, 2, 7, 12, -1, 3, 8, 13, -1);
    let from_high = _mm_setr_epi8(-1, -1, -1, -1, -1, -1, -1, 12, -1, -1, -1, 13, -1, -1, -1, 14);
    let four = _mm_or_si128(_mm_shuffle_epi8(low, from_low), _mm_shuffle_epi8(high, from_high));
    let fifth = _mm_shuffle_epi8(
        high,
        _mm_setr_epi8(0, 5, 10, 15, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1),
    );
    if let Some(to) = to.first_chunk_mut() {
        store_16(to, four);
    }
    if let Some(to) = to.last_chunk_mut() {
        *to = _mm_cvtsi128_si32(fifth).to_ne_bytes().map(u8::cast_signed);
    }
}

#[target_feature(enable = "avx512f")]
fn load(x: &[i8; 64]) -> __m512i {
    // SAFETY: 64 bytes; `loadu` has no alignment rule.
    unsafe { _mm512_loadu_si512(x.as_ptr().cast()) }
}

#[target_feature(enable = "avx512f")]
fn store(to: &mut [i8; 64], x: __m512i) {
    // SAFETY: 64 bytes; `storeu` has no alignment rule.
    unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), x) }
}

#[target_feature(enable = "avx512f")]
fn load_16(x: &[i8; 16]) -> __m128i {
    // SAFETY: 16 bytes; `loadu` has no alignment rule.
    unsafe { _mm_loadu_si128(x.as_ptr().cast()) }
}

#[target_feature(enable = "avx512f")]
fn store_16(to: &mut [i8; 16], x: __m128i) {
    // SAFETY: 16 bytes; `storeu` has no alignment rule.
    unsafe { _mm_storeu_si128(to.as_mut_ptr().cast(), x) }
}
