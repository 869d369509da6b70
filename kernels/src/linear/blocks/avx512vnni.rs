//! `avx512vnni`: 64 codes a `vpdpbusd`, sixteen rows in the lanes of a sum.
//!
//! Integers: a field of a unit is `(w >> bits j) & mask`, or that looked up by `vpshufb`; it is the
//! unsigned operand of `vpdpbusd`, and four activations, broadcast from memory, the signed one:
//! `acc[row] += sum_q u[row, q] x[q]`. A block's sum begins as `-bias sum x`, and ends as
//! `y += float(acc) * scale`. A unit of nibbles against one token is 7 vector operations (2 dots,
//! 2 lookups, 2 masks, 1 shift), 1.75 cycles where four can begin in one: less than L3 takes to
//! send its 64 bytes. Against four tokens 8 dots hide the decoding, which other ports do: nothing
//! is decoded into memory.
//!
//! Floats: the low four bits of a lane select the value (`vpermps`), whatever is above them; the
//! lane is shifted on to the next code, and one FMA meets sixteen rows with one activation. Eight
//! bits, and codes with a zero point, become `2^23 + u` by setting bits, and `2^23 + bias` (or
//! `2^23 + z`) is taken off, exactly.
//!
//! An addition takes four cycles and two begin in one, so that eight sums must be in flight:
//! integers have two a row and token, one a field; floats eight (one token) or two. Only then comes
//! `y += sum * scale`.
use super::super::avx512::fetch::ahead;
use super::{Codebook, Panel, QUAD, ROWS, Step, Sums, TABLE, Tile, Tokens, Unit, ZERO_POINT};
use crate::context::Context;
use crate::hardware::Need;
use core::arch::x86_64::*;

/// Made only where the instructions were detected.
#[derive(Clone, Copy)]
pub(in super::super) struct Found(());

impl Found {
    /// The proof, or what is missing.
    pub(in super::super) fn new(context: &Context) -> Result<Found, String> {
        context.hardware().has(Need::Avx512Vnni).map(|()| Found(()))
    }
}

impl Tile<i8> for Found {
    #[inline]
    fn tile<const FIELDS: usize, const CODE: u8, const P: usize, const M: usize>(
        self,
        book: &Codebook,
        panels: [Panel<'_>; P],
        x: Tokens<'_, i8, FIELDS, M>,
    ) -> Sums<P, M> {
        // SAFETY: a `Found` is made only after detection.
        unsafe { integer_tile::<FIELDS, CODE, P, M>(book, panels, x) }
    }
}

impl Tile<f32> for Found {
    #[inline]
    fn tile<const FIELDS: usize, const CODE: u8, const P: usize, const M: usize>(
        self,
        book: &Codebook,
        panels: [Panel<'_>; P],
        x: Tokens<'_, f32, FIELDS, M>,
    ) -> Sums<P, M> {
        // SAFETY: a `Found` is made only after detection.
        unsafe { float_tile::<FIELDS, CODE, P, M>(book, panels, x) }
    }
}

#[expect(clippy::needless_range_loop, reason = "an index runs through several arrays")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn integer_tile<const FIELDS: usize, const CODE: u8, const P: usize, const M: usize>(
    book: &Codebook,
    panels: [Panel<'_>; P],
    x: Tokens<'_, i8, FIELDS, M>,
) -> Sums<P, M> {
    let table = _mm512_broadcast_i32x4(load_bytes(&book.integers));
    let mut sums = [[_mm512_setzero_ps(); P]; M];
    let len = panels[0].units;
    for b in 0..panels[0].scales.len() {
        let (units, steps) = block(&panels, &x, b);
        let mut acc = [[[_mm512_setzero_si512(); 2]; P]; M];
        for t in 0..M {
            for p in 0..P {
                acc[t][p][0] = begin::<CODE>(&panels[p], b, x.offsets[b][t]);
            }
        }
        if !panels[0].totals.is_empty() {
            for t in 0..M {
                for p in 0..P {
                    acc[t][p][0] = shift(acc[t][p][0], &panels[p].totals[b], x.zero_points[t]);
                }
            }
        }
        for u in 0..len {
            let mut w = [_mm512_setzero_si512(); P];
            for p in 0..P {
                w[p] = load(&units[p][u]);
                if M == 1 {
                    ahead(&units[p][u]);
                }
            }
            for j in 0..FIELDS {
                let mut codes = w;
                for p in 0..P {
                    codes[p] = field::<FIELDS, CODE>(w[p], table);
                    w[p] = next_field::<FIELDS>(w[p]);
                }
                for t in 0..M {
                    let x = _mm512_set1_epi32(quad(steps[u][j][t]));
                    for p in 0..P {
                        let sum = &mut acc[t][p][j % 2];
                        *sum = _mm512_dpbusd_epi32(*sum, codes[p], x);
                    }
                }
            }
        }
        for p in 0..P {
            let scales = load_floats(&panels[p].scales[b]);
            for t in 0..M {
                let sum = _mm512_add_epi32(acc[t][p][0], acc[t][p][1]);
                sums[t][p] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), scales, sums[t][p]);
            }
        }
    }
    store(&sums)
}

/// What the sum of a block begins as: `-bias sum x`, or `-z sum x`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn begin<const CODE: u8>(panel: &Panel<'_>, b: usize, offset: i32) -> __m512i {
    let sum = _mm512_set1_epi32(offset);
    match CODE {
        ZERO_POINT => {
            _mm512_mullo_epi32(sum, _mm512_cvtepu8_epi32(load_bytes(&panel.zero_points[b])))
        }
        _ => sum,
    }
}

/// A sum less `zx sum w`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn shift(sum: __m512i, totals: &[i32; ROWS], zero_point: i32) -> __m512i {
    let totals = _mm512_mullo_epi32(load_integers(totals), _mm512_set1_epi32(zero_point));
    _mm512_sub_epi32(sum, totals)
}

/// The first field of every byte as an unsigned code.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn field<const FIELDS: usize, const CODE: u8>(w: __m512i, table: __m512i) -> __m512i {
    let code = match FIELDS {
        1 => w,
        2 => _mm512_and_si512(w, _mm512_set1_epi8(15)),
        _ => _mm512_and_si512(w, _mm512_set1_epi8(3)),
    };
    if CODE == TABLE { _mm512_shuffle_epi8(table, code) } else { code }
}

/// Shifts the next field of every byte to its low bits; what comes from a neighbour is masked.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn next_field<const FIELDS: usize>(w: __m512i) -> __m512i {
    match FIELDS {
        1 => w,
        2 => _mm512_srli_epi16::<4>(w),
        _ => _mm512_srli_epi16::<2>(w),
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn float_tile<const FIELDS: usize, const CODE: u8, const P: usize, const M: usize>(
    book: &Codebook,
    panels: [Panel<'_>; P],
    x: Tokens<'_, f32, FIELDS, M>,
) -> Sums<P, M> {
    let table = load_floats(&book.floats);
    // As many chains as hide the latency of an addition; only `M` decides.
    let chains = if M == 1 { 8 } else { 2 };
    let mut sums = [[_mm512_setzero_ps(); P]; M];
    let len = panels[0].units;
    for b in 0..panels[0].scales.len() {
        let (units, steps) = block(&panels, &x, b);
        let mut acc = [[[_mm512_setzero_ps(); 8]; P]; M];
        // What 2^23 + u has too much.
        let mut extra = [_mm512_set1_ps(POWER - book.floats[0]); P];
        if CODE == ZERO_POINT {
            for p in 0..P {
                let bytes = load_bytes(&panels[p].zero_points[b]);
                let zero_points = _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes));
                extra[p] = _mm512_add_ps(_mm512_set1_ps(POWER), zero_points);
            }
        }
        for u in 0..len {
            let mut w = [_mm512_setzero_si512(); P];
            for p in 0..P {
                w[p] = load(&units[p][u]);
                if M == 1 {
                    ahead(&units[p][u]);
                }
            }
            for q in 0..QUAD {
                for j in 0..FIELDS {
                    let mut values = [_mm512_setzero_ps(); P];
                    for p in 0..P {
                        values[p] = value::<FIELDS, CODE>(w[p], table, extra[p]);
                        w[p] = next_code::<FIELDS>(w[p]);
                    }
                    for t in 0..M {
                        let x = _mm512_set1_ps(steps[u][j][t][q]);
                        for p in 0..P {
                            let sum = &mut acc[t][p][(q * FIELDS + j) % chains];
                            *sum = _mm512_fmadd_ps(values[p], x, *sum);
                        }
                    }
                }
            }
        }
        for p in 0..P {
            let scales = load_floats(&panels[p].scales[b]);
            for t in 0..M {
                let sum = joined(acc[t][p], chains);
                sums[t][p] = _mm512_fmadd_ps(sum, scales, sums[t][p]);
            }
        }
    }
    store(&sums)
}

/// The sum of the first `chains`, a power of two, by halves: in turn they would hold up the end of
/// a block for eight latencies.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn joined(mut sums: [__m512; 8], chains: usize) -> __m512 {
    let mut left = chains;
    while left > 1 {
        left /= 2;
        for i in 0..left {
            sums[i] = _mm512_add_ps(sums[i], sums[i + left]);
        }
    }
    sums[0]
}

/// 2^23: the floats from here on are whole numbers.
const POWER: f32 = 8_388_608.0;

/// The value of the code in the low bits of every lane.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn value<const FIELDS: usize, const CODE: u8>(w: __m512i, table: __m512, extra: __m512) -> __m512 {
    if FIELDS > 1 && CODE != ZERO_POINT {
        return _mm512_permutexvar_ps(w, table);
    }
    // (w & mask) | the bits of 2^23.
    let mask = _mm512_set1_epi32(if FIELDS == 1 { 255 } else { 15 });
    let power = _mm512_castps_si512(_mm512_set1_ps(POWER));
    let float = _mm512_ternarylogic_epi32::<0xf8>(power, w, mask);
    _mm512_sub_ps(_mm512_castsi512_ps(float), extra)
}

/// Shifts the next code to the low bits of every lane.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn next_code<const FIELDS: usize>(w: __m512i) -> __m512i {
    match FIELDS {
        1 => _mm512_srli_epi32::<8>(w),
        2 => _mm512_srli_epi32::<4>(w),
        _ => _mm512_srli_epi32::<2>(w),
    }
}

/// Block `b` of every panel and of the tokens, each as long as the first panel's.
#[inline]
fn block<'a, T, const FIELDS: usize, const P: usize, const M: usize>(
    panels: &[Panel<'a>; P],
    x: &Tokens<'a, T, FIELDS, M>,
    b: usize,
) -> ([&'a [Unit]; P], &'a [Step<T, FIELDS, M>]) {
    let len = panels[0].units;
    let mut units: [&[Unit]; P] = [&[]; P];
    for (units, panel) in units.iter_mut().zip(panels) {
        *units = &panel.codes[b * len..][..len];
    }
    (units, &x.steps[b * len..][..len])
}

#[target_feature(enable = "avx512f")]
fn store<const P: usize, const M: usize>(sums: &[[__m512; P]; M]) -> Sums<P, M> {
    let mut stored = [[[0.0; ROWS]; P]; M];
    for (stored, sums) in stored.iter_mut().zip(sums) {
        for (stored, sum) in stored.iter_mut().zip(sums) {
            // SAFETY: 16 floats are 64 bytes; `storeu` has no alignment rule.
            unsafe { _mm512_storeu_ps(stored.as_mut_ptr(), *sum) };
        }
    }
    stored
}

/// Four activations as one number.
fn quad(x: [i8; QUAD]) -> i32 {
    i32::from_ne_bytes(x.map(i8::cast_unsigned))
}

#[target_feature(enable = "avx512f")]
fn load(bytes: &Unit) -> __m512i {
    // SAFETY: 64 bytes; `loadu` has no alignment rule.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

#[target_feature(enable = "avx512f")]
fn load_bytes(bytes: &[u8; ROWS]) -> __m128i {
    // SAFETY: 16 bytes; `loadu` has no alignment rule.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}

#[target_feature(enable = "avx512f")]
fn load_integers(x: &[i32; ROWS]) -> __m512i {
    // SAFETY: 16 integers are 64 bytes; `loadu` has no alignment rule.
    unsafe { _mm512_loadu_si512(x.as_ptr().cast()) }
}

#[target_feature(enable = "avx512f")]
fn load_floats(x: &[f32; ROWS]) -> __m512 {
    // SAFETY: 16 floats are 64 bytes; `loadu` has no alignment rule.
    unsafe { _mm512_loadu_ps(x.as_ptr()) }
}
