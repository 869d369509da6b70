//! AVX2: four vectors of 8 values a step, masks by comparison.
//!
//! `int8`: `q = x * (1 / step)`, clamped to `min..=127` (at most 128, so the integer conversion
//! cannot overflow), rounded by the hardware. Where `|q - round(q)| <= 0.4999` for all 32 values
//! the code is that of the true quotient, whichever way ties go (`isa::CLEAR` has the bound); a
//! step with another value (1 in 160 for spread-out quotients) divides. There `q - r` is exact, and
//! where it is half a code and ties go away from zero, `q + copysign(0.5, q)` replaces `r`.
//! `ternary2`: a lane is `1 - a + 2 (a & n)` of the masks (-1 or 0) `a: |x| > limit` and
//! `n: x < 0`; the fields of four neighbours meet by `maddubs` with 1, 4 and `madd` with 1, 16, at
//! most 170, so nothing saturates. `sign1`: the sign bits of the comparison.
use super::isa::{CLEAR, Fold, Int8, Isa, MAX, STEP, Sign, Ternary, Work};
use crate::hardware::{self, Need};
use std::arch::x86_64::*;

/// Proof of AVX2 and FMA.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx2(());

type Lanes = [__m256; 4];

impl Isa for Avx2 {
    const NAME: &'static str = "avx2";
    const NEED: Need = Need::Avx2;
    type Lanes = Lanes;

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
    fn zeros(self) -> Lanes {
        // SAFETY: as in `enter`.
        unsafe { zeros() }
    }
    #[inline(always)]
    fn take(self, fold: Fold, lanes: Lanes, x: &[f32; STEP]) -> Lanes {
        // SAFETY: as in `enter`.
        unsafe { take(fold, lanes, x) }
    }
    #[inline(always)]
    fn finish(self, fold: Fold, lanes: Lanes) -> f32 {
        // SAFETY: as in `enter`.
        unsafe { finish(fold, lanes) }
    }
    #[inline(always)]
    fn sign1(self, to: Sign, x: &[f32; STEP]) -> u32 {
        // SAFETY: as in `enter`.
        unsafe { sign1(to, x) }
    }
    #[inline(always)]
    fn ternary2(self, to: Ternary, x: &[f32; STEP]) -> u64 {
        // SAFETY: as in `enter`.
        unsafe { ternary2(to, x) }
    }
    #[inline(always)]
    fn int8(self, to: Int8, x: &[f32; STEP], bytes: &mut [u8; STEP]) {
        // SAFETY: as in `enter`.
        unsafe { int8(to, x, bytes) }
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn load(x: &[f32; STEP]) -> Lanes {
    let x = x.as_ptr();
    // SAFETY: 32 values are four vectors of 8; the loads need no alignment.
    unsafe {
        [
            _mm256_loadu_ps(x),
            _mm256_loadu_ps(x.add(8)),
            _mm256_loadu_ps(x.add(16)),
            _mm256_loadu_ps(x.add(24)),
        ]
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn abs(x: __m256) -> __m256 {
    _mm256_andnot_ps(_mm256_set1_ps(-0.0), x)
}

#[inline]
#[target_feature(enable = "avx2")]
fn zeros() -> Lanes {
    [_mm256_setzero_ps(); 4]
}

#[inline]
#[target_feature(enable = "avx2")]
fn take(fold: Fold, mut lanes: Lanes, x: &[f32; STEP]) -> Lanes {
    for (lane, x) in lanes.iter_mut().zip(load(x)) {
        *lane = match fold {
            Fold::Absmax => larger(abs(x), *lane),
            Fold::Magnitudes => _mm256_add_ps(*lane, abs(x)),
            Fold::Values => _mm256_add_ps(*lane, x),
        };
    }
    lanes
}

/// The larger of magnitudes, as integers: their bits are in order, and those of NaN above all.
#[inline]
#[target_feature(enable = "avx2")]
fn larger(a: __m256, b: __m256) -> __m256 {
    let bits = _mm256_max_epu32(_mm256_castps_si256(a), _mm256_castps_si256(b));
    _mm256_castsi256_ps(bits)
}

#[inline]
#[target_feature(enable = "avx2")]
fn finish(fold: Fold, lanes: Lanes) -> f32 {
    let [a, b, c, d] = lanes;
    match fold {
        Fold::Absmax => {
            let x = _mm256_castps_si256(larger(larger(a, b), larger(c, d)));
            let x = _mm_max_epu32(_mm256_castsi256_si128(x), _mm256_extracti128_si256::<1>(x));
            let x = _mm_max_epu32(x, _mm_unpackhi_epi64(x, x));
            let x = _mm_max_epu32(x, _mm_shuffle_epi32::<1>(x));
            _mm_cvtss_f32(_mm_castsi128_ps(x))
        }
        Fold::Magnitudes | Fold::Values => {
            let x = _mm256_add_ps(_mm256_add_ps(a, b), _mm256_add_ps(c, d));
            let x = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
            let x = _mm_add_ps(x, _mm_movehl_ps(x, x));
            _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)))
        }
    }
}

/// Mask of `x > y`, or of `x >= y`; false for NaN.
#[inline]
#[target_feature(enable = "avx2")]
fn above(x: __m256, y: __m256, or_equal: bool) -> __m256 {
    if or_equal { _mm256_cmp_ps::<_CMP_GE_OQ>(x, y) } else { _mm256_cmp_ps::<_CMP_GT_OQ>(x, y) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn sign1(to: Sign, x: &[f32; STEP]) -> u32 {
    let (centre, zero) = (_mm256_set1_ps(to.centre), _mm256_setzero_ps());
    let mut bits = 0;
    for (i, x) in load(x).into_iter().enumerate() {
        let positive = above(_mm256_sub_ps(x, centre), zero, to.zero_is_positive);
        bits |= _mm256_movemask_ps(positive).cast_unsigned() << (8 * i);
    }
    bits
}

#[inline]
#[target_feature(enable = "avx2")]
fn ternary2(to: Ternary, x: &[f32; STEP]) -> u64 {
    let (limit, zero) = (_mm256_set1_ps(to.limit), _mm256_setzero_ps());
    let mut lanes = [_mm256_setzero_si256(); 4];
    for (lane, x) in lanes.iter_mut().zip(load(x)) {
        let active = above(abs(x), limit, to.inclusive);
        let negative = _mm256_and_ps(active, _mm256_cmp_ps::<_CMP_LT_OQ>(x, zero));
        let (active, negative) = (_mm256_castps_si256(active), _mm256_castps_si256(negative));
        let stored = _mm256_sub_epi32(_mm256_set1_epi32(1), active);
        *lane = _mm256_add_epi32(stored, _mm256_add_epi32(negative, negative));
    }
    let pairs = _mm256_maddubs_epi16(narrow(lanes), _mm256_set1_epi16(0x0401));
    let fours = _mm256_madd_epi16(pairs, _mm256_set1_epi32(0x0010_0001));
    // Fours of vectors 0 1 2 3 | 0 1 2 3 back in the order of the values, then a byte of each.
    let fours = _mm256_permutevar8x32_epi32(fours, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    let bytes = _mm256_packus_epi32(fours, fours);
    let bytes = _mm256_packus_epi16(bytes, bytes);
    let low = _mm_cvtsi128_si32(_mm256_castsi256_si128(bytes)).cast_unsigned();
    let high = _mm_cvtsi128_si32(_mm256_extracti128_si256::<1>(bytes)).cast_unsigned();
    u64::from(low) | u64::from(high) << 32
}

/// Bytes of 32 small integers, in fours of vectors 0 1 2 3 | 0 1 2 3.
#[inline]
#[target_feature(enable = "avx2")]
fn narrow(x: [__m256i; 4]) -> __m256i {
    _mm256_packs_epi16(_mm256_packs_epi32(x[0], x[1]), _mm256_packs_epi32(x[2], x[3]))
}

#[inline]
#[target_feature(enable = "avx2")]
fn int8(to: Int8, x: &[f32; STEP], bytes: &mut [u8; STEP]) {
    let reciprocal = _mm256_set1_ps(to.reciprocal);
    let mut codes = [_mm256_setzero_si256(); 4];
    let mut near = _mm256_setzero_ps();
    for (code, x) in codes.iter_mut().zip(load(x)) {
        let q = clamp(to, _mm256_mul_ps(x, reciprocal));
        near = _mm256_or_ps(near, near_tie(q));
        *code = _mm256_cvtps_epi32(q);
    }
    if _mm256_movemask_ps(near) == 0 {
        store(codes, bytes);
    } else {
        int8_divided(to, x, bytes);
    }
}

/// The same by division, for steps with a value near a tie, or a NaN.
#[cold]
#[inline(never)]
#[target_feature(enable = "avx2")]
fn int8_divided(to: Int8, x: &[f32; STEP], bytes: &mut [u8; STEP]) {
    let [a, b, c, d] = load(x);
    store([divided(to, a), divided(to, b), divided(to, c), divided(to, d)], bytes);
}

#[inline]
#[target_feature(enable = "avx2")]
fn divided(to: Int8, x: __m256) -> __m256i {
    let q = clamp(to, _mm256_div_ps(x, _mm256_set1_ps(to.step)));
    // NaN becomes 0.
    let q = _mm256_and_ps(q, _mm256_cmp_ps::<_CMP_ORD_Q>(q, q));
    if !to.half_away {
        return _mm256_cvtps_epi32(q);
    }
    let (even, half) = (round(q), _mm256_set1_ps(0.5));
    let tie = _mm256_cmp_ps::<_CMP_EQ_OQ>(abs(_mm256_sub_ps(q, even)), half);
    let away = _mm256_add_ps(q, _mm256_or_ps(half, _mm256_and_ps(q, _mm256_set1_ps(-0.0))));
    _mm256_cvtps_epi32(_mm256_blendv_ps(even, away, tie))
}

/// The second operand of `max` and `min` is the answer where it is NaN.
#[inline]
#[target_feature(enable = "avx2")]
fn clamp(to: Int8, q: __m256) -> __m256 {
    _mm256_min_ps(_mm256_set1_ps(MAX), _mm256_max_ps(_mm256_set1_ps(to.min), q))
}

/// Ties to even.
#[inline]
#[target_feature(enable = "avx2")]
fn round(q: __m256) -> __m256 {
    _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(q)
}

/// Mask of what is not clear of a tie; NaN is not.
#[inline]
#[target_feature(enable = "avx2")]
fn near_tie(q: __m256) -> __m256 {
    let distance = abs(_mm256_sub_ps(q, round(q)));
    _mm256_cmp_ps::<_CMP_NLE_UQ>(distance, _mm256_set1_ps(CLEAR))
}

#[inline]
#[target_feature(enable = "avx2")]
fn store(codes: [__m256i; 4], bytes: &mut [u8; STEP]) {
    let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    let codes = _mm256_permutevar8x32_epi32(narrow(codes), order);
    // SAFETY: the array is 32 bytes; the store needs no alignment.
    unsafe { _mm256_storeu_si256(bytes.as_mut_ptr().cast(), codes) }
}
