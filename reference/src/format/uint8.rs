//! `uint8`: one unsigned byte per code; what the source calls `uint8_pos_exp`.
use super::{Levels, UnpackError, WeightFormat, enough};
use crate::case::Word;
use crate::codes::CodeOutOfRange;
use crate::rule::Code;

/// See the module.
#[derive(Debug)]
pub struct Uint8;
/// The `uint8` format.
pub static UINT8: Uint8 = Uint8;

impl WeightFormat for Uint8 {
    fn word(&self) -> Word {
        Word { name: "uint8", aliases: &["uint8_pos_exp"] }
    }
    fn levels(&self) -> Levels {
        Levels::Uint8
    }
    fn bits(&self) -> f64 {
        8.0
    }
    fn row_bytes(&self, len: usize) -> usize {
        len
    }
    fn pack(&self, codes: &[Code]) -> Result<Vec<u8>, CodeOutOfRange> {
        Levels::Uint8.check(codes)?;
        Ok(codes.iter().map(|code| code.to_le_bytes()[0]).collect())
    }
    fn unpack(&self, bytes: &[u8], len: usize) -> Result<Vec<Code>, UnpackError> {
        Ok(enough(bytes, len, 1)?.iter().map(|byte| Code::from(*byte)).collect())
    }
}
