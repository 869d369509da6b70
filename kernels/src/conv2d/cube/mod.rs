//! CubeCL `conv2d`: a product of matrices whose right one, a column per output pixel, is never
//! written down (implicit GEMM).
//!
//! ```text
//! y[n, o, p] = s[o] sum_d w[o, d] x[n, plane(d), pixel(p) + offset(d)]     d = (c, k, l)
//! ```
//!
//! 16 x 16 units make a tile of 16 or 64 output channels of a group by 64 pixels, 32 items deep: an
//! item is an f32, or four codes as bytes in a word, whose products `dot4` adds at once. Where each
//! tap stands is a table made once; taps in the padding are zeros. Groups of one output channel
//! share no activations, and a unit makes each of their outputs alone.
//!
//! Bounds: `|sum| <= 128^2 depth < 2^31` for every depth the op allows; 16,640 bytes of shared
//! memory; buffers below the adapter's binding limit.
mod kernel;
use crate::context::Context;
use crate::cube::tile::SIDE;
use crate::cube::{Cube, Device, Packing, Ready, Session, Words, floats, padded, spread, word};
use crate::hardware::Need;
use crate::{Failure, Kernel, Prepared, Threads};
use cubecl::prelude::*;
use kernel::{PIXELS, ShapeLaunch, TAP, Variant, alone, convolve};
use lowbit_reference::op::Arithmetic;
use lowbit_reference::op::conv2d::{Conv2d, Conv2dProblem, Conv2dTensors};

/// Plane and place of each tap: `(c, k D_h, l D_w)`.
fn taps(p: &Conv2dProblem) -> Vec<u32> {
    let window = p.shape.window;
    let [rows, columns] = window.kernel;
    let channels = p.shape.channels / p.shape.groups;
    let planes = (0..channels).flat_map(|c| (0..rows).map(move |k| (c, k)));
    let all = planes.flat_map(|(c, k)| (0..columns).map(move |l| (c, k, l)));
    all.flat_map(|(c, k, l)| [c, k * window.dilation[0], l * window.dilation[1]].map(word))
        .collect()
}

/// What a launch needs beside the buffers.
#[derive(Clone, Copy)]
struct Plan {
    variant: Variant,
    sizes: [usize; 14],
    cubes: usize,
    alone: bool,
}

impl Plan {
    fn new(p: &Conv2dProblem) -> Result<Plan, Failure> {
        let shape = p.shape;
        let fault = |e: lowbit_reference::invalid::Invalid| Failure(e.to_string());
        let [.., rows, columns] = shape.output_shape().map_err(fault)?;
        let depth = shape.depth().map_err(fault)?;
        let (packing, codes) = match p.tensors {
            Conv2dTensors::F32 => (Packing::Float, 1),
            Conv2dTensors::Int8 { .. } => (Packing::Int8, 4),
        };
        let outputs = shape.outputs / shape.groups;
        let variant = Variant { packing, codes, rows: if outputs > SIDE as usize { 4 } else { 1 } };
        let (pixels, groups) = (rows * columns, shape.batch * shape.groups);
        let tiles = outputs.div_ceil((variant.rows * SIDE) as usize);
        let alone = outputs == 1;
        let cubes = match alone {
            true => (groups * pixels).div_ceil((SIDE * SIDE) as usize),
            false => groups * tiles * pixels.div_ceil(PIXELS as usize),
        };
        let ([height, width], window) = (shape.input, shape.window);
        let ([stride_h, stride_w], [top, left, ..]) = (window.stride, window.pads);
        let channels = shape.channels / shape.groups;
        let words = packing.words(depth);
        let sizes = [
            shape.batch,
            shape.groups,
            channels,
            outputs,
            height,
            width,
            rows,
            columns,
            stride_h,
            stride_w,
            top,
            left,
            depth,
            words,
        ];
        Ok(Plan { variant, sizes, cubes, alone })
    }

    fn shape<R: Runtime>(&self) -> ShapeLaunch<R> {
        let [batch, groups, channels, outputs, height, width, rows, columns, rest @ ..] =
            self.sizes.map(word);
        let [stride_h, stride_w, top, left, depth, words] = rest;
        ShapeLaunch::new(
            batch, groups, channels, outputs, height, width, rows, columns, stride_h, stride_w,
            top, left, depth, words,
        )
    }
}

/// Activations and weights on the device.
fn upload<R: Device>(
    session: &Session<R>,
    p: &Conv2dProblem,
    [depth, words]: [usize; 2],
) -> Result<[Words; 2], Failure> {
    Ok(match &p.tensors {
        Conv2dTensors::F32 => [session.upload(&p.x_f32)?, session.upload(&p.w_f32)?],
        Conv2dTensors::Int8 { x, w, .. } => [
            session.upload(&padded(i8::as_bytes(x), x.len(), x.len().div_ceil(4)))?,
            session.upload(&padded(i8::as_bytes(w), depth, words))?,
        ],
    })
}

impl<R: Device> Kernel<Conv2d> for Cube<R> {
    fn name(&self) -> &'static str {
        R::NAME
    }
    fn need(&self) -> Need {
        R::NEED
    }
    fn threads(&self) -> Threads {
        Threads::Own
    }
    fn arithmetic(&self, problem: &Conv2dProblem) -> Arithmetic {
        match problem.tensors {
            Conv2dTensors::F32 => Arithmetic::FLOAT_GPU,
            Conv2dTensors::Int8 { .. } => Arithmetic::INTEGER_GPU,
        }
    }
    fn accepts(&self, p: &Conv2dProblem) -> Result<(), String> {
        let output = p.shape.output_shape().map_err(|e| e.to_string())?;
        let padding = p.shape.window.pads.iter().any(|pad| *pad > 0);
        let floats = matches!(p.tensors, Conv2dTensors::F32);
        if floats && padding && !p.w_f32.iter().all(|w| w.is_finite()) {
            return Err("weights that are not finite, over padding".into());
        }
        let [x, w] = [p.shape.input_shape(), p.shape.weight_shape().map_err(|e| e.to_string())?];
        let len = |shape: [usize; 4]| shape.iter().product::<usize>();
        let words = if floats { [len(x), len(w)] } else { [x, w].map(|x| len(x).div_ceil(4)) };
        let most = [words[0], words[1], len(output)];
        let taps = TAP as usize * p.shape.depth().map_err(|e| e.to_string())?;
        self.binds(4 * most.into_iter().fold(taps, usize::max))
    }
    fn prepare<'p>(
        &self,
        p: &'p Conv2dProblem,
        context: &mut Context,
    ) -> Result<Box<dyn Prepared + 'p>, Failure> {
        let mut session = Session::<R>::open(context)?;
        let plan = Plan::new(p)?;
        let [.., depth, words] = plan.sizes;
        let [x, w] = upload(&session, p, [depth, words])?;
        let taps = session.upload(&taps(p))?;
        let scales: Vec<f32> = (0..p.shape.outputs).map(|o| p.scale(o)).collect();
        let scales = session.upload(&scales)?;
        let outputs = p.shape.output_shape().map_err(|e| Failure(e.to_string()))?;
        let y = session.output(context, "y", outputs.iter().product())?;
        let out = y.clone();
        let enqueue = move |client: &ComputeClient<R>| {
            let launch = match (plan.alone, plan.variant.integer()) {
                (true, true) => alone::launch::<i32, R>,
                (true, false) => alone::launch::<f32, R>,
                (false, true) => convolve::launch::<u32, i32, R>,
                (false, false) => convolve::launch::<f32, f32, R>,
            };
            let dim = CubeDim::new_2d(SIDE, SIDE);
            let [x, w, taps, scales] = [&x, &w, &taps, &scales].map(Words::arg);
            let (count, shape) = (spread(plan.cubes), plan.shape());
            launch(client, count, dim, x, w, taps, scales, out.arg(), shape, plan.variant);
        };
        Ok(Box::new(Ready::new(session, enqueue, floats("y", y))))
    }
}
