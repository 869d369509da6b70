//! `A^T B` of floats, for the gradient of the weight: the sum over tokens of outer products.
//!
//! ```text
//! grad_weight[w, k, n] = sum_(b, t) x[b, t, k] g[b, t, n]      x = code scale(token), or a float
//!
//! left   [tile of MR inputs][token][MR]     made of x at every launch, zeros past the edge
//! right  [panel of NR outputs][token][NR]   made of g
//! ```
//!
//! An instruction set supplies a tile of `MR x NR` sums over up to [`DEPTH`] tokens: a panel's
//! part (at most 32 KiB) stays in L1 while the tiles of a task pass by, which stay in L2. Tokens
//! are added in order, block by block: no sum depends on how the tiles fall to threads.
use super::matrices::Matrices;
use crate::buffer::Buffer;
use crate::context::Context;
use crate::linear::batched::Shape;
use crate::pool::Pool;
use std::ops::Range;

/// Tokens whose products stay in registers.
const DEPTH: usize = 256;
/// Tiles of a task.
const TILES: usize = 8;

/// Sums as an instruction set makes them.
pub(crate) trait Tile<const MR: usize, const NR: usize>: Copy + Sync + 'static {
    /// `c[i][j] = sum_t a[t][i] b[t][j]`.
    fn tile(self, a: &[[f32; MR]], b: &[[f32; NR]], c: &mut [[f32; NR]; MR]);
}

/// Reads inputs of one token, from a number on, as floats.
pub(crate) type Read<'a> = &'a (dyn Fn(usize, &mut [f32]) + Sync);

/// The product that makes the gradient of a weight.
pub(crate) trait Outer {
    /// All of `to`, the packed weight's shape, from the input and the gradient of the output.
    fn multiply(&mut self, x: Read<'_>, g: &[f32], to: &mut [f32]);
}

/// The product on an instruction set.
pub(crate) struct Product<D, const MR: usize, const NR: usize> {
    tile: D,
    pool: Pool,
    matrices: Matrices,
    left: Buffer<f32>,
    right: Buffer<f32>,
}

impl<D: Tile<MR, NR>, const MR: usize, const NR: usize> Product<D, MR, NR> {
    /// Room for both sides.
    pub(crate) fn new(tile: D, matrices: Matrices, context: &mut Context) -> Self {
        let shape = &matrices.forward;
        let rows = shape.inputs * shape.pieces * shape.piece().next_multiple_of(MR);
        let columns = shape.weights * shape.n.next_multiple_of(NR);
        Product {
            tile,
            pool: context.pool().clone(),
            matrices,
            left: context.buffer("left", rows * shape.tokens()),
            right: context.buffer("right", columns * shape.tokens()),
        }
    }

    /// Rows of the packed weight from input `first` of a piece on, into `rows`.
    fn rows(&self, block: usize, first: usize, rows: &mut [f32]) {
        let (shape, columns) = (&self.matrices.forward, self.matrices.columns);
        let (tokens, piece) = (shape.tokens(), shape.piece());
        let (w, p) = (block / shape.pieces, block % shape.pieces);
        let left = (shape.input_of(w) * shape.pieces + p) * piece.div_ceil(MR) + first / MR;
        let left = &self.left.as_chunks::<MR>().0[left * tokens..];
        let right = &self.right.as_chunks::<NR>().0[w * shape.n.div_ceil(NR) * tokens..];
        rows.chunks_exact_mut(columns).for_each(|row| row[shape.n..].fill(0.0));
        for from in (0..tokens).step_by(DEPTH) {
            let part = from..tokens.min(from + DEPTH);
            for (panel, at) in (0..shape.n).step_by(NR).enumerate() {
                let b = &right[panel * tokens..][part.clone()];
                for (tile, rows) in rows.chunks_mut(MR * columns).enumerate() {
                    let mut sums = [[0.0; NR]; MR];
                    self.tile.tile(&left[tile * tokens..][part.clone()], b, &mut sums);
                    let to = rows.chunks_exact_mut(columns);
                    let to = to.map(|row| &mut row[at..shape.n.min(at + NR)]);
                    keep(&sums, from == 0, to);
                }
            }
        }
    }
}

/// Write or add a tile where it belongs.
fn keep<'a, const MR: usize, const NR: usize>(
    sums: &[[f32; NR]; MR],
    first: bool,
    rows: impl Iterator<Item = &'a mut [f32]>,
) {
    for (row, sums) in rows.zip(sums) {
        match first {
            true => row.copy_from_slice(&sums[..row.len()]),
            false => row.iter_mut().zip(sums).for_each(|(to, sum)| *to += sum),
        }
    }
}

/// `W` of `len` values of each token, token by token; `read` gives those of a range of one.
fn pack<const W: usize>(
    pool: &Pool,
    (to, tokens, len): (&mut [f32], usize, usize),
    read: impl Fn(usize, usize, Range<usize>, &mut [f32]) + Sync + Send,
) {
    let panels = len.div_ceil(W);
    let tasks = to.chunks_exact_mut(W * tokens).enumerate().collect();
    pool.for_each(tasks, |(panel, to)| {
        let (group, first) = (panel / panels, panel % panels * W);
        let range = first..len.min(first + W);
        for (token, to) in to.as_chunks_mut::<W>().0.iter_mut().enumerate() {
            to[range.len()..].fill(0.0);
            read(group, token, range.clone(), &mut to[..range.len()]);
        }
    });
}

impl<D: Tile<MR, NR>, const MR: usize, const NR: usize> Outer for Product<D, MR, NR> {
    fn multiply(&mut self, x: Read<'_>, g: &[f32], to: &mut [f32]) {
        let (shape, columns) = (self.matrices.forward, self.matrices.columns);
        let (tokens, piece) = (shape.tokens(), shape.piece());
        let outputs = Shape { inputs: shape.weights, pieces: 1, k: shape.n, ..shape };
        pack::<MR>(&self.pool, (&mut self.left, tokens, piece), |group, token, range, to| {
            let at = shape.place(group / shape.pieces, group % shape.pieces, token);
            x(at + range.start, to);
        });
        pack::<NR>(&self.pool, (&mut self.right, tokens, shape.n), |w, token, range, to| {
            to.copy_from_slice(&g[outputs.place(w, 0, token)..][range]);
        });
        let mut tasks = Vec::new();
        for (block, rows) in to.chunks_exact_mut(self.matrices.rows * columns).enumerate() {
            let (used, unused) = rows.split_at_mut(piece * columns);
            unused.fill(0.0);
            let rows = used.chunks_mut(TILES * MR * columns).enumerate();
            tasks.extend(rows.map(|(i, rows)| (block, i * TILES * MR, rows)));
        }
        let this = &*self;
        this.pool.for_each(tasks, |(block, first, rows)| this.rows(block, first, rows));
    }
}
