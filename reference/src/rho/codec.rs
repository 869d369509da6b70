//! How a state is held: the precisions and compressions of seed 001 (lines 738-764), by their words.
//!
//! A precision is how the state is kept between steps; a compression is applied at intervals. Both
//! are codecs: a state becomes a payload of bytes, and the payload alone (with the shape, and for
//! the low-rank codec the anchor) becomes a state again. Parameters that a word leaves open have
//! the defaults given here; the codecs themselves take others.
use super::blocks::FlatBlocks;
use super::lowrank::LowrankDelta;
use super::shape::{State, StateShape};
use super::sparse_positive::SparsePositive;
use super::sparse_tile::SparseTile;
use super::{BINARY_BLOCK, INT8_BLOCK, TERNARY_BLOCK};
use crate::case::Word;
use crate::format::{BF16, FP8_E4M3, MXFP8_E4M3, MXINT8};
use crate::invalid::Invalid;

/// A state to bytes and back.
pub trait RhoCodec: Sync + std::fmt::Debug {
    /// The exact length of the payload of `state`, without making it.
    fn payload_bytes(&self, state: State) -> u64;

    /// The most bytes a payload of this shape has: what is set aside before the values are known.
    /// Exact where the length does not depend on them.
    fn most_bytes(&self, shape: StateShape) -> u64;

    /// The fewest bytes a payload of this shape has: what must move whatever the values are.
    fn least_bytes(&self, shape: StateShape) -> u64 {
        self.most_bytes(shape)
    }

    /// The payload of `state`. `anchor` is an earlier state that the reader has as well; without
    /// one it is zero. Only [`LowrankDelta`] looks at it.
    ///
    /// Errors: an anchor of another shape; values a codec cannot hold (see the codec).
    fn encode(&self, state: State, anchor: Option<State>) -> Result<Vec<u8>, Invalid>;

    /// The state of a payload, given the anchor it was encoded with.
    ///
    /// Errors: a payload of another length than the shape asks for, or with patterns that no
    /// state has.
    fn decode(
        &self,
        payload: &[u8],
        shape: StateShape,
        anchor: Option<State>,
    ) -> Result<Vec<f32>, Invalid>;
}

/// A precision by name.
#[derive(Debug)]
pub struct RhoPrecision {
    /// Its name, and the source's where that differs.
    pub word: Word,
    /// What it does.
    pub codec: &'static dyn RhoCodec,
}

/// A compression by name.
#[derive(Debug)]
pub struct RhoCompression {
    /// Its name, and the source's where that differs.
    pub word: Word,
    /// What it does; nothing for `none`, which leaves the state in its precision.
    pub codec: Option<&'static dyn RhoCodec>,
}

const fn word(name: &'static str, aliases: &'static [&'static str]) -> Word {
    Word { name, aliases }
}

/// Every precision. Adding one is a line here.
pub static RHO_PRECISIONS: &[RhoPrecision] = &[
    RhoPrecision { word: word("fp32", &[]), codec: &FlatBlocks::Fp32 },
    RhoPrecision { word: word("bf16", &[]), codec: &FlatBlocks::Float(&BF16) },
    RhoPrecision { word: word("fp8", &["fp8_exp"]), codec: &FlatBlocks::Float(&FP8_E4M3) },
    RhoPrecision {
        word: word("int8_block", &["int8_block_exp"]),
        codec: &FlatBlocks::Scaled(INT8_BLOCK),
    },
    RhoPrecision { word: word("blockfp8", &["blockfp8_exp"]), codec: &FlatBlocks::Mx(&MXFP8_E4M3) },
    RhoPrecision { word: word("sparse_tile", &["sparse_tile_exp"]), codec: &SparseTile::DEFAULT },
];

/// Every compression. Adding one is a line here.
pub static RHO_COMPRESSIONS: &[RhoCompression] = &[
    RhoCompression { word: word("none", &[]), codec: None },
    RhoCompression {
        word: word("fp8_block", &["fp8_block_exp"]),
        codec: Some(&FlatBlocks::Fp8Scaled),
    },
    RhoCompression {
        word: word("int8_block", &["int8_block_exp"]),
        codec: Some(&FlatBlocks::Scaled(INT8_BLOCK)),
    },
    RhoCompression {
        word: word("ternary_block", &["ternary_block_exp"]),
        codec: Some(&FlatBlocks::Scaled(TERNARY_BLOCK)),
    },
    RhoCompression {
        word: word("binary_block", &["binary_block_exp"]),
        codec: Some(&FlatBlocks::Scaled(BINARY_BLOCK)),
    },
    RhoCompression {
        word: word("blockfp", &["blockfp_exp"]),
        codec: Some(&FlatBlocks::Mx(&MXINT8)),
    },
    RhoCompression {
        word: word("sparse_positive", &["sparse_positive_exp"]),
        codec: Some(&SparsePositive::DEFAULT),
    },
    RhoCompression {
        word: word("lowrank_delta", &["lowrank_delta_exp"]),
        codec: Some(&LowrankDelta::DEFAULT),
    },
];

fn is(word: &Word, name: &str) -> bool {
    word.name == name || word.aliases.contains(&name)
}

/// Look a precision up by its name or the source's.
pub fn rho_precision(name: &str) -> Option<&'static RhoPrecision> {
    RHO_PRECISIONS.iter().find(|precision| is(&precision.word, name))
}

/// Look a compression up by its name or the source's.
pub fn rho_compression(name: &str) -> Option<&'static RhoCompression> {
    RHO_COMPRESSIONS.iter().find(|compression| is(&compression.word, name))
}

/// The error of a payload of the wrong length.
pub(super) fn check_payload(found: usize, wanted: usize) -> Result<(), Invalid> {
    match found == wanted {
        true => Ok(()),
        false => Err(Invalid::new("payload", format!("{found} bytes"), format!("{wanted} bytes"))),
    }
}

/// A little-endian f32 at a position of a payload whose length was checked; 0 beyond its end.
pub(super) fn f32_at(payload: &[u8], at: usize) -> f32 {
    let bytes = payload.get(at..).and_then(|rest| rest.first_chunk());
    bytes.map_or(0.0, |four| f32::from_le_bytes(*four))
}
