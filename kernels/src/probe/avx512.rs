//! Probes in AVX-512 and VNNI.
use super::portable;
use core::arch::x86_64::*;

/// Vectors in flight: more than latency times issue width (4 * 2, 5 * 2 to be safe).
const SUMS: usize = 16;
/// Vectors of a step of `read`.
const LOADS: usize = 8;

/// See `probe::read`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
pub(super) fn read(bytes: &[u8]) -> u64 {
    let (vectors, rest) = bytes.as_chunks::<64>();
    let (blocks, more) = vectors.as_chunks::<LOADS>();
    let mut sums = [_mm512_setzero_si512(); LOADS];
    for block in blocks {
        for i in 0..LOADS {
            sums[i] = _mm512_add_epi64(sums[i], load(&block[i]));
        }
    }
    for vector in more {
        sums[0] = _mm512_add_epi64(sums[0], load(vector));
    }
    let mut all = _mm512_setzero_si512();
    for sum in sums {
        all = _mm512_add_epi64(all, sum);
    }
    _mm512_reduce_add_epi64(all).cast_unsigned().wrapping_add(portable::tail(rest))
}

#[target_feature(enable = "avx512f")]
fn load(bytes: &[u8; 64]) -> __m512i {
    // SAFETY: 64 bytes; `loadu` has no alignment rule.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

/// See `probe::int8_dot`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
pub(super) fn int8_dot(iterations: u64) -> (u64, i32) {
    let (stored, codes) = (_mm512_set1_epi32(0x0102_0102), _mm512_set1_epi32(0x0201_01ff));
    let mut sums = [_mm512_setzero_si512(); SUMS];
    for _ in 0..iterations {
        for sum in &mut sums {
            *sum = _mm512_dpbusd_epi32(*sum, stored, codes);
        }
    }
    let mut all = _mm512_setzero_si512();
    for sum in sums {
        all = _mm512_add_epi32(all, sum);
    }
    (iterations * 64 * SUMS as u64, _mm512_reduce_add_epi32(all))
}

/// See `probe::f32_fma`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
pub(super) fn f32_fma(iterations: u64) -> (u64, f32) {
    let (factor, term) = (_mm512_set1_ps(0.75), _mm512_set1_ps(0.5));
    let mut sums = [_mm512_setzero_ps(); SUMS];
    for _ in 0..iterations {
        for sum in &mut sums {
            *sum = _mm512_fmadd_ps(*sum, factor, term);
        }
    }
    let mut all = _mm512_setzero_ps();
    for sum in sums {
        all = _mm512_add_ps(all, sum);
    }
    (iterations * 16 * SUMS as u64, _mm512_reduce_add_ps(all))
}
