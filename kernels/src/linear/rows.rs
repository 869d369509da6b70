//! The loop the CPU rows of `linear` share; an instruction set supplies only a tile of dots.
//!
//! *Weights* stay packed, in the layout of the instruction set (`reference::format::layout`):
//! panels of a few vectors side by side, each one sequential stream.
//!
//! *Activations* are arranged at every launch, in tiles of 12, 8, 4, 2 or 1 tokens. Byte `i` of a step
//! holds elements `FIELDS i ..` of its row, so `x[FIELDS i + j]` of a step goes to field `j`, byte
//! `i`, and the tokens of a tile lie side by side within a field. Activations past `K` are zero,
//! whatever the weights' padding says, so no kernel has a tail along K.
//!
//! *Codes* are stored unsigned, and the integer sums are set right in the end:
//! `sum x w = factor sum x stored - bias sum x`: stored is `w + 128` for int8, `w + 1` for ternary
//! and `(w + 1) / 2` for sign. Activations that stand for `x + shift` (unsigned bytes, flipped to
//! `x - 128`, and codes with a zero point) add `shift sum w`. All of it wraps modulo 2^32, and the
//! result fits an i32 up to `linear::max_k`, so it is exact even where a partial sum wraps.
//!
//! *Threads* get panels. A sum is never split, so results do not depend on how many there are.
use super::arrange::{self, Tokens};
use super::panels::{PackedRows, Panels, Piece, Plain};
use super::product::{Product, split};
use crate::buffer::{Buffer, Element};
use crate::context::Context;
use crate::pool::Pool;
use crate::{Failure, Prepared};
use lowbit_reference::format::layout::Layout;
use lowbit_reference::op::linear::{Activation, LinearProblem, PackedWeight, Rows, Weight};
use lowbit_reference::op::{Arithmetic, Outputs, Tensor};

/// An element of the activations.
pub(crate) trait Value: Element + Default {
    /// What products are added in.
    type Sum: Sum;
    /// Sum of a token's codes, where codes are what is summed.
    fn total(x: &[Self]) -> i32;
    /// The code less 128 of an unsigned byte.
    fn flipped(self) -> Self;
}
impl Value for i8 {
    type Sum = i32;
    fn total(x: &[i8]) -> i32 {
        x.iter().map(|x| i32::from(*x)).fold(0, i32::wrapping_add)
    }
    fn flipped(self) -> i8 {
        self ^ i8::MIN
    }
}
impl Value for f32 {
    type Sum = f32;
    fn total(_: &[f32]) -> i32 {
        0
    }
    fn flipped(self) -> f32 {
        self
    }
}

/// A sum of products before scales.
pub(crate) trait Sum: Copy {
    /// `sum + offset`, with twice the sum of sign1, for integers; a float sum is already right.
    fn finish<const FIELDS: usize>(self, offset: i32) -> f32;
}
impl Sum for i32 {
    #[inline]
    fn finish<const FIELDS: usize>(self, offset: i32) -> f32 {
        let sum = if FIELDS == 8 { self.wrapping_add(self) } else { self };
        sum.wrapping_add(offset) as f32
    }
}
impl Sum for f32 {
    #[inline]
    fn finish<const FIELDS: usize>(self, _: i32) -> f32 {
        self
    }
}

/// Dot products as an instruction set does them.
pub(crate) trait Dot<T: Value, const LANES: usize, const BYTES: usize>:
    Copy + Send + Sync
{
    /// The layout of the weights.
    const LAYOUT: &'static Layout;
    /// Arrange one token, zeros after it, and total it.
    fn arrange<const FIELDS: usize>(self, x: &[T], to: &mut [[[T; BYTES]; FIELDS]]) -> i32 {
        arrange::plain(x, to);
        T::total(x)
    }
    /// Sums of the rows of a panel with each of `M` tokens, over stored codes if they are i32 and
    /// over codes if they are f32; `keep` gets them vector by vector.
    fn tile<const FIELDS: usize, const M: usize>(
        self,
        panel: Piece<'_, LANES, BYTES>,
        x: &[Tokens<T, BYTES, FIELDS, M>],
        keep: impl FnMut(usize, &[[T::Sum; LANES]; M]),
    );
}

/// The weights, and how many codes a byte of them has.
fn weight(problem: &LinearProblem) -> Result<(&PackedWeight, usize), String> {
    let Weight::Codes(weight) = &problem.weight else {
        return Err(format!("weights are {}", problem.weight.name()));
    };
    match (weight.format.name(), weight.groups) {
        (_, 2..) => Err("a row of weights has several scales".into()),
        _ if !weight.zero_points.is_empty() => Err("weights have zero points".into()),
        ("int8", _) => Ok((weight, 1)),
        ("ternary2", _) => Ok((weight, 4)),
        ("ternary3", _) => Ok((weight, 5)),
        ("sign1", _) => Ok((weight, 8)),
        (other, _) => Err(format!("weights are {other}")),
    }
}

/// Every CPU row takes four formats of weights, a scale for all or for each row, and every
/// activation.
pub(super) fn accepts(problem: &LinearProblem) -> Result<(), String> {
    weight(problem).map(drop)
}

/// Integer sums for integer activations, f32 sums for f32 ones.
pub(super) fn arithmetic(problem: &LinearProblem) -> Arithmetic {
    match problem.activation {
        Activation::F32(_) => Arithmetic::FLOAT,
        Activation::I8(_) | Activation::U8(_) => Arithmetic::INTEGER,
    }
}

/// Bind a problem to an instruction set.
pub(super) fn bind<'p, D, const LANES: usize, const BYTES: usize>(
    dot: D,
    problem: &'p LinearProblem,
    context: &mut Context,
) -> Result<Box<dyn Prepared + 'p>, Failure>
where
    D: Dot<i8, LANES, BYTES> + Dot<f32, LANES, BYTES> + 'p,
{
    let flip = matches!(problem.activation, Activation::U8(_));
    match &problem.activation {
        Activation::I8(x) => with::<D, i8, LANES, BYTES>(dot, (problem, &x.codes, flip), context),
        Activation::U8(x) => {
            let codes: Vec<i8> = x.codes.iter().map(|x| x.cast_signed()).collect();
            with::<D, i8, LANES, BYTES>(dot, (problem, &codes, flip), context)
        }
        Activation::F32(x) => with::<D, f32, LANES, BYTES>(dot, (problem, x, flip), context),
    }
}

/// Problem, activations and whether these are unsigned bytes.
type Inputs<'a, T> = (&'a LinearProblem, &'a [T], bool);

fn with<'p, D: Dot<T, LANES, BYTES> + 'p, T: Value, const LANES: usize, const BYTES: usize>(
    dot: D,
    inputs: Inputs<'_, T>,
    context: &mut Context,
) -> Result<Box<dyn Prepared + 'p>, Failure> {
    let (weight, fields) = weight(inputs.0)?;
    Ok(match fields {
        1 => Box::new(Run::<D, T, LANES, BYTES, 1>::new(dot, inputs, weight, context)?),
        4 => Box::new(Run::<D, T, LANES, BYTES, 4>::new(dot, inputs, weight, context)?),
        5 => Box::new(Run::<D, T, LANES, BYTES, 5>::new(dot, inputs, weight, context)?),
        _ => Box::new(Run::<D, T, LANES, BYTES, 8>::new(dot, inputs, weight, context)?),
    })
}

/// What is added for each weight row of a token: `shift sum w`, for activations that stand for
/// `x + shift`: 128 for unsigned bytes, less the token's zero point.
fn shifts(problem: &LinearProblem, flip: bool) -> Vec<i32> {
    let unsigned = if flip { 128 } else { 0 };
    (0..problem.m).map(|i| unsigned - problem.activation_zero_point(i)).collect()
}

/// `sum w` of every weight row.
fn row_sums(weight: &PackedWeight) -> Result<Vec<i32>, String> {
    let unit = super::decode::code(weight.format.name())?;
    let sum = |j| (0..weight.k).map(|k| unit(weight.row(j), k) as i32).fold(0, i32::wrapping_add);
    Ok((0..weight.n).map(sum).collect())
}

struct Run<D, T, const LANES: usize, const BYTES: usize, const FIELDS: usize> {
    dot: D,
    pool: Pool,
    rows: Rows,
    /// Whether activations are unsigned bytes.
    flip: bool,
    n: usize,
    x: Buffer<T>,
    x_scales: Buffer<f32>,
    panels: Panels,
    w_scales: Buffer<f32>,
    arranged: Buffer<T>,
    /// A tile for each thread, token by token, before they are interleaved.
    scratch: Buffer<T>,
    /// Sum of each token, where codes are what is summed.
    totals: Buffer<i32>,
    /// What an activation of each token stands for, less its code.
    shifts: Buffer<i32>,
    /// Sum of each weight row, where a shift is not 0.
    w_sums: Buffer<i32>,
    y: Buffer<f32>,
}

impl<D: Dot<T, LANES, BYTES>, T: Value, const LANES: usize, const BYTES: usize, const FIELDS: usize>
    Run<D, T, LANES, BYTES, FIELDS>
{
    fn new(
        dot: D,
        (problem, x, flip): Inputs<'_, T>,
        weight: &PackedWeight,
        context: &mut Context,
    ) -> Result<Self, String> {
        let (m, k, n) = (problem.m, problem.k, problem.n);
        let row = k.next_multiple_of(BYTES * FIELDS);
        let w_scales: Vec<f32> = (0..n).map(|j| weight.scale(j)).collect();
        let x_scales: Vec<f32> = (0..m).map(|i| problem.activation_scale(i)).collect();
        let shifts = shifts(problem, flip);
        let w_sums = match shifts.iter().any(|shift| *shift != 0) {
            true => row_sums(weight)?,
            false => vec![0; n],
        };
        let row_bytes = weight.row_bytes;
        let rows = PackedRows { format: weight.format, bytes: &weight.bytes, row_bytes, n };
        let threads = context.pool().threads();
        Ok(Run {
            dot,
            pool: context.pool().clone(),
            rows: problem.rows,
            flip,
            n,
            x: context.copy("x", x),
            x_scales: context.copy("x scales", &x_scales),
            panels: Panels::new::<LANES, BYTES>(Plain, D::LAYOUT, rows, context),
            w_scales: context.copy("w scales", &w_scales),
            arranged: context.buffer("arranged x", m * row),
            scratch: context.buffer("scratch", threads * (arrange::TOKENS + 1) * row),
            totals: context.buffer("totals", m),
            y: context.buffer("y", m * n),
            shifts: context.copy("shifts", &shifts),
            w_sums: context.copy("w sums", &w_sums),
        })
    }

    /// Values of an arranged token.
    fn row(&self) -> usize {
        self.rows.k.next_multiple_of(BYTES * FIELDS)
    }

    /// Arrange and total every token, whole tiles to a thread; a single tile is not handed out.
    fn arrange(&mut self) {
        let (rows, row, flip, dot) = (self.rows, self.row(), self.flip, self.dot);
        let ranges = self.pool.ranges(rows.m, arrange::TOKENS);
        let (mut to, mut totals) = (&mut self.arranged[..], &mut self.totals[..]);
        let (mut scratch, mut tasks) = (&mut self.scratch[..], Vec::with_capacity(ranges.len()));
        for tokens in ranges {
            let to = to.split_off_mut(..tokens.len() * row).unwrap_or_default();
            let totals = totals.split_off_mut(..tokens.len()).unwrap_or_default();
            let scratch = scratch.split_off_mut(..(arrange::TOKENS + 1) * row).unwrap_or_default();
            tasks.push((tokens.start, to, totals, scratch));
        }
        let x = &self.x;
        self.pool.for_each(tasks, |(first, to, totals, scratch)| {
            let (flipped, scratch) = scratch.split_at_mut(row);
            for tile in arrange::tiles(0..totals.len()) {
                let to = to[tile.start * row..tile.end * row].as_chunks_mut::<BYTES>().0;
                let tokens = &mut scratch[..tile.len() * row];
                for (t, i) in tile.clone().enumerate() {
                    let mut x = rows.row(x, first + i);
                    if flip {
                        let to = &mut flipped[..x.len()];
                        to.iter_mut().zip(x).for_each(|(to, x)| *to = x.flipped());
                        x = to;
                    }
                    let steps = tokens[t * row..][..row].as_chunks_mut().0.as_chunks_mut().0;
                    totals[i] = dot.arrange::<FIELDS>(x, steps);
                }
                arrange::join(tokens.as_chunks().0, to, tile.len());
            }
        });
    }
}

impl<D: Dot<T, LANES, BYTES>, T: Value, const LANES: usize, const BYTES: usize, const FIELDS: usize>
    Prepared for Run<D, T, LANES, BYTES, FIELDS>
{
    fn launch(&mut self) -> Result<(), Failure> {
        self.arrange();
        let product = Product::<D, T, LANES, BYTES, FIELDS> {
            dot: self.dot,
            n: self.n,
            row: self.row(),
            x: &self.arranged,
            x_scales: &self.x_scales,
            totals: &self.totals,
            shifts: &self.shifts,
            w_sums: &self.w_sums,
            vectors: self.panels.vectors(D::LAYOUT)?,
            w_scales: &self.w_scales,
        };
        let pieces = self.pool.pieces(self.n, D::LAYOUT.panel_rows());
        let tasks = split(&mut self.y, self.n, pieces);
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
