//! `conv2d`: `y[n, o, i, j] = b[o] + sum_{c, k, l} x[n, g c_g + c, S_h i + D_h k - top, S_w j +
//! D_w l - left] w[o, c, k, l]`: cross-correlation, as every framework has it.
//!
//! Layouts are row-major: x `[N, C, H, W]`, w `[O, C / groups, K_h, K_w]`, y `[N, O, H', W']`.
//! Output channel o belongs to group `g = o / (O / groups)` and sees its `c_g = C / groups`
//! channels. Padding stands for zero (for the zero point in integers): its taps are left out, so
//! an infinite or NaN weight over padding changes nothing. Source: ONNX Conv, ConvInteger; the
//! config is seed 000's.
mod float;
mod integer;
mod operation;
mod oracle;
use super::shape;
use super::window::Window;
use crate::config::viva::Conv2dConfig;
use crate::invalid::Invalid;
pub use float::conv2d;
pub use integer::conv2d_integer;
pub use operation::{Conv2d, Conv2dProblem, Conv2dTensors, SPEC};
pub use oracle::Conv2dReference;

/// The shapes of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2dShape {
    /// Images.
    pub batch: usize,
    /// Input channels.
    pub channels: usize,
    /// Height and width of an image.
    pub input: [usize; 2],
    /// Output channels.
    pub outputs: usize,
    /// Groups; they divide both numbers of channels.
    pub groups: usize,
    /// Kernel, stride, padding of every side, dilation.
    pub window: Window,
}

impl Conv2dShape {
    /// The shapes of a configuration for an input of `[N, C, H, W]` and so many output channels.
    pub fn new(config: &Conv2dConfig, input: [usize; 4], outputs: usize) -> Conv2dShape {
        let [batch, channels, height, width] = input;
        let (groups, window) = (config.groups, config.window());
        Conv2dShape { batch, channels, input: [height, width], outputs, groups, window }
    }

    /// `[N, C, H, W]`.
    pub fn input_shape(&self) -> [usize; 4] {
        [self.batch, self.channels, self.input[0], self.input[1]]
    }

    /// `[O, C / groups, K_h, K_w]`; groups that do not divide the channels are an error.
    pub fn weight_shape(&self) -> Result<[usize; 4], Invalid> {
        Invalid::check_range("groups", self.groups, (1, usize::MAX))?;
        for (what, channels) in [("input", self.channels), ("output", self.outputs)] {
            if !channels.is_multiple_of(self.groups) {
                let allowed = format!("a divisor of the {channels} {what} channels");
                return Err(Invalid::new("groups", self.groups, allowed));
            }
        }
        let [height, width] = self.window.kernel;
        Ok([self.outputs, self.channels / self.groups, height, width])
    }

    /// `[N, O, H', W']`.
    pub fn output_shape(&self) -> Result<[usize; 4], Invalid> {
        let [height, width] = self.window.output(self.input, false)?;
        Ok([self.batch, self.outputs, height, width])
    }

    /// Products of one output: `C / groups K_h K_w`.
    pub fn depth(&self) -> Result<usize, Invalid> {
        let [_, channels, height, width] = self.weight_shape()?;
        shape::values("depth", &[channels, height, width])
    }

    /// Whether tensors of so many values fit, and how many the output has.
    fn check(&self, x_len: usize, w_len: usize) -> Result<usize, Invalid> {
        Invalid::check_len("x", x_len, &self.input_shape())?;
        Invalid::check_len("w", w_len, &self.weight_shape()?)?;
        shape::values("y", &self.output_shape()?)
    }

    /// For one output: its channel, and where the products it sums have their factors in x and w.
    fn taps(&self, output: [usize; 2], index: usize) -> (usize, Vec<(usize, usize)>) {
        let [kernel_h, kernel_w] = self.window.kernel;
        let (j, rest) = (index % output[1], index / output[1]);
        let (i, rest) = (rest % output[0], rest / output[0]);
        let (o, n) = (rest % self.outputs, rest / self.outputs);
        let depth = self.channels / self.groups;
        let first = o / (self.outputs / self.groups) * depth;
        let mut taps = Vec::with_capacity(depth * kernel_h * kernel_w);
        for (c, k) in (0..depth).flat_map(|c| (0..kernel_h).map(move |k| (c, k))) {
            let Some(row) = self.window.pixel(0, i, k, self.input[0]) else { continue };
            for l in 0..kernel_w {
                let Some(column) = self.window.pixel(1, j, l, self.input[1]) else { continue };
                let image = n * self.channels + first + c;
                let x = (image * self.input[0] + row) * self.input[1] + column;
                taps.push((x, ((o * depth + c) * kernel_h + k) * kernel_w + l));
            }
        }
        (o, taps)
    }

    /// Every output in order, each from its channel and its taps.
    fn outputs<T>(
        &self,
        (x_len, w_len): (usize, usize),
        value: impl Fn(usize, &[(usize, usize)]) -> T,
    ) -> Result<Vec<T>, Invalid> {
        let len = self.check(x_len, w_len)?;
        let [_, _, height, width] = self.output_shape()?;
        let output = |index| {
            let (channel, taps) = self.taps([height, width], index);
            value(channel, &taps)
        };
        Ok((0..len).map(output).collect())
    }
}
