//! `top_k` AVX2: 8 ranks a comparison, `count -= (rank > t - 1)` where true is -1, four vectors of
//! counts at once. Ranks are i32 up to `0x7f80_0001`; a lane counts at most an eighth of a row.
use super::rows::{Rank, Row, rank};
use crate::hardware::{self, Need};
use core::arch::x86_64::*;

/// The row.
pub(super) static ROW: Row<Avx2> = Row::new();

/// Proof of AVX2.
#[derive(Clone, Copy, Debug)]
pub(super) struct Avx2(());

/// Ranks of a vector.
const L: usize = 8;
/// Vectors of a step.
const STEP: usize = 4;

impl Rank for Avx2 {
    const NAME: &'static str = "avx2";
    const NEED: Need = Need::Avx2;

    fn detect() -> Option<Avx2> {
        hardware::avx2().then_some(Avx2(()))
    }
    fn ranks(self, x: &[f32], ranks: &mut [i32]) {
        // SAFETY: `self` exists only where the CPU has AVX2.
        unsafe { all_ranks(x, ranks) }
    }
    fn at_least(self, ranks: &[i32], t: i32) -> usize {
        // SAFETY: as above.
        unsafe { at_least(ranks, t) }
    }
    fn mask(self, ranks: &[i32], t: i32, mask: &mut [u8]) {
        // SAFETY: as above.
        unsafe { fill(ranks, t, mask) }
    }
}

#[target_feature(enable = "avx2")]
fn all_ranks(x: &[f32], ranks: &mut [i32]) {
    let ((x, x_tail), (ranks, tail)) = (x.as_chunks::<L>(), ranks.as_chunks_mut::<L>());
    let magnitude = _mm256_set1_epi32(i32::MAX);
    for (x, to) in x.iter().zip(ranks) {
        // SAFETY: the array is one vector; the load needs no alignment.
        let x = unsafe { _mm256_loadu_ps(x.as_ptr()) };
        let bits = _mm256_and_si256(_mm256_castps_si256(x), magnitude);
        let numbers = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_ORD_Q>(x, x));
        // Where true, -1 is subtracted; where false, nothing is left.
        let rank = _mm256_and_si256(_mm256_sub_epi32(bits, numbers), numbers);
        // SAFETY: the array is one vector; the store needs no alignment.
        unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), rank) };
    }
    tail.iter_mut().zip(x_tail).for_each(|(to, x)| *to = rank(*x));
}

#[target_feature(enable = "avx2")]
fn at_least(ranks: &[i32], t: i32) -> usize {
    let (vectors, tail) = ranks.as_chunks::<L>();
    let (steps, rest) = vectors.as_chunks::<STEP>();
    let below = _mm256_set1_epi32(t - 1);
    let mut counts = [_mm256_setzero_si256(); STEP];
    for step in steps {
        for i in 0..STEP {
            let above = _mm256_cmpgt_epi32(load(&step[i]), below);
            counts[i] = _mm256_sub_epi32(counts[i], above);
        }
    }
    for vector in rest {
        counts[0] = _mm256_sub_epi32(counts[0], _mm256_cmpgt_epi32(load(vector), below));
    }
    let halves = [_mm256_add_epi32(counts[0], counts[1]), _mm256_add_epi32(counts[2], counts[3])];
    let all = _mm256_add_epi32(halves[0], halves[1]);
    let mut lanes = [0u32; L];
    // SAFETY: the array is one vector; the store needs no alignment.
    unsafe { _mm256_storeu_si256(lanes.as_mut_ptr().cast(), all) };
    let counted: usize = lanes.iter().map(|lane| *lane as usize).sum();
    counted + tail.iter().filter(|rank| **rank >= t).count()
}

#[target_feature(enable = "avx2")]
fn fill(ranks: &[i32], t: i32, mask: &mut [u8]) {
    let ((ranks, ranks_tail), (mask, tail)) = (ranks.as_chunks::<L>(), mask.as_chunks_mut::<L>());
    let below = _mm256_set1_epi32(t - 1);
    for (ranks, to) in ranks.iter().zip(mask) {
        let above = _mm256_cmpgt_epi32(load(ranks), below);
        let (low, high) = (_mm256_castsi256_si128(above), _mm256_extracti128_si256::<1>(above));
        let words = _mm_packs_epi32(low, high);
        let ones = _mm_and_si128(_mm_packs_epi16(words, words), _mm_set1_epi8(1));
        *to = _mm_cvtsi128_si64(ones).to_le_bytes();
    }
    tail.iter_mut().zip(ranks_tail).for_each(|(to, rank)| *to = u8::from(*rank >= t));
}

#[inline]
#[target_feature(enable = "avx2")]
fn load(ranks: &[i32; L]) -> __m256i {
    // SAFETY: the array is one vector; the load needs no alignment.
    unsafe { _mm256_loadu_si256(ranks.as_ptr().cast()) }
}
