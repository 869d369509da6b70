//! `avx2`: 8 weight rows a vector, 32 codes a `vpmaddubsw`, weights decoded in registers.
//!
//! Layout `lanes8`: a lane of 32 bits is a weight row, so the four bytes of a step meet four
//! activations broadcast to all lanes, and no sum crosses lanes. A field is shifted down and masked
//! once for all tokens of the tile: `(w >> 8/F j) & mask`. A pair `u8 * s8 + u8 * s8` is at most
//! `2 * 2 * 128 = 512` (ternary) or 256 (sign), so a step of 4, 5 or 8 fields adds at most 2560 to an
//! i16 lane, and 12 steps 30720 < 2^15; then lanes are widened by `vpmaddwd` with ones.
//! int8 by int8 would saturate there (`2 * 255 * 128`): the even and the odd bytes of both sides
//! are widened to i16 instead, and `vpmaddwd` adds pairs in i32 (`2 * 255 * 128 < 2^31`).
//! ternary3: `3 - d = avg(c, avg(c, 255)) >> 6`, `c = 255 - q`, then `q = 3 q mod 256`, as on AVX-512.
//! Floats: the low two bits of a lane select the code from a table (`vpermilps`), one FMA for 8.
use super::arrange::Tokens;
use super::blocks;
use super::panels::{Piece, Vector};
use super::rows::{self, Dot};
use crate::context::Context;
use crate::hardware::Need;
use crate::{Determinism, Failure, Kernel, Prepared};
use core::arch::x86_64::*;
use lowbit_reference::format::layout::{LANES8, Layout};
use lowbit_reference::op::Arithmetic;
use lowbit_reference::op::linear::{Linear, LinearProblem};

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
    /// Floats of a single token have more sums than one of several.
    fn determinism(&self) -> Determinism {
        Determinism::TILED
    }
    fn arithmetic(&self, problem: &LinearProblem) -> Arithmetic {
        rows::arithmetic(problem)
    }
    fn accepts(&self, problem: &LinearProblem) -> Result<(), String> {
        blocks::accepts(problem)
    }
    fn prepare<'p>(
        &self,
        problem: &'p LinearProblem,
        context: &mut Context,
    ) -> Result<Box<dyn Prepared + 'p>, Failure> {
        if blocks::takes(problem) {
            return blocks::prepare(blocks::avx2::Found::new(context)?, problem, context);
        }
        rows::bind::<_, LANES, BYTES>(Found::new(context)?, problem, context)
    }
}

/// Made only where the instructions were detected.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found(());

impl Found {
    /// The proof, or what is missing.
    pub(crate) fn new(context: &Context) -> Result<Found, String> {
        context.hardware().has(Need::Avx2).map(|()| Found(()))
    }
}

/// Weight rows of a vector.
pub(crate) const LANES: usize = 8;
/// Weight bytes of a row in a vector.
pub(crate) const BYTES: usize = 4;
/// Steps whose i16 sums cannot overflow.
const SAFE: usize = 12;

impl Dot<i8, LANES, BYTES> for Found {
    const LAYOUT: &'static Layout = &LANES8;
    #[inline]
    fn tile<const FIELDS: usize, const M: usize>(
        self,
        panel: Piece<'_, LANES, BYTES>,
        x: &[Tokens<i8, BYTES, FIELDS, M>],
        keep: impl FnMut(usize, &[[i32; LANES]; M]),
    ) {
        // SAFETY: a `Found` is made only after detection.
        unsafe { integers(panel, x, keep) }
    }
}

impl Dot<f32, LANES, BYTES> for Found {
    const LAYOUT: &'static Layout = &LANES8;
    #[inline]
    fn tile<const FIELDS: usize, const M: usize>(
        self,
        panel: Piece<'_, LANES, BYTES>,
        x: &[Tokens<f32, BYTES, FIELDS, M>],
        keep: impl FnMut(usize, &[[f32; LANES]; M]),
    ) {
        // SAFETY: a `Found` is made only after detection.
        unsafe { floats(panel, x, keep) }
    }
}

/// Sixteen registers hold the sums of four vectors with one token, or of one with eight.
#[target_feature(enable = "avx2,fma")]
fn integers<const FIELDS: usize, const M: usize>(
    panel: Piece<'_, LANES, BYTES>,
    x: &[Tokens<i8, BYTES, FIELDS, M>],
    mut keep: impl FnMut(usize, &[[i32; LANES]; M]),
) {
    let mut v = 0;
    while v < panel.width {
        let at = Piece { v, ..panel };
        v += match (FIELDS, M, panel.width - v) {
            (1, 1 | 2, 4..) => save(v, &bytes::<FIELDS, M, 4>(at, x), &mut keep),
            (1, 4, 2..) => save(v, &bytes::<FIELDS, M, 2>(at, x), &mut keep),
            (1, _, _) => save(v, &bytes::<FIELDS, M, 1>(at, x), &mut keep),
            (_, 1, 4..) => save(v, &bits::<FIELDS, M, 4>(at, x), &mut keep),
            (_, 2 | 4, 2..) => save(v, &bits::<FIELDS, M, 2>(at, x), &mut keep),
            _ => save(v, &bits::<FIELDS, M, 1>(at, x), &mut keep),
        };
    }
}

/// Hand over the sums of `P` vectors from `v` on, and say how many they are.
#[target_feature(enable = "avx2,fma")]
fn save<const M: usize, const P: usize>(
    v: usize,
    sums: &[[__m256i; P]; M],
    keep: &mut impl FnMut(usize, &[[i32; LANES]; M]),
) -> usize {
    for p in 0..P {
        let mut rows = [[0; LANES]; M];
        for (rows, sums) in rows.iter_mut().zip(sums) {
            store(rows, sums[p]);
        }
        keep(v + p, &rows);
    }
    P
}

/// `P` vectors of codes in bits by `M` tokens.
#[inline(never)]
#[target_feature(enable = "avx2,fma")]
fn bits<const FIELDS: usize, const M: usize, const P: usize>(
    at: Piece<'_, LANES, BYTES>,
    x: &[Tokens<i8, BYTES, FIELDS, M>],
) -> [[__m256i; P]; M] {
    let ones = _mm256_set1_epi16(1);
    let mut wide = [[_mm256_setzero_si256(); P]; M];
    let mut steps = at.steps::<P>();
    for x in x.chunks(SAFE) {
        let mut acc = [[_mm256_setzero_si256(); P]; M];
        for (x, vectors) in x.iter().zip(&mut steps) {
            let mut w = [_mm256_setzero_si256(); P];
            for p in 0..P {
                w[p] = load(&vectors[p]);
            }
            for x in x {
                let mut codes = w;
                for p in 0..P {
                    (codes[p], w[p]) = field::<FIELDS>(w[p]);
                }
                for t in 0..M {
                    let x = _mm256_set1_epi32(i32::from_ne_bytes(x[t].map(i8::cast_unsigned)));
                    for p in 0..P {
                        let products = _mm256_maddubs_epi16(codes[p], x);
                        acc[t][p] = _mm256_add_epi16(acc[t][p], products);
                    }
                }
            }
        }
        for t in 0..M {
            for p in 0..P {
                wide[t][p] = _mm256_add_epi32(wide[t][p], _mm256_madd_epi16(acc[t][p], ones));
            }
        }
    }
    wide
}

/// The codes of the next field, and what the fields after it are taken from.
#[target_feature(enable = "avx2,fma")]
fn field<const FIELDS: usize>(w: __m256i) -> (__m256i, __m256i) {
    match FIELDS {
        4 => (_mm256_and_si256(w, _mm256_set1_epi8(3)), _mm256_srli_epi16::<2>(w)),
        5 => {
            let top = _mm256_srli_epi16::<6>(digits(w));
            (_mm256_andnot_si256(top, _mm256_set1_epi8(3)), thrice(w))
        }
        _ => (_mm256_and_si256(w, _mm256_set1_epi8(1)), _mm256_srli_epi16::<1>(w)),
    }
}

/// `3 - digit` of every byte `q` in its two highest bits.
#[target_feature(enable = "avx2,fma")]
fn digits(q: __m256i) -> __m256i {
    let c = _mm256_xor_si256(q, _mm256_set1_epi8(-1));
    _mm256_avg_epu8(c, _mm256_avg_epu8(c, _mm256_set1_epi8(-1)))
}

/// `3 q mod 256` of every byte.
#[target_feature(enable = "avx2,fma")]
fn thrice(q: __m256i) -> __m256i {
    _mm256_add_epi8(_mm256_add_epi8(q, q), q)
}

/// `P` vectors of int8 by `M` tokens.
#[inline(never)]
#[target_feature(enable = "avx2,fma")]
fn bytes<const FIELDS: usize, const M: usize, const P: usize>(
    at: Piece<'_, LANES, BYTES>,
    x: &[Tokens<i8, BYTES, FIELDS, M>],
) -> [[__m256i; P]; M] {
    let low = _mm256_set1_epi16(0xff);
    let mut acc = [[_mm256_setzero_si256(); P]; M];
    for (vectors, x) in at.steps::<P>().zip(x) {
        let mut w = [[_mm256_setzero_si256(); 2]; P];
        for p in 0..P {
            let both = load(&vectors[p]);
            w[p] = [_mm256_and_si256(both, low), _mm256_srli_epi16::<8>(both)];
        }
        for t in 0..M {
            let x = _mm256_set1_epi32(i32::from_ne_bytes(x[0][t].map(i8::cast_unsigned)));
            let even = _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(x));
            let odd = _mm256_srai_epi16::<8>(x);
            for p in 0..P {
                let [a, b] = w[p];
                let pairs = _mm256_add_epi32(_mm256_madd_epi16(a, even), _mm256_madd_epi16(b, odd));
                acc[t][p] = _mm256_add_epi32(acc[t][p], pairs);
            }
        }
    }
    acc
}

/// Vectors of the panel, several at a time as long as there are so many.
#[target_feature(enable = "avx2,fma")]
fn floats<const FIELDS: usize, const M: usize>(
    panel: Piece<'_, LANES, BYTES>,
    x: &[Tokens<f32, BYTES, FIELDS, M>],
    mut keep: impl FnMut(usize, &[[f32; LANES]; M]),
) {
    let mut v = 0;
    while v < panel.width {
        let at = Piece { v, ..panel };
        v += match (M, panel.width - v) {
            (1 | 2, 4..) => save_floats(v, &sums::<FIELDS, M, 4>(at, x), &mut keep),
            (4, 2..) => save_floats(v, &sums::<FIELDS, M, 2>(at, x), &mut keep),
            _ => save_floats(v, &sums::<FIELDS, M, 1>(at, x), &mut keep),
        };
    }
}

/// As `save`.
#[target_feature(enable = "avx2,fma")]
fn save_floats<const M: usize, const P: usize>(
    v: usize,
    sums: &[[__m256; P]; M],
    keep: &mut impl FnMut(usize, &[[f32; LANES]; M]),
) -> usize {
    for p in 0..P {
        let mut rows = [[0.0; LANES]; M];
        for (rows, sums) in rows.iter_mut().zip(sums) {
            store_floats(rows, sums[p]);
        }
        keep(v + p, &rows);
    }
    P
}

/// `P` vectors by `M` tokens. One chain of sums along K, two for a single token.
#[inline(never)]
#[target_feature(enable = "avx2,fma")]
fn sums<const FIELDS: usize, const M: usize, const P: usize>(
    at: Piece<'_, LANES, BYTES>,
    x: &[Tokens<f32, BYTES, FIELDS, M>],
) -> [[__m256; P]; M] {
    let chains = if M == 1 { 2 } else { 1 };
    let mut acc = [[[_mm256_setzero_ps(); P]; M]; 2];
    for (vectors, x) in at.steps::<P>().zip(x) {
        let mut w = [_mm256_setzero_si256(); P];
        for p in 0..P {
            w[p] = load(&vectors[p]);
        }
        for x in x {
            let mut bytes = w;
            for p in 0..P {
                (bytes[p], w[p]) = low_bits::<FIELDS>(w[p]);
            }
            for i in 0..BYTES {
                let mut codes = [_mm256_setzero_ps(); P];
                for p in 0..P {
                    codes[p] = number::<FIELDS>(bytes[p]);
                    bytes[p] = _mm256_srli_epi32::<8>(bytes[p]);
                }
                for t in 0..M {
                    let x = _mm256_set1_ps(x[t][i]);
                    for p in 0..P {
                        let sum = &mut acc[i % chains][t][p];
                        *sum = _mm256_fmadd_ps(codes[p], x, *sum);
                    }
                }
            }
        }
    }
    let [mut sums, more] = acc;
    for t in 0..M {
        for p in 0..P {
            sums[t][p] = _mm256_add_ps(sums[t][p], more[t][p]);
        }
    }
    sums
}

/// The next field at the bottom of each byte, and what the fields after it are taken from.
#[target_feature(enable = "avx2,fma")]
fn low_bits<const FIELDS: usize>(w: __m256i) -> (__m256i, __m256i) {
    match FIELDS {
        4 => (w, _mm256_srli_epi32::<2>(w)),
        5 => (_mm256_srli_epi32::<6>(digits(w)), thrice(w)),
        8 => (w, _mm256_srli_epi32::<1>(w)),
        _ => (_mm256_xor_si256(w, _mm256_set1_epi8(-128)), w),
    }
}

/// What the lowest bits of each lane stand for. ternary3 comes as 3 - digit.
#[target_feature(enable = "avx2,fma")]
fn number<const FIELDS: usize>(w: __m256i) -> __m256 {
    let table = match FIELDS {
        1 => {
            let code = _mm256_srai_epi32::<24>(_mm256_slli_epi32::<24>(w));
            return _mm256_cvtepi32_ps(code);
        }
        4 => _mm_setr_ps(-1.0, 0.0, 1.0, 0.0),
        5 => _mm_setr_ps(0.0, 1.0, 0.0, -1.0),
        _ => _mm_setr_ps(-1.0, 1.0, -1.0, 1.0),
    };
    _mm256_permutevar_ps(_mm256_set_m128(table, table), w)
}

#[target_feature(enable = "avx2,fma")]
fn load(vector: &Vector<LANES, BYTES>) -> __m256i {
    // SAFETY: 8 times 4 bytes are 32; `loadu` has no alignment rule.
    unsafe { _mm256_loadu_si256(vector.as_ptr().cast()) }
}

#[target_feature(enable = "avx2,fma")]
fn store(rows: &mut [i32; LANES], sums: __m256i) {
    // SAFETY: 8 i32 are 32 bytes; `storeu` has no alignment rule.
    unsafe { _mm256_storeu_si256(rows.as_mut_ptr().cast(), sums) }
}

#[target_feature(enable = "avx2,fma")]
fn store_floats(rows: &mut [f32; LANES], sums: __m256) {
    // SAFETY: 8 f32 are 32 bytes; `storeu` has no alignment rule.
    unsafe { _mm256_storeu_ps(rows.as_mut_ptr(), sums) }
}
