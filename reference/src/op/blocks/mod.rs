//! Block formats as operations: f32 `[N, K]` to bytes that carry their scales, and back.
//!
//! A row of the matrix is whole blocks, one after the other, and rows follow each other without a
//! gap. What a block is, each file of [`format`](crate::format) says; the bytes are to be the same
//! ones, since every formula is made of divisions, products and roundings that IEEE defines.
//!
//! Tier `exact` plants what tells formulas apart (`planted`): ties, equal magnitudes of either
//! sign, zeros of either sign, subnormal and huge values, infinities and NaN. Dequantizing, it is
//! any bytes at all.
pub mod dequantize;
mod planted;
pub mod quantize;
use super::inputs;
use crate::case::{Case, CaseError, Kind, Param, Word};
use crate::format::{BlockFormat, MXFP4, Q4_0, Q5_0, Q8_0, TQ2_0, block_format};
pub(super) use planted::{Planted, planted};

/// Sizes that may be 0.
pub(super) const SIZE: Kind = Kind::Number { min: 0, max: 1 << 28 };
/// Columns, possibly none.
pub(super) const K: Param = Param { kind: SIZE, about: "columns of the matrix", ..inputs::K };
/// Rows, possibly none.
pub(super) const N: Param = Param { kind: SIZE, about: "rows of the matrix", ..inputs::N };

/// The formats that rows know.
static FORMATS: [&dyn BlockFormat; 5] = [&Q8_0, &Q4_0, &Q5_0, &TQ2_0, &MXFP4];

fn format_words() -> Vec<Word> {
    FORMATS.map(BlockFormat::word).to_vec()
}

/// Block format.
const FORMAT: Param = Param {
    key: "format",
    kind: Kind::Word(format_words),
    about: "block format: values to bytes that carry their scale",
    when: None,
    default: None,
};

fn format(case: &Case) -> &'static dyn BlockFormat {
    block_format(case.word("format")).unwrap_or(&Q8_0)
}

fn validate(case: &Case) -> Result<(), CaseError> {
    inputs::area(case, "n", "k")?;
    let block = format(case).block_len();
    match case.number("k").is_multiple_of(block) {
        true => Ok(()),
        false => {
            Err(case.conflict("k", format!("is no multiple of the format's blocks of {block}")))
        }
    }
}

/// Values of a case, and the bytes they become.
fn sizes(case: &Case) -> (usize, usize) {
    let (values, format) = (case.number("n") * case.number("k"), format(case));
    (values, values / format.block_len() * format.block_bytes())
}
