//! `sign1`: `{-1, 1}` in one bit, eight codes a byte, low bit first, 1 for +1.
use super::{Levels, UnpackError, WeightFormat, enough};
use crate::case::Word;
use crate::codes::CodeOutOfRange;
use crate::rule::Code;

/// See the module.
#[derive(Debug)]
pub struct Sign1;
/// The `sign1` format.
pub static SIGN1: Sign1 = Sign1;

impl WeightFormat for Sign1 {
    fn word(&self) -> Word {
        Word { name: "sign1", aliases: &["binary"] }
    }
    fn levels(&self) -> Levels {
        Levels::Sign
    }
    fn bits(&self) -> f64 {
        1.0
    }
    fn row_bytes(&self, len: usize) -> usize {
        len.div_ceil(8)
    }
    fn pack(&self, codes: &[Code]) -> Result<Vec<u8>, CodeOutOfRange> {
        Levels::Sign.check(codes)?;
        let bit = |(i, code): (usize, &Code)| u8::from(*code > 0) << i;
        Ok(codes.chunks(8).map(|eight| eight.iter().enumerate().map(bit).sum()).collect())
    }
    fn unpack(&self, bytes: &[u8], len: usize) -> Result<Vec<Code>, UnpackError> {
        let bytes = enough(bytes, len, 8)?;
        Ok((0..len).map(|i| if (bytes[i / 8] >> (i % 8)) & 1 == 1 { 1 } else { -1 }).collect())
    }
}
