//! Block configs of heterogeneous models (seed 003; NVIDIA Model-Optimizer,
//! `modelopt/torch/puzzletron/block_config.py`): one transformer block is an attention sub-block,
//! a feed-forward sub-block, or parallel blocks.
//!
//! The upstream's classes are frozen Python dataclasses whose constructors clear and check.
//! Here they are plain structs: [`Dataclass::compat`] is that constructor, [`Dataclass::validate`]
//! adds the ranges that the upstream never looks at.
//!
//! Where we differ on purpose: a value of another type than the upstream declares is refused
//! (Python takes anything); so are an empty `parallel_blocks` and mixed lists, which upstream are
//! an `IndexError` and an accident (see [`BlockConfig`] and [`maybe_cast_block_configs`]).
mod attention;
mod block_config;
mod dataclass;
mod ffn;
mod fields;
mod legacy;
mod refused;
mod repr;
mod subblock;
pub use attention::{AttentionConfig, Llama4AttentionConfig, MambaConfig};
pub use block_config::{BlockConfig, BlockOrDict, maybe_cast_block_configs};
pub use dataclass::{Class, Dataclass};
pub use ffn::{FFNConfig, MoEConfig};
pub use fields::Fields;
pub use legacy::from_legacy;
pub use refused::{Exception, Refused};
pub use subblock::SubblockConfig;
