//! Every panel meets every token: the order in which it does, and what becomes of the sums.
//!
//! A panel stays in the L2 while the tokens of a block pass by, as a stream from the L3 where they
//! are many: 48 bytes of tokens for 24 products, some 4 a clock. Each tile also names its share of
//! the next panel, to be fetched while it multiplies: at int8, 4096 x 4096 and 128 tokens, waiting
//! for the first touch of each panel takes a quarter of the time.
use super::arrange;
use super::panels::{Piece, Vector};
use super::rows::{Dot, Sum, Value};
use std::ops::Range;

/// Arranged tokens that pass by a panel: a part of an L3. Fewer would be in the L2, but each panel
/// would be fetched more often, which costs more (512 tokens of 4096: 96 % of the dot products' rate
/// in one block, 88 to 92 % in blocks of 48 to 264 tokens).
const BLOCK_BYTES: usize = 4 << 20;

/// The columns `range` of every row of `y`, for each range.
pub(super) fn split(
    y: &mut [f32],
    n: usize,
    ranges: Vec<Range<usize>>,
) -> Vec<(Range<usize>, Vec<&mut [f32]>)> {
    let empty = |range: Range<usize>| (range, Vec::with_capacity(y.len() / n.max(1)));
    let mut tasks: Vec<_> = ranges.into_iter().map(empty).collect();
    for mut row in y.chunks_exact_mut(n.max(1)) {
        for (range, rows) in &mut tasks {
            rows.extend(row.split_off_mut(..range.len()));
        }
    }
    tasks
}

/// Everything a thread reads.
pub(super) struct Product<'a, D, T, const LANES: usize, const BYTES: usize, const FIELDS: usize> {
    pub(super) dot: D,
    pub(super) n: usize,
    /// Values of an arranged token.
    pub(super) row: usize,
    pub(super) x: &'a [T],
    pub(super) x_scales: &'a [f32],
    pub(super) totals: &'a [i32],
    pub(super) shifts: &'a [i32],
    pub(super) w_sums: &'a [i32],
    pub(super) vectors: &'a [Vector<LANES, BYTES>],
    pub(super) w_scales: &'a [f32],
}

impl<D: Dot<T, LANES, BYTES>, T: Value, const LANES: usize, const BYTES: usize, const FIELDS: usize>
    Product<'_, D, T, LANES, BYTES, FIELDS>
{
    /// The outputs `range` of every token, into the slices of `y` that are those.
    pub(super) fn columns(&self, range: Range<usize>, y: &mut [&mut [f32]]) {
        let row_bytes = (self.row * size_of::<T>()).max(1);
        let block = (BLOCK_BYTES / row_bytes / arrange::TOKENS).max(1) * arrange::TOKENS;
        for from in (0..y.len()).step_by(block) {
            let tokens = from..y.len().min(from + block);
            for first in range.clone().step_by(D::LAYOUT.panel_rows()) {
                let at = first - range.start;
                for tile in arrange::tiles(tokens.clone()) {
                    let panel = self.panel(first, part(&tile, &tokens));
                    let (i, y) = (tile.start, &mut y[tile.clone()]);
                    match tile.len() {
                        12 => self.tile::<12>(i, (first, panel), y, at),
                        8 => self.tile::<8>(i, (first, panel), y, at),
                        4 => self.tile::<4>(i, (first, panel), y, at),
                        2 => self.tile::<2>(i, (first, panel), y, at),
                        _ => self.tile::<1>(i, (first, panel), y, at),
                    }
                }
            }
        }
    }

    /// The panel whose first row is `first`, and a part of the one after it.
    fn panel(&self, first: usize, part: impl Fn(usize) -> Range<usize>) -> Piece<'_, LANES, BYTES> {
        let steps = self.row / (BYTES * FIELDS);
        let width = |first: usize| (self.n - first).div_ceil(LANES).min(D::LAYOUT.vectors);
        let vectors = |first: usize| &self.vectors[first / LANES * steps..][..width(first) * steps];
        let next = vectors(self.n.min(first + D::LAYOUT.panel_rows()));
        Piece { vectors: vectors(first), width: width(first), v: 0, next: &next[part(next.len())] }
    }

    /// The panel whose first row is `first`, with `M` tokens from `i` on, into `y[..][at..]`.
    fn tile<const M: usize>(
        &self,
        i: usize,
        (first, panel): (usize, Piece<'_, LANES, BYTES>),
        y: &mut [&mut [f32]],
        at: usize,
    ) {
        let bias = if FIELDS == 1 { 128 } else { 1 };
        let x = &self.x[i * self.row..][..M * self.row];
        let x = x.as_chunks().0.as_chunks().0.as_chunks().0;
        self.dot.tile::<FIELDS, M>(panel, x, |v, sums| {
            let (j, at) = (first + v * LANES, at + v * LANES);
            let rows = j..self.n.min(j + LANES);
            let w_scales: [f32; LANES] = lanes(&self.w_scales[rows.clone()]);
            let w_sums: [i32; LANES] = lanes(&self.w_sums[rows.clone()]);
            for (t, sums) in sums.iter().enumerate() {
                let (scale, shift) = (self.x_scales[i + t], self.shifts[i + t]);
                let total = self.totals[i + t].wrapping_mul(bias);
                let offsets = match shift {
                    0 => [total.wrapping_neg(); LANES],
                    _ => w_sums.map(|w_sum| w_sum.wrapping_mul(shift).wrapping_sub(total)),
                };
                let outputs: [f32; LANES] = std::array::from_fn(|lane| {
                    sums[lane].finish::<FIELDS>(offsets[lane]) * (scale * w_scales[lane])
                });
                let to = &mut y[t][at..][..rows.len()];
                match to.first_chunk_mut() {
                    Some(to) => *to = outputs,
                    None => to.copy_from_slice(&outputs[..to.len()]),
                }
            }
        });
    }
}

/// The values of a vector's rows, zeros for rows that do not exist.
fn lanes<T: Copy + Default, const LANES: usize>(values: &[T]) -> [T; LANES] {
    values.first_chunk().copied().unwrap_or_else(|| {
        let mut padded = [T::default(); LANES];
        padded[..values.len()].copy_from_slice(values);
        padded
    })
}

/// As much of a length as a tile is of the tokens.
fn part(tile: &Range<usize>, tokens: &Range<usize>) -> impl Fn(usize) -> Range<usize> {
    let (from, to, all) = (tile.start - tokens.start, tile.end - tokens.start, tokens.len());
    move |len| len * from / all..len * to / all
}
