//! The loop the CPU rows of `pool2d` share; an instruction set supplies a fold of shifted rows.
//!
//! A task puts one channel after the other into the layout of [`crate::plane`], with minus infinity
//! or zero for padding, where a row of outputs is a fold of shifted rows: `y[j] = max_t x[t + j]`
//! or `sum_t x[t + j]`. A sum is then divided by the number of pixels under its window, rows times
//! columns. A window as large as the image folds it in pieces of [`STRIP`] values instead.
use crate::buffer::Buffer;
use crate::context::Context;
use crate::plane::{Plane, Taps};
use crate::pool::Pool;
use crate::{Failure, Prepared};
use lowbit_reference::op::pool2d::{Divisor, Pool2dProblem, Pooling};
use lowbit_reference::op::window::Window;
use lowbit_reference::op::{Outputs, Tensor};

/// Values of an image folded at a time: the columns of a fold.
const STRIP: usize = 128;

/// What becomes of two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fold {
    /// The larger, NaN if one of them is.
    Max,
    /// Their sum.
    Sum,
}

impl Fold {
    /// What changes nothing: the padding.
    pub(super) fn neutral(self) -> f32 {
        match self {
            Fold::Max => f32::NEG_INFINITY,
            Fold::Sum => 0.0,
        }
    }

    /// Two values, one by one.
    #[inline(always)]
    pub(super) fn of(self, a: f32, b: f32) -> f32 {
        match self {
            Fold::Max if a > b || a.is_nan() => a,
            Fold::Max => b,
            Fold::Sum => a + b,
        }
    }
}

/// A fold of shifted rows as an instruction set does it.
pub(super) trait Rows: Copy + Sync {
    /// `y[j] = fold_t x[taps[t] + j]`. `x` goes on until the last vector of outputs is whole.
    fn fold(self, fold: Fold, x: &[f32], taps: &Taps, y: &mut [f32]);
}

/// Bind a problem to an instruction set.
pub(super) fn bind<'p, R: Rows + 'p>(
    isa: R,
    problem: &'p Pool2dProblem,
    context: &mut Context,
) -> Result<Box<dyn Prepared + 'p>, Failure> {
    let shape = problem.shape;
    let output @ [_, _, height, width] = shape.output_shape().map_err(|e| e.to_string())?;
    let plane = Plane::new(shape.window, shape.input, [height, width]);
    let (fold, divisor) = match problem.pooling {
        Pooling::Max => (Fold::Max, None),
        Pooling::Average(divisor) => (Fold::Sum, Some(divisor)),
    };
    let counts = divisor.map(|divisor| {
        let count = |axis: usize, len: usize| -> Vec<f32> {
            (0..len)
                .map(|at| count(&shape.window, divisor, axis, (at, shape.input[axis])))
                .collect()
        };
        (count(0, height), count(1, width))
    });
    let pool = context.pool().clone();
    let whole = shape.window.kernel == shape.input && shape.window.pads == [0; 4];
    let strips = (0..shape.input.iter().product::<usize>() / STRIP).map(|strip| strip * STRIP);
    let planes = if whole { STRIP } else { plane.len() };
    let mut scratch = context.buffer("planes", pool.threads() * planes);
    scratch.fill(fold.neutral());
    Ok(Box::new(Run {
        isa,
        pool,
        fold,
        plane,
        strips: whole.then(|| Taps::new(strips.collect())),
        counts,
        x: context.copy("x", &problem.x),
        scratch,
        y: context.buffer("y", output.iter().product()),
    }))
}

/// Pixels under a window along an axis, of the image or with its padding; at least 1.
fn count(window: &Window, divisor: Divisor, axis: usize, (at, input): (usize, usize)) -> f32 {
    let end = input + window.pads[axis] + window.pads[axis + 2];
    let inside = |tap: &usize| match divisor {
        Divisor::Valid => window.pixel(axis, at, *tap, input).is_some(),
        Divisor::Padded => window.position(axis, at, *tap).is_some_and(|place| place < end),
    };
    (0..window.kernel[axis]).filter(inside).count().max(1) as f32
}

struct Run<R> {
    isa: R,
    pool: Pool,
    fold: Fold,
    plane: Plane,
    /// Where the strips of an image begin, when the window is as large.
    strips: Option<Taps>,
    /// What sums are divided by: pixels along each axis.
    counts: Option<(Vec<f32>, Vec<f32>)>,
    x: Buffer<f32>,
    /// A plane for each thread; its padding stays as it is.
    scratch: Buffer<f32>,
    y: Buffer<f32>,
}

impl<R: Rows> Prepared for Run<R> {
    fn launch(&mut self) -> Result<(), Failure> {
        let channel = Channel {
            isa: self.isa,
            fold: self.fold,
            plane: &self.plane,
            strips: self.strips.as_ref(),
            counts: self.counts.as_ref(),
        };
        let outputs = self.plane.output[0] * self.plane.output[1];
        let channels = self.y.len() / outputs;
        let pixels = self.x.len() / channels;
        let scratch_len = self.scratch.len() / self.pool.threads();
        let mut y = &mut self.y[..];
        let mut tasks = Vec::new();
        let ranges = self.pool.ranges(channels, 1);
        for (range, scratch) in ranges.into_iter().zip(self.scratch.chunks_exact_mut(scratch_len)) {
            let x = &self.x[range.start * pixels..range.end * pixels];
            let part = y.split_off_mut(..range.len() * outputs).unwrap_or_default();
            tasks.push((x, scratch, part));
        }
        self.pool.for_each(tasks, |(x, scratch, y)| {
            for (x, y) in x.chunks_exact(pixels).zip(y.chunks_exact_mut(outputs)) {
                channel.pool(x, scratch, y);
            }
        });
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

/// What a thread needs for a channel.
struct Channel<'a, R> {
    isa: R,
    fold: Fold,
    plane: &'a Plane,
    strips: Option<&'a Taps>,
    counts: Option<&'a (Vec<f32>, Vec<f32>)>,
}

impl<R: Rows> Channel<'_, R> {
    fn pool(&self, x: &[f32], scratch: &mut [f32], y: &mut [f32]) {
        match self.strips {
            Some(strips) => y[0] = self.whole(x, strips, scratch),
            None => {
                self.plane.fill(x, scratch, |x| x);
                for (i, y) in y.chunks_exact_mut(self.plane.output[1]).enumerate() {
                    let x = &scratch[self.plane.start(i)..];
                    self.isa.fold(self.fold, x, &self.plane.taps, y);
                }
            }
        }
        if let Some((rows, columns)) = self.counts {
            for (row, y) in rows.iter().zip(y.chunks_exact_mut(columns.len())) {
                y.iter_mut().zip(columns).for_each(|(y, column)| *y /= row * column);
            }
        }
    }

    /// Everything folded: strips into one, its values and those that fill no strip one by one.
    fn whole(&self, x: &[f32], strips: &Taps, sums: &mut [f32]) -> f32 {
        let fold = |all: f32, x: &f32| self.fold.of(all, *x);
        let sums = &mut sums[..if strips.offsets().is_empty() { 0 } else { STRIP }];
        self.isa.fold(self.fold, x, strips, sums);
        let rest = &x[strips.offsets().len() * STRIP..];
        sums.iter().chain(rest).fold(self.fold.neutral(), fold)
    }
}
