//! One token on `avx512vnni`: fields are multiplied where they stand.
//!
//! The formulas and their bounds are in `avx512vnni.rs`. Four vectors by four fields are 16 sums
//! in flight; a field costs one mask and one `vpdpbusd`, eight operations for 256 codes on the four
//! vector ports of Zen 5 while two of them take `vpdpbusd`: both are busy. The stream is fetched
//! ahead, across panels, as memory needs; this costs nothing where weights are in a cache.
use super::super::arrange::Tokens;
use super::super::avx512vnni::{BYTES, LANES, load, thrice};
use super::super::panels::Piece;
use super::fetch::ahead;
use core::arch::x86_64::*;

/// Steps whose sums fit 31 bits where fields stand: `192 * 128 * 4 * 16384 < 2^31`.
const SAFE_BITS: usize = 16384;
/// Steps of ternary3 whose sum, times 256, fits 31 bits.
const SAFE: usize = 1024;

/// ternary2 and sign1.
#[inline(never)]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
pub(in super::super) fn bits<const FIELDS: usize, const M: usize, const P: usize>(
    at: Piece<'_, LANES, BYTES>,
    x: &[Tokens<i8, BYTES, FIELDS, M>],
) -> [[__m512i; P]; M] {
    let mask = |bits: i8| _mm512_set1_epi8(bits);
    let masks = match FIELDS {
        4 => [mask(0x03), mask(0x0c), mask(0x30), mask(0xc0_u8.cast_signed())],
        _ => [mask(1), mask(2), mask(4), mask(8)],
    };
    let mut sums = [[_mm512_setzero_si512(); P]; M];
    let mut steps = at.steps::<P>();
    for x in x.chunks(SAFE_BITS) {
        let mut acc = [[_mm512_setzero_si512(); 4]; P];
        for (x, vectors) in x.iter().zip(&mut steps) {
            let mut w = [_mm512_setzero_si512(); P];
            for p in 0..P {
                w[p] = load(&vectors[p]);
                ahead(&vectors[p]);
            }
            for half in x.chunks_exact(4) {
                for j in 0..4 {
                    let x =
                        _mm512_set1_epi32(i32::from_ne_bytes(half[j][0].map(i8::cast_unsigned)));
                    for p in 0..P {
                        let codes = _mm512_and_si512(w[p], masks[j]);
                        acc[p][j] = _mm512_dpbusd_epi32(acc[p][j], codes, x);
                    }
                }
                for w in &mut w {
                    *w = _mm512_srli_epi16::<4>(*w);
                }
            }
        }
        for p in 0..P {
            sums[0][p] = _mm512_add_epi32(sums[0][p], shifted_down::<FIELDS>(acc[p]));
        }
    }
    sums
}

/// The sum of four fields' sums, each a multiple of its field's place.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn shifted_down<const FIELDS: usize>([a, b, c, d]: [__m512i; 4]) -> __m512i {
    let [b, c, d] = match FIELDS {
        4 => [_mm512_srai_epi32::<2>(b), _mm512_srai_epi32::<4>(c), _mm512_srai_epi32::<6>(d)],
        _ => [_mm512_srai_epi32::<1>(b), _mm512_srai_epi32::<2>(c), _mm512_srai_epi32::<3>(d)],
    };
    _mm512_add_epi32(_mm512_add_epi32(a, b), _mm512_add_epi32(c, d))
}

/// ternary3.
#[inline(never)]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
pub(in super::super) fn thirds<const FIELDS: usize, const M: usize, const P: usize>(
    at: Piece<'_, LANES, BYTES>,
    x: &[Tokens<i8, BYTES, FIELDS, M>],
) -> [[__m512i; P]; M] {
    let mut sums = [[_mm512_setzero_si512(); P]; M];
    let mut steps = at.steps::<P>();
    for x in x.chunks(SAFE) {
        let mut these = [_mm512_setzero_si512(); P];
        let mut nexts = [_mm512_setzero_si512(); P];
        for (x, vectors) in x.iter().zip(&mut steps) {
            let mut q = [_mm512_setzero_si512(); P];
            for p in 0..P {
                q[p] = load(&vectors[p]);
                ahead(&vectors[p]);
            }
            for x in x {
                let x = _mm512_set1_epi32(i32::from_ne_bytes(x[0].map(i8::cast_unsigned)));
                for p in 0..P {
                    these[p] = _mm512_dpbusd_epi32(these[p], q[p], x);
                    q[p] = thrice(q[p]);
                    nexts[p] = _mm512_dpbusd_epi32(nexts[p], q[p], x);
                }
            }
        }
        for p in 0..P {
            let three = _mm512_mullo_epi32(these[p], _mm512_set1_epi32(3));
            let sum = _mm512_srai_epi32::<8>(_mm512_sub_epi32(three, nexts[p]));
            sums[0][p] = _mm512_add_epi32(sums[0][p], sum);
        }
    }
    sums
}
