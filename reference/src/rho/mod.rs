//! Compression of the recurrent state rho: flat blocks of 32 values, one f32 scale each (seed 002,
//! lines 852-938), the other codecs that seed 001 names, a stream that carries a compressed state,
//! statistics over many states and the gates they have to pass.
mod blocks;
pub mod carry;
mod codec;
mod gate;
mod lowrank;
mod shape;
mod sparse_positive;
mod sparse_tile;
mod statistics;
mod stream;
pub mod svd;
use crate::case::Word;
use crate::format::{INT8, Levels, SIGN1, TERNARY2, WeightFormat};
use crate::rule::{Range, Rule, burn_dragon};
pub use blocks::FlatBlocks;
pub use codec::{
    RHO_COMPRESSIONS, RHO_PRECISIONS, RhoCodec, RhoCompression, RhoPrecision, rho_compression,
    rho_precision,
};
pub use gate::{RelativeGate, RhoGate, Violation};
pub use lowrank::LowrankDelta;
pub use shape::{State, StateShape};
pub use sparse_positive::SparsePositive;
pub use sparse_tile::{SparseTile, TileValues};
pub use statistics::{RhoStatistics, Verdicts};
pub use stream::{Chunk, RhoStream, Streamed, Tokens, rho_stream};

/// Values that share a scale.
pub const RHO_BLOCK: usize = 32;

/// A block compression.
#[derive(Clone, Copy, Debug)]
pub struct RhoFormat {
    /// Name, with the source's word for it.
    pub word: Word,
    /// How the codes of a block are packed.
    pub codes: &'static dyn WeightFormat,
}

const INT8_BLOCK: RhoFormat =
    RhoFormat { word: Word { name: "int8", aliases: &["int8_block_exp"] }, codes: &INT8 };
const TERNARY_BLOCK: RhoFormat =
    RhoFormat { word: Word { name: "ternary", aliases: &["ternary_block_exp"] }, codes: &TERNARY2 };
const BINARY_BLOCK: RhoFormat =
    RhoFormat { word: Word { name: "binary", aliases: &["binary_block_exp"] }, codes: &SIGN1 };

/// Every block compression. Adding one is a line here.
pub static RHO_FORMATS: &[RhoFormat] = &[INT8_BLOCK, TERNARY_BLOCK, BINARY_BLOCK];

/// The words of the table, for parameters.
pub fn rho_words() -> Vec<Word> {
    RHO_FORMATS.iter().map(|f| f.word).collect()
}

/// Look a compression up by name.
pub fn rho_format(name: &str) -> Option<&'static RhoFormat> {
    RHO_FORMATS.iter().find(|f| f.word.name == name)
}

impl RhoFormat {
    /// The block's rule: absmax in 127 steps for int8, the mean for ternary and binary; ties away
    /// from zero, scales at least 1e-8.
    pub fn rule(&self) -> Rule {
        let rule = burn_dragon(self.codes.levels());
        match self.codes.levels() {
            Levels::Int8 => Rule { range: Range::Absmax, times: 1.0, ..rule },
            _ => rule,
        }
    }

    /// Stored bytes of `len` values: codes packed block by block (the last may be short), and the
    /// scales.
    pub fn stored_bytes(&self, len: usize) -> (u64, u64) {
        let full = len / RHO_BLOCK * self.codes.row_bytes(RHO_BLOCK);
        let codes = full + self.codes.row_bytes(len % RHO_BLOCK);
        (codes as u64, 4 * len.div_ceil(RHO_BLOCK) as u64)
    }
}
