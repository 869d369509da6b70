//! `avx512vnni`: layout `lanes16` as transposes of 16 by 16 words (AVX-512 F; no VNNI).
//!
//! 64 bytes of each of 16 rows are 16 vectors; two rounds of `vpunpck` transpose 4 by 4 words within
//! lanes of 128 bits, two rounds of `vshufi32x4` the lanes: 64 shuffles for 1 KiB, two a clock.
//! Rows past 64 bytes and vectors of fewer than 16 rows take the plain way.
use super::Run;
use crate::context::Context;
use crate::hardware::Need;
use crate::linear::panels::{Mover, Plain, Vector};
use crate::{Determinism, Failure, Kernel, Prepared};
use core::arch::x86_64::*;
use lowbit_reference::format::layout::LANES16;
use lowbit_reference::op::Arithmetic;
use lowbit_reference::op::pack_linear::{PackLinear, PackProblem};

/// The row.
#[derive(Debug)]
pub(super) struct Avx512Vnni;

impl Kernel<PackLinear> for Avx512Vnni {
    fn name(&self) -> &'static str {
        "avx512vnni"
    }
    fn need(&self) -> Need {
        Need::Avx512Vnni
    }
    fn determinism(&self) -> Determinism {
        Determinism::EXACT
    }
    fn arithmetic(&self, _: &PackProblem) -> Arithmetic {
        Arithmetic::INTEGER
    }
    fn accepts(&self, problem: &PackProblem) -> Result<(), String> {
        match problem.layout == &LANES16 {
            true => Ok(()),
            false => Err(format!("the layout is `{}`", problem.layout.name)),
        }
    }
    fn prepare<'p>(
        &self,
        problem: &'p PackProblem,
        context: &mut Context,
    ) -> Result<Box<dyn Prepared + 'p>, Failure> {
        context.hardware().has(self.need())?;
        Ok(Box::new(Run::<_, 16, 4>::new(Found(()), problem, context)))
    }
}

/// Made only where the instructions were detected.
#[derive(Clone, Copy)]
struct Found(());

/// Bytes of a row in a transpose.
const BLOCK: usize = 64;

impl Mover for Found {
    fn vectors<const LANES: usize, const BYTES: usize>(
        self,
        rows: &[&[u8]],
        to: &mut [Vector<LANES, BYTES>],
        stride: usize,
    ) {
        let blocks = match rows.as_array::<16>() {
            Some(rows) if BYTES == 4 => {
                let bytes = to.as_flattened_mut().as_flattened_mut().as_chunks_mut().0;
                // SAFETY: a `Found` is made only after detection.
                unsafe { blocks(rows, bytes, stride) }
            }
            _ => 0,
        };
        let mut rests = [&[][..]; LANES];
        for (rest, row) in rests.iter_mut().zip(rows) {
            *rest = &row[blocks * BLOCK..];
        }
        if let Some(to) = to.get_mut(blocks * BLOCK / BYTES * stride..) {
            Plain.vectors(&rests[..rows.len()], to, stride);
        }
    }
}

/// Transpose the whole blocks of the rows, and say how many they are.
#[target_feature(enable = "avx512f")]
fn blocks(rows: &[&[u8]; 16], to: &mut [[u8; BLOCK]], stride: usize) -> usize {
    let blocks = rows.map(|row| row.as_chunks::<BLOCK>().0);
    let count = blocks[0].len();
    let mut vectors = to.iter_mut().step_by(stride);
    for i in 0..count {
        let mut block = [_mm512_setzero_si512(); 16];
        for (vector, row) in block.iter_mut().zip(&blocks) {
            *vector = load(&row[i]);
        }
        for (vector, to) in transposed(block).into_iter().zip(&mut vectors) {
            store(to, vector);
        }
    }
    count
}

/// 16 by 16 words the other way round.
#[target_feature(enable = "avx512f")]
fn transposed(rows: [__m512i; 16]) -> [__m512i; 16] {
    let mut words = rows;
    for g in (0..16).step_by(4) {
        let [a, b, c, d] = [rows[g], rows[g + 1], rows[g + 2], rows[g + 3]];
        let (low, high) = (_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
        let (low_2, high_2) = (_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
        words[g] = _mm512_unpacklo_epi64(low, low_2);
        words[g + 1] = _mm512_unpackhi_epi64(low, low_2);
        words[g + 2] = _mm512_unpacklo_epi64(high, high_2);
        words[g + 3] = _mm512_unpackhi_epi64(high, high_2);
    }
    // Lane l of words[4 g + c] is word 4 l + c of rows 4 g to 4 g + 3.
    let mut columns = rows;
    for c in 0..4 {
        let [p, q, r, s] = [words[c], words[4 + c], words[8 + c], words[12 + c]];
        let (even, odd) = (_mm512_shuffle_i32x4::<0x88>(p, q), _mm512_shuffle_i32x4::<0xdd>(p, q));
        let (even_2, odd_2) =
            (_mm512_shuffle_i32x4::<0x88>(r, s), _mm512_shuffle_i32x4::<0xdd>(r, s));
        columns[c] = _mm512_shuffle_i32x4::<0x88>(even, even_2);
        columns[4 + c] = _mm512_shuffle_i32x4::<0x88>(odd, odd_2);
        columns[8 + c] = _mm512_shuffle_i32x4::<0xdd>(even, even_2);
        columns[12 + c] = _mm512_shuffle_i32x4::<0xdd>(odd, odd_2);
    }
    columns
}

#[target_feature(enable = "avx512f")]
fn load(bytes: &[u8; BLOCK]) -> __m512i {
    // SAFETY: 64 bytes; `loadu` has no alignment rule.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

#[target_feature(enable = "avx512f")]
fn store(to: &mut [u8; BLOCK], vector: __m512i) {
    // SAFETY: 64 bytes; `storeu` has no alignment rule.
    unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), vector) }
}
