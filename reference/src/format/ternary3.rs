//! `ternary3`: `{-1, 0, 1}` in 1.6 bits, five codes a byte.
//!
//! A byte is the number in base 3 whose digits are code + 1, the first code the lowest digit; 243
//! and above is no code. Where a row ends within a byte the remaining digits are those of code 0,
//! which adds nothing to a dot product; unpacking does not look at them.
use super::{Levels, UnpackError, WeightFormat, enough};
use crate::case::Word;
use crate::codes::CodeOutOfRange;
use crate::rule::Code;

/// See the module.
#[derive(Debug)]
pub struct Ternary3;
/// The `ternary3` format.
pub static TERNARY3: Ternary3 = Ternary3;

/// Codes of a byte.
const PER_BYTE: usize = 5;
/// What a byte's digits count.
const POWERS: [u8; PER_BYTE] = [1, 3, 9, 27, 81];

impl WeightFormat for Ternary3 {
    fn word(&self) -> Word {
        Word { name: "ternary3", aliases: &["ternary_base3"] }
    }
    fn levels(&self) -> Levels {
        Levels::Ternary
    }
    fn bits(&self) -> f64 {
        8.0 / PER_BYTE as f64
    }
    fn row_bytes(&self, len: usize) -> usize {
        len.div_ceil(PER_BYTE)
    }
    fn pack(&self, codes: &[Code]) -> Result<Vec<u8>, CodeOutOfRange> {
        Levels::Ternary.check(codes)?;
        let byte = |five: &[Code]| {
            let digits = five.iter().map(|code| (code + 1).to_le_bytes()[0]).chain([1; PER_BYTE]);
            digits.zip(POWERS).map(|(digit, power)| digit * power).sum()
        };
        Ok(codes.chunks(PER_BYTE).map(byte).collect())
    }
    fn unpack(&self, bytes: &[u8], len: usize) -> Result<Vec<Code>, UnpackError> {
        let bytes = enough(bytes, len, PER_BYTE)?;
        if let Some(at) = bytes.iter().position(|byte| *byte >= 243) {
            let (index, pattern) = (at * PER_BYTE, bytes[at]);
            return Err(UnpackError::Pattern { index, pattern, format: "ternary3" });
        }
        let digits = bytes.iter().flat_map(|byte| POWERS.map(|power| byte / power % 3));
        Ok(digits.take(len).map(|digit| Code::from(digit) - 1).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_numbers_in_base_three() {
        // 2 + 0*3 + 1*9 + 2*27 + 2*81 = 227; then 0 + 1*3 + 1*9 + 1*27 + 1*81 = 120.
        assert_eq!(TERNARY3.pack(&[1, -1, 0, 1, 1, -1]).unwrap(), [227, 120]);
        assert_eq!(TERNARY3.pack(&[0; 5]).unwrap(), [121]);
        assert_eq!(TERNARY3.pack(&[1; 5]).unwrap(), [242]);
        assert!(TERNARY3.pack(&[0, 2]).is_err());
    }

    #[test]
    fn every_byte_is_five_codes_or_an_error() {
        for byte in 0..=255u8 {
            match TERNARY3.unpack(&[121, byte], 10) {
                Ok(codes) => assert_eq!(TERNARY3.pack(&codes).unwrap(), [121, byte]),
                Err(error) => {
                    let want = UnpackError::Pattern { index: 5, pattern: byte, format: "ternary3" };
                    assert!(byte >= 243 && error == want, "{byte}");
                }
            }
        }
        // Digits after the end do not matter, patterns do.
        assert_eq!(TERNARY3.unpack(&[242], 2).unwrap(), [1, 1]);
        assert!(TERNARY3.unpack(&[243], 1).is_err());
    }
}
