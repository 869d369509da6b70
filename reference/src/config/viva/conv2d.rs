//! `Conv2dConfig`: a 2-D convolution (seed 000, `Conv2dConfig`).
use crate::invalid::Invalid;
use crate::op::window::{SamePadding, Window};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Kernel, stride, padding and dilation per axis, and groups.
///
/// A kernel without padding shrinks an axis by `kernel - 1` pixels in all, not per side as the
/// source says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Conv2dConfig {
    /// Rows of the kernel.
    pub kernel_h: usize,
    /// Columns of the kernel.
    pub kernel_w: usize,
    /// Rows from one window to the next.
    pub stride_h: usize,
    /// Columns from one window to the next.
    pub stride_w: usize,
    /// Rows added above and below.
    pub padding_h: usize,
    /// Columns added left and right.
    pub padding_w: usize,
    /// Rows from one tap of the kernel to the next; 1 leaves no holes.
    pub dilation_h: usize,
    /// Columns from one tap of the kernel to the next.
    pub dilation_w: usize,
    /// Independent groups of channels; as many as channels is depthwise.
    pub groups: usize,
}

impl Default for Conv2dConfig {
    /// 3x3, stride 1, no padding, no dilation, one group.
    fn default() -> Conv2dConfig {
        Conv2dConfig {
            kernel_h: 3,
            kernel_w: 3,
            stride_h: 1,
            stride_w: 1,
            padding_h: 0,
            padding_w: 0,
            dilation_h: 1,
            dilation_w: 1,
            groups: 1,
        }
    }
}

impl Conv2dConfig {
    /// Kernel, stride and padding spelled out (`conv2d_new`).
    pub fn new(kernel_h: usize, kernel_w: usize, stride: usize, padding: usize) -> Conv2dConfig {
        Conv2dConfig::default()
            .with_kernel(kernel_h, kernel_w)
            .with_stride(stride)
            .with_padding(padding)
    }

    /// Padding of half the kernel (`conv2d_same`). The output is as large as the input for odd
    /// kernels, stride 1 and dilation 1 only: an even kernel grows it by one.
    /// [`same_window`](Conv2dConfig::same_window) is right for all.
    pub fn same(kernel_h: usize, kernel_w: usize) -> Conv2dConfig {
        Conv2dConfig::default()
            .with_kernel(kernel_h, kernel_w)
            .with_padding_hw(kernel_h / 2, kernel_w / 2)
    }

    /// One stride for both axes.
    pub fn with_stride(self, stride: usize) -> Conv2dConfig {
        self.with_stride_hw(stride, stride)
    }

    /// A stride for each axis.
    pub fn with_stride_hw(self, stride_h: usize, stride_w: usize) -> Conv2dConfig {
        Conv2dConfig { stride_h, stride_w, ..self }
    }

    /// One padding for both axes.
    pub fn with_padding(self, padding: usize) -> Conv2dConfig {
        self.with_padding_hw(padding, padding)
    }

    /// A padding for each axis.
    pub fn with_padding_hw(self, padding_h: usize, padding_w: usize) -> Conv2dConfig {
        Conv2dConfig { padding_h, padding_w, ..self }
    }

    /// One dilation for both axes.
    pub fn with_dilation(self, dilation: usize) -> Conv2dConfig {
        Conv2dConfig { dilation_h: dilation, dilation_w: dilation, ..self }
    }

    /// The number of groups.
    pub fn with_groups(self, groups: usize) -> Conv2dConfig {
        Conv2dConfig { groups, ..self }
    }

    /// The size of the kernel.
    pub fn with_kernel(self, kernel_h: usize, kernel_w: usize) -> Conv2dConfig {
        Conv2dConfig { kernel_h, kernel_w, ..self }
    }

    /// Kernel, stride and dilation at least 1, and at least one group.
    pub fn validate(&self) -> Result<(), Invalid> {
        Invalid::check_range("groups", self.groups, (1, usize::MAX))?;
        self.window().check()
    }

    /// The window with the padding of the fields, the same on both sides.
    pub fn window(&self) -> Window {
        Window {
            kernel: [self.kernel_h, self.kernel_w],
            stride: [self.stride_h, self.stride_w],
            pads: [self.padding_h, self.padding_w, self.padding_h, self.padding_w],
            dilation: [self.dilation_h, self.dilation_w],
        }
    }

    /// The window padded so that the output is `ceil(input / stride)`, for every kernel, stride
    /// and dilation; the padding of the fields is not used.
    pub fn same_window(
        &self,
        input: [usize; 2],
        same_padding: SamePadding,
    ) -> Result<Window, Invalid> {
        self.window().same(input, same_padding)
    }

    /// Output height and width of an input of `[height, width]`.
    pub fn output(&self, input: [usize; 2]) -> Result<[usize; 2], Invalid> {
        self.validate()?;
        self.window().output(input, false)
    }
}

impl fmt::Display for Conv2dConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "conv2d kernel {}x{}, stride {}x{}, padding {}x{}, dilation {}x{}, groups {}",
            self.kernel_h,
            self.kernel_w,
            self.stride_h,
            self.stride_w,
            self.padding_h,
            self.padding_w,
            self.dilation_h,
            self.dilation_w,
            self.groups
        )
    }
}
