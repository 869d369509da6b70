//! `avx2`: 32 codes a `vpmaddubsw`, weights decoded by shift and mask.
//!
//! Bit formats, `F` fields a byte: `(w >> 8/F j) & mask` is 32 unsigned stored codes. A pair
//! `u8 * s8 + u8 * s8` is at most `2 * 2 * 128 = 512` (ternary) or 256 (sign), so a step of 4 or 8
//! fields adds at most 2048 to an i16 lane, and 15 steps 30720 < 2^15; then lanes are widened.
//! int8 by int8 would saturate there (`2 * 128 * 128 = 32768`): both sides are widened to i16
//! instead, and `vpmaddwd` adds pairs in i32. Floats: the low two bits of a lane select the
//! code from a table (`vpermilps`), one FMA for 8 codes.
use super::blocks;
use super::rows::{self, Dot, ROWS, Step, Unit};
use crate::context::Context;
use crate::hardware::Need;
use crate::{Failure, Kernel, Prepared};
use core::arch::x86_64::*;
use lowbit_reference::op::Arithmetic;
use lowbit_reference::op::linear::{Activation, Linear, LinearProblem};

/// The row.
#[derive(Debug)]
pub(super) struct Avx2;

impl Kernel<Linear> for Avx2 {
    fn name(&self) -> &'static str {
        "avx2"
    }
    fn need(&self) -> Need {
        Need::Avx2
    }
    fn arithmetic(&self, problem: &LinearProblem) -> Arithmetic {
        rows::arithmetic(problem)
    }
    fn accepts(&self, problem: &LinearProblem) -> Result<(), String> {
        if blocks::takes(problem) { Ok(()) } else { rows::accepts(problem) }
    }
    fn prepare<'p>(
        &self,
        problem: &'p LinearProblem,
        context: &mut Context,
    ) -> Result<Box<dyn Prepared + 'p>, Failure> {
        if blocks::takes(problem) {
            return blocks::prepare(blocks::avx2::Found::new(context)?, problem, context);
        }
        context.hardware().has(self.need())?;
        let found = Found(());
        match &problem.activation {
            Activation::I8(x) => rows::bind(found, &x.codes, problem, context),
            Activation::F32(x) => rows::bind(found, x, problem, context),
            Activation::U8(_) => Err(Failure("no uint8 activations".into())),
        }
    }
}

/// Made only where the instructions were detected.
#[derive(Clone, Copy)]
struct Found(());

/// Weight bytes of a step against int8 activations.
const BYTES: usize = 32;
/// Weight bytes of a step against f32 activations.
const FLOATS: usize = 8;
/// Steps whose i16 sums cannot overflow.
const SAFE: usize = 15;

impl Dot<i8, BYTES> for Found {
    #[inline]
    fn tile<const FIELDS: usize, const M: usize>(
        self,
        panel: &[Unit<BYTES>],
        x: [&[Step<i8, BYTES, FIELDS>]; M],
    ) -> [[i32; ROWS]; M] {
        // SAFETY: a `Found` is made only after detection.
        unsafe { integer_tile(panel, x) }
    }
}

impl Dot<f32, FLOATS> for Found {
    #[inline]
    fn tile<const FIELDS: usize, const M: usize>(
        self,
        panel: &[Unit<FLOATS>],
        x: [&[Step<f32, FLOATS, FIELDS>]; M],
    ) -> [[f32; ROWS]; M] {
        // SAFETY: a `Found` is made only after detection.
        unsafe { float_tile(panel, x) }
    }
}

/// Sixteen registers hold the sums of four rows with one token, or of one row with four.
#[target_feature(enable = "avx2,fma")]
fn integer_tile<const FIELDS: usize, const M: usize>(
    panel: &[Unit<BYTES>],
    x: [&[Step<i8, BYTES, FIELDS>]; M],
) -> [[i32; ROWS]; M] {
    let mut sums = [[0; ROWS]; M];
    let mut keep = |first: usize, some: &[[__m256i; M]]| {
        for (r, acc) in some.iter().enumerate() {
            for (sums, acc) in sums.iter_mut().zip(acc) {
                sums[first + r] = reduce(*acc);
            }
        }
    };
    match (FIELDS, M) {
        (1, 1) => keep(0, &bytes::<FIELDS, ROWS, M>(panel, x, 0)),
        (_, 1) => keep(0, &bits::<FIELDS, ROWS, M>(panel, x, 0)),
        (1, _) => (0..ROWS).step_by(2).for_each(|r| keep(r, &bytes::<FIELDS, 2, M>(panel, x, r))),
        _ => (0..ROWS).for_each(|r| keep(r, &bits::<FIELDS, 1, M>(panel, x, r))),
    }
    sums
}

/// Rows `first..first + R` of the panel.
#[target_feature(enable = "avx2,fma")]
fn bits<const FIELDS: usize, const R: usize, const M: usize>(
    panel: &[Unit<BYTES>],
    x: [&[Step<i8, BYTES, FIELDS>]; M],
    first: usize,
) -> [[__m256i; M]; R] {
    let mask = _mm256_set1_epi8(if FIELDS == 4 { 3 } else { 1 });
    let ones = _mm256_set1_epi16(1);
    let mut wide = [[_mm256_setzero_si256(); M]; R];
    x.iter().for_each(|x| assert_eq!(x.len(), panel.len()));
    for (c, units) in panel.chunks(SAFE).enumerate() {
        let mut acc = [[_mm256_setzero_si256(); M]; R];
        for (s, unit) in units.iter().enumerate() {
            let mut w = [_mm256_setzero_si256(); R];
            for r in 0..R {
                w[r] = load(&unit[first + r]);
            }
            for j in 0..FIELDS {
                let xs = vectors(x, c * SAFE + s, j);
                for r in 0..R {
                    let codes = _mm256_and_si256(w[r], mask);
                    for t in 0..M {
                        let products = _mm256_maddubs_epi16(codes, xs[t]);
                        acc[r][t] = _mm256_add_epi16(acc[r][t], products);
                    }
                    w[r] = match FIELDS {
                        4 => _mm256_srli_epi16::<2>(w[r]),
                        _ => _mm256_srli_epi16::<1>(w[r]),
                    };
                }
            }
        }
        for r in 0..R {
            for t in 0..M {
                wide[r][t] = _mm256_add_epi32(wide[r][t], _mm256_madd_epi16(acc[r][t], ones));
            }
        }
    }
    wide
}

/// Vector `j` of step `s` of every token.
#[target_feature(enable = "avx2,fma")]
fn vectors<const FIELDS: usize, const M: usize>(
    x: [&[Step<i8, BYTES, FIELDS>]; M],
    s: usize,
    j: usize,
) -> [__m256i; M] {
    let mut xs = [_mm256_setzero_si256(); M];
    for (xs, x) in xs.iter_mut().zip(x) {
        *xs = load_signed(&x[s][j]);
    }
    xs
}

/// Rows `first..first + R` of the panel.
#[target_feature(enable = "avx2,fma")]
fn bytes<const FIELDS: usize, const R: usize, const M: usize>(
    panel: &[Unit<BYTES>],
    x: [&[Step<i8, BYTES, FIELDS>]; M],
    first: usize,
) -> [[__m256i; M]; R] {
    let mut acc = [[_mm256_setzero_si256(); M]; R];
    x.iter().for_each(|x| assert_eq!(x.len(), panel.len()));
    for (s, unit) in panel.iter().enumerate() {
        for half in 0..2 {
            let mut xs = [_mm256_setzero_si256(); M];
            for t in 0..M {
                xs[t] = _mm256_cvtepi8_epi16(load_half_signed(&x[t][s][0], half));
            }
            for r in 0..R {
                let w = _mm256_cvtepi8_epi16(load_half(&unit[first + r], half));
                for t in 0..M {
                    acc[r][t] = _mm256_add_epi32(acc[r][t], _mm256_madd_epi16(w, xs[t]));
                }
            }
        }
    }
    acc
}

#[target_feature(enable = "avx2,fma")]
fn float_tile<const FIELDS: usize, const M: usize>(
    panel: &[Unit<FLOATS>],
    x: [&[Step<f32, FLOATS, FIELDS>]; M],
) -> [[f32; ROWS]; M] {
    let mut sums = [[0.0; ROWS]; M];
    let mut keep = |first: usize, some: &[[__m256; M]]| {
        for (r, acc) in some.iter().enumerate() {
            for (sums, acc) in sums.iter_mut().zip(acc) {
                sums[first + r] = reduce_floats(*acc);
            }
        }
    };
    match M {
        1 => keep(0, &floats::<FIELDS, ROWS, M>(panel, x, 0)),
        _ => (0..ROWS).step_by(2).for_each(|r| keep(r, &floats::<FIELDS, 2, M>(panel, x, r))),
    }
    sums
}

/// Rows `first..first + R` of the panel.
#[target_feature(enable = "avx2,fma")]
fn floats<const FIELDS: usize, const R: usize, const M: usize>(
    panel: &[Unit<FLOATS>],
    x: [&[Step<f32, FLOATS, FIELDS>]; M],
    first: usize,
) -> [[__m256; M]; R] {
    let table = match FIELDS {
        4 => _mm_setr_ps(-1.0, 0.0, 1.0, 0.0),
        _ => _mm_setr_ps(-1.0, 1.0, -1.0, 1.0),
    };
    let table = _mm256_set_m128(table, table);
    // One token leaves registers for two sums a row, which halves the chain of additions.
    let chains = if M == 1 { 2 } else { 1 };
    let mut acc = [[[_mm256_setzero_ps(); 2]; M]; R];
    x.iter().for_each(|x| assert_eq!(x.len(), panel.len()));
    for (s, unit) in panel.iter().enumerate() {
        let mut w = [_mm256_setzero_si256(); R];
        for r in 0..R {
            // Bits shifted in from the left never reach the two that select.
            w[r] = _mm256_cvtepi8_epi32(load_quarter(&unit[first + r]));
        }
        for j in 0..FIELDS {
            for r in 0..R {
                let codes = match FIELDS {
                    1 => _mm256_cvtepi32_ps(w[r]),
                    _ => _mm256_permutevar_ps(table, w[r]),
                };
                for t in 0..M {
                    let sum = &mut acc[r][t][j % chains];
                    *sum = _mm256_fmadd_ps(codes, load_floats(&x[t][s][j]), *sum);
                }
                w[r] = match FIELDS {
                    4 => _mm256_srli_epi32::<2>(w[r]),
                    _ => _mm256_srli_epi32::<1>(w[r]),
                };
            }
        }
    }
    let mut sums = [[_mm256_setzero_ps(); M]; R];
    for r in 0..R {
        for t in 0..M {
            sums[r][t] = _mm256_add_ps(acc[r][t][0], acc[r][t][1]);
        }
    }
    sums
}

#[target_feature(enable = "avx2,fma")]
fn reduce(v: __m256i) -> i32 {
    let v = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256::<1>(v));
    let v = _mm_add_epi32(v, _mm_shuffle_epi32::<0b00_00_11_10>(v));
    _mm_cvtsi128_si32(_mm_add_epi32(v, _mm_shuffle_epi32::<0b00_00_00_01>(v)))
}

#[target_feature(enable = "avx2,fma")]
fn reduce_floats(v: __m256) -> f32 {
    let v = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
    let v = _mm_add_ps(v, _mm_movehl_ps(v, v));
    _mm_cvtss_f32(_mm_add_ss(v, _mm_movehdup_ps(v)))
}

#[target_feature(enable = "avx2,fma")]
fn load(bytes: &[u8; BYTES]) -> __m256i {
    // SAFETY: 32 bytes; `loadu` has no alignment rule.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

#[target_feature(enable = "avx2,fma")]
fn load_signed(bytes: &[i8; BYTES]) -> __m256i {
    // SAFETY: 32 bytes; `loadu` has no alignment rule.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

#[target_feature(enable = "avx2,fma")]
fn load_half(bytes: &[u8; BYTES], half: usize) -> __m128i {
    let half: &[u8; BYTES / 2] = &bytes.as_chunks().0[half];
    // SAFETY: 16 bytes; `loadu` has no alignment rule.
    unsafe { _mm_loadu_si128(half.as_ptr().cast()) }
}

#[target_feature(enable = "avx2,fma")]
fn load_half_signed(bytes: &[i8; BYTES], half: usize) -> __m128i {
    let half: &[i8; BYTES / 2] = &bytes.as_chunks().0[half];
    // SAFETY: 16 bytes; `loadu` has no alignment rule.
    unsafe { _mm_loadu_si128(half.as_ptr().cast()) }
}

#[target_feature(enable = "avx2,fma")]
fn load_quarter(bytes: &[u8; FLOATS]) -> __m128i {
    _mm_cvtsi64_si128(i64::from_le_bytes(*bytes))
}

#[target_feature(enable = "avx2,fma")]
fn load_floats(x: &[f32; FLOATS]) -> __m256 {
    // SAFETY: 8 floats are 32 bytes; `loadu` has no alignment rule.
    unsafe { _mm256_loadu_ps(x.as_ptr()) }
}
