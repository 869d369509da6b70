//! Depthwise convolution: groups of one input channel, on `PANEL` of which a product of matrices
//! would waste all but a few lanes. Neighbouring outputs of a row are the lanes instead.
//!
//! A task puts one channel after the other into the layout of [`crate::plane`], where the outputs
//! of a row are sums of shifted rows times one weight each: `y[j] = scale sum_t w[t] x[t + j]`, an
//! FMA a tap for a vector of outputs. int8 codes become floats on the way: products are below
//! 2^14, so sums of up to [`MAX_TAPS`] are below 2^24, where every partial sum is an exact float,
//! and the result is that of integer sums. Larger windows go the general way.
use crate::buffer::{Buffer, Element};
use crate::context::Context;
use crate::plane::{Plane, Taps};
use crate::pool::Pool;
use crate::{Failure, Prepared};
use lowbit_reference::op::conv2d::{Conv2dProblem, Conv2dTensors};
use lowbit_reference::op::{Outputs, Tensor};

/// Taps whose products of codes add up to less than 2^24.
const MAX_TAPS: usize = 1023;

/// Whether a problem is depthwise, with a window that floats can sum exactly.
pub(super) fn takes(problem: &Conv2dProblem) -> bool {
    let (shape, taps) = (problem.shape, problem.shape.window.kernel.iter().product::<usize>());
    let exact = matches!(problem.tensors, Conv2dTensors::F32) || taps <= MAX_TAPS;
    shape.channels == shape.groups && exact
}

/// A row of outputs as an instruction set makes it.
pub(super) trait Depthwise: Copy + Sync {
    /// `y[j] = scale sum_t w[t] x[taps[t] + j]`. `x` goes on until the last vector of outputs is
    /// whole; `w` has a weight per tap.
    fn row(self, x: &[f32], taps: &Taps, w: &[f32], scale: f32, y: &mut [f32]);
}

/// A value that is a float as it is or becomes one.
trait Value: Element {
    fn float(self) -> f32;
}
impl Value for f32 {
    fn float(self) -> f32 {
        self
    }
}
impl Value for i8 {
    fn float(self) -> f32 {
        f32::from(self)
    }
}

/// Bind a depthwise problem to an instruction set.
pub(super) fn bind<'p, D: Depthwise + 'p>(
    dot: D,
    problem: &'p Conv2dProblem,
    context: &mut Context,
) -> Result<Box<dyn Prepared + 'p>, Failure> {
    Ok(match &problem.tensors {
        Conv2dTensors::F32 => {
            Box::new(Run::new(dot, &problem.x_f32, &problem.w_f32, problem, context)?)
        }
        Conv2dTensors::Int8 { x, w, .. } => {
            let w: Vec<f32> = w.iter().map(|w| f32::from(*w)).collect();
            Box::new(Run::new(dot, x, &w, problem, context)?)
        }
    })
}

struct Run<D, T> {
    dot: D,
    pool: Pool,
    plane: Plane,
    /// Input channels of an image.
    channels: usize,
    x: Buffer<T>,
    /// A plane for each thread; its padding is zero and stays so.
    planes: Buffer<f32>,
    weights: Buffer<f32>,
    scales: Buffer<f32>,
    y: Buffer<f32>,
}

impl<D: Depthwise, T: Value> Run<D, T> {
    fn new(
        dot: D,
        x: &[T],
        w: &[f32],
        problem: &Conv2dProblem,
        context: &mut Context,
    ) -> Result<Self, Failure> {
        let shape = problem.shape;
        let output @ [_, _, height, width] = shape.output_shape().map_err(|e| e.to_string())?;
        let plane = Plane::new(shape.window, shape.input, [height, width]);
        let pool = context.pool().clone();
        let mut planes = context.buffer("planes", pool.threads() * plane.len());
        planes.fill(0.0);
        let scales: Vec<f32> = (0..shape.outputs).map(|o| problem.scale(o)).collect();
        Ok(Run {
            dot,
            pool,
            plane,
            channels: shape.channels,
            x: context.copy("x", x),
            planes,
            weights: context.copy("weights", w),
            scales: context.copy("scales", &scales),
            y: context.buffer("y", output.iter().product()),
        })
    }
}

impl<D: Depthwise, T: Value> Prepared for Run<D, T> {
    fn launch(&mut self) -> Result<(), Failure> {
        let (plane, dot) = (&self.plane, self.dot);
        let (weights, scales) = (&self.weights[..], &self.scales[..]);
        let [height, width] = plane.output;
        let (channels, kernel) = (self.channels, plane.taps.offsets().len());
        let multiplier = scales.len() / channels;
        let outputs = multiplier * height * width;
        let all = self.y.len() / outputs;
        let pixels = self.x.len() / all;
        let mut y = &mut self.y[..];
        let mut tasks = Vec::new();
        for (range, scratch) in
            self.pool.ranges(all, 1).into_iter().zip(self.planes.chunks_exact_mut(plane.len()))
        {
            let x = &self.x[range.start * pixels..range.end * pixels];
            let part = y.split_off_mut(..range.len() * outputs).unwrap_or_default();
            tasks.push((range, x, scratch, part));
        }
        self.pool.for_each(tasks, |(range, x, scratch, y)| {
            let parts = x.chunks_exact(pixels).zip(y.chunks_exact_mut(outputs));
            for (channel, (x, y)) in range.zip(parts) {
                plane.fill(x, scratch, T::float);
                let first = channel % channels * multiplier;
                for (o, y) in (first..).zip(y.chunks_exact_mut(height * width)) {
                    let w = &weights[o * kernel..][..kernel];
                    for (i, y) in y.chunks_exact_mut(width).enumerate() {
                        dot.row(&scratch[plane.start(i)..], &plane.taps, w, scales[o], y);
                    }
                }
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
