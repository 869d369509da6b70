//! The feed-forward sub-block: dense, or a mixture of experts (`FFNConfig`, `MoEConfig`).
use super::attention::{AttentionConfig, positive};
use super::block_config::BlockConfig;
use super::dataclass::{Class, Dataclass, python_display};
use super::fields::Fields;
use super::refused::{Exception, Refused};
use super::subblock::SubblockConfig;
use crate::invalid::Invalid;
use serde::Serialize;

/// A mixture of experts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MoEConfig {
    /// Experts; 8 by default.
    pub num_local_experts: i64,
    /// Experts a token is sent to; 1 by default.
    pub num_experts_per_tok: i64,
    /// Width of an expert; 8192 by default.
    pub expert_intermediate_dim: i64,
    /// Width of the expert that sees every token, 0 for none; 8192 by default.
    pub shared_expert_intermediate_dim: i64,
}

impl Default for MoEConfig {
    fn default() -> MoEConfig {
        MoEConfig {
            num_local_experts: 8,
            num_experts_per_tok: 1,
            expert_intermediate_dim: 8192,
            shared_expert_intermediate_dim: 8192,
        }
    }
}

impl MoEConfig {
    setters! {
        with_num_local_experts => num_local_experts: i64;
        with_num_experts_per_tok => num_experts_per_tok: i64;
        with_expert_intermediate_dim => expert_intermediate_dim: i64;
        with_shared_expert_intermediate_dim => shared_expert_intermediate_dim: i64;
    }
}

impl Dataclass for MoEConfig {
    const CLASS: &'static Class = &Class {
        name: "MoEConfig",
        fields: &[
            "num_local_experts",
            "num_experts_per_tok",
            "expert_intermediate_dim",
            "shared_expert_intermediate_dim",
        ],
        required: &[],
        nested: &[],
    };

    fn read(fields: &mut Fields<'_>) -> Result<MoEConfig, Refused> {
        let default = MoEConfig::default();
        let number = |field: &str, default: i64| fields.or(field, default);
        Ok(MoEConfig {
            num_local_experts: number("num_local_experts", default.num_local_experts)?,
            num_experts_per_tok: number("num_experts_per_tok", default.num_experts_per_tok)?,
            expert_intermediate_dim: number(
                "expert_intermediate_dim",
                default.expert_intermediate_dim,
            )?,
            shared_expert_intermediate_dim: number(
                "shared_expert_intermediate_dim",
                default.shared_expert_intermediate_dim,
            )?,
        })
    }

    fn compat(self) -> Result<MoEConfig, Refused> {
        let (experts, per_token) = (self.num_local_experts, self.num_experts_per_tok);
        for (field, value) in [("num_local_experts", experts), ("num_experts_per_tok", per_token)] {
            positive(field, Some(value)).map_err(|invalid| {
                let message = format!("{field} must be positive, got {value}");
                Refused::raising(Exception::ValueError, message, invalid)
            })?;
        }
        if per_token > experts {
            let message = format!(
                "num_experts_per_tok ({per_token}) cannot be greater than num_local_experts ({experts})"
            );
            let allowed = format!("at most num_local_experts ({experts})");
            let invalid = Invalid::new("num_experts_per_tok", per_token, allowed);
            return Err(Refused::raising(Exception::ValueError, message, invalid));
        }
        Ok(self)
    }

    /// Positive widths; a shared expert may have none.
    fn check_ranges(&self) -> Result<(), Invalid> {
        positive("expert_intermediate_dim", Some(self.expert_intermediate_dim))?;
        match self.shared_expert_intermediate_dim {
            dim if dim < 0 => {
                Err(Invalid::new("shared_expert_intermediate_dim", dim, "at least 0"))
            }
            _ => Ok(()),
        }
    }
}

/// A feed-forward sub-block.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FFNConfig {
    /// The common part.
    #[serde(flatten)]
    pub subblock: SubblockConfig,
    /// The experts; cleared by `no_op`.
    pub moe: Option<MoEConfig>,
    /// Width of a dense one; required unless `no_op` or `moe`, which clear it.
    pub intermediate_size: Option<i64>,
}

impl FFNConfig {
    setters! {
        with_replace_with_linear => subblock.replace_with_linear: bool;
        with_sparsify => subblock.sparsify: Option<Vec<String>>;
        with_weights_precision => subblock.weights_precision: Option<String>;
        with_moe => moe: Option<MoEConfig>;
        with_intermediate_size => intermediate_size: Option<i64>;
    }

    /// A dense one of that width.
    pub fn new(intermediate_size: i64) -> FFNConfig {
        FFNConfig::default().with_intermediate_size(intermediate_size)
    }

    /// No feed-forward.
    pub fn no_op() -> FFNConfig {
        let subblock = SubblockConfig::default().with_no_op(true);
        FFNConfig { subblock, ..FFNConfig::default() }
    }

    /// A block of this feed-forward and no attention.
    pub fn to_blockconfig(self) -> BlockConfig {
        BlockConfig::new(AttentionConfig::no_op(), self)
    }
}

impl Dataclass for FFNConfig {
    const CLASS: &'static Class = &Class {
        name: "FFNConfig",
        fields: &[
            "no_op",
            "replace_with_linear",
            "sparsify",
            "weights_precision",
            "moe",
            "intermediate_size",
        ],
        required: &[],
        nested: &[("moe", MoEConfig::CLASS)],
    };

    fn read(fields: &mut Fields<'_>) -> Result<FFNConfig, Refused> {
        Ok(FFNConfig {
            subblock: SubblockConfig::read(fields)?,
            moe: fields.config("moe")?,
            intermediate_size: fields.or("intermediate_size", None)?,
        })
    }

    fn compat(self) -> Result<FFNConfig, Refused> {
        let nested = |refused: Refused| refused.within("moe");
        let moe = self.moe.map(MoEConfig::compat).transpose().map_err(nested)?;
        let subblock = self.subblock.compat()?;
        if subblock.no_op {
            return Ok(FFNConfig { subblock, moe: None, intermediate_size: None });
        }
        if moe.is_some() {
            return Ok(FFNConfig { subblock, moe, intermediate_size: None });
        }
        if self.intermediate_size.is_none() {
            let message = "Intermediate size must be provided for an FFN block";
            let allowed = "given, but in a no_op or a mixture of experts";
            let invalid = Invalid::new("intermediate_size", "absent", allowed);
            return Err(Refused::raising(Exception::AssertionError, message, invalid));
        }
        Ok(FFNConfig { subblock, moe, intermediate_size: self.intermediate_size })
    }

    /// As upstream, and a width of at least 1.
    fn check_ranges(&self) -> Result<(), Invalid> {
        self.subblock.check_ranges()?;
        positive("intermediate_size", self.intermediate_size)?;
        match &self.moe {
            Some(moe) => moe.validate().map_err(|invalid| invalid.within("moe")),
            None => Ok(()),
        }
    }
}

python_display! { MoEConfig FFNConfig }
