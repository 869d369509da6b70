//! AVX-512 F, BW and VL: vectors of 16 values. VNNI is asked for as in the other rows of that name;
//! nothing here uses it.
//!
//! Integers are in `avx512/integers.rs`. `sign1`: the comparison's mask register is the bits. Ternary: a byte a digit, 1, or 2 under the
//! mask `|x| > limit`, or 0 under that and `x < 0`; four neighbours meet by `maddubs` with 1, 4
//! and `madd` with 1, 16, at most 170; five by `maddubs` with 1, 3, 9, 27, 81, at most 162 a pair,
//! and additions, at most 242: nothing saturates.
mod integers;
use super::isa::{
    BATCH, BLOCKS, FIVES, Fold, Halves, Integer, Isa, LINE, Line, STEP, Sign, Ternary, Work,
    join as joined, lines,
};
use crate::hardware::{self, Need};
use integers::{integers, line, line_past, pair, pair_past};
use std::arch::x86_64::*;

/// Proof of AVX-512 F, BW, VL and VNNI.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx512(());

type Lanes = [__m512; 2];

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

impl Isa for Avx512 {
    const NAME: &'static str = "avx512vnni";
    const NEED: Need = Need::Avx512Vnni;
    type Lanes = Lanes;

    fn detect() -> Option<Avx512> {
        hardware::avx512vnni().then_some(Avx512(()))
    }

    fn enter(self, work: impl Work<Self>) {
        #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
        fn run(isa: Avx512, work: impl Work<Avx512>) {
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
#[target_feature(enable = "avx512f")]
fn load(x: &[f32; 16]) -> __m512 {
    // SAFETY: 16 values are a vector; the load needs no alignment.
    unsafe { _mm512_loadu_ps(x.as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn both(x: &[f32; STEP]) -> Lanes {
    let [a, b] = x.as_chunks().0 else { unreachable!("two vectors of 16") };
    [load(a), load(b)]
}

#[inline]
#[target_feature(enable = "avx512f")]
fn splat(x: f32) -> Lanes {
    [_mm512_set1_ps(x); 2]
}

#[inline]
#[target_feature(enable = "avx512f")]
fn take(fold: Fold, mut lanes: Lanes, x: &[f32; STEP]) -> Lanes {
    for (lane, x) in lanes.iter_mut().zip(both(x)) {
        *lane = combine(fold, *lane, folded(fold, x));
    }
    lanes
}

/// What of its values a fold takes together.
#[inline]
#[target_feature(enable = "avx512f")]
fn folded(fold: Fold, x: __m512) -> __m512 {
    match fold {
        Fold::Absmax | Fold::Magnitudes => _mm512_abs_ps(x),
        Fold::PositiveMax => _mm512_abs_ps(positive(x)),
        Fold::Positives => positive(x),
        Fold::Values | Fold::Least | Fold::Most => x,
    }
}

/// `max(x, 0)`; NaN stays.
#[inline]
#[target_feature(enable = "avx512f")]
fn positive(x: __m512) -> __m512 {
    _mm512_maskz_mov_ps(_mm512_cmp_ps_mask::<_CMP_NLT_UQ>(x, _mm512_setzero_ps()), x)
}

/// Two vectors of one fold taken together.
#[inline]
#[target_feature(enable = "avx512f")]
fn combine(fold: Fold, a: __m512, b: __m512) -> __m512 {
    match fold {
        // As integers: the bits of magnitudes are in order, and those of NaN above all.
        Fold::Absmax | Fold::PositiveMax => {
            let bits = _mm512_max_epu32(_mm512_castps_si512(a), _mm512_castps_si512(b));
            _mm512_castsi512_ps(bits)
        }
        Fold::Magnitudes | Fold::Positives | Fold::Values => _mm512_add_ps(a, b),
        // Where one is NaN the second operand is the answer: `a`, unless `b` is that NaN.
        Fold::Least | Fold::Most => {
            let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(b, b);
            let end = if fold == Fold::Least { _mm512_min_ps(b, a) } else { _mm512_max_ps(b, a) };
            _mm512_mask_mov_ps(end, nan, b)
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn finish(fold: Fold, [a, b]: Lanes) -> f32 {
    let x = combine(fold, a, b);
    match fold {
        Fold::Absmax | Fold::PositiveMax => {
            f32::from_bits(_mm512_reduce_max_epu32(_mm512_castps_si512(x)))
        }
        Fold::Magnitudes | Fold::Positives | Fold::Values => _mm512_reduce_add_ps(x),
        Fold::Least | Fold::Most => {
            let mut lanes = [0.0; 16];
            // SAFETY: the array is one vector of 16; the store needs no alignment.
            unsafe { _mm512_storeu_ps(lanes.as_mut_ptr(), x) };
            lanes[1..].iter().fold(lanes[0], |end, x| joined(fold, end, *x))
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn finish_batch(fold: Fold, lanes: &[Lanes; BATCH]) -> [f32; BATCH] {
    let mut one = [_mm512_setzero_ps(); 16];
    for (one, [a, b]) in one.iter_mut().zip(lanes) {
        *one = combine(fold, *a, *b);
    }
    meet(fold, one)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn fold_steps(fold: Fold, x: &[f32; BLOCKS]) -> [f32; BATCH] {
    let mut one = [_mm512_setzero_ps(); 16];
    for (one, x) in one.iter_mut().zip(x.as_chunks().0) {
        let [a, b] = both(x);
        *one = combine(fold, folded(fold, a), folded(fold, b));
    }
    meet(fold, one)
}

/// Sixteen vectors become one by four rounds of halves that meet: groups of 1, of 2, of 4 and of 8
/// lanes, so a group costs three operations and not ten.
#[inline]
#[target_feature(enable = "avx512f")]
fn meet(fold: Fold, one: [__m512; 16]) -> [f32; BATCH] {
    let mut two = [_mm512_setzero_ps(); 8];
    for (two, [a, b]) in two.iter_mut().zip(one.as_chunks().0) {
        *two = combine(fold, _mm512_unpacklo_ps(*a, *b), _mm512_unpackhi_ps(*a, *b));
    }
    let mut four = [_mm512_setzero_ps(); 4];
    for (four, [a, b]) in four.iter_mut().zip(two.as_chunks().0) {
        let (a, b) = (_mm512_castps_pd(*a), _mm512_castps_pd(*b));
        let (low, high) = (_mm512_unpacklo_pd(a, b), _mm512_unpackhi_pd(a, b));
        *four = combine(fold, _mm512_castpd_ps(low), _mm512_castpd_ps(high));
    }
    let pairs = |a, b| (_mm512_shuffle_f32x4::<0x88>(a, b), _mm512_shuffle_f32x4::<0xdd>(a, b));
    let (low, high) = pairs(four[0], four[1]);
    let first = combine(fold, low, high);
    let (low, high) = pairs(four[2], four[3]);
    let (low, high) = pairs(first, combine(fold, low, high));
    let mut all = [0.0; BATCH];
    // SAFETY: the array is one vector of 16; the store needs no alignment.
    unsafe { _mm512_storeu_ps(all.as_mut_ptr(), combine(fold, low, high)) };
    all
}

/// Mask of `x > y`, or of `x >= y`; false for NaN.
#[inline]
#[target_feature(enable = "avx512f")]
fn above([a, b]: Lanes, y: __m512, or_equal: bool) -> u32 {
    if or_equal {
        join(_mm512_cmp_ps_mask::<_CMP_GE_OQ>(a, y), _mm512_cmp_ps_mask::<_CMP_GE_OQ>(b, y))
    } else {
        join(_mm512_cmp_ps_mask::<_CMP_GT_OQ>(a, y), _mm512_cmp_ps_mask::<_CMP_GT_OQ>(b, y))
    }
}

#[inline(always)]
fn join(low: u16, high: u16) -> u32 {
    u32::from(low) | u32::from(high) << 16
}

#[inline]
#[target_feature(enable = "avx512f")]
fn sign1(to: &Sign, x: &[f32; STEP]) -> u32 {
    let centre = _mm512_set1_ps(to.centre);
    let [a, b] = both(x);
    let x = [_mm512_sub_ps(a, centre), _mm512_sub_ps(b, centre)];
    above(x, _mm512_setzero_ps(), to.zero_is_positive)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn digits(to: &Ternary, x: &[f32; STEP], digits: &mut [u8; STEP]) {
    let [a, b] = both(x);
    let magnitudes = [_mm512_abs_ps(a), _mm512_abs_ps(b)];
    let active = above(magnitudes, _mm512_set1_ps(to.limit), to.inclusive);
    let zero = _mm512_setzero_ps();
    let negative =
        join(_mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, zero), _mm512_cmp_ps_mask::<_CMP_LT_OQ>(b, zero));
    let stored = _mm256_mask_mov_epi8(_mm256_set1_epi8(1), active, _mm256_set1_epi8(2));
    store32(_mm256_mask_mov_epi8(stored, active & negative, _mm256_setzero_si256()), digits);
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn ternary2(digits: &[u8; STEP]) -> u64 {
    let pairs = _mm256_maddubs_epi16(load32(digits), _mm256_set1_epi16(0x0401));
    let fours = _mm256_madd_epi16(pairs, _mm256_set1_epi32(0x0010_0001));
    _mm_cvtsi128_si64(_mm256_cvtepi32_epi8(fours)).cast_unsigned()
}

/// Ten digits a lane of 16 bytes: five in each half of it.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
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

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn nibbles(codes: &[u8; STEP], bytes: &mut [u8; STEP / 2]) {
    let low = _mm256_and_si256(load32(codes), _mm256_set1_epi8(15));
    let pairs = _mm256_maddubs_epi16(low, _mm256_set1_epi16(0x1001));
    // SAFETY: the array is one vector of 16 bytes; the store needs no alignment.
    unsafe { _mm_storeu_si128(bytes.as_mut_ptr().cast(), _mm256_cvtepi16_epi8(pairs)) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn stream(from: &[u8], to: &mut [u8]) {
    let (head, lines, tail) = lines(to);
    let (first, rest) = from.split_at(head.len());
    let (body, last) = rest.split_at(LINE * lines.len());
    head.copy_from_slice(first);
    tail.copy_from_slice(last);
    for (line, bytes) in lines.iter_mut().zip(body.as_chunks::<LINE>().0) {
        // SAFETY: both are 64 bytes; the load needs no alignment, and `Line` has that of the store.
        unsafe {
            let bytes = _mm512_loadu_si512(bytes.as_ptr().cast());
            _mm512_stream_si512(line.0.as_mut_ptr().cast(), bytes);
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512vl")]
fn load32(bytes: &[u8; STEP]) -> __m256i {
    // SAFETY: the array is one vector of 32 bytes; the load needs no alignment.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512vl")]
fn store32(x: __m256i, bytes: &mut [u8; STEP]) {
    // SAFETY: the array is one vector of 32 bytes; the store needs no alignment.
    unsafe { _mm256_storeu_si256(bytes.as_mut_ptr().cast(), x) }
}
