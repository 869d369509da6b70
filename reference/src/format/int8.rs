//! `int8`: one signed byte per code.
use super::{Levels, UnpackError, WeightFormat, enough};
use crate::case::Word;
use crate::codes::CodeOutOfRange;
use crate::rule::Code;

/// See the module.
#[derive(Debug)]
pub struct Int8;
/// The `int8` format.
pub static INT8: Int8 = Int8;

impl WeightFormat for Int8 {
    fn word(&self) -> Word {
        Word { name: "int8", aliases: &["int8_exp"] }
    }
    fn levels(&self) -> Levels {
        Levels::Int8
    }
    fn bits(&self) -> f64 {
        8.0
    }
    fn row_bytes(&self, len: usize) -> usize {
        len
    }
    fn pack(&self, codes: &[Code]) -> Result<Vec<u8>, CodeOutOfRange> {
        Levels::Int8.check(codes)?;
        Ok(codes.iter().map(|code| code.to_le_bytes()[0]).collect())
    }
    fn unpack(&self, bytes: &[u8], len: usize) -> Result<Vec<Code>, UnpackError> {
        Ok(enough(bytes, len, 1)?.iter().map(|byte| Code::from(byte.cast_signed())).collect())
    }
}
