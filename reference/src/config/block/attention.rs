//! The attention sub-block: grouped-query attention, Llama 4's chunked attention, or a Mamba
//! layer in its place (`AttentionConfig`, `Llama4AttentionConfig`, `MambaConfig`).
use super::block_config::BlockConfig;
use super::dataclass::{Class, Dataclass, python_display};
use super::ffn::FFNConfig;
use super::fields::Fields;
use super::refused::{Exception, Refused};
use super::subblock::SubblockConfig;
use crate::invalid::Invalid;
use serde::Serialize;

/// A Mamba layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MambaConfig {
    /// Values of the state, per channel.
    pub state_dim: i64,
    /// Heads.
    pub num_heads: i64,
    /// Channels of a head.
    pub head_dim: i64,
    /// Groups of heads that share their input and output maps.
    pub num_groups: i64,
}

impl MambaConfig {
    /// All four fields are required.
    pub fn new(state_dim: i64, num_heads: i64, head_dim: i64, num_groups: i64) -> MambaConfig {
        MambaConfig { state_dim, num_heads, head_dim, num_groups }
    }
}

impl Dataclass for MambaConfig {
    const CLASS: &'static Class = &Class {
        name: "MambaConfig",
        fields: &["state_dim", "num_heads", "head_dim", "num_groups"],
        required: &["state_dim", "num_heads", "head_dim", "num_groups"],
        nested: &[],
    };

    fn read(fields: &mut Fields<'_>) -> Result<MambaConfig, Refused> {
        Ok(MambaConfig {
            state_dim: fields.number("state_dim")?,
            num_heads: fields.number("num_heads")?,
            head_dim: fields.number("head_dim")?,
            num_groups: fields.number("num_groups")?,
        })
    }

    fn compat(self) -> Result<MambaConfig, Refused> {
        Ok(self)
    }

    /// All positive, and whole heads in a group.
    fn check_ranges(&self) -> Result<(), Invalid> {
        positive("state_dim", Some(self.state_dim))?;
        positive("num_heads", Some(self.num_heads))?;
        positive("head_dim", Some(self.head_dim))?;
        positive("num_groups", Some(self.num_groups))?;
        match self.num_heads % self.num_groups {
            0 => Ok(()),
            _ => {
                let allowed = format!("a divisor of num_heads ({})", self.num_heads);
                Err(Invalid::new("num_groups", self.num_groups, allowed))
            }
        }
    }
}

/// What Llama 4 adds to attention. Everything is absent by default.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Llama4AttentionConfig {
    /// Tokens of a chunk; a token attends within its own.
    pub attention_chunk_size: Option<i64>,
    /// Whether positions are rotary.
    pub use_rope: Option<bool>,
    /// Whether queries and keys are normalized.
    pub use_qk_norm: Option<bool>,
    /// Slope of the temperature.
    pub attn_scale: Option<f64>,
    /// Tokens after which the temperature grows.
    pub floor_scale: Option<f64>,
    /// Whether the temperature depends on the position.
    pub attn_temperature_tuning: Option<bool>,
    /// Share of the probabilities that are dropped in training.
    pub attention_dropout: Option<f64>,
}

impl Llama4AttentionConfig {
    setters! {
        with_attention_chunk_size => attention_chunk_size: Option<i64>;
        with_use_rope => use_rope: Option<bool>;
        with_use_qk_norm => use_qk_norm: Option<bool>;
        with_attn_scale => attn_scale: Option<f64>;
        with_floor_scale => floor_scale: Option<f64>;
        with_attn_temperature_tuning => attn_temperature_tuning: Option<bool>;
        with_attention_dropout => attention_dropout: Option<f64>;
    }
}

impl Dataclass for Llama4AttentionConfig {
    const CLASS: &'static Class = &Class {
        name: "Llama4AttentionConfig",
        fields: &[
            "attention_chunk_size",
            "use_rope",
            "use_qk_norm",
            "attn_scale",
            "floor_scale",
            "attn_temperature_tuning",
            "attention_dropout",
        ],
        required: &[],
        nested: &[],
    };

    fn read(fields: &mut Fields<'_>) -> Result<Llama4AttentionConfig, Refused> {
        Ok(Llama4AttentionConfig {
            attention_chunk_size: fields.or("attention_chunk_size", None)?,
            use_rope: fields.or("use_rope", None)?,
            use_qk_norm: fields.or("use_qk_norm", None)?,
            attn_scale: fields.or("attn_scale", None)?,
            floor_scale: fields.or("floor_scale", None)?,
            attn_temperature_tuning: fields.or("attn_temperature_tuning", None)?,
            attention_dropout: fields.or("attention_dropout", None)?,
        })
    }

    fn compat(self) -> Result<Llama4AttentionConfig, Refused> {
        Ok(self)
    }

    /// A positive chunk, a finite slope, a positive floor, a dropout from 0 to below 1.
    fn check_ranges(&self) -> Result<(), Invalid> {
        positive("attention_chunk_size", self.attention_chunk_size)?;
        let number =
            |field: &str, value: Option<f64>, fits: fn(f64) -> bool, allowed: &str| match value
                .filter(|value| !(value.is_finite() && fits(*value)))
            {
                Some(value) => Err(Invalid::new(field, value, allowed)),
                None => Ok(()),
            };
        number("attn_scale", self.attn_scale, |_| true, "finite")?;
        number("floor_scale", self.floor_scale, |x| x > 0.0, "finite and above 0")?;
        let dropout = |x| (0.0..1.0).contains(&x);
        number("attention_dropout", self.attention_dropout, dropout, "from 0 to below 1")
    }
}

/// An attention sub-block.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct AttentionConfig {
    /// The common part.
    #[serde(flatten)]
    pub subblock: SubblockConfig,
    /// Heads of keys and values; required unless `no_op` or `mamba`, which clear it.
    pub num_key_value_heads: Option<i64>,
    /// Llama 4's additions.
    pub llama4: Option<Llama4AttentionConfig>,
    /// The Mamba layer in its place.
    pub mamba: Option<MambaConfig>,
}

impl AttentionConfig {
    setters! {
        with_replace_with_linear => subblock.replace_with_linear: bool;
        with_sparsify => subblock.sparsify: Option<Vec<String>>;
        with_weights_precision => subblock.weights_precision: Option<String>;
        with_num_key_value_heads => num_key_value_heads: Option<i64>;
        with_llama4 => llama4: Option<Llama4AttentionConfig>;
        with_mamba => mamba: Option<MambaConfig>;
    }

    /// Attention with so many heads of keys and values.
    pub fn new(num_key_value_heads: i64) -> AttentionConfig {
        AttentionConfig::default().with_num_key_value_heads(num_key_value_heads)
    }

    /// No attention.
    pub fn no_op() -> AttentionConfig {
        let subblock = SubblockConfig::default().with_no_op(true);
        AttentionConfig { subblock, ..AttentionConfig::default() }
    }

    /// A block of this attention and no feed-forward.
    pub fn to_blockconfig(self) -> BlockConfig {
        BlockConfig::new(self, FFNConfig::no_op())
    }
}

impl Dataclass for AttentionConfig {
    const CLASS: &'static Class = &Class {
        name: "AttentionConfig",
        fields: &[
            "no_op",
            "replace_with_linear",
            "sparsify",
            "weights_precision",
            "num_key_value_heads",
            "llama4",
            "mamba",
        ],
        required: &[],
        nested: &[("llama4", Llama4AttentionConfig::CLASS), ("mamba", MambaConfig::CLASS)],
    };

    fn read(fields: &mut Fields<'_>) -> Result<AttentionConfig, Refused> {
        Ok(AttentionConfig {
            subblock: SubblockConfig::read(fields)?,
            num_key_value_heads: fields.or("num_key_value_heads", None)?,
            llama4: fields.config("llama4")?,
            mamba: fields.config("mamba")?,
        })
    }

    fn compat(self) -> Result<AttentionConfig, Refused> {
        let subblock = self.subblock.compat()?;
        let assertion = |field: &str, value: &str, allowed: &str| {
            let invalid = Invalid::new(field, value, allowed);
            Err(Refused::raising(Exception::AssertionError, "", invalid))
        };
        if subblock.no_op && self.mamba.is_some() {
            return assertion("mamba", "given", "absent in a no_op");
        }
        if subblock.no_op && self.llama4.is_some() {
            return assertion("llama4", "given", "absent in a no_op");
        }
        if subblock.no_op || self.mamba.is_some() {
            return Ok(AttentionConfig { subblock, num_key_value_heads: None, ..self });
        }
        match self.num_key_value_heads {
            Some(_) => Ok(AttentionConfig { subblock, ..self }),
            None => assertion("num_key_value_heads", "absent", "given, but in a no_op or a mamba"),
        }
    }

    /// As upstream, and: at least one head, no Llama 4 additions to a Mamba layer.
    fn check_ranges(&self) -> Result<(), Invalid> {
        self.subblock.check_ranges()?;
        positive("num_key_value_heads", self.num_key_value_heads)?;
        if let Some(llama4) = &self.llama4 {
            llama4.validate().map_err(|invalid| invalid.within("llama4"))?;
        }
        if let Some(mamba) = &self.mamba {
            mamba.validate().map_err(|invalid| invalid.within("mamba"))?;
        }
        match (&self.llama4, &self.mamba) {
            (Some(_), Some(_)) => Err(Invalid::new("llama4", "given", "absent beside mamba")),
            _ => Ok(()),
        }
    }
}

/// A number that is absent or at least 1.
pub(super) fn positive(field: &str, value: Option<i64>) -> Result<(), Invalid> {
    match value {
        Some(value) if value < 1 => Err(Invalid::new(field, value, "at least 1")),
        _ => Ok(()),
    }
}

python_display! { MambaConfig Llama4AttentionConfig AttentionConfig }
