//! `int4`: signed codes `-8..=7` as two's complement nibbles, two a byte, low nibble first.
use super::{Levels, UnpackError, WeightFormat, enough};
use crate::case::Word;
use crate::codes::CodeOutOfRange;
use crate::rule::Code;

/// See the module.
#[derive(Debug)]
pub struct Int4;
/// The `int4` format.
pub static INT4: Int4 = Int4;

impl WeightFormat for Int4 {
    fn word(&self) -> Word {
        Word { name: "int4", aliases: &["int4_exp"] }
    }
    fn levels(&self) -> Levels {
        Levels::Int4
    }
    fn bits(&self) -> f64 {
        4.0
    }
    fn row_bytes(&self, len: usize) -> usize {
        len.div_ceil(2)
    }
    fn pack(&self, codes: &[Code]) -> Result<Vec<u8>, CodeOutOfRange> {
        Levels::Int4.check(codes)?;
        let nibble = |code: Code| code.to_le_bytes()[0] & 15;
        let pair = |two: &[Code]| two.iter().rev().fold(0, |byte, code| byte << 4 | nibble(*code));
        Ok(codes.chunks(2).map(pair).collect())
    }
    fn unpack(&self, bytes: &[u8], len: usize) -> Result<Vec<Code>, UnpackError> {
        let bytes = enough(bytes, len, 2)?;
        // Shifted to the top of a signed byte and back, a nibble keeps its sign.
        let nibble = |i: usize| (bytes[i / 2] << (4 - 4 * (i % 2))).cast_signed() >> 4;
        Ok((0..len).map(|i| nibble(i).into()).collect())
    }
}
