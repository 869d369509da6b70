//! `avx512vnni`: 16 weight rows a vector, 64 codes a `vpdpbusd`, weights decoded in registers.
//!
//! Layout `lanes16`: a lane of 32 bits is a weight row, so the four bytes of a step meet four
//! activations broadcast to all lanes, and no sum crosses lanes. Stored codes are the unsigned
//! operand, activations the signed one: `acc += u8 * s8` in groups of four, without saturation.
//!
//! Tiles of 2 tokens and more shift a field down and mask it, once for all tokens:
//! `stored_j = (w >> 8/F j) & mask`. Twelve tokens by two vectors are 24 sums in flight, 14 loads
//! and up to 4 other operations for 24 `vpdpbusd`, which are the limit (two a clock on Zen 5).
//! Sums wrap modulo 2^32 (int8: `255 * 128 K` passes 2^31 at K = 65794), which the loop undoes.
//!
//! One token shifts nothing: `dot(w & (mask << 2j), x_j) = 4^j dot(stored_j, x_j)`, a sum a field,
//! shifted down every 16384 steps: exact, as `|sum| <= 192 * 128 * 4 * 16384 < 2^31` (ternary; sign,
//! in halves of four fields, is smaller).
//! A ternary3 byte `q` is never taken apart: with `q_0 = q`, `q_(j+1) = 3 q_j mod 256` digit `j` is
//! `(3 q_j - q_(j+1)) / 256`, so `256 sum d x = 3 sum q_j x_j - sum q_(j+1) x_j`, taken every 1024
//! steps: `256 * 2 * 128 * 20 * 1024 < 2^31`.
//! Several tokens take digits: `3 - d = avg(c, avg(c, 255)) >> 6` with `c = 255 - q` rounds as it
//! must (`avg` rounds up, the complement down), so two bits of its complement are `d`.
use super::arrange::Tokens;
use super::avx512::fetch::{ahead, fetch};
use super::avx512::{arrange, floats, gemv};
use super::blocks;
use super::panels::{Piece, Vector};
use super::rows::{self, Dot};
use crate::context::Context;
use crate::hardware::Need;
use crate::{Determinism, Failure, Kernel, Prepared};
use core::arch::x86_64::*;
use lowbit_reference::format::layout::{LANES16, Layout};
use lowbit_reference::op::Arithmetic;
use lowbit_reference::op::linear::{Linear, LinearProblem};

/// The row.
#[derive(Debug)]
pub(super) struct Avx512Vnni;

impl Kernel<Linear> for Avx512Vnni {
    fn name(&self) -> &'static str {
        "avx512vnni"
    }
    fn need(&self) -> Need {
        Need::Avx512Vnni
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
            return blocks::prepare(blocks::avx512vnni::Found::new(context)?, problem, context);
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
        context.hardware().has(Need::Avx512Vnni).map(|()| Found(()))
    }
}

/// Weight rows of a vector.
pub(crate) const LANES: usize = 16;
/// Weight bytes of a row in a vector.
pub(crate) const BYTES: usize = 4;

impl Dot<i8, LANES, BYTES> for Found {
    const LAYOUT: &'static Layout = &LANES16;
    fn arrange<const FIELDS: usize>(self, x: &[i8], to: &mut [[[i8; BYTES]; FIELDS]]) -> i32 {
        // SAFETY: a `Found` is made only after detection.
        unsafe { arrange::codes(x, to) }
    }
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
    const LAYOUT: &'static Layout = &LANES16;
    #[inline]
    fn tile<const FIELDS: usize, const M: usize>(
        self,
        panel: Piece<'_, LANES, BYTES>,
        x: &[Tokens<f32, BYTES, FIELDS, M>],
        keep: impl FnMut(usize, &[[f32; LANES]; M]),
    ) {
        // SAFETY: a `Found` is made only after detection.
        unsafe { floats::floats(panel, x, keep) }
    }
}

/// Vectors of the panel, several at a time as long as there are so many.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn integers<const FIELDS: usize, const M: usize>(
    panel: Piece<'_, LANES, BYTES>,
    x: &[Tokens<i8, BYTES, FIELDS, M>],
    mut keep: impl FnMut(usize, &[[i32; LANES]; M]),
) {
    let mut v = 0;
    while v < panel.width {
        let at = Piece { v, ..panel };
        v += match (FIELDS, M, panel.width - v) {
            (4 | 8, 1, 4..) => save(v, &gemv::bits::<FIELDS, M, 4>(at, x), &mut keep),
            (4 | 8, 1, _) => save(v, &gemv::bits::<FIELDS, M, 1>(at, x), &mut keep),
            (5, 1, 4..) => save(v, &gemv::thirds::<FIELDS, M, 4>(at, x), &mut keep),
            (5, 1, _) => save(v, &gemv::thirds::<FIELDS, M, 1>(at, x), &mut keep),
            (_, 1 | 2 | 4, 4..) => save(v, &tile::<FIELDS, M, 4>(at, x), &mut keep),
            (_, 8 | 12, 2..) => save(v, &tile::<FIELDS, M, 2>(at, x), &mut keep),
            _ => save(v, &tile::<FIELDS, M, 1>(at, x), &mut keep),
        };
    }
}

/// Hand over the sums of `P` vectors from `v` on, and say how many they are.
#[target_feature(enable = "avx512f")]
fn save<const M: usize, const P: usize>(
    v: usize,
    sums: &[[__m512i; P]; M],
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

/// `P` vectors by `M` tokens: a field is decoded once for all tokens.
#[inline(never)]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn tile<const FIELDS: usize, const M: usize, const P: usize>(
    at: Piece<'_, LANES, BYTES>,
    x: &[Tokens<i8, BYTES, FIELDS, M>],
) -> [[__m512i; P]; M] {
    let mut acc = [[_mm512_setzero_si512(); P]; M];
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
            let mut codes = w;
            for p in 0..P {
                (codes[p], w[p]) = field::<FIELDS>(w[p]);
            }
            for t in 0..M {
                let x = _mm512_set1_epi32(i32::from_ne_bytes(x[t].map(i8::cast_unsigned)));
                for p in 0..P {
                    acc[t][p] = _mm512_dpbusd_epi32(acc[t][p], codes[p], x);
                }
            }
        }
    }
    // Not `acc` itself: sums made in the place of the result are stored at every step.
    std::array::from_fn(|t| acc[t])
}

/// The codes of the next field, and what the fields after it are taken from.
#[target_feature(enable = "avx512f,avx512bw")]
fn field<const FIELDS: usize>(w: __m512i) -> (__m512i, __m512i) {
    match FIELDS {
        4 => (_mm512_and_si512(w, _mm512_set1_epi8(3)), _mm512_srli_epi16::<2>(w)),
        5 => {
            let c = _mm512_xor_si512(w, _mm512_set1_epi8(-1));
            let half = _mm512_avg_epu8(c, _mm512_set1_epi8(-1));
            let top = _mm512_srli_epi16::<6>(_mm512_avg_epu8(c, half));
            (_mm512_andnot_si512(top, _mm512_set1_epi8(3)), thrice(w))
        }
        8 => (_mm512_and_si512(w, _mm512_set1_epi8(1)), _mm512_srli_epi16::<1>(w)),
        _ => (w, w),
    }
}

/// `3 q mod 256` of every byte. LLVM would fold two of them into a product by 9, which has no
/// instruction for bytes and takes four; that it cannot see through an empty `asm`.
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn thrice(q: __m512i) -> __m512i {
    let mut q = q;
    // SAFETY: no instruction at all; the register keeps its value.
    unsafe {
        core::arch::asm!("/* {0} */", inout(zmm_reg) q, options(pure, nomem, nostack, preserves_flags));
    }
    _mm512_add_epi8(_mm512_add_epi8(q, q), q)
}

#[target_feature(enable = "avx512f")]
pub(super) fn load(vector: &Vector<LANES, BYTES>) -> __m512i {
    // SAFETY: 16 times 4 bytes are 64; `loadu` has no alignment rule.
    unsafe { _mm512_loadu_si512(vector.as_ptr().cast()) }
}

#[target_feature(enable = "avx512f")]
fn store(rows: &mut [i32; LANES], sums: __m512i) {
    // SAFETY: 16 i32 are 64 bytes; `storeu` has no alignment rule.
    unsafe { _mm512_storeu_si512(rows.as_mut_ptr().cast(), sums) }
}
