//! Where the rows of `conv2d` put activations and weights.
//!
//! *Activations* are arranged at every launch into planes of cells of 4 bytes, one plane for every
//! one (floats), two (i16) or four (bytes) channels of a group, each with its padding around it:
//!
//! ```text
//! cell (r, c) of plane p, bytes:   x[4p][r, c]+128 | x[4p+1][..]+128 | x[4p+2]..| x[4p+3]..
//! ```
//!
//! A window then is a list of places that is the same for every output pixel: `step (p, k, l)`
//! stands `p plane + D_h k row + D_w l` cells after the pixel's first. No columns are copied
//! ("implicit GEMM"), and no pixel is at an edge. The pitch of a plane is an odd number of 64-byte
//! lines, so that the planes of one pixel do not share a cache set.
//!
//! *Weights* are packed once, `PANEL` output channels of a group side by side for every step; what
//! is missing in the last panel or cell is zero:
//!
//! ```text
//! step 0: o0 c0..c3 | o1 c0..c3 | ... | o31 c0..c3   step 1: o0 ...
//! ```
use crate::buffer::Element;
use crate::plane::Taps;
use lowbit_reference::op::conv2d::Conv2dShape;

/// What a plane is made of: the values of some channels at one pixel, and the weights they meet.
pub(super) trait Cell: Copy + Send + Sync + 'static {
    /// A value of the problem.
    type Value: Element;
    /// A cell.
    type Stored: Element;
    /// A packed weight.
    type Weight: Element + Default;
    /// Values of a cell.
    const CHANNELS: usize;
    /// What integers carry on top.
    const BIAS: i32;
    /// A cell of zeros: the padding.
    const ZERO: Self::Stored;
    /// Cells of a row from the rows of its channels; missing ones are zero.
    fn row(x: &[&[Self::Value]], to: &mut [Self::Stored]);
    /// A weight as it is packed.
    fn weight(w: Self::Value) -> Self::Weight;
    /// A weight as an integer, where there is a bias.
    fn code(w: Self::Value) -> i32;
}

/// One float.
#[derive(Clone, Copy, Debug)]
pub(super) struct Float;
impl Cell for Float {
    type Value = f32;
    type Stored = f32;
    type Weight = f32;
    const CHANNELS: usize = 1;
    const BIAS: i32 = 0;
    const ZERO: f32 = 0.0;
    fn row(x: &[&[f32]], to: &mut [f32]) {
        to.iter_mut().zip(x[0]).for_each(|(to, x)| *to = *x);
    }
    fn weight(w: f32) -> f32 {
        w
    }
    fn code(_: f32) -> i32 {
        0
    }
}

/// One code as a float.
#[derive(Clone, Copy, Debug)]
pub(super) struct FloatCode;
impl Cell for FloatCode {
    type Value = i8;
    type Stored = f32;
    type Weight = f32;
    const CHANNELS: usize = 1;
    const BIAS: i32 = 0;
    const ZERO: f32 = 0.0;
    fn row(x: &[&[i8]], to: &mut [f32]) {
        to.iter_mut().zip(x[0]).for_each(|(to, x)| *to = f32::from(*x));
    }
    fn weight(w: i8) -> f32 {
        f32::from(w)
    }
    fn code(w: i8) -> i32 {
        i32::from(w)
    }
}

/// Four bytes `x + 128`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quad;
impl Cell for Quad {
    type Value = i8;
    type Stored = u32;
    type Weight = i8;
    const CHANNELS: usize = 4;
    const BIAS: i32 = 128;
    const ZERO: u32 = 0x8080_8080;
    fn row(x: &[&[i8]], to: &mut [u32]) {
        if let [a, b, c, d] = x {
            let values = a.iter().zip(*b).zip(c.iter().zip(*d));
            for (to, ((a, b), (c, d))) in to.iter_mut().zip(values) {
                *to = u32::from_le_bytes([a, b, c, d].map(|x| x.cast_unsigned())) ^ Self::ZERO;
            }
            return;
        }
        to.fill(Self::ZERO);
        for (channel, x) in x.iter().enumerate() {
            for (to, x) in to.iter_mut().zip(*x) {
                *to ^= u32::from(x.cast_unsigned()) << (8 * channel);
            }
        }
    }
    fn weight(w: i8) -> i8 {
        w
    }
    fn code(w: i8) -> i32 {
        i32::from(w)
    }
}

/// Two i16, the first in the low half.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pair;
impl Cell for Pair {
    type Value = i8;
    type Stored = i32;
    type Weight = i8;
    const CHANNELS: usize = 2;
    const BIAS: i32 = 0;
    const ZERO: i32 = 0;
    fn row(x: &[&[i8]], to: &mut [i32]) {
        let low = |x: &i8| i32::from(*x) & 0xffff;
        match x {
            [a, b] => {
                for (to, (a, b)) in to.iter_mut().zip(a.iter().zip(*b)) {
                    *to = low(a) | i32::from(*b) << 16;
                }
            }
            _ => to.iter_mut().zip(x[0]).for_each(|(to, x)| *to = low(x)),
        }
    }
    fn weight(w: i8) -> i8 {
        w
    }
    fn code(w: i8) -> i32 {
        i32::from(w)
    }
}

/// The shapes of a problem in cells.
#[derive(Debug)]
pub(super) struct Layout {
    shape: Conv2dShape,
    /// Channels of a group.
    channels: usize,
    /// Planes of a group.
    pub(super) planes: usize,
    /// Rows and columns of a plane that windows reach.
    padded: [usize; 2],
    /// Cells of a plane.
    pub(super) pitch: usize,
    /// Places of the taps of a group, plane by plane.
    pub(super) steps: Taps,
    /// Where the first tap of each output pixel stands in a plane.
    pub(super) pixels: Vec<usize>,
    /// Output channels of a group.
    pub(super) outputs: usize,
}

/// Cells of a 64-byte line.
const LINE: usize = 16;

impl Layout {
    /// The layout of a shape in cells of so many channels; the shape is a valid one.
    pub(super) fn new(shape: Conv2dShape, cell: usize) -> Result<Layout, String> {
        let [_, _, height, width] = shape.output_shape().map_err(|e| e.to_string())?;
        let window = shape.window;
        let output = [height, width];
        let padded = [0, 1].map(|axis| {
            let extent = window.dilation[axis] * (window.kernel[axis] - 1) + 1;
            (output[axis] - 1) * window.stride[axis] + extent
        });
        let channels = shape.channels / shape.groups;
        let (planes, row) = (channels.div_ceil(cell), padded[1]);
        let pitch = (padded[0] * row).div_ceil(LINE) | 1;
        let pitch = pitch * LINE;
        let [rows, columns] = window.kernel;
        let [down, right] = window.dilation;
        let mut steps = Vec::with_capacity(planes * rows * columns);
        for (p, k) in (0..planes).flat_map(|p| (0..rows).map(move |k| (p, k))) {
            steps.extend((0..columns).map(|l| p * pitch + k * down * row + l * right));
        }
        let first = |i: usize, j: usize| i * window.stride[0] * row + j * window.stride[1];
        let pixels = (0..height).flat_map(|i| (0..width).map(move |j| first(i, j))).collect();
        let (outputs, steps) = (shape.outputs / shape.groups, Taps::new(steps));
        Ok(Layout { shape, channels, planes, padded, pitch, steps, pixels, outputs })
    }

    /// Planes of all groups of all images.
    pub(super) fn all_planes(&self) -> usize {
        self.shape.batch * self.shape.groups * self.planes
    }

    /// Put the pixels of plane `at` where they belong; the padding is left as it is.
    pub(super) fn fill<C: Cell>(&self, x: &[C::Value], at: usize, to: &mut [C::Stored]) {
        let [height, width] = self.shape.input;
        let [top, left, ..] = self.shape.window.pads;
        let (image_group, plane) = (at / self.planes, at % self.planes);
        let from = plane * C::CHANNELS;
        let channels = from..self.channels.min(from + C::CHANNELS);
        let rows = height.min(self.padded[0].saturating_sub(top));
        let columns = width.min(self.padded[1].saturating_sub(left));
        if columns == 0 {
            // Every window lies in the padding.
            return;
        }
        for i in 0..rows {
            let to = &mut to[(top + i) * self.padded[1] + left..][..columns];
            let row = |channel: usize| {
                let at = ((image_group * self.channels + channel) * height + i) * width;
                &x[at..][..columns]
            };
            match channels.len() {
                4 => C::row(&[0, 1, 2, 3].map(|c| row(from + c)), to),
                2 => C::row(&[0, 1].map(|c| row(from + c)), to),
                3 => C::row(&[0, 1, 2].map(|c| row(from + c)), to),
                _ => C::row(&[row(from)], to),
            }
        }
    }

    /// Values of a packed panel.
    pub(super) fn panel<C: Cell>(&self, panel: usize) -> usize {
        self.steps.offsets().len() * panel * C::CHANNELS
    }

    /// Panels of a group.
    pub(super) fn panels(&self, panel: usize) -> usize {
        self.outputs.div_ceil(panel)
    }

    /// Pack the weights `[O, C / groups, K_h, K_w]` in panels of so many channels.
    pub(super) fn pack<C: Cell>(&self, w: &[C::Value], panel: usize, to: &mut [C::Weight]) {
        to.fill(C::Weight::default());
        let window: usize = self.shape.window.kernel.iter().product();
        let (depth, len) = (self.channels * window, self.panel::<C>(panel));
        for (o, w) in w.chunks_exact(depth).enumerate() {
            let (group, channel) = (o / self.outputs, o % self.outputs);
            let at = (group * self.panels(panel) + channel / panel) * len;
            for (tap, w) in w.iter().enumerate() {
                let (c, tap) = (tap / window, tap % window);
                let step = c / C::CHANNELS * window + tap;
                to[at + (step * panel + channel % panel) * C::CHANNELS + c % C::CHANNELS] =
                    C::weight(*w);
            }
        }
    }

    /// What the bias of the activations adds to the sums of each output channel.
    pub(super) fn offsets<C: Cell>(&self, w: &[C::Value]) -> Vec<i32> {
        let window: usize = self.shape.window.kernel.iter().product();
        let total = |w: &[C::Value]| w.iter().map(|w| C::code(*w)).sum::<i32>();
        w.chunks_exact(self.channels * window).map(|w| total(w).wrapping_mul(C::BIAS)).collect()
    }
}
