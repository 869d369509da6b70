//! `sparse_tile`: tiles of 8 x 8 values in bf16, of which only the live ones are stored.
//!
//! Eight rows of a matrix lie together, a strip; its tiles follow each other in the payload. A tile
//! lives if a bit other than a sign is set in any value, which is `|x| > 0` or NaN. Tiles at an
//! edge are filled up with zeros.
use super::TASK;
use super::floats::{bf16, from_bf16};
use lowbit_reference::rho::StateShape;
use std::ops::Range;

/// Rows and columns of a tile.
pub(crate) const SIDE: usize = 8;
/// Bytes of a live tile.
pub(crate) const BYTES: usize = 2 * SIDE * SIDE;

/// Tiles of a state.
pub(crate) fn tiles(shape: StateShape) -> usize {
    shape.matrices() * shape.rows().div_ceil(SIDE) * shape.columns().div_ceil(SIDE)
}

/// Strips of one matrix that make a task.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    /// Their values in the state.
    pub(crate) values: Range<usize>,
    /// Their tiles.
    pub(crate) tiles: usize,
}

/// The state in parts, in order.
pub(crate) fn parts(shape: StateShape) -> Vec<Part> {
    let (rows, columns) = (shape.rows(), shape.columns());
    if shape.is_empty() {
        return Vec::new();
    }
    let wide = columns.div_ceil(SIDE);
    let each = SIDE * (TASK / (SIDE * columns)).max(1);
    let part = |matrix: usize, from: usize| {
        let high = each.min(rows - from);
        let start = matrix * shape.matrix_len() + from * columns;
        Part { values: start..start + high * columns, tiles: high.div_ceil(SIDE) * wide }
    };
    let matrices = 0..shape.matrices();
    matrices
        .flat_map(|matrix| (0..rows).step_by(each).map(move |from| part(matrix, from)))
        .collect()
}

type Tile = [[f32; SIDE]; SIDE];

/// Writes the live tiles of a strip one after the other and notes which they are; answers how many.
#[inline(always)]
pub(crate) fn encode(strip: &[f32], columns: usize, live: &mut [u8], out: &mut [u8]) -> usize {
    let (out, mut at) = (out.as_chunks_mut::<BYTES>().0, 0);
    for (tile, live) in live.iter_mut().enumerate() {
        let from = SIDE * tile;
        let width = SIDE.min(columns - from);
        let mut values: Tile = [[0.0; SIDE]; SIDE];
        for (values, row) in values.iter_mut().zip(strip.chunks(columns)) {
            match row[from..].first_chunk() {
                Some(whole) => *values = *whole,
                None => values[..width].copy_from_slice(&row[from..]),
            }
        }
        let values = values.as_flattened();
        let bits = values.iter().fold(0, |bits, x| bits | x.to_bits() << 1);
        *live = u8::from(bits != 0);
        if bits != 0 {
            for (bytes, x) in out[at].as_chunks_mut().0.iter_mut().zip(values) {
                *bytes = bf16(*x).to_le_bytes();
            }
            at += 1;
        }
    }
    at
}

/// The values of a strip from its live tiles; zeros where none lives. Answers how many bytes these
/// took.
#[inline(always)]
pub(crate) fn decode(stored: &[u8], live: &[u8], columns: usize, strip: &mut [f32]) -> usize {
    let (mut stored, mut used) = (stored.as_chunks::<BYTES>().0.iter(), 0);
    for (tile, live) in live.iter().enumerate() {
        let from = SIDE * tile;
        let width = SIDE.min(columns - from);
        let mut values: Tile = [[0.0; SIDE]; SIDE];
        if *live == 1
            && let Some(bytes) = stored.next()
        {
            used += BYTES;
            for (x, bytes) in values.as_flattened_mut().iter_mut().zip(bytes.as_chunks().0) {
                *x = from_bf16(u16::from_le_bytes(*bytes));
            }
        }
        for (values, row) in values.iter().zip(strip.chunks_mut(columns)) {
            row[from..from + width].copy_from_slice(&values[..width]);
        }
    }
    used
}

/// A bit for each tile, low bits first.
pub(crate) fn bitmap(live: &[u8], bytes: &mut [u8]) {
    for (byte, live) in bytes.iter_mut().zip(live.chunks(8)) {
        *byte = live.iter().enumerate().fold(0, |byte, (i, live)| byte | live << i);
    }
}

/// Which tiles live; answers how many.
pub(crate) fn flags(bytes: &[u8], live: &mut [u8]) -> usize {
    for (byte, live) in bytes.iter().zip(live.chunks_mut(8)) {
        for (i, live) in live.iter_mut().enumerate() {
            *live = byte >> i & 1;
        }
    }
    live.iter().map(|live| usize::from(*live)).sum()
}
