//! NF4 as operations: f32 to codes with an absmax per block, and back; absmax as f32 or in a byte.
//!
//! The tensor `[N, K]` is one run of blocks over its row-major values, as in bitsandbytes; the last
//! block may be short. What codes and absmax are is the business of
//! [`format::nf4`](crate::format::nf4) and [`format::double_quant`](crate::format::double_quant);
//! two codes share a byte, the first in the high nibble.
pub mod dequantize;
pub mod quantize;
use super::blocks::{Planted, planted};
use super::{Storage, inputs};
use crate::case::{Case, CaseError, Kind, Param, Word};
use crate::data::{Files, Stream};
use crate::format::codebook::Table;
use crate::format::double_quant::{DOUBLE_QUANT_BLOCK, DoubleQuant};
use crate::format::nf4::{Nf4, Nibbles};

/// Block sizes are those of bitsandbytes.
const BLOCK_SIZE: Param = Param {
    key: "block_size",
    kind: Kind::Number { min: 32, max: 4096 },
    about: "values that share an absmax: a power of two from 32 to 4096",
    when: None,
    default: Some("64"),
};
const DOUBLE_QUANT: Param = Param {
    key: "double_quant",
    kind: Kind::Word(double_quant_words),
    about: "how absmax is stored: none (as f32), or in a byte, 256 under a second absmax",
    when: None,
    default: Some("none"),
};

fn double_quant_words() -> Vec<Word> {
    let none = Word { name: "none", aliases: &[] };
    [none].into_iter().chain(DoubleQuant::ALL.map(DoubleQuant::word)).collect()
}

fn double_quant(case: &Case) -> Option<DoubleQuant> {
    let word = case.word("double_quant");
    DoubleQuant::ALL.into_iter().find(|scheme| scheme.word().name == word)
}

fn format(case: &Case) -> Result<Nf4, CaseError> {
    let block_size = case.number("block_size");
    let format = Nf4::new(Table::Nf4, block_size, double_quant(case), Nibbles::HighFirst);
    format.map_err(|_| case.conflict("block_size", "is no power of two from 32 to 4096"))
}

fn validate(case: &Case) -> Result<(), CaseError> {
    inputs::area(case, "n", "k")?;
    format(case).map(drop)
}

/// What so many values need.
fn storage(format: Nf4, len: usize) -> Storage {
    let blocks = len.div_ceil(format.block_size());
    let absmax = match format.double_quant() {
        None => 4 * blocks,
        Some(scheme) => {
            // A second absmax for each 256, and the mean where there is one.
            scheme.quantize(&[]).byte_len() + blocks + 4 * blocks.div_ceil(DOUBLE_QUANT_BLOCK)
        }
    };
    Storage {
        elements: len as u64,
        artifact_bytes: len.div_ceil(2) as u64,
        scale_bytes: absmax as u64,
    }
}

/// Bytes of the values of a case, and bytes stored for them.
fn sizes(case: &Case) -> (u64, u64) {
    let len = case.number("n") * case.number("k");
    let stored = format(case).map(|format| storage(format, len)).unwrap_or_default();
    (4 * len as u64, stored.artifact_bytes + stored.scale_bytes)
}

/// The values of a case. An infinity makes every double-quantized absmax infinite, so that nothing
/// else would be seen: then the planted ones are moderate.
fn values(case: &Case, files: &dyn Files) -> Result<Vec<f32>, String> {
    let row_len = case.number("k");
    let len = case.number("n") * row_len;
    if case.word("data") == "exact" {
        let stream = (inputs::seed(case), Stream::Weight);
        let plain = double_quant(case).is_none();
        let which = if plain { Planted::Anything } else { Planted::Moderate };
        return Ok(planted(stream, (len, case.number("block_size")), which));
    }
    inputs::values(case, None, Stream::Weight, (len, row_len), files)
}
