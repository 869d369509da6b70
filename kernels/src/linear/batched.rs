//! Several matrices at once: what `linear` lends to the projections.
//!
//! ```text
//! x[B, inputs, pieces, T, K / pieces]     tokens (b, t); the pieces of one make its row of K
//! weight[weights, N, K]                   packed rows under one scale
//! y[B, weights, T, N]
//!
//! y[b, w, t, n] = sum_(p, k) x[b, w inputs / weights, p, t, k] weight[w, n, p K / pieces + k]
//! ```
//!
//! A launch gathers and arranges the tokens of an input once, for every matrix that reads it. The
//! sums are those of `rows`, bounds included. Tasks are whole columns of panels of one matrix; only
//! where these are fewer than the threads are the tokens split too, between tiles of twelve, so
//! that a token is in a tile of the same size whatever the threads are. No sum is split.
use super::arrange::{self, TOKENS};
use super::panels::{PackedRows, Panels, Plain};
use super::product::Product;
use super::rows::{Dot, Value};
use crate::Failure;
use crate::buffer::Buffer;
use crate::context::Context;
use crate::pool::Pool;
use lowbit_reference::format::WeightFormat;
use std::ops::Range;

/// Tokens and matrices; see the module.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// `B`.
    pub(crate) batch: usize,
    /// `T`.
    pub(crate) time: usize,
    /// Inputs of a batch: 1, or as many as there are matrices.
    pub(crate) inputs: usize,
    /// Pieces of a token, which lie `T` apart.
    pub(crate) pieces: usize,
    /// Matrices.
    pub(crate) weights: usize,
    /// Summed over.
    pub(crate) k: usize,
    /// Rows of a matrix.
    pub(crate) n: usize,
}

impl Shape {
    /// `B T`.
    pub(crate) fn tokens(&self) -> usize {
        self.batch * self.time
    }

    /// Values of a piece.
    pub(crate) fn piece(&self) -> usize {
        self.k / self.pieces
    }

    /// Number of the first value of piece `p` of a token.
    pub(crate) fn place(&self, input: usize, p: usize, token: usize) -> usize {
        let (b, t) = (token / self.time, token % self.time);
        (((b * self.inputs + input) * self.pieces + p) * self.time + t) * self.piece()
    }

    /// The input of matrix `w`.
    pub(crate) fn input_of(&self, w: usize) -> usize {
        w * self.inputs / self.weights
    }
}

/// Packed rows of all matrices, one after the other, and their scale.
#[derive(Debug)]
pub(crate) struct Weights {
    /// `int8`, `ternary2` or `sign1`.
    pub(crate) format: &'static dyn WeightFormat,
    /// Row after row.
    pub(crate) bytes: Vec<u8>,
    /// Bytes of a row.
    pub(crate) row_bytes: usize,
    /// The one scale.
    pub(crate) scale: f32,
}

/// Matrices that wait for tokens.
pub(crate) trait Multiply<T> {
    /// `y`, or `relu(y - threshold)`.
    fn multiply(&mut self, x: &[T], y: &mut [f32], threshold: Option<f32>) -> Result<(), Failure>;
}

/// Pack the matrices. `x_scales` are those of the tokens of each input.
pub(crate) fn bind<D, T: Value, const LANES: usize, const BYTES: usize>(
    dot: D,
    shape: Shape,
    (weights, x_scales): (&Weights, &[f32]),
    context: &mut Context,
) -> Result<Box<dyn Multiply<T>>, String>
where
    D: Dot<T, LANES, BYTES> + 'static,
{
    let inputs = (weights, x_scales);
    Ok(match weights.format.name() {
        "int8" => Box::new(Batched::<D, T, LANES, BYTES, 1>::new(dot, shape, inputs, context)),
        "ternary2" => Box::new(Batched::<D, T, LANES, BYTES, 4>::new(dot, shape, inputs, context)),
        "sign1" => Box::new(Batched::<D, T, LANES, BYTES, 8>::new(dot, shape, inputs, context)),
        other => return Err(format!("weights are {other}")),
    })
}

struct Batched<D, T, const LANES: usize, const BYTES: usize, const FIELDS: usize> {
    dot: D,
    pool: Pool,
    shape: Shape,
    panels: Vec<Panels>,
    x_scales: Buffer<f32>,
    /// The one scale, for each row of a matrix.
    w_scales: Buffer<f32>,
    arranged: Buffer<T>,
    /// For each range of tokens that is arranged at once, one tile token by token, and a token.
    scratch: Buffer<T>,
    totals: Buffer<i32>,
    /// No activation has a zero point.
    zeros: Buffer<i32>,
}

impl<D: Dot<T, LANES, BYTES>, T: Value, const LANES: usize, const BYTES: usize, const FIELDS: usize>
    Batched<D, T, LANES, BYTES, FIELDS>
{
    fn new(
        dot: D,
        shape: Shape,
        (weights, x_scales): (&Weights, &[f32]),
        context: &mut Context,
    ) -> Self {
        let &Weights { format, row_bytes, scale, .. } = weights;
        let row = shape.k.next_multiple_of(BYTES * FIELDS);
        let tokens = shape.inputs * shape.tokens();
        let panels = |w| {
            let bytes = &weights.bytes[w * shape.n * row_bytes..][..shape.n * row_bytes];
            let rows = PackedRows { format, bytes, row_bytes, n: shape.n };
            Panels::new::<LANES, BYTES>(Plain, D::LAYOUT, rows, context)
        };
        let panels = (0..shape.weights).map(panels).collect();
        let ranges = shape.inputs * ranges(context.pool(), shape.tokens(), shape.inputs).len();
        Batched {
            dot,
            pool: context.pool().clone(),
            shape,
            panels,
            x_scales: context.copy("x scales", x_scales),
            w_scales: context.copy("w scales", &vec![scale; shape.n]),
            arranged: context.buffer("arranged x", tokens * row),
            scratch: context.buffer("scratch", ranges * (TOKENS * row + shape.k)),
            totals: context.buffer("totals", tokens),
            zeros: context.copy("zeros", &vec![0; shape.n.max(shape.tokens())]),
        }
    }

    /// Values of an arranged token.
    fn row(&self) -> usize {
        self.shape.k.next_multiple_of(BYTES * FIELDS)
    }

    /// Gather, arrange and total every token of every input.
    fn arrange(&mut self, x: &[T]) {
        let (shape, dot, row) = (self.shape, self.dot, self.row());
        let (mut to, mut totals) = (&mut self.arranged[..], &mut self.totals[..]);
        let (mut scratch, mut tasks) = (&mut self.scratch[..], Vec::new());
        let ranges = ranges(&self.pool, shape.tokens(), shape.inputs);
        for (input, tokens) in (0..shape.inputs).flat_map(|i| ranges.iter().map(move |r| (i, r))) {
            let to = to.split_off_mut(..tokens.len() * row).unwrap_or_default();
            let totals = totals.split_off_mut(..tokens.len()).unwrap_or_default();
            let scratch = scratch.split_off_mut(..TOKENS * row + shape.k).unwrap_or_default();
            tasks.push((input, tokens.start, to, totals, scratch));
        }
        self.pool.for_each(tasks, |(input, first, to, totals, scratch)| {
            let (gathered, scratch) = scratch.split_at_mut(shape.k);
            for tile in arrange::tiles(0..totals.len()) {
                let to = to[tile.start * row..tile.end * row].as_chunks_mut::<BYTES>().0;
                let tokens = &mut scratch[..tile.len() * row];
                for (t, i) in tile.clone().enumerate() {
                    let token = gather(&shape, x, (input, first + i), gathered);
                    let steps = tokens[t * row..][..row].as_chunks_mut().0.as_chunks_mut().0;
                    totals[i] = dot.arrange::<FIELDS>(token, steps);
                }
                arrange::join(tokens.as_chunks().0, to, tile.len());
            }
        });
    }

    /// What a task reads: the tokens from `first` on and matrix `w`.
    fn product(
        &self,
        w: usize,
        first: usize,
    ) -> Result<Product<'_, D, T, LANES, BYTES, FIELDS>, String> {
        let first = self.shape.input_of(w) * self.shape.tokens() + first;
        let row = self.row();
        Ok(Product {
            dot: self.dot,
            n: self.shape.n,
            row,
            x: &self.arranged[first * row..],
            x_scales: &self.x_scales[first..],
            totals: &self.totals[first..],
            shifts: &self.zeros,
            w_sums: &self.zeros,
            vectors: self.panels[w].vectors(D::LAYOUT)?,
            w_scales: &self.w_scales,
        })
    }
}

/// The tokens a thread takes at once, where `others` are split beside them.
fn ranges(pool: &Pool, tokens: usize, others: usize) -> Vec<Range<usize>> {
    match others < pool.threads() {
        true => pool.ranges(tokens, TOKENS),
        false => std::iter::once(0..tokens).collect(),
    }
}

/// A token in one piece.
fn gather<'a, T: Value>(
    shape: &Shape,
    x: &'a [T],
    (input, token): (usize, usize),
    to: &'a mut [T],
) -> &'a [T] {
    let piece = |p| &x[shape.place(input, p, token)..][..shape.piece()];
    if shape.pieces == 1 {
        return piece(0);
    }
    for (p, to) in to.chunks_exact_mut(shape.piece()).enumerate() {
        to.copy_from_slice(piece(p));
    }
    to
}

/// Some columns of some tokens of a matrix.
struct Task<'y> {
    weight: usize,
    tokens: Range<usize>,
    columns: Range<usize>,
    y: Vec<&'y mut [f32]>,
}

/// The outputs of every task.
fn tasks<'y>(pool: &Pool, shape: &Shape, panel_rows: usize, y: &'y mut [f32]) -> Vec<Task<'y>> {
    let columns = pool.pieces(shape.n, panel_rows);
    let ranges = ranges(pool, shape.tokens(), shape.weights * columns.len());
    let mut tasks = Vec::with_capacity(shape.weights * ranges.len() * columns.len());
    for weight in 0..shape.weights {
        for tokens in &ranges {
            let task = |columns: &Range<usize>| Task {
                weight,
                tokens: tokens.clone(),
                columns: columns.clone(),
                y: Vec::with_capacity(tokens.len()),
            };
            tasks.extend(columns.iter().map(task));
        }
    }
    let each = ranges.first().map_or(1, Range::len);
    for (row, mut y) in y.chunks_exact_mut(shape.n).enumerate() {
        let (weight, t) = (row / shape.time % shape.weights, row % shape.time);
        let token = row / shape.time / shape.weights * shape.time + t;
        let first = (weight * ranges.len() + token / each) * columns.len();
        for task in &mut tasks[first..first + columns.len()] {
            task.y.extend(y.split_off_mut(..task.columns.len()));
        }
    }
    tasks
}

impl<D: Dot<T, LANES, BYTES>, T: Value, const LANES: usize, const BYTES: usize, const FIELDS: usize>
    Multiply<T> for Batched<D, T, LANES, BYTES, FIELDS>
{
    fn multiply(&mut self, x: &[T], y: &mut [f32], threshold: Option<f32>) -> Result<(), Failure> {
        self.arrange(x);
        let mut bound = Vec::new();
        for task in tasks(&self.pool, &self.shape, D::LAYOUT.panel_rows(), y) {
            bound.push((self.product(task.weight, task.tokens.start)?, task));
        }
        self.pool.for_each(bound, |(product, task)| {
            let Task { columns, mut y, .. } = task;
            product.columns(columns, &mut y);
            if let Some(threshold) = threshold {
                y.into_iter().flatten().for_each(|y| *y = relu(*y - threshold));
            }
        });
        Ok(())
    }
}

/// A NaN stays one.
fn relu(above: f32) -> f32 {
    if above <= 0.0 { 0.0 } else { above }
}
