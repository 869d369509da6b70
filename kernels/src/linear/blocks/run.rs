//! The loop: arrange the tokens, then tiles of panels by tokens.
use super::panels::{Codebook, Panels};
use super::token::{Tokens, Value, arrange};
use super::weights::Weights;
use super::{PLAIN, QUAD, ROWS, Step, TABLE, Tile, ZERO_POINT};
use crate::buffer::Buffer;
use crate::context::Context;
use crate::pool::Pool;
use crate::{Failure, Prepared};
use lowbit_reference::op::{Outputs, Tensor};
use std::ops::Range;

/// Tokens that share decoded weights.
const TOKENS: usize = 4;
/// Panels that share the activations of those tokens.
const PANELS: usize = 2;
/// Weights revisited for every four tokens: half of a 1 MiB L2.
const L2_BYTES: usize = 512 << 10;

/// Activations as they come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Activations<'p, T> {
    /// `[M, K]`, row-major.
    pub(super) values: &'p [T],
    /// Of each token.
    pub(super) scales: &'p [f32],
    /// Of each token, or none.
    pub(super) zero_points: &'p [i32],
}

/// Bind weights and activations to an instruction set.
pub(super) fn bind<'p, I: Tile<T> + 'p, T: Value>(
    isa: I,
    weights: &Weights<'_>,
    x: Activations<'_, T>,
    context: &mut Context,
) -> Box<dyn Prepared + 'p> {
    match (weights.coding.bits, weights.coding.kind) {
        (2, _) => run::<I, T, 4, PLAIN>(isa, weights, x, context),
        (4, TABLE) => run::<I, T, 2, TABLE>(isa, weights, x, context),
        (4, ZERO_POINT) => run::<I, T, 2, ZERO_POINT>(isa, weights, x, context),
        (4, _) => run::<I, T, 2, PLAIN>(isa, weights, x, context),
        _ => run::<I, T, 1, PLAIN>(isa, weights, x, context),
    }
}

fn run<'p, I: Tile<T> + 'p, T: Value, const FIELDS: usize, const CODE: u8>(
    isa: I,
    weights: &Weights<'_>,
    x: Activations<'_, T>,
    context: &mut Context,
) -> Box<dyn Prepared + 'p> {
    let y = context.buffer("y", x.scales.len() * weights.n);
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
    m: usize,
    k: usize,
    n: usize,
    block_len: usize,
    bias: i32,
    book: Codebook,
    panels: Panels,
    x: Buffer<T>,
    x_scales: Buffer<f32>,
    x_zero_points: Buffer<i32>,
    arranged: Buffer<T>,
    offsets: Buffer<i32>,
}

impl<I: Tile<T>, T: Value, const FIELDS: usize, const CODE: u8> Inputs<I, T, FIELDS, CODE> {
    fn new(isa: I, weights: &Weights<'_>, x: Activations<'_, T>, context: &mut Context) -> Self {
        let (m, k, n) = (x.scales.len(), weights.k, weights.n);
        let (blocks, block_len) = (weights.blocks(), weights.block_len);
        let padded = block_len.next_multiple_of(QUAD * FIELDS);
        Inputs {
            isa,
            pool: context.pool().clone(),
            m,
            k,
            n,
            block_len,
            bias: weights.coding.bias,
            book: weights.coding.book,
            panels: Panels::new(weights, (I::PLANES, !x.zero_points.is_empty()), context),
            x: context.copy("x", x.values),
            x_scales: context.copy("x scales", x.scales),
            x_zero_points: context.copy("x zero points", x.zero_points),
            arranged: context.buffer("arranged x", m * blocks * padded),
            offsets: context.buffer("x offsets", m * blocks),
        }
    }

    /// Blocks of a token, and values of all of them with what fills them up.
    fn padded(&self) -> (usize, usize) {
        let blocks = self.k.div_ceil(self.block_len);
        (blocks, blocks * self.block_len.next_multiple_of(QUAD * FIELDS))
    }

    /// Arrange every token: groups of four side by side, the last ones alone.
    fn arrange(&mut self) {
        let (k, (blocks, padded), block) = (self.k, self.padded(), (self.block_len, self.bias));
        let ranges = self.pool.ranges(self.m, TOKENS);
        let (mut to, mut offsets) = (&mut self.arranged[..], &mut self.offsets[..]);
        let mut tasks = Vec::with_capacity(ranges.len());
        for tokens in ranges {
            let x = &self.x[tokens.start * k..tokens.end * k];
            let to = to.split_off_mut(..tokens.len() * padded).unwrap_or_default();
            let offsets = offsets.split_off_mut(..tokens.len() * blocks).unwrap_or_default();
            tasks.push((x, to, offsets));
        }
        self.pool.for_each(tasks, |(x, to, offsets)| {
            let fours = x.len() / k / TOKENS * TOKENS;
            let (x, x_ones) = x.split_at(fours * k);
            let (to, to_ones) = to.split_at_mut(fours * padded);
            let (offsets, offsets_ones) = offsets.split_at_mut(fours * blocks);
            let groups = x.chunks_exact(TOKENS * k).zip(to.chunks_exact_mut(TOKENS * padded));
            for ((x, to), offsets) in groups.zip(offsets.chunks_exact_mut(TOKENS * blocks)) {
                let x: [&[T]; TOKENS] = std::array::from_fn(|t| &x[t * k..][..k]);
                arrange::<T, FIELDS, TOKENS>(x, block, steps_mut(to), offsets.as_chunks_mut().0);
            }
            let ones = x_ones.chunks_exact(k).zip(to_ones.chunks_exact_mut(padded));
            for ((x, to), offsets) in ones.zip(offsets_ones.chunks_exact_mut(blocks)) {
                arrange::<T, FIELDS, 1>([x], block, steps_mut(to), offsets.as_chunks_mut().0);
            }
        });
    }

    /// The arranged tokens `i..i + M`.
    fn token_group<const M: usize>(&self, i: usize) -> Tokens<'_, T, FIELDS, M> {
        let (blocks, padded) = self.padded();
        Tokens {
            steps: steps(&self.arranged[i * padded..][..M * padded]),
            offsets: self.offsets[i * blocks..][..M * blocks].as_chunks().0,
            zero_points: std::array::from_fn(|t| {
                self.x_zero_points.get(i + t).copied().unwrap_or_default()
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
            self.tile(panels, x, i, &mut y);
            p += PANELS;
        }
        while !y[0].is_empty() {
            self.tile([self.panels.panel(p)], x, i, &mut y);
            p += 1;
        }
    }

    /// Multiply, scale, and take the outputs off the front of `y`.
    fn tile<const P: usize, const M: usize>(
        &self,
        panels: [super::Panel<'_>; P],
        x: Tokens<'_, T, FIELDS, M>,
        i: usize,
        y: &mut [&mut [f32]; M],
    ) {
        let sums = self.isa.tile::<FIELDS, CODE, P, M>(&self.book, panels, x);
        for ((sums, y), scale) in sums.iter().zip(y).zip(&self.x_scales[i..]) {
            let len = y.len().min(P * ROWS);
            let to = y.split_off_mut(..len).unwrap_or_default();
            for (to, sum) in to.iter_mut().zip(sums.as_flattened()) {
                *to = sum * scale;
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
        if self.inputs.k > 0 {
            self.inputs.arrange();
        }
        let inputs = &self.inputs;
        let tasks = split(&mut self.y, inputs.n, inputs.pool.ranges(inputs.n, PANELS * ROWS));
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

fn steps<T, const FIELDS: usize, const M: usize>(x: &[T]) -> &[Step<T, FIELDS, M>] {
    x.as_chunks().0.as_chunks().0.as_chunks().0
}

fn steps_mut<T, const FIELDS: usize, const M: usize>(x: &mut [T]) -> &mut [Step<T, FIELDS, M>] {
    x.as_chunks_mut().0.as_chunks_mut().0.as_chunks_mut().0
}

/// The columns `range` of every row of `y`, for each range.
fn split(
    y: &mut [f32],
    n: usize,
    ranges: Vec<Range<usize>>,
) -> Vec<(Range<usize>, Vec<&mut [f32]>)> {
    let empty = |range: Range<usize>| (range, Vec::with_capacity(y.len() / n));
    let mut tasks: Vec<_> = ranges.into_iter().map(empty).collect();
    for mut row in y.chunks_exact_mut(n) {
        for (range, rows) in &mut tasks {
            rows.extend(row.split_off_mut(..range.len()));
        }
    }
    tasks
}
