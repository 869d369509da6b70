//! Activations arranged for a tile: block by block, padded to whole units, with their sums.
use super::{QUAD, Step};
use crate::buffer::Element;

/// An element of the activations.
pub(in super::super) trait Value: Element + Default {
    /// Sum of a block's codes; floats need none.
    fn total(x: &[Self]) -> i32;
}
impl Value for i8 {
    fn total(x: &[i8]) -> i32 {
        x.iter().map(|x| i32::from(*x)).sum()
    }
}
impl Value for f32 {
    fn total(_: &[f32]) -> i32 {
        0
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
