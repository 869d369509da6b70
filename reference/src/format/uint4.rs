//! `uint4`: unsigned codes `0..=15`, two a byte, low nibble first; zero is where the rule's zero
//! point says.
use super::{Levels, UnpackError, WeightFormat, enough};
use crate::case::Word;
use crate::codes::CodeOutOfRange;
use crate::rule::Code;

/// See the module.
#[derive(Debug)]
pub struct Uint4;
/// The `uint4` format.
pub static UINT4: Uint4 = Uint4;

impl WeightFormat for Uint4 {
    fn word(&self) -> Word {
        Word { name: "uint4", aliases: &[] }
    }
    fn levels(&self) -> Levels {
        Levels::Uint4
    }
    fn bits(&self) -> f64 {
        4.0
    }
    fn row_bytes(&self, len: usize) -> usize {
        len.div_ceil(2)
    }
    fn pack(&self, codes: &[Code]) -> Result<Vec<u8>, CodeOutOfRange> {
        Levels::Uint4.check(codes)?;
        let pair =
            |two: &[Code]| two.iter().rev().fold(0, |byte, code| byte << 4 | code.to_le_bytes()[0]);
        Ok(codes.chunks(2).map(pair).collect())
    }
    fn unpack(&self, bytes: &[u8], len: usize) -> Result<Vec<Code>, UnpackError> {
        let bytes = enough(bytes, len, 2)?;
        Ok((0..len).map(|i| Code::from((bytes[i / 2] >> (4 * (i % 2))) & 15)).collect())
    }
}
