//! A whole block (`BlockConfig`) and lists of them (`maybe_cast_block_configs`).
use super::attention::AttentionConfig;
use super::dataclass::{Class, Dataclass, python_display};
use super::ffn::FFNConfig;
use super::fields::{Entry, Fields};
use super::refused::{Exception, Refused};
use crate::config::Parsed;
use crate::invalid::Invalid;
use serde::Serialize;
use serde_json::Value;

/// One transformer block: two sub-blocks, or blocks side by side.
///
/// Upstream looks at the first of `parallel_blocks` to learn whether they are objects or configs
/// already, so an empty list is an `IndexError`; it is refused here as well.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct BlockConfig {
    /// The attention.
    pub attention: Option<AttentionConfig>,
    /// The feed-forward.
    pub ffn: Option<FFNConfig>,
    /// Blocks side by side, in place of both.
    pub parallel_blocks: Option<Vec<BlockConfig>>,
}

/// The class refers to itself, which only a `static` can.
static CLASS: Class = Class {
    name: "BlockConfig",
    fields: &["attention", "ffn", "parallel_blocks"],
    required: &[],
    nested: &[
        ("attention", AttentionConfig::CLASS),
        ("ffn", FFNConfig::CLASS),
        ("parallel_blocks", &CLASS),
    ],
};

impl BlockConfig {
    setters! {
        with_attention => attention: Option<AttentionConfig>;
        with_ffn => ffn: Option<FFNConfig>;
        with_parallel_blocks => parallel_blocks: Option<Vec<BlockConfig>>;
    }

    /// Attention followed by a feed-forward.
    pub fn new(attention: AttentionConfig, ffn: FFNConfig) -> BlockConfig {
        BlockConfig::default().with_attention(attention).with_ffn(ffn)
    }

    /// Blocks side by side.
    pub fn parallel(blocks: Vec<BlockConfig>) -> BlockConfig {
        BlockConfig::default().with_parallel_blocks(blocks)
    }
}

impl Dataclass for BlockConfig {
    const CLASS: &'static Class = &CLASS;

    fn read(fields: &mut Fields<'_>) -> Result<BlockConfig, Refused> {
        Ok(BlockConfig {
            attention: fields.config("attention")?,
            ffn: fields.config("ffn")?,
            parallel_blocks: fields.configs("parallel_blocks")?,
        })
    }

    fn compat(self) -> Result<BlockConfig, Refused> {
        let attention = self.attention.map(AttentionConfig::compat).transpose();
        let attention = attention.map_err(|refused| refused.within("attention"))?;
        let ffn = self.ffn.map(FFNConfig::compat).transpose();
        let ffn = ffn.map_err(|refused| refused.within("ffn"))?;
        let Some(blocks) = self.parallel_blocks else {
            return Ok(BlockConfig { attention, ffn, parallel_blocks: None });
        };
        if blocks.is_empty() {
            let invalid = Invalid::new("parallel_blocks", "empty", "absent or at least one block");
            let message = "list index out of range";
            return Err(Refused::raising(Exception::IndexError, message, invalid));
        }
        let block = |(i, block): (usize, BlockConfig)| {
            block.compat().map_err(|refused| refused.within(&format!("parallel_blocks[{i}]")))
        };
        let blocks = blocks.into_iter().enumerate().map(block).collect::<Result<_, _>>()?;
        Ok(BlockConfig { attention, ffn, parallel_blocks: Some(blocks) })
    }

    /// As upstream, and: something is there, and sub-blocks are not beside parallel blocks.
    fn check_ranges(&self) -> Result<(), Invalid> {
        if let Some(attention) = &self.attention {
            attention.validate().map_err(|invalid| invalid.within("attention"))?;
        }
        if let Some(ffn) = &self.ffn {
            ffn.validate().map_err(|invalid| invalid.within("ffn"))?;
        }
        for (i, block) in self.parallel_blocks.iter().flatten().enumerate() {
            block.validate().map_err(|invalid| invalid.within(&format!("parallel_blocks[{i}]")))?;
        }
        let subblocks = self.attention.is_some() || self.ffn.is_some();
        match (subblocks, &self.parallel_blocks) {
            (true, None) | (false, Some(_)) => Ok(()),
            (true, Some(_)) => {
                let allowed = "absent beside attention and ffn";
                Err(Invalid::new("parallel_blocks", "given", allowed))
            }
            (false, None) => {
                let allowed = "given, or ffn, or parallel_blocks";
                Err(Invalid::new("attention", "absent", allowed))
            }
        }
    }
}

/// A block, or the object it is made of.
#[derive(Clone, Debug, PartialEq)]
pub enum BlockOrDict {
    /// A block.
    Block(Box<BlockConfig>),
    /// An object.
    Dict(Value),
}

/// Blocks of blocks or objects. No list gives no list and an empty one an empty one (the
/// upstream's sentence says none, its code does not).
///
/// Upstream looks at the first alone: after an object, a block is a `TypeError`; after a block,
/// objects stay objects. Mixed lists are refused here either way.
pub fn maybe_cast_block_configs(
    blocks: Option<Vec<BlockOrDict>>,
) -> Result<Parsed<Option<Vec<BlockConfig>>>, Refused> {
    let mut warnings = Vec::new();
    let Some(blocks) = blocks else { return Ok(Parsed { value: None, warnings }) };
    let dicts = matches!(blocks.first(), Some(BlockOrDict::Dict(_)));
    let mut cast = |(i, block): (usize, BlockOrDict)| {
        let path = format!("block_configs[{i}]");
        match block {
            BlockOrDict::Block(block) if !dicts => Ok(*block),
            BlockOrDict::Dict(value) if dicts => {
                Fields::construct(Entry::Call, &value, &mut warnings, 0)
                    .map_err(|refused| refused.within(&path))
            }
            BlockOrDict::Block(_) => {
                let invalid = Invalid::new(path, "a block", "an object, like the first");
                let message = "argument after ** must be a mapping, not BlockConfig";
                Err(Refused::raising(Exception::TypeError, message, invalid))
            }
            BlockOrDict::Dict(_) => {
                Err(Refused::ours(Invalid::new(path, "an object", "a block, like the first")))
            }
        }
    };
    match blocks.into_iter().enumerate().map(&mut cast).collect() {
        Ok(blocks) => Ok(Parsed { value: Some(blocks), warnings }),
        Err(refused) => Err(Refused { warnings: warnings.into(), ..refused }),
    }
}

python_display! { BlockConfig }
