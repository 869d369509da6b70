//! AVX2: the code bit by bit, the highest first: 4 comparisons, 3 permutations for 8 values.
use super::{MIDPOINTS, Nf4};
use crate::quantize::avx2::Avx2;
use crate::quantize::isa::STEP;
use std::arch::x86_64::*;

impl Nf4 for Avx2 {
    #[inline(always)]
    fn codes(self, x: &[f32; STEP], reciprocal: f32, codes: &mut [u8; STEP]) {
        // SAFETY: `self` exists only where the CPU has AVX2.
        unsafe { codes_of(x, reciprocal, codes) }
    }
}

/// Every `2 step`-th midpoint from `step - 1` on: what the next bit compares with.
const fn level(step: usize) -> [f32; 8] {
    let mut table = [0.0; 8];
    let mut i = 0;
    while i < 8 / step {
        table[i] = MIDPOINTS[2 * step * i + step - 1];
        i += 1;
    }
    table
}
const LEVELS: [[f32; 8]; 3] = [level(4), level(2), level(1)];

#[inline]
#[target_feature(enable = "avx2")]
fn codes_of(x: &[f32; STEP], reciprocal: f32, codes: &mut [u8; STEP]) {
    let mut levels = [_mm256_setzero_ps(); 3];
    for (level, table) in levels.iter_mut().zip(&LEVELS) {
        // SAFETY: the table is one vector of 8; the load needs no alignment.
        *level = unsafe { _mm256_loadu_ps(table.as_ptr()) };
    }
    let (reciprocal, middle) = (_mm256_set1_ps(reciprocal), _mm256_set1_ps(MIDPOINTS[7]));
    let mut lanes = [_mm256_setzero_si256(); 4];
    for (lane, x) in lanes.iter_mut().zip(x.as_chunks::<8>().0) {
        // SAFETY: 8 values are a vector; the load needs no alignment.
        let q = unsafe { _mm256_mul_ps(_mm256_loadu_ps(x.as_ptr()), reciprocal) };
        let above = _mm256_cmp_ps::<_CMP_GT_OQ>(q, middle);
        // A comparison that holds is -1.
        *lane = _mm256_sub_epi32(_mm256_setzero_si256(), _mm256_castps_si256(above));
        for level in levels {
            let midpoint = _mm256_permutevar8x32_ps(level, *lane);
            let above = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_GT_OQ>(q, midpoint));
            *lane = _mm256_sub_epi32(_mm256_add_epi32(*lane, *lane), above);
        }
    }
    let [a, b, c, d] = lanes;
    let bytes = _mm256_packs_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
    let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    let bytes = _mm256_permutevar8x32_epi32(bytes, order);
    // SAFETY: the array is one vector of 32 bytes; the store needs no alignment.
    unsafe { _mm256_storeu_si256(codes.as_mut_ptr().cast(), bytes) }
}
