//! Max, average and global average pooling of `[N, C, H, W]`, row-major (ONNX MaxPool,
//! AveragePool, GlobalAveragePool; the config is seed 000's).
//!
//! Padding acts as minus infinity for a maximum and as zero for a sum. An average divides by the
//! pixels under the window: either those of the image ([`Divisor::Valid`], the default of ONNX) or
//! those of the padded image ([`Divisor::Padded`], the default of PyTorch). A last window that
//! ceil mode keeps may reach beyond the padding; what lies there is never counted.
//!
//! Sums are in f64, rounded to f32 once. NaN under a window makes its result NaN, for a maximum
//! too (PyTorch, IEEE `maximum`). A dilated window whose every tap lies in the padding has the
//! maximum minus infinity and the average 0.
mod operation;
use super::shape;
use super::window::Window;
use crate::config::viva::PoolConfig;
use crate::invalid::Invalid;
pub use operation::{Pool2d, Pool2dProblem, Pool2dReference, Pooling, SPEC};

/// The shapes of a pooling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool2dShape {
    /// Images.
    pub batch: usize,
    /// Channels.
    pub channels: usize,
    /// Height and width of an image.
    pub input: [usize; 2],
    /// Window, stride, padding of every side (smaller than the window), dilation.
    pub window: Window,
    /// Whether a last window that reaches beyond the padding is kept.
    pub ceil_mode: bool,
}

/// What an average divides by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Divisor {
    /// Pixels of the image under the window (`count_include_pad = 0`).
    Valid,
    /// Pixels of the image and of its padding under the window (`count_include_pad = 1`).
    Padded,
}

impl Pool2dShape {
    /// The shapes of a configuration for an input of `[N, C, H, W]`, without ceil mode.
    pub fn new(config: &PoolConfig, input: [usize; 4]) -> Pool2dShape {
        let [batch, channels, height, width] = input;
        let (input, window) = ([height, width], config.window());
        Pool2dShape { batch, channels, input, window, ceil_mode: false }
    }

    /// `[N, C, H, W]`.
    pub fn input_shape(&self) -> [usize; 4] {
        [self.batch, self.channels, self.input[0], self.input[1]]
    }

    /// `[N, C, H', W']`.
    pub fn output_shape(&self) -> Result<[usize; 4], Invalid> {
        self.window.check()?;
        self.window.check_pads()?;
        let [height, width] = self.window.output(self.input, self.ceil_mode)?;
        Ok([self.batch, self.channels, height, width])
    }

    /// Taps of one window along an axis: the pixels of the image, and how many taps lie in the
    /// padded image.
    fn taps(&self, axis: usize, window: usize) -> (Vec<usize>, usize) {
        let input = self.input[axis];
        let padded = input + self.window.pads[axis] + self.window.pads[axis + 2];
        let taps = 0..self.window.kernel[axis];
        let pixel = |tap| self.window.pixel(axis, window, tap, input);
        let inside = |tap: &usize| {
            self.window.position(axis, window, *tap).is_some_and(|position| position < padded)
        };
        (taps.clone().filter_map(pixel).collect(), taps.filter(inside).count())
    }

    /// Output `index`, from the pixels under its window and their number with padding.
    fn output<T>(
        &self,
        x: &[f32],
        [height, width]: [usize; 2],
        index: usize,
        value: impl Fn(&mut dyn Iterator<Item = f32>, usize) -> T,
    ) -> T {
        let [input_h, input_w] = self.input;
        let (rows, padded_rows) = self.taps(0, index / width % height);
        let (columns, padded_columns) = self.taps(1, index % width);
        let image = index / width / height * input_h;
        let pixel = |row: usize, column: usize| x[(image + row) * input_w + column];
        let mut pixels =
            rows.iter().flat_map(|row| columns.iter().map(|column| pixel(*row, *column)));
        value(&mut pixels, padded_rows * padded_columns)
    }

    /// Every output in order.
    fn outputs(
        &self,
        x: &[f32],
        value: impl Fn(&mut dyn Iterator<Item = f32>, usize) -> f32,
    ) -> Result<Vec<f32>, Invalid> {
        Invalid::check_len("x", x.len(), &self.input_shape())?;
        let output @ [_, _, height, width] = self.output_shape()?;
        let len = shape::values("y", &output)?;
        Ok((0..len).map(|index| self.output(x, [height, width], index, &value)).collect())
    }
}

/// The largest of some pixels, NaN if one of them is.
fn largest(pixels: &mut dyn Iterator<Item = f32>) -> f32 {
    let larger = |max: f32, x: f32| if x.is_nan() || x > max { x } else { max };
    pixels.fold(f32::NEG_INFINITY, |max, x| if max.is_nan() { max } else { larger(max, x) })
}

/// The largest value under each window.
pub fn max_pool2d(shape: &Pool2dShape, x: &[f32]) -> Result<Vec<f32>, Invalid> {
    shape.outputs(x, |pixels, _| largest(pixels))
}

/// The sum of some pixels, the sum of their magnitudes, and how many there are.
fn sums(pixels: &mut dyn Iterator<Item = f32>) -> (f64, f64, usize) {
    pixels
        .map(f64::from)
        .fold((0.0, 0.0, 0), |(sum, magnitude, count), x| (sum + x, magnitude + x.abs(), count + 1))
}

/// The mean of the values under each window.
pub fn average_pool2d(
    shape: &Pool2dShape,
    divisor: Divisor,
    x: &[f32],
) -> Result<Vec<f32>, Invalid> {
    shape.outputs(x, |pixels, padded| {
        let (sum, _, valid) = sums(pixels);
        mean(sum, if divisor == Divisor::Valid { valid } else { padded })
    })
}

/// The mean of every channel: `[N, C, H, W]` to `[N, C, 1, 1]`. A channel without pixels has 0.
pub fn global_average_pool2d(input: [usize; 4], x: &[f32]) -> Result<Vec<f32>, Invalid> {
    Invalid::check_len("x", x.len(), &input)?;
    let [batch, channels, height, width] = input;
    let pixels = shape::values("x", &[height, width])?;
    let len = shape::values("y", &[batch, channels])?;
    let one = |index: usize| {
        mean(x[index * pixels..][..pixels].iter().map(|x| f64::from(*x)).sum(), pixels)
    };
    Ok((0..len).map(one).collect())
}

/// A sum over a count, 0 for none.
fn mean(sum: f64, count: usize) -> f32 {
    (sum / count.max(1) as f64) as f32
}
