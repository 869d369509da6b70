//! A tile of 6 inputs by 16 outputs on AVX2 with FMA: twelve vectors of
//! sums, six inputs broadcast and two loads for twelve FMA. A sum of products rounds once a token.
use super::outer::Tile;
use crate::linear::avx2;
use core::arch::x86_64::*;

/// Made only where the instructions were detected.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found(());

impl From<avx2::Found> for Found {
    /// What shows that `linear` has its instructions shows that these are there.
    fn from(_: avx2::Found) -> Found {
        Found(())
    }
}

/// Inputs of a tile.
const MR: usize = 6;
/// Outputs of a tile: two vectors.
const NR: usize = 16;
/// Outputs of a vector.
const LANES: usize = 8;

impl Tile<MR, NR> for Found {
    fn tile(self, a: &[[f32; MR]], b: &[[f32; NR]], c: &mut [[f32; NR]; MR]) {
        // SAFETY: a `Found` is made only after detection.
        unsafe { sums(a, b, c) }
    }
}

#[target_feature(enable = "avx2,fma")]
fn sums(a: &[[f32; MR]], b: &[[f32; NR]], c: &mut [[f32; NR]; MR]) {
    let mut acc = [[_mm256_setzero_ps(); 2]; MR];
    for (a, b) in a.iter().zip(b) {
        let b = b.as_chunks::<LANES>().0;
        let b = [load(&b[0]), load(&b[1])];
        for i in 0..MR {
            let a = _mm256_set1_ps(a[i]);
            for j in 0..2 {
                acc[i][j] = _mm256_fmadd_ps(a, b[j], acc[i][j]);
            }
        }
    }
    for (c, acc) in c.iter_mut().zip(acc) {
        for (c, acc) in c.as_chunks_mut::<LANES>().0.iter_mut().zip(acc) {
            store(c, acc);
        }
    }
}

#[target_feature(enable = "avx2,fma")]
fn load(from: &[f32; LANES]) -> __m256 {
    // SAFETY: the array holds a vector; `loadu` has no alignment rule.
    unsafe { _mm256_loadu_ps(from.as_ptr()) }
}

#[target_feature(enable = "avx2,fma")]
fn store(to: &mut [f32; LANES], sums: __m256) {
    // SAFETY: the array holds a vector; `storeu` has no alignment rule.
    unsafe { _mm256_storeu_ps(to.as_mut_ptr(), sums) }
}
