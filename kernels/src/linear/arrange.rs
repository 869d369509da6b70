//! Activations as the tiles of `linear` read them.
//!
//! A step of a weight row is `BYTES` bytes of `FIELDS` codes each; element `FIELDS i + j` of it
//! goes to field `j`, byte `i`. A tile is steps of fields of tokens:
//!
//! ```text
//! step 0: field 0: token 0, byte 0.. | token 1, byte 0.. | ...
//!         field 1: token 0, byte 0.. | ...
//! step 1: ...
//! ```
use super::rows::Value;
use std::ops::Range;

/// Tokens of the largest tile.
pub(super) const TOKENS: usize = 12;

/// The activations that meet a step of `M` tokens.
pub(crate) type Tokens<T, const BYTES: usize, const FIELDS: usize, const M: usize> =
    [[[T; BYTES]; M]; FIELDS];

/// The tokens in tiles of 12, then 8, 4, 2 and 1.
pub(super) fn tiles(tokens: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let mut from = tokens.start;
    std::iter::from_fn(move || {
        let len = [TOKENS, 8, 4, 2, 1].into_iter().find(|len| from + len <= tokens.end)?;
        from += len;
        Some(from - len..from)
    })
}

/// One token in plain Rust; zeros after its end.
pub(super) fn plain<T: Value, const BYTES: usize, const FIELDS: usize>(
    x: &[T],
    to: &mut [[[T; BYTES]; FIELDS]],
) {
    let (bytes, rest) = x.as_chunks::<FIELDS>();
    let (whole, part) = bytes.as_chunks::<BYTES>();
    let mut last = [[T::default(); FIELDS]; BYTES];
    last[..part.len()].copy_from_slice(part);
    if let Some(byte) = last.get_mut(part.len()) {
        byte[..rest.len()].copy_from_slice(rest);
    }
    for (from, to) in whole.iter().chain([&last]).zip(to) {
        for (j, to) in to.iter_mut().enumerate() {
            for (to, from) in to.iter_mut().zip(from) {
                *to = from[j];
            }
        }
    }
}

/// Interleave arranged tokens, one after the other in `rows`, into their tile.
pub(super) fn join<P: Copy>(rows: &[P], to: &mut [P], tokens: usize) {
    match tokens {
        12 => interleave::<P, 12>(rows, to),
        8 => interleave::<P, 8>(rows, to),
        4 => interleave::<P, 4>(rows, to),
        2 => interleave::<P, 2>(rows, to),
        _ => to.copy_from_slice(rows),
    }
}

fn interleave<P: Copy, const M: usize>(rows: &[P], to: &mut [P]) {
    let len = rows.len() / M;
    let rows: [&[P]; M] = std::array::from_fn(|t| &rows[t * len..][..len]);
    for (i, to) in to.as_chunks_mut::<M>().0.iter_mut().enumerate().take(len) {
        *to = std::array::from_fn(|t| rows[t][i]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_cover_every_token_once_and_are_of_five_sizes() {
        for tokens in 0..40 {
            assert!(tiles(3..3 + tokens).flatten().eq(3..3 + tokens), "{tokens}");
            assert!(tiles(0..tokens).all(|tile| [1, 2, 4, 8, 12].contains(&tile.len())));
        }
    }
}
