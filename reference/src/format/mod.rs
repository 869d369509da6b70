//! Weight formats: which codes exist and how they become bytes.
//!
//! A format does not know how a scale is chosen; that is the [rule](crate::rule)'s business.
//! Rows are packed one by one, so a row always starts on a byte.
mod int8;
mod sign1;
mod ternary2;
use crate::case::Word;
use crate::codes::CodeOutOfRange;
pub use int8::INT8;
pub use sign1::SIGN1;
pub use ternary2::TERNARY2;

/// Every weight format. Adding one is a file and a line here.
pub static WEIGHT_FORMATS: &[&dyn WeightFormat] = &[&TERNARY2, &SIGN1, &INT8];

/// Which codes a quantizer may choose from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Levels {
    /// `{-1, 1}`.
    Sign,
    /// `{-1, 0, 1}`.
    Ternary,
    /// Evenly spaced signed bytes.
    Int8,
}

impl Levels {
    /// Distance between neighbouring codes.
    pub fn step(self) -> f64 {
        if self == Levels::Sign { 2.0 } else { 1.0 }
    }
}

/// Bytes that are not codes of the format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnpackError {
    /// Fewer bytes than the codes need.
    #[error("{len} codes need {needed} bytes, found {found}")]
    Short {
        /// Codes asked for.
        len: usize,
        /// Bytes they need.
        needed: usize,
        /// Bytes there are.
        found: usize,
    },
    /// A bit pattern that no code has.
    #[error("bit pattern {pattern} at code {index} is not a {format} code")]
    Pattern {
        /// Position.
        index: usize,
        /// The pattern.
        pattern: u8,
        /// The format.
        format: &'static str,
    },
}

/// How a row of codes is stored.
pub trait WeightFormat: Sync + std::fmt::Debug {
    /// Name in scenario files, ids and reports, with the source's words for it.
    fn word(&self) -> Word;
    /// The codes it can hold.
    fn levels(&self) -> Levels;
    /// Stored bits per code, scales excluded.
    fn bits(&self) -> f64;
    /// Bytes of a row of `len` codes.
    fn row_bytes(&self, len: usize) -> usize;
    /// One row of codes to bytes.
    fn pack(&self, codes: &[i8]) -> Result<Vec<u8>, CodeOutOfRange>;
    /// One row of bytes to `len` codes.
    fn unpack(&self, bytes: &[u8], len: usize) -> Result<Vec<i8>, UnpackError>;
    /// The canonical name.
    fn name(&self) -> &'static str {
        self.word().name
    }
}

/// Look a format up by its canonical name.
pub fn weight_format(name: &str) -> Option<&'static dyn WeightFormat> {
    WEIGHT_FORMATS.iter().copied().find(|f| f.name() == name)
}

/// The words of the table, for parameters.
pub fn weight_words() -> Vec<Word> {
    WEIGHT_FORMATS.iter().map(|f| f.word()).collect()
}

/// `bytes` if it can hold `len` codes of `per_byte` a byte.
fn enough(bytes: &[u8], len: usize, per_byte: usize) -> Result<&[u8], UnpackError> {
    let needed = len.div_ceil(per_byte);
    bytes.get(..needed).ok_or(UnpackError::Short { len, needed, found: bytes.len() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(levels: Levels, len: usize) -> Vec<i8> {
        let draw = |i: usize| match levels {
            Levels::Sign => [-1, 1][i * 7 % 5 % 2],
            Levels::Ternary => [-1, 0, 1][i * 7 % 11 % 3],
            Levels::Int8 => ((i * 37 % 256) as u8).cast_signed(),
        };
        (0..len).map(draw).collect()
    }

    #[test]
    fn every_format_round_trips_every_length() {
        for format in WEIGHT_FORMATS {
            for len in 0..67 {
                let codes = codes(format.levels(), len);
                let bytes = format.pack(&codes).unwrap();
                assert_eq!(bytes.len(), format.row_bytes(len), "{} len={len}", format.name());
                assert_eq!(format.unpack(&bytes, len).unwrap(), codes, "{} {len}", format.name());
            }
        }
    }

    #[test]
    fn short_rows_and_invalid_patterns_are_errors() {
        for format in WEIGHT_FORMATS {
            let bytes = format.pack(&codes(format.levels(), 64)).unwrap();
            let short = format.unpack(&bytes[..bytes.len() - 1], 64).unwrap_err();
            assert!(matches!(short, UnpackError::Short { len: 64, .. }), "{}", format.name());
        }
        // The source panics on the ternary pattern 3.
        let bad = TERNARY2.unpack(&[0b01_11_00_10], 4).unwrap_err();
        assert_eq!(bad, UnpackError::Pattern { index: 2, pattern: 3, format: "ternary2" });
        assert!(TERNARY2.pack(&[0, 2]).is_err());
        assert!(SIGN1.pack(&[1, 0]).is_err());
    }

    #[test]
    fn bytes_are_those_of_the_source() {
        // Low bits first: -1 -> 0, 0 -> 1, +1 -> 2; and -1 -> 0, +1 -> 1.
        assert_eq!(TERNARY2.pack(&[-1, 0, 1, -1, 1]).unwrap(), [0b00_10_01_00, 0b10]);
        assert_eq!(SIGN1.pack(&[1, -1, -1, 1, 1, 1, -1, -1, 1]).unwrap(), [0b0011_1001, 1]);
        assert_eq!(INT8.pack(&[-128, -1, 127]).unwrap(), [0x80, 0xff, 0x7f]);
    }
}
