//! A window that slides over `[height, width]`: what convolution and pooling share.
//!
//! With extent `E = D (K - 1) + 1` (dilation D, kernel K), padding `P = before + after` and stride
//! S an axis of I pixels has
//!
//! * `floor((I + P - E) / S) + 1` windows;
//! * in ceil mode `ceil((I + P - E) / S) + 1`, but none that starts behind the last pixel, in the
//!   padding after it (ONNX and PyTorch);
//! * with "same" padding `ceil(I / S)`, where `P = max((ceil(I / S) - 1) S + E - I, 0)` and the odd
//!   pixel comes last ([`SamePadding::Upper`]) or first (ONNX `auto_pad`).
use super::shape;
use crate::invalid::Invalid;

/// Kernel, stride and dilation `[height, width]`, and the padding of every side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Taps per axis.
    pub kernel: [usize; 2],
    /// Pixels from one window to the next.
    pub stride: [usize; 2],
    /// Pixels added: top, left, bottom, right (the order of ONNX).
    pub pads: [usize; 4],
    /// Pixels from one tap to the next.
    pub dilation: [usize; 2],
}

/// Which side gets the odd pixel of "same" padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SamePadding {
    /// Bottom and right: ONNX `SAME_UPPER`, PyTorch, TensorFlow.
    Upper,
    /// Top and left: ONNX `SAME_LOWER`.
    Lower,
}

/// Names of the fields per axis, as the configurations have them.
const FIELDS: [[&str; 3]; 2] =
    [["kernel_h", "stride_h", "dilation_h"], ["kernel_w", "stride_w", "dilation_w"]];
const PADS: [&str; 4] = ["pad_top", "pad_left", "pad_bottom", "pad_right"];

impl Window {
    /// Kernel, stride and dilation are at least 1 and the kernel has a legal number of taps.
    pub fn check(&self) -> Result<(), Invalid> {
        for (axis, fields) in FIELDS.iter().enumerate() {
            let found = [self.kernel[axis], self.stride[axis], self.dilation[axis]];
            for (field, found) in fields.iter().zip(found) {
                Invalid::check_range(field, found, (1, usize::MAX))?;
            }
        }
        shape::values("kernel", &self.kernel).map(drop)
    }

    /// No side is padded by a window's extent or more, so that no window sees padding alone.
    pub fn check_pads(&self) -> Result<(), Invalid> {
        for (side, field) in PADS.iter().enumerate() {
            Invalid::check_range(field, self.pads[side], (0, self.extent(side % 2)? - 1))?;
        }
        Ok(())
    }

    /// Pixels a window spans along an axis (0 height, 1 width): `D (K - 1) + 1`, at least 1.
    pub fn extent(&self, axis: usize) -> Result<usize, Invalid> {
        let [kernel, _, dilation] = FIELDS[axis % 2];
        Invalid::check_range(kernel, self.kernel[axis], (1, usize::MAX))?;
        let holes = self.dilation[axis].checked_mul(self.kernel[axis] - 1);
        holes.and_then(|span| span.checked_add(1)).ok_or_else(|| {
            Invalid::new(dilation, self.dilation[axis], "a window below 2^64 pixels")
        })
    }

    /// Pixels of an axis with its padding.
    fn padded(&self, axis: usize, input: usize) -> Result<usize, Invalid> {
        let sum =
            input.checked_add(self.pads[axis]).and_then(|n| n.checked_add(self.pads[axis + 2]));
        sum.ok_or_else(|| {
            Invalid::new(PADS[axis + 2], self.pads[axis + 2], "a padded input below 2^64 pixels")
        })
    }

    /// Windows along both axes of an input of `[height, width]`. The window must fit into the
    /// padded input.
    pub fn output(&self, input: [usize; 2], ceil_mode: bool) -> Result<[usize; 2], Invalid> {
        self.check()?;
        let mut output = [0; 2];
        for axis in 0..2 {
            let (extent, padded) = (self.extent(axis)?, self.padded(axis, input[axis])?);
            let Some(travel) = padded.checked_sub(extent) else {
                let allowed = format!("a window within the {padded} padded pixels");
                return Err(Invalid::new(FIELDS[axis][0], format!("{extent} pixels"), allowed));
            };
            let stride = self.stride[axis];
            output[axis] = match ceil_mode {
                false => travel / stride + 1,
                true => {
                    let starts = (input[axis] + self.pads[axis]).div_ceil(stride);
                    travel.div_ceil(stride).saturating_add(1).min(starts)
                }
            };
        }
        Ok(output)
    }

    /// The same window with the padding that makes the output of an input of `[height, width]`,
    /// neither of them 0, `ceil(input / stride)`.
    pub fn same(self, input: [usize; 2], same_padding: SamePadding) -> Result<Window, Invalid> {
        self.check()?;
        let mut pads = [0; 4];
        for axis in 0..2 {
            Invalid::check_range(["height", "width"][axis], input[axis], (1, usize::MAX))?;
            let (extent, stride) = (self.extent(axis)?, self.stride[axis]);
            // The last window starts on a pixel of the input, so this cannot overflow.
            let last = (input[axis] - 1) / stride * stride;
            let total = extent.saturating_sub(input[axis] - last);
            let half = total / 2;
            (pads[axis], pads[axis + 2]) = match same_padding {
                SamePadding::Upper => (half, total - half),
                SamePadding::Lower => (total - half, half),
            };
        }
        Ok(Window { pads, ..self })
    }

    /// Position of a tap of a window along an axis, counted from the start of the padding; none
    /// beyond 2^64.
    pub fn position(&self, axis: usize, window: usize, tap: usize) -> Option<usize> {
        let start = window.checked_mul(self.stride[axis])?;
        start.checked_add(tap.checked_mul(self.dilation[axis])?)
    }

    /// The pixel under a tap of a window along an axis of `input` pixels; none in the padding.
    pub fn pixel(&self, axis: usize, window: usize, tap: usize, input: usize) -> Option<usize> {
        let pixel = self.position(axis, window, tap)?.checked_sub(self.pads[axis])?;
        (pixel < input).then_some(pixel)
    }
}
