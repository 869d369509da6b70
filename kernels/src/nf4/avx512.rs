//! AVX-512 F and VL: a cell of 32, its midpoint and the number below it by two permutations of two
//! vectors each, one comparison: 8 operations for 16 values.
use super::{MIDPOINTS, Nf4};
use crate::blocks::avx512::store_bytes;
use crate::quantize::avx512::Avx512;
use crate::quantize::isa::STEP;
use std::arch::x86_64::*;

impl Nf4 for Avx512 {
    #[inline(always)]
    fn codes(self, x: &[f32; STEP], reciprocal: f32, codes: &mut [u8; STEP]) {
        // SAFETY: `self` exists only where the CPU has AVX-512 F and VL.
        unsafe { codes_of(x, reciprocal, codes) }
    }
}

/// The midpoint in each cell, or what no quotient is above; and how many lie below the cell.
const CELLS: ([f32; 32], [i32; 32]) = cells();

const fn cells() -> ([f32; 32], [i32; 32]) {
    let (mut midpoints, mut below) = ([f32::INFINITY; 32], [0; 32]);
    let mut i = 0;
    while i < MIDPOINTS.len() {
        let mut cell = ((16.0 * MIDPOINTS[i] + 16.0) as i32).cast_unsigned() as usize;
        midpoints[cell] = MIDPOINTS[i];
        cell += 1;
        while cell < 32 {
            below[cell] += 1;
            cell += 1;
        }
        i += 1;
    }
    (midpoints, below)
}

#[inline]
#[target_feature(enable = "avx512f,avx512vl")]
fn codes_of(x: &[f32; STEP], reciprocal: f32, codes: &mut [u8; STEP]) {
    let (midpoints, below) = (CELLS.0.as_ptr(), CELLS.1.as_ptr());
    // SAFETY: each table is two vectors of 16; the loads need no alignment.
    let (midpoints, below) = unsafe {
        (
            [_mm512_loadu_ps(midpoints), _mm512_loadu_ps(midpoints.add(16))],
            [_mm512_loadu_si512(below.cast()), _mm512_loadu_si512(below.add(16).cast())],
        )
    };
    let (reciprocal, sixteen) = (_mm512_set1_ps(reciprocal), _mm512_set1_ps(16.0));
    let mut lanes = [_mm512_setzero_si512(); 2];
    for (lane, x) in lanes.iter_mut().zip(x.as_chunks::<16>().0) {
        // SAFETY: 16 values are a vector; the load needs no alignment.
        let q = unsafe { _mm512_mul_ps(_mm512_loadu_ps(x.as_ptr()), reciprocal) };
        let cell = _mm512_cvttps_epi32(_mm512_fmadd_ps(q, sixteen, sixteen));
        let cell = _mm512_min_epi32(cell, _mm512_set1_epi32(31));
        let midpoint = _mm512_permutex2var_ps(midpoints[0], cell, midpoints[1]);
        let code = _mm512_permutex2var_epi32(below[0], cell, below[1]);
        let above = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(q, midpoint);
        *lane = _mm512_mask_add_epi32(code, above, code, _mm512_set1_epi32(1));
    }
    store_bytes(lanes, codes);
}
