//! `top_k` AVX-512 F and BW (no VNNI: nothing is multiplied): 16 ranks a comparison, whose mask adds
//! 1 to the counts, four vectors of counts at once. Ranks are i32 up to `0x7f80_0001`; a lane
//! counts at most a sixteenth of a row.
use super::rows::{Rank, Row, rank};
use crate::hardware::{self, Need};
use core::arch::x86_64::*;

/// The row.
pub(super) static ROW: Row<Avx512> = Row::new();

/// Proof of AVX-512 F, BW and VL.
#[derive(Clone, Copy, Debug)]
pub(super) struct Avx512(());

/// Ranks of a vector.
const L: usize = 16;
/// Vectors of a step.
const STEP: usize = 4;

impl Rank for Avx512 {
    const NAME: &'static str = "avx512vnni";
    const NEED: Need = Need::Avx512Vnni;

    fn detect() -> Option<Avx512> {
        hardware::avx512vnni().then_some(Avx512(()))
    }
    fn ranks(self, x: &[f32], ranks: &mut [i32]) {
        // SAFETY: `self` exists only where the CPU has the features.
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

#[target_feature(enable = "avx512f")]
fn all_ranks(x: &[f32], ranks: &mut [i32]) {
    let ((x, x_tail), (ranks, tail)) = (x.as_chunks::<L>(), ranks.as_chunks_mut::<L>());
    let (magnitude, one) = (_mm512_set1_epi32(i32::MAX), _mm512_set1_epi32(1));
    for (x, to) in x.iter().zip(ranks) {
        // SAFETY: the array is one vector; the load needs no alignment.
        let x = unsafe { _mm512_loadu_ps(x.as_ptr()) };
        let bits = _mm512_and_si512(_mm512_castps_si512(x), magnitude);
        let rank = _mm512_maskz_add_epi32(_mm512_cmp_ps_mask::<_CMP_ORD_Q>(x, x), bits, one);
        // SAFETY: the array is one vector; the store needs no alignment.
        unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), rank) };
    }
    tail.iter_mut().zip(x_tail).for_each(|(to, x)| *to = rank(*x));
}

#[target_feature(enable = "avx512f")]
fn at_least(ranks: &[i32], t: i32) -> usize {
    let (vectors, tail) = ranks.as_chunks::<L>();
    let (steps, rest) = vectors.as_chunks::<STEP>();
    let (least, one) = (_mm512_set1_epi32(t), _mm512_set1_epi32(1));
    let mut counts = [_mm512_setzero_si512(); STEP];
    for step in steps {
        for i in 0..STEP {
            let there = _mm512_cmpge_epi32_mask(load(&step[i]), least);
            counts[i] = _mm512_mask_add_epi32(counts[i], there, counts[i], one);
        }
    }
    for vector in rest {
        let there = _mm512_cmpge_epi32_mask(load(vector), least);
        counts[0] = _mm512_mask_add_epi32(counts[0], there, counts[0], one);
    }
    let halves = [_mm512_add_epi32(counts[0], counts[1]), _mm512_add_epi32(counts[2], counts[3])];
    let mut lanes = [0u32; L];
    // SAFETY: the array is one vector; the store needs no alignment.
    unsafe {
        _mm512_storeu_si512(lanes.as_mut_ptr().cast(), _mm512_add_epi32(halves[0], halves[1]));
    }
    let counted: usize = lanes.iter().map(|lane| *lane as usize).sum();
    counted + tail.iter().filter(|rank| **rank >= t).count()
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn fill(ranks: &[i32], t: i32, mask: &mut [u8]) {
    let ((ranks, ranks_tail), (mask, tail)) = (ranks.as_chunks::<L>(), mask.as_chunks_mut::<L>());
    let least = _mm512_set1_epi32(t);
    for (ranks, to) in ranks.iter().zip(mask) {
        let there = _mm512_cmpge_epi32_mask(load(ranks), least);
        let ones = _mm_maskz_set1_epi8(there, 1);
        // SAFETY: the array is one vector of 16 bytes; the store needs no alignment.
        unsafe { _mm_storeu_si128(to.as_mut_ptr().cast(), ones) };
    }
    tail.iter_mut().zip(ranks_tail).for_each(|(to, rank)| *to = u8::from(*rank >= t));
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load(ranks: &[i32; L]) -> __m512i {
    // SAFETY: the array is one vector; the load needs no alignment.
    unsafe { _mm512_loadu_si512(ranks.as_ptr().cast()) }
}
