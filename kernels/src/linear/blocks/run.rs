//! The loop: arrange the tokens, then tiles of panels by tokens.
use super::panels::{Codebook, Panels};
use super::token::{self, Source, Tokens, Value};
use super::weights::Weights;
use super::{PLAIN, QUAD, ROWS, TABLE, Tile, ZERO_POINT};
use crate::buffer::Buffer;
use crate::context::Context;
use crate::linear::product::split;
use crate::pool::Pool;
use crate::{Failure, Prepared};
use lowbit_reference::op::linear::Rows;
use lowbit_reference::op::{Outputs, Tensor};
use std::ops::Range;

/// Tokens that share decoded weights.
const TOKENS: usize = 4;
/// Panels that share the activations of those tokens.
const PANELS: usize = 2;
/// Weights revisited for every four tokens: half of a 1 MiB L2.
const L2_BYTES: usize = 512 << 10;

/// Activations, with what each token is scaled by and has for a zero.
#[derive(Debug)]
pub(super) struct Activations {
    pub(super) source: Source,
    pub(super) rows: Rows,
    pub(super) scales: Vec<f32>,
    pub(super) zero_points: Vec<i32>,
}

/// Bind weights and activations to an instruction set.
pub(super) fn bind<'p, I: Tile<T> + 'p, T: Value>(
    isa: I,
    weights: &Weights<'_>,
    x: Activations,
    context: &mut Context,
) -> Box<dyn Prepared + 'p> {
    match (weights.coding.bits, weights.coding.kind) {
        (2, _) => run::<I, T, 4, PLAIN>(isa, weights, x, context),
        (4, TABLE) => run::<I, T, 2, TABLE>(isa, weights, x, context),
        (4, ZERO_POINT) => run::<I, T, 2, ZERO_POINT>(isa, weights, x, context),
        (4, _) => run::<I, T, 2, PLAIN>(isa, weights, x, context),
        (_, ZERO_POINT) => run::<I, T, 1, ZERO_POINT>(isa, weights, x, context),
        _ => run::<I, T, 1, PLAIN>(isa, weights, x, context),
    }
}

fn run<'p, I: Tile<T> + 'p, T: Value, const FIELDS: usize, const CODE: u8>(
    isa: I,
    weights: &Weights<'_>,
    x: Activations,
    context: &mut Context,
) -> Box<dyn Prepared + 'p> {
    let y = context.buffer("y", x.rows.m * weights.n);
    let inputs = Inputs::<I, T, FIELDS, CODE>::new(isa, weights, x, context);
    Box::new(Run { inputs, y })
}

struct Run<I, T, const FIELDS: usize, const CODE: u8> {
    inputs: Inputs<I, T, FIELDS, CODE>,
    y: Buffer<f32>,
}

/// Everything a launch reads, and the arranged activations.
struct Inputs<I, T, const FIELDS: usize, const CODE: u8> {
    isa: I,
    pool: Pool,
    n: usize,
    block_len: usize,
    bias: i32,
    book: Codebook,
    panels: Panels,
    x: Activations,
    row_scales: Vec<f32>,
    arranged: Buffer<T>,
    offsets: Buffer<i32>,
}

impl<I: Tile<T>, T: Value, const FIELDS: usize, const CODE: u8> Inputs<I, T, FIELDS, CODE> {
    fn new(isa: I, weights: &Weights<'_>, x: Activations, context: &mut Context) -> Self {
        let m = x.rows.m;
        let (blocks, block_len) = (weights.blocks(), weights.block_len);
        let padded = block_len.next_multiple_of(QUAD * FIELDS);
        let totals = x.zero_points.iter().any(|z| T::zero_point(&x.source, *z) != 0);
        Inputs {
            isa,
            pool: context.pool().clone(),
            n: weights.n,
            block_len,
            bias: weights.coding.bias,
            book: weights.coding.book,
            panels: Panels::new(weights, (I::PLANES, totals), context),
            x,
            row_scales: weights.row_scales.clone(),
            arranged: context.buffer("arranged x", m * blocks * padded),
            offsets: context.buffer("x offsets", m * blocks),
        }
    }

    /// Blocks of a token, and values of all of them with what fills them up.
    fn padded(&self) -> (usize, usize) {
        let blocks = self.x.rows.k.div_ceil(self.block_len);
        (blocks, blocks * self.block_len.next_multiple_of(QUAD * FIELDS))
    }

    /// Arrange every token: groups of four side by side, the last ones alone.
    fn arrange(&mut self) {
        let (blocks, padded) = self.padded();
        let (x, block) = (&self.x, (self.block_len, self.bias));
        let (mut to, mut offsets) = (&mut self.arranged[..], &mut self.offsets[..]);
        let mut tasks = Vec::new();
        for tokens in self.pool.ranges(x.rows.m, TOKENS) {
            let to = to.split_off_mut(..tokens.len() * padded).unwrap_or_default();
            let offsets = offsets.split_off_mut(..tokens.len() * blocks).unwrap_or_default();
            tasks.push((tokens, to, offsets));
        }
        self.pool.for_each(tasks, |(tokens, to, offsets)| {
            let fours = tokens.len() / TOKENS * TOKENS;
            let (to, to_ones) = to.split_at_mut(fours * padded);
            let (offsets, offsets_ones) = offsets.split_at_mut(fours * blocks);
            let groups = to.chunks_exact_mut(TOKENS * padded);
            let groups = groups.zip(offsets.chunks_exact_mut(TOKENS * blocks));
            for (i, (to, offsets)) in tokens.clone().step_by(TOKENS).zip(groups) {
                arrange::<T, FIELDS, TOKENS>(x, i, block, (to, offsets));
            }
            let ones = to_ones.chunks_exact_mut(padded).zip(offsets_ones.chunks_exact_mut(blocks));
            for (i, (to, offsets)) in (tokens.start + fours..).zip(ones) {
                arrange::<T, FIELDS, 1>(x, i, block, (to, offsets));
            }
        });
    }

    /// The arranged tokens `i..i + M`.
    fn token_group<const M: usize>(&self, i: usize) -> Tokens<'_, T, FIELDS, M> {
        let (blocks, padded) = self.padded();
        Tokens {
            steps: self.arranged[i * padded..][..M * padded]
                .as_chunks()
                .0
                .as_chunks()
                .0
                .as_chunks()
                .0,
            offsets: self.offsets[i * blocks..][..M * blocks].as_chunks().0,
            zero_points: std::array::from_fn(|t| {
                T::zero_point(&self.x.source, self.x.zero_points[i + t])
            }),
        }
    }

    /// The outputs `columns` of every token, into the slices of `y` that are those.
    fn columns(&self, columns: Range<usize>, y: &mut [&mut [f32]]) {
        let group = (L2_BYTES / (PANELS * self.panels.bytes().max(1))).max(1) * PANELS * ROWS;
        for from in columns.clone().step_by(group) {
            let part = from..columns.end.min(from + group);
            let at = from - columns.start;
            let (fours, ones) = y.as_chunks_mut::<TOKENS>();
            for (i, y) in fours.iter_mut().enumerate() {
                let y = y.each_mut().map(|y| &mut y[at..][..part.len()]);
                self.tokens(i * TOKENS, part.start / ROWS, y);
            }
            let i = fours.len() * TOKENS;
            for (i, y) in (i..).zip(ones) {
                self.tokens(i, part.start / ROWS, [&mut y[at..][..part.len()]]);
            }
        }
    }

    /// The outputs of `M` tokens from `i` on, from panel `p` on. Several tokens take panels in
    /// pairs; one token reads one stream.
    fn tokens<const M: usize>(&self, i: usize, mut p: usize, mut y: [&mut [f32]; M]) {
        let x = self.token_group::<M>(i);
        while M > 1 && y[0].len() > ROWS {
            let panels = [self.panels.panel(p), self.panels.panel(p + 1)];
            self.tile(panels, x, (i, p), &mut y);
            p += PANELS;
        }
        while !y[0].is_empty() {
            self.tile([self.panels.panel(p)], x, (i, p), &mut y);
            p += 1;
        }
    }

    /// Multiply, scale, and take the outputs off the front of `y`.
    fn tile<const P: usize, const M: usize>(
        &self,
        panels: [super::Panel<'_>; P],
        x: Tokens<'_, T, FIELDS, M>,
        (i, p): (usize, usize),
        y: &mut [&mut [f32]; M],
    ) {
        let sums = self.isa.tile::<FIELDS, CODE, P, M>(&self.book, panels, x);
        for ((sums, y), x_scale) in sums.iter().zip(y).zip(&self.x.scales[i..]) {
            let len = y.len().min(P * ROWS);
            let to = y.split_off_mut(..len).unwrap_or_default();
            let sums = sums.as_flattened().iter().zip(&self.row_scales[p * ROWS..]);
            for (to, (sum, row_scale)) in to.iter_mut().zip(sums) {
                *to = sum * (x_scale * row_scale);
            }
        }
    }
}

impl<I: Tile<T>, T: Value, const FIELDS: usize, const CODE: u8> Prepared
    for Run<I, T, FIELDS, CODE>
{
    fn launch(&mut self) -> Result<(), Failure> {
        if self.y.is_empty() {
            return Ok(());
        }
        if self.inputs.x.rows.k > 0 {
            self.inputs.arrange();
        }
        let inputs = &self.inputs;
        let tasks = split(&mut self.y, inputs.n, inputs.pool.pieces(inputs.n, PANELS * ROWS));
        inputs.pool.for_each(tasks, |(columns, mut y)| inputs.columns(columns, &mut y));
        Ok(())
    }

    fn forget(&mut self) -> Result<(), Failure> {
        self.y.fill(f32::NAN);
        Ok(())
    }

    fn read(&mut self) -> Result<Outputs, Failure> {
        Ok(Outputs(vec![("y", Tensor::F32(self.y.to_vec()))]))
    }
}

/// Arrange `M` tokens from `i` on.
fn arrange<T: Value, const FIELDS: usize, const M: usize>(
    x: &Activations,
    i: usize,
    block: (usize, i32),
    (to, offsets): (&mut [T], &mut [i32]),
) {
    let mut scratch: [Vec<T>; M] = std::array::from_fn(|_| Vec::new());
    let mut tokens: [&[T]; M] = [&[]; M];
    for ((token, scratch), i) in tokens.iter_mut().zip(&mut scratch).zip(i..) {
        let at = x.rows.offset + i * x.rows.stride;
        *token = T::row(&x.source, at..at + x.rows.k, x.zero_points[i], scratch);
    }
    let to = to.as_chunks_mut().0.as_chunks_mut().0.as_chunks_mut().0;
    token::arrange::<T, FIELDS, M>(tokens, block, to, offsets.as_chunks_mut().0);
}
