//! `attention` AVX2 with FMA: 6 queries by 2 vectors of 8 keys, or of 8 values, in 12 of the 16
//! registers.
//!
//! A step loads 2 vectors and broadcasts 6 floats for 12 FMAs: 8 loads in the 6 clocks that two
//! FMA units need, 2 or 3 of them a clock. int8: codes are widened to i16 when they are packed, and
//! `vpmaddwd` takes two codes of 8 keys: at most `2 * 127^2` a step, and a sum of D codes fits an i32
//! as the reference's does. `2^n` goes into the exponent of `p` by an integer addition, which
//! holds for `n >= -126`; below that the lane is cleared.
use super::rows::Row;
use super::simd::{Simd, Work};
use crate::hardware::{self, Need};
use core::arch::x86_64::*;

/// Floats of a vector.
pub(crate) const L: usize = 8;

/// The row.
pub(super) static ROW: Row<Avx2, L, 6, 2> = Row::new();

/// Proof of AVX2 and FMA.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx2(());

impl Simd<L> for Avx2 {
    const NAME: &'static str = "avx2";
    const NEED: Need = Need::Avx2;
    const MAX_CODES: usize = usize::MAX;
    const CODES: usize = 2;
    type Floats = __m256;
    type Sums = __m256i;
    type Word = i32;

    fn detect() -> Option<Avx2> {
        hardware::avx2().then_some(Avx2(()))
    }
    fn enter(self, work: impl Work<Self>) {
        #[target_feature(enable = "avx2,fma")]
        fn run(isa: Avx2, work: impl Work<Avx2>) {
            work.run(isa);
        }
        // SAFETY: `self` exists only where the CPU has the features.
        unsafe { run(self, work) }
    }

    #[inline(always)]
    fn splat(self, x: f32) -> __m256 {
        // SAFETY: as in `enter`.
        unsafe { _mm256_set1_ps(x) }
    }
    #[inline(always)]
    fn load(self, x: &[f32; L]) -> __m256 {
        // SAFETY: as in `enter`; the array is one vector, and `loadu` has no alignment rule.
        unsafe { _mm256_loadu_ps(x.as_ptr()) }
    }
    #[inline(always)]
    fn store(self, x: __m256, to: &mut [f32; L]) {
        // SAFETY: as in `enter`; the array is one vector, and `storeu` has no alignment rule.
        unsafe { _mm256_storeu_ps(to.as_mut_ptr(), x) }
    }
    #[inline(always)]
    fn add(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: as in `enter`.
        unsafe { _mm256_add_ps(a, b) }
    }
    #[inline(always)]
    fn sub(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: as in `enter`.
        unsafe { _mm256_sub_ps(a, b) }
    }
    #[inline(always)]
    fn mul(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: as in `enter`.
        unsafe { _mm256_mul_ps(a, b) }
    }
    #[inline(always)]
    fn div(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: as in `enter`.
        unsafe { _mm256_div_ps(a, b) }
    }
    #[inline(always)]
    fn max(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: as in `enter`.
        unsafe { _mm256_max_ps(a, b) }
    }
    #[inline(always)]
    fn largest(self, x: __m256) -> f32 {
        // SAFETY: as in `enter`.
        unsafe {
            let x = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
            let x = _mm_max_ps(x, _mm_movehl_ps(x, x));
            _mm_cvtss_f32(_mm_max_ss(x, _mm_movehdup_ps(x)))
        }
    }
    #[inline(always)]
    fn fma(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        // SAFETY: as in `enter`.
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    fn round(self, x: __m256) -> __m256 {
        const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
        // SAFETY: as in `enter`.
        unsafe { _mm256_round_ps::<NEAREST>(x) }
    }
    #[inline(always)]
    fn scale(self, p: __m256, n: __m256) -> __m256 {
        // SAFETY: as in `enter`.
        unsafe {
            let n = _mm256_cvtps_epi32(n);
            let bits = _mm256_add_epi32(_mm256_castps_si256(p), _mm256_slli_epi32::<23>(n));
            let normal = _mm256_cmpgt_epi32(n, _mm256_set1_epi32(-126));
            _mm256_castsi256_ps(_mm256_and_si256(bits, normal))
        }
    }

    fn key_word(codes: &[i8]) -> i32 {
        let code = |i: usize| i16::from(codes.get(i).copied().unwrap_or(0)).to_le_bytes();
        let ([a, b], [c, d]) = (code(0), code(1));
        i32::from_le_bytes([a, b, c, d])
    }
    fn query_word(codes: &[i8]) -> i32 {
        Self::key_word(codes)
    }
    fn start(_: i32) -> i32 {
        0
    }
    #[inline(always)]
    fn begin(self, start: &[i32; L]) -> __m256i {
        // SAFETY: as in `enter`; the array is one vector, and `loadu` has no alignment rule.
        unsafe { _mm256_loadu_si256(start.as_ptr().cast()) }
    }
    #[inline(always)]
    fn dot(self, sums: __m256i, q: i32, k: &[i32; L]) -> __m256i {
        // SAFETY: as in `enter`; the array is one vector, and `loadu` has no alignment rule.
        unsafe {
            let k = _mm256_loadu_si256(k.as_ptr().cast());
            _mm256_add_epi32(sums, _mm256_madd_epi16(_mm256_set1_epi32(q), k))
        }
    }
    #[inline(always)]
    fn floats(self, sums: __m256i) -> __m256 {
        // SAFETY: as in `enter`.
        unsafe { _mm256_cvtepi32_ps(sums) }
    }
}
