//! Configurations of seed 000 (`viva_tensor/core/config`): the same constructors, modifiers and
//! defaults, plus what the source lacks: checks, output shapes, and the setters it forgot.
//!
//! | source | here |
//! |---|---|
//! | `conv2d()`, `conv2d_new`, `conv2d_same` | [`Conv2dConfig::default`], `new`, `same` |
//! | `with_stride`, `_hw`, `with_padding`, `_hw`, `with_dilation`, `with_groups`, `with_kernel` | methods of the same name |
//! | `pool()`, `pool_new`, `pool_with_size`, `_stride`, `_padding` | [`PoolConfig`] |
//! | `attention`, `attention_causal`, `_with_dropout`, `_with_scale` | [`AttentionConfig`] |
//! | `int8()`, `nf4()`, `awq()` and their `_with_` | [`Int8Config`], [`Nf4Config`], [`AwqConfig`] |
//!
//! In files each is an object whose absent fields take the defaults and whose unknown fields are
//! errors. Nothing is clamped or mended: `validate` names the field that is wrong.
mod attention;
mod conv2d;
mod pool;
mod quantization;
pub use attention::AttentionConfig;
pub use conv2d::Conv2dConfig;
pub use pool::PoolConfig;
pub use quantization::{AwqConfig, Int8Config, Nf4Config};
