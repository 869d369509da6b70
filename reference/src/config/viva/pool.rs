//! `PoolConfig`: 2-D pooling (seed 000, `PoolConfig`).
use crate::invalid::Invalid;
use crate::op::window::Window;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Window, stride and padding per axis. What padding counts as is the operation's business:
/// [`pool2d`](crate::op::pool2d).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PoolConfig {
    /// Rows of the window.
    pub pool_h: usize,
    /// Columns of the window.
    pub pool_w: usize,
    /// Rows from one window to the next.
    pub stride_h: usize,
    /// Columns from one window to the next.
    pub stride_w: usize,
    /// Rows added above and below.
    pub padding_h: usize,
    /// Columns added left and right.
    pub padding_w: usize,
}

impl Default for PoolConfig {
    /// 2x2, stride 2, no padding.
    fn default() -> PoolConfig {
        PoolConfig { pool_h: 2, pool_w: 2, stride_h: 2, stride_w: 2, padding_h: 0, padding_w: 0 }
    }
}

impl PoolConfig {
    /// A square window and its stride, no padding (`pool_new`).
    pub fn new(pool_size: usize, stride: usize) -> PoolConfig {
        PoolConfig::default().with_size(pool_size, pool_size).with_stride(stride)
    }

    /// The size of the window.
    pub fn with_size(self, pool_h: usize, pool_w: usize) -> PoolConfig {
        PoolConfig { pool_h, pool_w, ..self }
    }

    /// One stride for both axes.
    pub fn with_stride(self, stride: usize) -> PoolConfig {
        PoolConfig { stride_h: stride, stride_w: stride, ..self }
    }

    /// One padding for both axes.
    pub fn with_padding(self, padding: usize) -> PoolConfig {
        PoolConfig { padding_h: padding, padding_w: padding, ..self }
    }

    /// Window and stride at least 1, and padding smaller than the window, so that no window lies
    /// in the padding alone.
    pub fn validate(&self) -> Result<(), Invalid> {
        self.window().check()?;
        self.window().check_pads()
    }

    /// The window, without dilation.
    pub fn window(&self) -> Window {
        Window {
            kernel: [self.pool_h, self.pool_w],
            stride: [self.stride_h, self.stride_w],
            pads: [self.padding_h, self.padding_w, self.padding_h, self.padding_w],
            dilation: [1, 1],
        }
    }

    /// Output height and width of an input of `[height, width]`; `ceil_mode` keeps a last window
    /// that reaches beyond the padding.
    pub fn output(&self, input: [usize; 2], ceil_mode: bool) -> Result<[usize; 2], Invalid> {
        self.validate()?;
        self.window().output(input, ceil_mode)
    }
}

impl fmt::Display for PoolConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "pool window {}x{}, stride {}x{}, padding {}x{}",
            self.pool_h, self.pool_w, self.stride_h, self.stride_w, self.padding_h, self.padding_w
        )
    }
}
