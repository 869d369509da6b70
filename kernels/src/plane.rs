//! One channel of an image as `conv2d` (depthwise) and `pool2d` slide a window over it.
//!
//! The plane has its padding around it, so that no window has an edge, and its columns stand by
//! phase, column modulo stride: neighbouring outputs then read neighbouring values, whatever the
//! stride, and a vector of outputs is a vector of inputs per tap.
//!
//! ```text
//! stride 2, row r:   c0 c2 c4 c6 | c1 c3 c5 c7
//!                    phase 0       phase 1
//! ```
//!
//! Output `(i, j)` reads tap `(k, l)` at `(S_h i + D_h k) row + (D_w l mod S_w) phase +
//! D_w l / S_w + j`. Behind the plane lie [`SLACK`] values, so that a vector that begins on an
//! output of the row may be read whole.
use lowbit_reference::op::window::Window;

/// Values behind the last row: a vector less one.
pub(crate) const SLACK: usize = 15;

/// Places of the taps of a window, and the farthest of them.
#[derive(Clone, Debug)]
pub(crate) struct Taps {
    offsets: Vec<usize>,
    reach: usize,
}

impl Taps {
    /// Taps at these places.
    pub(crate) fn new(offsets: Vec<usize>) -> Taps {
        let reach = offsets.iter().copied().max().unwrap_or(0);
        Taps { offsets, reach }
    }

    /// The places, in the order given.
    pub(crate) fn offsets(&self) -> &[usize] {
        &self.offsets
    }

    /// The largest place; no place is beyond it.
    pub(crate) fn reach(&self) -> usize {
        self.reach
    }
}

/// Where the values of a plane stand.
#[derive(Clone, Debug)]
pub(crate) struct Plane {
    window: Window,
    input: [usize; 2],
    /// Windows along each axis.
    pub(crate) output: [usize; 2],
    /// Rows and columns that windows reach.
    padded: [usize; 2],
    /// Values of a row in one phase.
    phase: usize,
    /// Taps, counted from the first of an output; row-major.
    pub(crate) taps: Taps,
}

impl Plane {
    /// A plane of `input` pixels under so many windows.
    pub(crate) fn new(window: Window, input: [usize; 2], output: [usize; 2]) -> Plane {
        let padded = [0, 1].map(|axis| {
            let extent = window.dilation[axis] * (window.kernel[axis] - 1) + 1;
            (output[axis] - 1) * window.stride[axis] + extent
        });
        let ([_, stride], [down, right]) = (window.stride, window.dilation);
        let phase = padded[1].div_ceil(stride);
        let [rows, columns] = window.kernel;
        let tap = |k: usize, l: usize| {
            (k * down * stride + l * right % stride) * phase + l * right / stride
        };
        let taps = (0..rows).flat_map(|k| (0..columns).map(move |l| tap(k, l))).collect();
        Plane { window, input, output, padded, phase, taps: Taps::new(taps) }
    }

    /// Values of a row.
    fn row(&self) -> usize {
        self.window.stride[1] * self.phase
    }

    /// Values of a plane, [`SLACK`] included.
    pub(crate) fn len(&self) -> usize {
        self.padded[0] * self.row() + SLACK
    }

    /// Where the first tap of the first window of output row `i` stands.
    pub(crate) fn start(&self, i: usize) -> usize {
        i * self.window.stride[0] * self.row()
    }

    /// Put the pixels where they belong; the padding is left as it is.
    #[inline]
    pub(crate) fn fill<T: Copy>(&self, x: &[T], to: &mut [f32], value: impl Fn(T) -> f32) {
        let ([height, width], [top, left, ..]) = (self.input, self.window.pads);
        let (stride, phase) = (self.window.stride[1], self.phase);
        let rows = height.min(self.padded[0].saturating_sub(top));
        let columns = width.min(self.padded[1].saturating_sub(left));
        let to_rows = to.chunks_mut(self.row()).skip(top);
        for (x, to) in x.chunks_exact(width).take(rows).zip(to_rows) {
            for first in 0..stride.min(columns) {
                let at = (left + first) % stride * phase + (left + first) / stride;
                let x = x[first..columns].iter().step_by(stride);
                to[at..].iter_mut().zip(x).for_each(|(to, x)| *to = value(*x));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tap_of_every_output_finds_its_pixel_or_the_padding() {
        for (stride, dilation, kernel) in [(1, 1, 3), (2, 1, 3), (3, 2, 2), (2, 3, 3), (4, 1, 1)] {
            for pads in [0, 1, 4] {
                let window = Window {
                    kernel: [kernel, kernel + 1],
                    stride: [stride, stride],
                    pads: [pads; 4],
                    dilation: [dilation; 2],
                };
                let input = [9, 13];
                let Ok(output) = window.output(input, false) else { continue };
                let plane = Plane::new(window, input, output);
                let x: Vec<f32> = (0..9 * 13).map(|i| i as f32).collect();
                let mut to = vec![-1.0; plane.len()];
                plane.fill(&x, &mut to, |x| x);
                for (i, j) in (0..output[0]).flat_map(|i| (0..output[1]).map(move |j| (i, j))) {
                    for (tap, offset) in plane.taps.offsets().iter().enumerate() {
                        let (k, l) = (tap / (kernel + 1), tap % (kernel + 1));
                        let pixel = (window.pixel(0, i, k, 9), window.pixel(1, j, l, 13));
                        let want = match pixel {
                            (Some(row), Some(column)) => (row * 13 + column) as f32,
                            _ => -1.0,
                        };
                        assert_eq!(to[plane.start(i) + offset + j], want, "{window:?} {i} {j}");
                    }
                }
            }
        }
    }
}
