//! Probes in AVX2 and FMA.
use super::portable;
use core::arch::x86_64::*;

/// Vectors in flight: more than latency times issue width (4 * 2).
const SUMS: usize = 12;
/// Vectors of a step of `read`.
const LOADS: usize = 8;

/// See `probe::read`.
#[target_feature(enable = "avx2,fma")]
pub(super) fn read(bytes: &[u8]) -> u64 {
    let (vectors, rest) = bytes.as_chunks::<32>();
    let (blocks, more) = vectors.as_chunks::<LOADS>();
    let mut sums = [_mm256_setzero_si256(); LOADS];
    for block in blocks {
        for i in 0..LOADS {
            sums[i] = _mm256_add_epi64(sums[i], load(&block[i]));
        }
    }
    for vector in more {
        sums[0] = _mm256_add_epi64(sums[0], load(vector));
    }
    let mut total = portable::tail(rest);
    for sum in sums {
        let half = _mm_add_epi64(_mm256_castsi256_si128(sum), _mm256_extracti128_si256::<1>(sum));
        let words = [_mm_cvtsi128_si64(half), _mm_extract_epi64::<1>(half)];
        total = words.iter().fold(total, |total, word| total.wrapping_add(word.cast_unsigned()));
    }
    total
}

#[target_feature(enable = "avx2")]
fn load(bytes: &[u8; 32]) -> __m256i {
    // SAFETY: 32 bytes; `loadu` has no alignment rule.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

/// See `probe::int8_dot`. The sum is a factor too, or the product would leave the loop.
#[target_feature(enable = "avx2,fma")]
pub(super) fn int8_dot(iterations: u64) -> (u64, i32) {
    let codes = _mm256_set1_epi32(0x0102_0102);
    let mut sums = [codes; SUMS];
    for _ in 0..iterations {
        for sum in &mut sums {
            *sum = _mm256_add_epi16(*sum, _mm256_maddubs_epi16(codes, *sum));
        }
    }
    let mut all = _mm256_setzero_si256();
    for sum in sums {
        all = _mm256_add_epi32(all, sum);
    }
    let half = _mm_add_epi32(_mm256_castsi256_si128(all), _mm256_extracti128_si256::<1>(all));
    let two = _mm_add_epi32(half, _mm_shuffle_epi32::<0b00_00_11_10>(half));
    let one = _mm_add_epi32(two, _mm_shuffle_epi32::<0b00_00_00_01>(two));
    (iterations * 32 * SUMS as u64, _mm_cvtsi128_si32(one))
}

/// See `probe::f32_fma`.
#[target_feature(enable = "avx2,fma")]
pub(super) fn f32_fma(iterations: u64) -> (u64, f32) {
    let (factor, term) = (_mm256_set1_ps(0.75), _mm256_set1_ps(0.5));
    let mut sums = [_mm256_setzero_ps(); SUMS];
    for _ in 0..iterations {
        for sum in &mut sums {
            *sum = _mm256_fmadd_ps(*sum, factor, term);
        }
    }
    let mut all = _mm256_setzero_ps();
    for sum in sums {
        all = _mm256_add_ps(all, sum);
    }
    let half = _mm_add_ps(_mm256_castps256_ps128(all), _mm256_extractf128_ps::<1>(all));
    let two = _mm_add_ps(half, _mm_movehl_ps(half, half));
    let one = _mm_add_ss(two, _mm_movehdup_ps(two));
    (iterations * 8 * SUMS as u64, _mm_cvtss_f32(one))
}
