//! `hadamard` AVX2 with FMA: a vector of 8 lanes is paired within itself by three permutations,
//! `x' = permuted + s x` with `s` of 1 and -1: one rounding, that of the sum. Every value is
//! `log2 n` additions and one product, so nothing overflows before `sum |x|` does.
use super::rows::{Row, Within};
use crate::attention::avx2::{Avx2, L};
use core::arch::x86_64::*;

/// The row.
pub(super) static ROW: Row<Avx2, L> = Row::new();

impl Within<L> for Avx2 {
    #[inline(always)]
    fn within(self, x: __m256, n: usize) -> __m256 {
        // SAFETY: `self` exists only where the CPU has AVX2 and FMA.
        unsafe { within(x, n) }
    }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn within(x: __m256, n: usize) -> __m256 {
    let mut x = x;
    if n > 1 {
        let signs = _mm256_setr_ps(1.0, -1.0, 1.0, -1.0, 1.0, -1.0, 1.0, -1.0);
        x = _mm256_fmadd_ps(x, signs, _mm256_permute_ps::<0b10_11_00_01>(x));
    }
    if n > 2 {
        let signs = _mm256_setr_ps(1.0, 1.0, -1.0, -1.0, 1.0, 1.0, -1.0, -1.0);
        x = _mm256_fmadd_ps(x, signs, _mm256_permute_ps::<0b01_00_11_10>(x));
    }
    if n > 4 {
        let signs = _mm256_setr_ps(1.0, 1.0, 1.0, 1.0, -1.0, -1.0, -1.0, -1.0);
        x = _mm256_fmadd_ps(x, signs, _mm256_permute2f128_ps::<1>(x, x));
    }
    x
}
