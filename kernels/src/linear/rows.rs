//! The loop the CPU rows of `linear` share; an instruction set supplies only a tile of dots.
//!
//! *Weights* stay packed. `prepare` only moves whole bytes: rows go into panels of [`ROWS`], and
//! a panel holds `LANES` bytes of its first row, `LANES` of the second, and so on, so that a
//! kernel reads one sequential stream. Short rows and panels are filled up with zero bytes.
//!
//! *Activations* are arranged at every launch. Byte `i` of a row with `FIELDS` codes a byte
//! holds elements `FIELDS i ..`, so lane `i` of vector `j` of a step is `x[FIELDS i + j]`:
//! shifting the bytes by `8 / FIELDS` then meets the next vector. Activations past `K` are zero,
//! whatever the weights' padding says, so no kernel has a tail.
//!
//! *Codes* stored in bits are unsigned, and the sums are set right in the end:
//! `sum x w = factor sum x stored - sum x`, with factor 1 for ternary (stored `w + 1`) and 2 for
//! sign (stored `(w + 1) / 2`). Against int8 weights a kernel may ask for `x + 128` instead, and
//! `128 sum w` is taken off. All of it wraps modulo 2^32, and `|sum x w| < 2^31` up to
//! `linear::MAX_K`, so the result is exact even where a partial sum wraps.
use crate::buffer::{Buffer, Element};
use crate::context::Context;
use crate::pool::Pool;
use crate::rules::{classic_activation, classic_weight};
use crate::{Failure, Prepared};
use lowbit_reference::op::linear::{Activation, LinearProblem, PackedWeight, Rows};
use lowbit_reference::op::{Arithmetic, Outputs, Tensor};
use std::ops::Range;

/// Weight rows of a panel.
pub(super) const ROWS: usize = 4;
/// Tokens that share one decoded weight vector.
const TOKENS: usize = 4;
/// Panels revisited for every four tokens: half of a 1 MiB L2.
const BLOCK_BYTES: usize = 512 << 10;

/// `LANES` packed bytes of each row of a panel.
pub(super) type Unit<const LANES: usize> = [[u8; LANES]; ROWS];
/// The activations that meet one byte vector of a weight row, field by field.
pub(super) type Step<T, const LANES: usize, const FIELDS: usize> = [[T; LANES]; FIELDS];

/// An element of the activations.
pub(super) trait Value: Element + Default {
    /// What products are added in.
    type Sum: Sum;
    /// Sum of a token's codes, where codes are what is summed.
    fn total(x: &[Self]) -> i32;
    /// `x + 128` as an unsigned byte.
    fn biased(self) -> Self;
}
impl Value for i8 {
    type Sum = i32;
    fn total(x: &[i8]) -> i32 {
        x.iter().map(|x| i32::from(*x)).sum()
    }
    fn biased(self) -> i8 {
        self ^ i8::MIN
    }
}
impl Value for f32 {
    type Sum = f32;
    fn total(_: &[f32]) -> i32 {
        0
    }
    fn biased(self) -> f32 {
        self
    }
}

/// A sum of products before scales.
pub(super) trait Sum: Copy {
    /// `factor sum - offset` for integers; a float sum is already right.
    fn finish(self, factor: i32, offset: i32) -> f32;
}
impl Sum for i32 {
    #[inline]
    fn finish(self, factor: i32, offset: i32) -> f32 {
        self.wrapping_mul(factor).wrapping_sub(offset) as f32
    }
}
impl Sum for f32 {
    #[inline]
    fn finish(self, _: i32, _: i32) -> f32 {
        self
    }
}

/// Dot products as an instruction set does them, `LANES` weight bytes at a time.
pub(super) trait Dot<T: Value, const LANES: usize>: Copy + Sync {
    /// Whether activations against int8 weights (`FIELDS` = 1) come as `x + 128`.
    const BIASED: bool = false;
    /// Sums of every row of a panel with each of `M` tokens, over stored codes if they are i32
    /// and over codes if they are f32.
    fn tile<const FIELDS: usize, const M: usize>(
        self,
        panel: &[Unit<LANES>],
        x: [&[Step<T, LANES, FIELDS>]; M],
    ) -> [[T::Sum; ROWS]; M];
}

/// The weights, and how many codes a byte of them has.
fn weight(problem: &LinearProblem) -> Result<(&PackedWeight, usize), String> {
    let weight = classic_weight(problem)?;
    match weight.format.name() {
        "int8" => Ok((weight, 1)),
        "ternary2" => Ok((weight, 4)),
        "sign1" => Ok((weight, 8)),
        other => Err(format!("weights are {other}")),
    }
}

/// Every CPU row takes the three formats.
pub(super) fn accepts(problem: &LinearProblem) -> Result<(), String> {
    classic_activation(problem)?;
    weight(problem).map(drop)
}

/// Integer sums for int8 activations, f32 sums for f32 ones.
pub(super) fn arithmetic(problem: &LinearProblem) -> Arithmetic {
    match problem.activation {
        Activation::F32(_) => Arithmetic::FLOAT,
        Activation::I8(_) | Activation::U8(_) => Arithmetic::INTEGER,
    }
}

/// Bind a problem with activations `x` to an instruction set.
pub(super) fn bind<'p, D: Dot<T, LANES> + 'p, T: Value, const LANES: usize>(
    dot: D,
    x: &[T],
    problem: &'p LinearProblem,
    context: &mut Context,
) -> Result<Box<dyn Prepared + 'p>, Failure> {
    let (weight, fields) = weight(problem)?;
    Ok(match fields {
        1 => Box::new(Run::<D, T, LANES, 1>::new(dot, x, (problem, weight), context)),
        4 => Box::new(Run::<D, T, LANES, 4>::new(dot, x, (problem, weight), context)),
        _ => Box::new(Run::<D, T, LANES, 8>::new(dot, x, (problem, weight), context)),
    })
}

struct Run<D, T, const LANES: usize, const FIELDS: usize> {
    dot: D,
    pool: Pool,
    rows: Rows,
    n: usize,
    /// Steps of a token; one of nothing but zeros where K is 0.
    steps: usize,
    x: Buffer<T>,
    x_scales: Buffer<f32>,
    panels: Buffer<u8>,
    w_scales: Buffer<f32>,
    /// What is taken off for each weight row: `128 sum w` for biased activations, else 0.
    w_offsets: Buffer<i32>,
    arranged: Buffer<T>,
    /// What is taken off for each token: `sum x` for codes stored in bits, else 0.
    x_offsets: Buffer<i32>,
    y: Buffer<f32>,
}

impl<D: Dot<T, LANES>, T: Value, const LANES: usize, const FIELDS: usize> Run<D, T, LANES, FIELDS> {
    fn new(
        dot: D,
        x: &[T],
        (problem, weight): (&LinearProblem, &PackedWeight),
        context: &mut Context,
    ) -> Self {
        let (m, k, n) = (problem.m, problem.k, problem.n);
        let steps = k.div_ceil(LANES * FIELDS).max(1);
        let w_scales: Vec<f32> = (0..n).map(|j| weight.scale(j)).collect();
        let x_scales: Vec<f32> = (0..m).map(|i| problem.activation_scale(i)).collect();
        let offset = |j| match FIELDS == 1 && D::BIASED {
            true => 128 * weight.row(j).iter().map(|w| i32::from(w.cast_signed())).sum::<i32>(),
            false => 0,
        };
        let w_offsets: Vec<i32> = (0..n).map(offset).collect();
        let mut panels = context.buffer("panels", n.div_ceil(ROWS) * steps * ROWS * LANES);
        panels.fill(0);
        for (j, panel) in (0..n).step_by(ROWS).zip(panels.chunks_exact_mut(steps * ROWS * LANES)) {
            for (r, j) in (j..n.min(j + ROWS)).enumerate() {
                let units = panel.chunks_exact_mut(LANES).skip(r).step_by(ROWS);
                for (unit, bytes) in units.zip(weight.row(j).chunks(LANES)) {
                    unit[..bytes.len()].copy_from_slice(bytes);
                }
            }
        }
        Run {
            dot,
            pool: context.pool().clone(),
            rows: problem.rows,
            n,
            steps,
            x: context.copy("x", x),
            x_scales: context.copy("x scales", &x_scales),
            panels,
            w_scales: context.copy("w scales", &w_scales),
            w_offsets: context.copy("w offsets", &w_offsets),
            arranged: context.buffer("arranged x", m * steps * LANES * FIELDS),
            x_offsets: context.buffer("x offsets", m),
            y: context.buffer("y", m * n),
        }
    }

    /// Arrange every token and total it, four tokens and more to a thread.
    fn arrange(&mut self) {
        let (rows, row) = (self.rows, self.steps * LANES * FIELDS);
        let ranges = self.pool.ranges(self.x_offsets.len(), TOKENS);
        let (mut to, mut offsets) = (&mut self.arranged[..], &mut self.x_offsets[..]);
        let mut tasks = Vec::with_capacity(ranges.len());
        for tokens in ranges {
            let to = to.split_off_mut(..tokens.len() * row).unwrap_or_default();
            let offsets = offsets.split_off_mut(..tokens.len()).unwrap_or_default();
            tasks.push((tokens, to, offsets));
        }
        let x = &self.x;
        self.pool.for_each(tasks, |(tokens, to, offsets)| {
            for ((i, to), offset) in tokens.zip(to.chunks_exact_mut(row)).zip(offsets) {
                let x = rows.row(x, i);
                arrange::<T, LANES, FIELDS>(x, steps_mut(to), FIELDS == 1 && D::BIASED);
                *offset = if FIELDS == 1 { 0 } else { T::total(x) };
            }
        });
    }
}

impl<D: Dot<T, LANES>, T: Value, const LANES: usize, const FIELDS: usize> Prepared
    for Run<D, T, LANES, FIELDS>
{
    fn launch(&mut self) -> Result<(), Failure> {
        self.arrange();
        let product = Product::<D, T, LANES, FIELDS> {
            dot: self.dot,
            steps: self.steps,
            x: self.arranged.as_chunks().0.as_chunks().0,
            x_scales: &self.x_scales,
            x_offsets: &self.x_offsets,
            panels: self.panels.as_chunks().0.as_chunks().0,
            w_scales: &self.w_scales,
            w_offsets: &self.w_offsets,
        };
        if self.y.is_empty() {
            return Ok(());
        }
        let tasks = split(&mut self.y, self.n, self.pool.ranges(self.n, ROWS));
        self.pool.for_each(tasks, |(columns, mut y)| product.columns(columns, &mut y));
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

fn steps_mut<T, const LANES: usize, const FIELDS: usize>(
    x: &mut [T],
) -> &mut [Step<T, LANES, FIELDS>] {
    x.as_chunks_mut().0.as_chunks_mut().0
}

/// Lane `i` of vector `j` of a step becomes `x[FIELDS i + j]`; what is past the end, zero.
fn arrange<T: Value, const LANES: usize, const FIELDS: usize>(
    x: &[T],
    to: &mut [Step<T, LANES, FIELDS>],
    biased: bool,
) {
    let (bytes, rest) = x.as_chunks::<FIELDS>();
    let (whole, part) = bytes.as_chunks::<LANES>();
    let mut last = [[T::default(); FIELDS]; LANES];
    last[..part.len()].copy_from_slice(part);
    if let Some(byte) = last.get_mut(part.len()) {
        byte[..rest.len()].copy_from_slice(rest);
    }
    for (from, to) in whole.iter().chain([&last]).zip(to) {
        for (j, to) in to.iter_mut().enumerate() {
            for (to, from) in to.iter_mut().zip(from) {
                *to = if biased { from[j].biased() } else { from[j] };
            }
        }
    }
}

/// Everything a thread reads.
struct Product<'a, D, T, const LANES: usize, const FIELDS: usize> {
    dot: D,
    /// Units of a panel, and steps of a token.
    steps: usize,
    x: &'a [Step<T, LANES, FIELDS>],
    x_scales: &'a [f32],
    x_offsets: &'a [i32],
    panels: &'a [Unit<LANES>],
    w_scales: &'a [f32],
    w_offsets: &'a [i32],
}

impl<D: Dot<T, LANES>, T: Value, const LANES: usize, const FIELDS: usize>
    Product<'_, D, T, LANES, FIELDS>
{
    /// The outputs `range` of every token, into the slices of `y` that are those.
    fn columns(&self, range: Range<usize>, y: &mut [&mut [f32]]) {
        let block = (BLOCK_BYTES / (self.steps * ROWS * LANES)).max(1) * ROWS;
        for from in range.clone().step_by(block) {
            let columns = from..range.end.min(from + block);
            let at = from - range.start;
            let (fours, ones) = y.as_chunks_mut::<TOKENS>();
            for (i, y) in fours.iter_mut().enumerate() {
                self.tokens(i * TOKENS, columns.clone(), y.each_mut().map(|y| &mut y[at..]));
            }
            let i = fours.len() * TOKENS;
            for (i, y) in (i..).zip(ones) {
                self.tokens(i, columns.clone(), [&mut y[at..]]);
            }
        }
    }

    /// The outputs `columns` of `M` tokens from `i` on, into the beginnings of the slices of `y`.
    fn tokens<const M: usize>(&self, i: usize, columns: Range<usize>, y: [&mut [f32]; M]) {
        let factor = if FIELDS == 8 { 2 } else { 1 };
        let x: [&[_]; M] = std::array::from_fn(|t| &self.x[(i + t) * self.steps..][..self.steps]);
        for j in columns.clone().step_by(ROWS) {
            let panel = &self.panels[j / ROWS * self.steps..][..self.steps];
            let sums = self.dot.tile(panel, x);
            let rows = j..columns.end.min(j + ROWS);
            for (t, sums) in sums.iter().enumerate() {
                let (x_scale, x_offset) = (self.x_scales[i + t], self.x_offsets[i + t]);
                let y = &mut y[t][j - columns.start..][..rows.len()];
                let w = self.w_scales[rows.clone()].iter().zip(&self.w_offsets[rows.clone()]);
                for ((y, sum), (w_scale, w_offset)) in y.iter_mut().zip(sums).zip(w) {
                    let sum = sum.finish(factor, x_offset.wrapping_add(*w_offset));
                    *y = sum * (x_scale * w_scale);
                }
            }
        }
    }
}
