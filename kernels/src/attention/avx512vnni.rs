//! `attention` AVX-512 with VNNI: 6 queries by 4 vectors of 16 keys, or of 16 values, in 24 of the
//! 32 registers.
//!
//! A step loads 4 vectors and broadcasts 6 floats for 24 FMAs: 10 loads in the 12 clocks that two
//! FMA units need. int8: `vpdpbusd` takes four codes of 16 keys; the query is the unsigned operand,
//! `q + 128`, and every sum begins with `-128 sum k`. It may wrap (`255 * 127 D` passes 2^31 at
//! D = 66311) and comes out right, since the sum of the codes themselves fits (D up to 133144).
//! `vscalefps` multiplies by `2^n` and rounds to a subnormal or to zero as IEEE has it.
use super::rows::Row;
use super::simd::{Simd, Work};
use crate::hardware::{self, Need};
use core::arch::x86_64::*;

/// Floats of a vector.
pub(crate) const L: usize = 16;

/// The row.
pub(super) static ROW: Row<Avx512, L, 6, 4> = Row::new();

/// Proof of AVX-512 F, BW, VL and VNNI.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx512(());

impl Simd<L> for Avx512 {
    const NAME: &'static str = "avx512vnni";
    const NEED: Need = Need::Avx512Vnni;
    const MAX_CODES: usize = usize::MAX;
    const CODES: usize = 4;
    type Floats = __m512;
    type Sums = __m512i;
    type Word = i32;

    fn detect() -> Option<Avx512> {
        hardware::avx512vnni().then_some(Avx512(()))
    }
    fn enter(self, work: impl Work<Self>) {
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,fma")]
        fn run(isa: Avx512, work: impl Work<Avx512>) {
            work.run(isa);
        }
        // SAFETY: `self` exists only where the CPU has the features.
        unsafe { run(self, work) }
    }

    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        // SAFETY: as in `enter`.
        unsafe { _mm512_set1_ps(x) }
    }
    #[inline(always)]
    fn load(self, x: &[f32; L]) -> __m512 {
        // SAFETY: as in `enter`; the array is one vector, and `loadu` has no alignment rule.
        unsafe { _mm512_loadu_ps(x.as_ptr()) }
    }
    #[inline(always)]
    fn store(self, x: __m512, to: &mut [f32; L]) {
        // SAFETY: as in `enter`; the array is one vector, and `storeu` has no alignment rule.
        unsafe { _mm512_storeu_ps(to.as_mut_ptr(), x) }
    }
    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: as in `enter`.
        unsafe { _mm512_add_ps(a, b) }
    }
    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: as in `enter`.
        unsafe { _mm512_sub_ps(a, b) }
    }
    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: as in `enter`.
        unsafe { _mm512_mul_ps(a, b) }
    }
    #[inline(always)]
    fn div(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: as in `enter`.
        unsafe { _mm512_div_ps(a, b) }
    }
    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: as in `enter`.
        unsafe { _mm512_max_ps(a, b) }
    }
    #[inline(always)]
    fn largest(self, x: __m512) -> f32 {
        // SAFETY: as in `enter`.
        unsafe { _mm512_reduce_max_ps(x) }
    }
    #[inline(always)]
    fn fma(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: as in `enter`.
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    fn round(self, x: __m512) -> __m512 {
        const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
        // SAFETY: as in `enter`.
        unsafe { _mm512_roundscale_ps::<NEAREST>(x) }
    }
    #[inline(always)]
    fn scale(self, p: __m512, n: __m512) -> __m512 {
        // SAFETY: as in `enter`.
        unsafe { _mm512_scalef_ps(p, n) }
    }

    fn key_word(codes: &[i8]) -> i32 {
        i32::from_le_bytes(four(codes).map(i8::cast_unsigned))
    }
    fn query_word(codes: &[i8]) -> i32 {
        i32::from_le_bytes(four(codes).map(|code| code.cast_unsigned() ^ 0x80))
    }
    fn start(sum: i32) -> i32 {
        sum.wrapping_mul(-128)
    }
    #[inline(always)]
    fn begin(self, start: &[i32; L]) -> __m512i {
        // SAFETY: as in `enter`; the array is one vector, and `loadu` has no alignment rule.
        unsafe { _mm512_loadu_si512(start.as_ptr().cast()) }
    }
    #[inline(always)]
    fn dot(self, sums: __m512i, q: i32, k: &[i32; L]) -> __m512i {
        // SAFETY: as in `enter`; the array is one vector, and `loadu` has no alignment rule.
        unsafe {
            _mm512_dpbusd_epi32(sums, _mm512_set1_epi32(q), _mm512_loadu_si512(k.as_ptr().cast()))
        }
    }
    #[inline(always)]
    fn floats(self, sums: __m512i) -> __m512 {
        // SAFETY: as in `enter`.
        unsafe { _mm512_cvtepi32_ps(sums) }
    }
}

fn four(codes: &[i8]) -> [i8; 4] {
    let mut four = [0; 4];
    four[..codes.len()].copy_from_slice(codes);
    four
}
