//! A tile of 12 inputs by 32 outputs on AVX-512: 24 vectors of sums,
//! twelve inputs broadcast and two loads for 24 FMA, which are the limit (two a clock on Zen 5).
use super::outer::Tile;
use crate::linear::avx512vnni;
use core::arch::x86_64::*;

/// Made only where the instructions were detected.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found(());

impl From<avx512vnni::Found> for Found {
    /// What shows that `linear` has its instructions shows that these are there.
    fn from(_: avx512vnni::Found) -> Found {
        Found(())
    }
}

/// Inputs of a tile.
const MR: usize = 12;
/// Outputs of a tile: two vectors.
const NR: usize = 32;
/// Outputs of a vector.
const LANES: usize = 16;

impl Tile<MR, NR> for Found {
    fn tile(self, a: &[[f32; MR]], b: &[[f32; NR]], c: &mut [[f32; NR]; MR]) {
        // SAFETY: a `Found` is made only after detection.
        unsafe { sums(a, b, c) }
    }
}

#[target_feature(enable = "avx512f")]
fn sums(a: &[[f32; MR]], b: &[[f32; NR]], c: &mut [[f32; NR]; MR]) {
    let mut acc = [[_mm512_setzero_ps(); 2]; MR];
    for (a, b) in a.iter().zip(b) {
        let b = b.as_chunks::<LANES>().0;
        let b = [load(&b[0]), load(&b[1])];
        for i in 0..MR {
            let a = _mm512_set1_ps(a[i]);
            for j in 0..2 {
                acc[i][j] = _mm512_fmadd_ps(a, b[j], acc[i][j]);
            }
        }
    }
    for (c, acc) in c.iter_mut().zip(acc) {
        for (c, acc) in c.as_chunks_mut::<LANES>().0.iter_mut().zip(acc) {
            store(c, acc);
        }
    }
}

#[target_feature(enable = "avx512f")]
fn load(from: &[f32; LANES]) -> __m512 {
    // SAFETY: the array holds a vector; `loadu` has no alignment rule.
    unsafe { _mm512_loadu_ps(from.as_ptr()) }
}

#[target_feature(enable = "avx512f")]
fn store(to: &mut [f32; LANES], sums: __m512) {
    // SAFETY: the array holds a vector; `storeu` has no alignment rule.
    unsafe { _mm512_storeu_ps(to.as_mut_ptr(), sums) }
}
