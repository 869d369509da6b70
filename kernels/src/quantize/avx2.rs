//! AVX2 and FMA: four vectors of 8 values a step, masks by comparison.
//!
//! Integers are in `avx2/integers.rs`. `ternary`: a lane is `1 - a + 2 (a & n)` of
//! the masks (-1 or 0) `a: |x| > limit` and `n: x < 0`; the digits of four neighbours meet by
//! `maddubs` with 1, 4 and `madd` with 1, 16, at most 170; those of five by `maddubs` with 1, 3,
//! 9, 27, 81 and additions, at most 242: nothing saturates. `sign1`: the sign bits of the
//! comparison.
mod integers;
use super::isa::{
    BATCH, BLOCKS, FIVES, Fold, Halves, Integer, Isa, LINE, Line, STEP, Sign, Ternary, Work,
    join as joined, lines,
};
use crate::hardware::{self, Need};
use integers::{integers, line, line_past, pair, pair_past};
use std::arch::x86_64::*;

/// Proof of AVX2 and FMA.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx2(());

type Lanes = [__m256; 4];

/// Methods that are one call of a function compiled for the set.
macro_rules! inlined {
    ($($name:ident($($arg:ident: $type:ty),*) $(-> $out:ty)?;)*) => { $(
        #[inline(always)]
        fn $name(self, $($arg: $type),*) $(-> $out)? {
            // SAFETY: `self` exists only where the CPU has the features.
            unsafe { $name($($arg),*) }
        }
    )* };
}

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

    inlined! {
        splat(x: f32) -> Lanes;
        take(fold: Fold, lanes: Lanes, x: &[f32; STEP]) -> Lanes;
        finish(fold: Fold, lanes: Lanes) -> f32;
        finish_batch(fold: Fold, lanes: &[Lanes; BATCH]) -> [f32; BATCH];
        fold_steps(fold: Fold, x: &[f32; BLOCKS]) -> [f32; BATCH];
        sign1(to: &Sign, x: &[f32; STEP]) -> u32;
        digits(to: &Ternary, x: &[f32; STEP], bytes: &mut [u8; STEP]);
        ternary2(digits: &[u8; STEP]) -> u64;
        ternary3(digits: &[u8; FIVES], bytes: &mut [u8; STEP]);
        integers(to: &Integer, x: &[f32; STEP], bytes: &mut [u8; STEP]);
        line(to: &Integer, x: &[f32; LINE], bytes: &mut [u8; LINE]);
        line_past(to: &Integer, x: &[f32; LINE], line: &mut Line);
        pair(to: &Integer, by: Halves, x: &[f32; LINE], bytes: &mut [u8; LINE]);
        pair_past(to: &Integer, by: Halves, x: &[f32; LINE], line: &mut Line);
        nibbles(codes: &[u8; STEP], bytes: &mut [u8; STEP / 2]);
        stream(from: &[u8], to: &mut [u8]);
    }

    #[inline(always)]
    fn fence(self) {
        // SAFETY: `self` exists only where the CPU has the features, SSE among them.
        unsafe { _mm_sfence() }
    }

    #[inline(always)]
    fn prefetch<const N: usize>(self, x: &[f32; N], ahead: usize) {
        let line = x.as_ptr().wrapping_add(ahead);
        for i in 0..N / 16 {
            // SAFETY: a prefetch reads nothing that the program could see, at any address.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(line.wrapping_add(16 * i).cast()) }
        }
    }

    #[inline(always)]
    fn prefetch_far<const N: usize>(self, x: &[f32; N], ahead: usize) {
        let line = x.as_ptr().wrapping_add(ahead);
        for i in 0..N / 16 {
            // SAFETY: as above.
            unsafe { _mm_prefetch::<_MM_HINT_T1>(line.wrapping_add(16 * i).cast()) }
        }
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

/// `max(x, 0)`; NaN stays.
#[inline]
#[target_feature(enable = "avx2")]
fn positive(x: __m256) -> __m256 {
    _mm256_andnot_ps(_mm256_cmp_ps::<_CMP_LT_OQ>(x, _mm256_setzero_ps()), x)
}

#[inline]
#[target_feature(enable = "avx2")]
fn splat(x: f32) -> Lanes {
    [_mm256_set1_ps(x); 4]
}

#[inline]
#[target_feature(enable = "avx2")]
fn take(fold: Fold, mut lanes: Lanes, x: &[f32; STEP]) -> Lanes {
    for (lane, x) in lanes.iter_mut().zip(load(x)) {
        *lane = combine(fold, *lane, folded(fold, x));
    }
    lanes
}

/// What of its values a fold takes together.
#[inline]
#[target_feature(enable = "avx2")]
fn folded(fold: Fold, x: __m256) -> __m256 {
    match fold {
        Fold::Absmax | Fold::Magnitudes => abs(x),
        Fold::PositiveMax => abs(positive(x)),
        Fold::Positives => positive(x),
        Fold::Values | Fold::Least | Fold::Most => x,
    }
}

/// Two vectors of one fold taken together.
#[inline]
#[target_feature(enable = "avx2")]
fn combine(fold: Fold, a: __m256, b: __m256) -> __m256 {
    match fold {
        // As integers: the bits of magnitudes are in order, and those of NaN above all.
        Fold::Absmax | Fold::PositiveMax => {
            let bits = _mm256_max_epu32(_mm256_castps_si256(a), _mm256_castps_si256(b));
            _mm256_castsi256_ps(bits)
        }
        Fold::Magnitudes | Fold::Positives | Fold::Values => _mm256_add_ps(a, b),
        // Where one is NaN the second operand is the answer: `a`, unless `b` is that NaN.
        Fold::Least | Fold::Most => {
            let nan = _mm256_cmp_ps::<_CMP_UNORD_Q>(b, b);
            let end = if fold == Fold::Least { _mm256_min_ps(b, a) } else { _mm256_max_ps(b, a) };
            _mm256_blendv_ps(end, b, nan)
        }
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn finish(fold: Fold, [a, b, c, d]: Lanes) -> f32 {
    let x = combine(fold, combine(fold, a, b), combine(fold, c, d));
    let x = combine(fold, x, _mm256_permute2f128_ps::<1>(x, x));
    let x = combine(fold, x, _mm256_permute_ps::<0b01_00_11_10>(x));
    let [a, b] = [x, _mm256_movehdup_ps(x)].map(|x| _mm256_cvtss_f32(x));
    joined(fold, a, b)
}

#[inline]
#[target_feature(enable = "avx2")]
fn finish_batch(fold: Fold, lanes: &[Lanes; BATCH]) -> [f32; BATCH] {
    let mut all = [0.0; BATCH];
    for (all, lanes) in all.as_chunks_mut().0.iter_mut().zip(lanes.as_chunks::<8>().0) {
        let mut one = [_mm256_setzero_ps(); 8];
        for (one, [a, b, c, d]) in one.iter_mut().zip(lanes) {
            *one = combine(fold, combine(fold, *a, *b), combine(fold, *c, *d));
        }
        meet(fold, one, all);
    }
    all
}

#[inline]
#[target_feature(enable = "avx2")]
fn fold_steps(fold: Fold, x: &[f32; BLOCKS]) -> [f32; BATCH] {
    let mut all = [0.0; BATCH];
    let eights = x.as_chunks::<STEP>().0.as_chunks::<8>().0;
    for (all, steps) in all.as_chunks_mut().0.iter_mut().zip(eights) {
        let mut one = [_mm256_setzero_ps(); 8];
        for (one, x) in one.iter_mut().zip(steps) {
            let [a, b, c, d] = load(x);
            let low = combine(fold, folded(fold, a), folded(fold, b));
            *one = combine(fold, low, combine(fold, folded(fold, c), folded(fold, d)));
        }
        meet(fold, one, all);
    }
    all
}

/// Eight vectors become one by three rounds of halves that meet: groups of 1, of 2 and of 4 lanes.
#[inline]
#[target_feature(enable = "avx2")]
fn meet(fold: Fold, one: [__m256; 8], all: &mut [f32; 8]) {
    let mut two = [_mm256_setzero_ps(); 4];
    for (two, [a, b]) in two.iter_mut().zip(one.as_chunks().0) {
        *two = combine(fold, _mm256_unpacklo_ps(*a, *b), _mm256_unpackhi_ps(*a, *b));
    }
    let mut four = [_mm256_setzero_ps(); 2];
    for (four, [a, b]) in four.iter_mut().zip(two.as_chunks().0) {
        let (a, b) = (_mm256_castps_pd(*a), _mm256_castps_pd(*b));
        let (low, high) = (_mm256_unpacklo_pd(a, b), _mm256_unpackhi_pd(a, b));
        *four = combine(fold, _mm256_castpd_ps(low), _mm256_castpd_ps(high));
    }
    let low = _mm256_permute2f128_ps::<0x20>(four[0], four[1]);
    let high = _mm256_permute2f128_ps::<0x31>(four[0], four[1]);
    // SAFETY: the array is one vector of 8; the store needs no alignment.
    unsafe { _mm256_storeu_ps(all.as_mut_ptr(), combine(fold, low, high)) };
}

/// Mask of `x > y`, or of `x >= y`; false for NaN.
#[inline]
#[target_feature(enable = "avx2")]
fn above(x: __m256, y: __m256, or_equal: bool) -> __m256 {
    if or_equal { _mm256_cmp_ps::<_CMP_GE_OQ>(x, y) } else { _mm256_cmp_ps::<_CMP_GT_OQ>(x, y) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn sign1(to: &Sign, x: &[f32; STEP]) -> u32 {
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
fn digits(to: &Ternary, x: &[f32; STEP], digits: &mut [u8; STEP]) {
    let (limit, zero) = (_mm256_set1_ps(to.limit), _mm256_setzero_ps());
    let mut lanes = [_mm256_setzero_si256(); 4];
    for (lane, x) in lanes.iter_mut().zip(load(x)) {
        let active = above(abs(x), limit, to.inclusive);
        let negative = _mm256_and_ps(active, _mm256_cmp_ps::<_CMP_LT_OQ>(x, zero));
        let (active, negative) = (_mm256_castps_si256(active), _mm256_castps_si256(negative));
        let stored = _mm256_sub_epi32(_mm256_set1_epi32(1), active);
        *lane = _mm256_add_epi32(stored, _mm256_add_epi32(negative, negative));
    }
    let [a, b, c, d] = lanes;
    let bytes = _mm256_packs_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
    store(ordered(bytes), digits);
}

#[inline]
#[target_feature(enable = "avx2")]
fn ternary2(digits: &[u8; STEP]) -> u64 {
    let pairs = _mm256_maddubs_epi16(load_bytes(digits), _mm256_set1_epi16(0x0401));
    let fours = _mm256_madd_epi16(pairs, _mm256_set1_epi32(0x0010_0001));
    let bytes = _mm256_packus_epi32(fours, fours);
    let bytes = _mm256_packus_epi16(bytes, bytes);
    let low = _mm_cvtsi128_si32(_mm256_castsi256_si128(bytes)).cast_unsigned();
    let high = _mm_cvtsi128_si32(_mm256_extracti128_si256::<1>(bytes)).cast_unsigned();
    u64::from(low) | u64::from(high) << 32
}

/// Ten digits a lane of 16 bytes: five in each half of it.
#[inline]
#[target_feature(enable = "avx2")]
fn ternary3(digits: &[u8; FIVES], bytes: &mut [u8; STEP]) {
    let spread = _mm_setr_epi8(0, 1, 2, 3, 4, -1, -1, -1, 5, 6, 7, 8, 9, -1, -1, -1);
    let powers = _mm_set1_epi64x(0x51_1b09_0301);
    for (two, ten) in bytes.as_chunks_mut::<2>().0.iter_mut().zip(digits.as_chunks::<10>().0) {
        let [a, b, c, d, e, f, g, h, i, j] = *ten;
        let (low, high) =
            (i64::from_le_bytes([a, b, c, d, e, f, g, h]), u16::from_le_bytes([i, j]));
        let lane = _mm_set_epi64x(i64::from(high), low);
        let pairs = _mm_maddubs_epi16(_mm_shuffle_epi8(lane, spread), powers);
        let fours = _mm_madd_epi16(pairs, _mm_set1_epi16(1));
        let fives = _mm_add_epi32(fours, _mm_srli_epi64::<32>(fours));
        *two = [
            _mm_extract_epi8::<0>(fives).to_le_bytes()[0],
            _mm_extract_epi8::<8>(fives).to_le_bytes()[0],
        ];
    }
}

/// Fours of vectors 0 1 2 3 | 0 1 2 3, as packing leaves them, back in the order of the values.
#[inline]
#[target_feature(enable = "avx2")]
fn ordered(bytes: __m256i) -> __m256i {
    _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7))
}

#[inline]
#[target_feature(enable = "avx2")]
fn nibbles(codes: &[u8; STEP], bytes: &mut [u8; STEP / 2]) {
    let low = _mm256_and_si256(load_bytes(codes), _mm256_set1_epi8(15));
    let pairs = _mm256_maddubs_epi16(low, _mm256_set1_epi16(0x1001));
    let pairs = _mm256_permute4x64_epi64::<0b10_00>(_mm256_packus_epi16(pairs, pairs));
    // SAFETY: the array is one vector of 16 bytes; the store needs no alignment.
    unsafe { _mm_storeu_si128(bytes.as_mut_ptr().cast(), _mm256_castsi256_si128(pairs)) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn stream(from: &[u8], to: &mut [u8]) {
    let (head, lines, tail) = lines(to);
    let (first, rest) = from.split_at(head.len());
    let (body, last) = rest.split_at(LINE * lines.len());
    head.copy_from_slice(first);
    tail.copy_from_slice(last);
    for (line, bytes) in lines.iter_mut().zip(body.as_chunks::<LINE>().0) {
        copy_past(bytes, line);
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn copy_past(bytes: &[u8; LINE], line: &mut Line) {
    let (to, from): (*mut __m256i, *const __m256i) =
        (line.0.as_mut_ptr().cast(), bytes.as_ptr().cast());
    // SAFETY: both are 64 bytes; the loads need no alignment, and `Line` has that of the stores.
    unsafe {
        _mm256_stream_si256(to, _mm256_loadu_si256(from));
        _mm256_stream_si256(to.add(1), _mm256_loadu_si256(from.add(1)));
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn load_bytes(bytes: &[u8; STEP]) -> __m256i {
    // SAFETY: the array is 32 bytes; the load needs no alignment.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn store(codes: __m256i, bytes: &mut [u8; STEP]) {
    // SAFETY: the array is 32 bytes; the store needs no alignment.
    unsafe { _mm256_storeu_si256(bytes.as_mut_ptr().cast(), codes) }
}
