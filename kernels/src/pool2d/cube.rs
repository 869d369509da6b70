//! CubeCL `pool2d`: a unit an output, or 256 units where a window has more than 1,024 taps.
//!
//! Taps in the padding are left out, and counted where the divisor says so. 256 units stride over
//! the taps and add up (or take the larger) in a tree in shared memory.
//!
//! Bounds: chains of at most 1,032 additions below 2^18 taps, of `taps / 256 + 8` above; one
//! division.
use crate::context::Context;
use crate::cube::tile::{Join, gather, joined};
use crate::cube::{Cube, Device, Ready, Session, floats, spread, word};
use crate::hardware::Need;
use crate::{Failure, Kernel, Prepared, Threads};
use cubecl::prelude::*;
use lowbit_reference::op::Arithmetic;
use lowbit_reference::op::pool2d::{Divisor, Pool2d, Pool2dProblem, Pooling};

/// Units of a cube.
const UNITS: u32 = 256;
/// Taps of a window that one unit goes through alone.
const ALONE: usize = 1024;

/// Sizes: of images, of outputs, and of the window along both axes.
#[derive(CubeType, CubeLaunch, Clone, Copy)]
struct Shape {
    outputs: u32,
    height: u32,
    width: u32,
    rows: u32,
    columns: u32,
    kernel_h: u32,
    kernel_w: u32,
    stride_h: u32,
    stride_w: u32,
    dilation_h: u32,
    dilation_w: u32,
    top: u32,
    left: u32,
    /// Height and width with all padding.
    padded_h: u32,
    padded_w: u32,
    /// What changes nothing: minus infinity, which WGSL cannot write down, or 0.
    neutral: f32,
}

/// What a kernel is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Variant {
    maximum: bool,
    /// Whether the divisor counts the padding.
    padded: bool,
    /// Units of an output.
    lanes: u32,
}

impl Variant {
    fn join(self) -> Join {
        if self.maximum { Join::LargerOrNan } else { Join::Sum }
    }
}

/// Taps of one window along an axis that lie in the image, or in the padded image.
#[cube]
fn count(
    at: u32,
    kernel: u32,
    dilation: u32,
    before: u32,
    len: u32,
    padded: u32,
    #[comptime] with_padding: bool,
) -> u32 {
    let mut count = 0u32;
    for tap in 0..kernel {
        let place = at + tap * dilation;
        if comptime!(with_padding) {
            count += select(place < padded, 1u32, 0u32);
        } else {
            count += select(place >= before && place < before + len, 1u32, 0u32);
        }
    }
    max(count, 1)
}

#[cube(launch)]
fn pool(x: &Array<f32>, y: &mut Array<f32>, shape: Shape, #[comptime] variant: Variant) {
    let lanes = variant.lanes;
    let at = CUBE_POS as u32 * comptime!(UNITS / lanes) + UNIT_POS / lanes;
    let lane = UNIT_POS % lanes;
    let (i, j) = (at / shape.columns % shape.rows, at % shape.columns);
    let plane = at / shape.columns / shape.rows * shape.height * shape.width;
    let (first_h, first_w) = (i * shape.stride_h, j * shape.stride_w);
    let mut all = shape.neutral;
    let mut tap = lane;
    let mut taps = 0u32;
    if at < shape.outputs {
        taps = shape.kernel_h * shape.kernel_w;
    }
    while tap < taps {
        let h = first_h + tap / shape.kernel_w * shape.dilation_h;
        let w = first_w + tap % shape.kernel_w * shape.dilation_w;
        let inside = h >= shape.top && w >= shape.left;
        if inside && h < shape.top + shape.height && w < shape.left + shape.width {
            let pixel = (h - shape.top) * shape.width + w - shape.left;
            all = joined::<f32>(all, x[(plane + pixel) as usize], comptime!(variant.join()));
        }
        tap += lanes;
    }
    if comptime!(lanes > 1) {
        let mut shared = SharedMemory::<f32>::new(comptime!(UNITS as usize));
        all = gather::<f32>(all, &mut shared, comptime!(variant.join()), lanes);
    }
    if lane == 0 && at < shape.outputs {
        if comptime!(!variant.maximum) {
            let rows = count(
                first_h,
                shape.kernel_h,
                shape.dilation_h,
                shape.top,
                shape.height,
                shape.padded_h,
                variant.padded,
            );
            let columns = count(
                first_w,
                shape.kernel_w,
                shape.dilation_w,
                shape.left,
                shape.width,
                shape.padded_w,
                variant.padded,
            );
            all /= f32::cast_from(rows * columns);
        }
        y[at as usize] = all;
    }
}

impl<R: Device> Kernel<Pool2d> for Cube<R> {
    fn name(&self) -> &'static str {
        R::NAME
    }
    fn need(&self) -> Need {
        R::NEED
    }
    fn threads(&self) -> Threads {
        Threads::Own
    }
    fn arithmetic(&self, _: &Pool2dProblem) -> Arithmetic {
        Arithmetic::FLOAT_GPU
    }
    fn accepts(&self, p: &Pool2dProblem) -> Result<(), String> {
        let output = p.shape.output_shape().map_err(|e| e.to_string())?;
        self.binds(4 * p.x.len().max(output.iter().product()))
    }
    fn prepare<'p>(
        &self,
        p: &'p Pool2dProblem,
        context: &mut Context,
    ) -> Result<Box<dyn Prepared + 'p>, Failure> {
        let mut session = Session::<R>::open(context)?;
        let output = p.shape.output_shape().map_err(|e| Failure(e.to_string()))?;
        let outputs: usize = output.iter().product();
        let window = p.shape.window;
        let alone = window.kernel[0] * window.kernel[1] <= ALONE;
        let (maximum, padded) = match p.pooling {
            Pooling::Max => (true, false),
            Pooling::Average(divisor) => (false, divisor == Divisor::Padded),
        };
        let variant = Variant { maximum, padded, lanes: if alone { 1 } else { UNITS } };
        let x = session.upload(&p.x)?;
        let y = session.output(context, "y", outputs)?;
        let out = y.clone();
        let cubes = (outputs * variant.lanes as usize).div_ceil(UNITS as usize);
        let input = p.shape.input;
        let padded = [0, 1].map(|axis| input[axis] + window.pads[axis] + window.pads[axis + 2]);
        let enqueue = move |client: &ComputeClient<R>| {
            let [height, width] = input.map(word);
            let [rows, columns] = [output[2], output[3]].map(word);
            let [kernel_h, kernel_w] = window.kernel.map(word);
            let [stride_h, stride_w] = window.stride.map(word);
            let [dilation_h, dilation_w] = window.dilation.map(word);
            let [top, left] = [window.pads[0], window.pads[1]].map(word);
            let [padded_h, padded_w] = padded.map(word);
            let neutral = if maximum { f32::NEG_INFINITY } else { 0.0 };
            let shape = ShapeLaunch::new(
                word(outputs),
                height,
                width,
                rows,
                columns,
                kernel_h,
                kernel_w,
                stride_h,
                stride_w,
                dilation_h,
                dilation_w,
                top,
                left,
                padded_h,
                padded_w,
                neutral,
            );
            let dim = CubeDim::new_1d(UNITS);
            pool::launch::<R>(client, spread(cubes), dim, x.arg(), out.arg(), shape, variant);
        };
        Ok(Box::new(Ready::new(session, enqueue, floats("y", y))))
    }
}
