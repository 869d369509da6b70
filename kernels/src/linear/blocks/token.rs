//! Activations arranged for a tile: tokens side by side, block by block, with their sums.
use super::{QUAD, Step};
use crate::buffer::{Buffer, Element};
use std::ops::Range;

/// Activations as they come.
#[derive(Debug)]
pub(in super::super) enum Source {
    Floats(Buffer<f32>),
    Signed(Buffer<i8>),
    Unsigned(Buffer<u8>),
}

/// What activations are arranged as.
pub(in super::super) trait Value: Element + Default {
    /// Sum of a block's codes; floats need none.
    fn total(x: &[Self]) -> i32;
    /// The zero point that arranged codes have, of the one they came with.
    fn zero_point(source: &Source, zero_point: i32) -> i32;
    /// The values of `at`, in place or converted into `scratch`.
    fn row<'x>(
        source: &'x Source,
        at: Range<usize>,
        zero_point: i32,
        scratch: &'x mut Vec<Self>,
    ) -> &'x [Self];
}

impl Value for i8 {
    fn total(x: &[i8]) -> i32 {
        x.iter().map(|x| i32::from(*x)).sum()
    }
    /// Unsigned codes are arranged as `x - 128`.
    fn zero_point(source: &Source, zero_point: i32) -> i32 {
        if matches!(source, Source::Unsigned(_)) { zero_point - 128 } else { zero_point }
    }
    fn row<'x>(source: &'x Source, at: Range<usize>, _: i32, scratch: &'x mut Vec<i8>) -> &'x [i8] {
        match source {
            Source::Signed(x) => return &x[at],
            Source::Unsigned(x) => scratch.extend(x[at].iter().map(|x| (x ^ 128).cast_signed())),
            // Floats have no codes; nothing asks for them.
            Source::Floats(_) => scratch.resize(at.len(), 0),
        }
        scratch
    }
}

impl Value for f32 {
    fn total(_: &[f32]) -> i32 {
        0
    }
    fn zero_point(_: &Source, _: i32) -> i32 {
        0
    }
    /// Codes less their zero point, exactly.
    fn row<'x>(
        source: &'x Source,
        at: Range<usize>,
        zero_point: i32,
        scratch: &'x mut Vec<f32>,
    ) -> &'x [f32] {
        let float = |code: i32| (code - zero_point) as f32;
        match source {
            Source::Floats(x) => return &x[at],
            Source::Signed(x) => scratch.extend(x[at].iter().map(|x| float((*x).into()))),
            Source::Unsigned(x) => scratch.extend(x[at].iter().map(|x| float((*x).into()))),
        }
        scratch
    }
}

/// `M` tokens as a tile reads them, side by side.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Tokens<'a, T, const FIELDS: usize, const M: usize> {
    /// Whole blocks.
    pub(super) steps: &'a [Step<T, FIELDS, M>],
    /// `-bias sum x` of each block; against zero points `-sum x`.
    pub(super) offsets: &'a [[i32; M]],
    /// What is taken off each code.
    pub(super) zero_points: [i32; M],
}

/// Copy the blocks of `M` tokens, `block_len` values each, side by side, filled up with zeros to
/// whole units, and total them.
pub(super) fn arrange<T: Value, const FIELDS: usize, const M: usize>(
    x: [&[T]; M],
    (block_len, bias): (usize, i32),
    to: &mut [Step<T, FIELDS, M>],
    offsets: &mut [[i32; M]],
) {
    let units = block_len.div_ceil(QUAD * FIELDS);
    for (b, (to, offsets)) in to.chunks_exact_mut(units).zip(offsets).enumerate() {
        for (t, (x, offset)) in x.iter().zip(offsets).enumerate() {
            let block = &x[b * block_len..];
            let block = &block[..block_len.min(block.len())];
            *offset = T::total(block).wrapping_mul(-bias);
            let (quads, rest) = block.as_chunks::<QUAD>();
            let (whole, part) = to.as_flattened_mut().split_at_mut(quads.len());
            for (place, quad) in whole.iter_mut().zip(quads) {
                place[t] = *quad;
            }
            part.iter_mut().for_each(|place| place[t] = [T::default(); QUAD]);
            if let Some(place) = part.first_mut() {
                place[t][..rest.len()].copy_from_slice(rest);
            }
        }
    }
}
