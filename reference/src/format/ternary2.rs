//! `ternary2`: `{-1, 0, 1}` in two bits, four codes a byte, low bits first, stored as code + 1.
use super::{Levels, UnpackError, WeightFormat, enough};
use crate::case::Word;
use crate::codes::CodeOutOfRange;
use crate::rule::Code;

/// See the module.
#[derive(Debug)]
pub struct Ternary2;
/// The `ternary2` format.
pub static TERNARY2: Ternary2 = Ternary2;

impl WeightFormat for Ternary2 {
    fn word(&self) -> Word {
        Word { name: "ternary2", aliases: &["ternary158", "packed2"] }
    }
    fn levels(&self) -> Levels {
        Levels::Ternary
    }
    fn bits(&self) -> f64 {
        2.0
    }
    fn row_bytes(&self, len: usize) -> usize {
        len.div_ceil(4)
    }
    fn pack(&self, codes: &[Code]) -> Result<Vec<u8>, CodeOutOfRange> {
        Levels::Ternary.check(codes)?;
        let field = |(i, code): (usize, &Code)| (code + 1).to_le_bytes()[0] << (2 * i);
        Ok(codes.chunks(4).map(|four| four.iter().enumerate().map(field).sum()).collect())
    }
    fn unpack(&self, bytes: &[u8], len: usize) -> Result<Vec<Code>, UnpackError> {
        let bytes = enough(bytes, len, 4)?;
        (0..len)
            .map(|index| match (bytes[index / 4] >> (2 * (index % 4))) & 3 {
                3 => Err(UnpackError::Pattern { index, pattern: 3, format: "ternary2" }),
                stored => Ok(Code::from(stored) - 1),
            })
            .collect()
    }
}
