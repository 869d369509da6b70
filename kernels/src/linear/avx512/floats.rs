//! f32 activations on `avx512vnni`: 16 rows' codes become floats in registers.
//!
//! The two low bits of a lane select -1, 0 or 1 from a table (`vpermilps`), a shift brings the next
//! byte down, and one FMA adds 16 products; nothing cancels, as codes are what is multiplied.
//! Twelve tokens by two vectors: 4 operations decode for 24 FMA, which are the limit. A single
//! token has two sums a row, so that eight FMA are in flight; there decoding is the limit.
//! A sum is one chain along K (two for a single token), whatever the tile, so that results do not
//! depend on how panels fall to threads.
use super::super::arrange::Tokens;
use super::super::avx512vnni::{BYTES, LANES, load, thrice};
use super::super::panels::Piece;
use super::fetch::{ahead, fetch};
use core::arch::x86_64::*;

/// Vectors of the panel, several at a time as long as there are so many.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub(in super::super) fn floats<const FIELDS: usize, const M: usize>(
    panel: Piece<'_, LANES, BYTES>,
    x: &[Tokens<f32, BYTES, FIELDS, M>],
    mut keep: impl FnMut(usize, &[[f32; LANES]; M]),
) {
    let mut v = 0;
    while v < panel.width {
        let at = Piece { v, ..panel };
        v += match (M, panel.width - v) {
            (1..=4, 4..) => save(v, &tile::<FIELDS, M, 4>(at, x), &mut keep),
            (8 | 12, 2..) => save(v, &tile::<FIELDS, M, 2>(at, x), &mut keep),
            _ => save(v, &tile::<FIELDS, M, 1>(at, x), &mut keep),
        };
    }
}

/// Hand over the sums of `P` vectors from `v` on, and say how many they are.
#[target_feature(enable = "avx512f")]
fn save<const M: usize, const P: usize>(
    v: usize,
    sums: &[[__m512; P]; M],
    keep: &mut impl FnMut(usize, &[[f32; LANES]; M]),
) -> usize {
    for p in 0..P {
        let mut rows = [[0.0; LANES]; M];
        for (rows, sums) in rows.iter_mut().zip(sums) {
            store(rows, sums[p]);
        }
        keep(v + p, &rows);
    }
    P
}

/// `P` vectors by `M` tokens.
#[inline(never)]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn tile<const FIELDS: usize, const M: usize, const P: usize>(
    at: Piece<'_, LANES, BYTES>,
    x: &[Tokens<f32, BYTES, FIELDS, M>],
) -> [[__m512; P]; M] {
    let chains = if M == 1 { 2 } else { 1 };
    let mut acc = [[[_mm512_setzero_ps(); P]; M]; 2];
    let mut soon = at.soon::<P>();
    for (vectors, x) in at.steps::<P>().zip(x) {
        if M > 4 {
            for vector in soon.next().unwrap_or_default() {
                fetch(vector);
            }
        }
        let mut w = [_mm512_setzero_si512(); P];
        for p in 0..P {
            w[p] = load(&vectors[p]);
            if M <= 4 {
                ahead(&vectors[p]);
            }
        }
        for x in x {
            let mut bytes = w;
            for p in 0..P {
                (bytes[p], w[p]) = field::<FIELDS>(w[p]);
            }
            for i in 0..BYTES {
                let mut codes = [_mm512_setzero_ps(); P];
                for p in 0..P {
                    codes[p] = number::<FIELDS>(bytes[p]);
                    bytes[p] = _mm512_srli_epi32::<8>(bytes[p]);
                }
                for t in 0..M {
                    let x = _mm512_set1_ps(x[t][i]);
                    for p in 0..P {
                        let sum = &mut acc[i % chains][t][p];
                        *sum = _mm512_fmadd_ps(codes[p], x, *sum);
                    }
                }
            }
        }
    }
    let [mut sums, more] = acc;
    for t in 0..M {
        for p in 0..P {
            sums[t][p] = _mm512_add_ps(sums[t][p], more[t][p]);
        }
    }
    sums
}

/// The next field at the bottom of each byte, and what the fields after it are taken from.
#[target_feature(enable = "avx512f,avx512bw")]
fn field<const FIELDS: usize>(w: __m512i) -> (__m512i, __m512i) {
    match FIELDS {
        4 => (w, _mm512_srli_epi32::<2>(w)),
        5 => {
            let c = _mm512_xor_si512(w, _mm512_set1_epi8(-1));
            let half = _mm512_avg_epu8(c, _mm512_set1_epi8(-1));
            (_mm512_srli_epi32::<6>(_mm512_avg_epu8(c, half)), thrice(w))
        }
        8 => (w, _mm512_srli_epi32::<1>(w)),
        _ => (_mm512_xor_si512(w, _mm512_set1_epi8(-128)), w),
    }
}

/// What the lowest bits of each lane stand for. ternary3 comes as 3 - digit.
#[target_feature(enable = "avx512f")]
fn number<const FIELDS: usize>(w: __m512i) -> __m512 {
    let table = match FIELDS {
        1 => {
            let code = _mm512_srai_epi32::<24>(_mm512_slli_epi32::<24>(w));
            return _mm512_cvtepi32_ps(code);
        }
        4 => _mm512_set4_ps(0.0, 1.0, 0.0, -1.0),
        5 => _mm512_set4_ps(-1.0, 0.0, 1.0, 0.0),
        _ => _mm512_set4_ps(1.0, -1.0, 1.0, -1.0),
    };
    _mm512_permutevar_ps(table, w)
}

#[target_feature(enable = "avx512f")]
fn store(rows: &mut [f32; LANES], sums: __m512) {
    // SAFETY: 16 f32 are 64 bytes; `storeu` has no alignment rule.
    unsafe { _mm512_storeu_ps(rows.as_mut_ptr(), sums) }
}
