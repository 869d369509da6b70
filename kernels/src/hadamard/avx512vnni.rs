//! `hadamard` AVX-512 F (no VNNI: these are floats): a vector of 16 lanes is paired within itself
//! by four permutations, `x' = permuted + s x` with `s` of 1 and -1: one rounding, that of the sum.
//! Every value is `log2 n` additions and one product, so nothing overflows before `sum |x|` does.
use super::rows::{Row, Within};
use crate::attention::avx512vnni::{Avx512, L};
use core::arch::x86_64::*;

/// The row.
pub(super) static ROW: Row<Avx512, L> = Row::new();

impl Within<L> for Avx512 {
    #[inline(always)]
    fn within(self, x: __m512, n: usize) -> __m512 {
        // SAFETY: `self` exists only where the CPU has AVX-512 F.
        unsafe { within(x, n) }
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn within(x: __m512, n: usize) -> __m512 {
    let mut x = x;
    if n > 1 {
        x = _mm512_fmadd_ps(x, signs(0b1010_1010_1010_1010), _mm512_permute_ps::<0b10_11_00_01>(x));
    }
    if n > 2 {
        x = _mm512_fmadd_ps(x, signs(0b1100_1100_1100_1100), _mm512_permute_ps::<0b01_00_11_10>(x));
    }
    if n > 4 {
        let pairs = _mm512_shuffle_f32x4::<0b10_11_00_01>(x, x);
        x = _mm512_fmadd_ps(x, signs(0b1111_0000_1111_0000), pairs);
    }
    if n > 8 {
        let halves = _mm512_shuffle_f32x4::<0b01_00_11_10>(x, x);
        x = _mm512_fmadd_ps(x, signs(0b1111_1111_0000_0000), halves);
    }
    x
}

/// -1 where the mask is set, else 1.
#[inline]
#[target_feature(enable = "avx512f")]
fn signs(mask: u16) -> __m512 {
    _mm512_mask_mov_ps(_mm512_set1_ps(1.0), mask, _mm512_set1_ps(-1.0))
}
