//! Weight formats: which codes exist and how they become bytes.
//!
//! A format does not know how a scale is chosen; that is the [rule](crate::rule)'s business.
//! Rows are packed one by one, so a row always starts on a byte.
mod block;
pub mod codebook;
pub mod double_quant;
mod dynamic_map;
pub mod e8m0;
mod floats;
mod fp4;
mod ggml;
mod int4;
mod int8;
pub mod layout;
pub mod minifloat;
mod mx;
pub mod nf4;
pub mod nf4_i8;
mod sign1;
pub(crate) mod statistic;
pub mod table;
mod ternary2;
mod ternary3;
mod uint4;
mod uint8;
use crate::case::Word;
use crate::codes::CodeOutOfRange;
pub use crate::codes::Levels;
use crate::rule::Code;
pub use block::{BLOCK_FORMATS, BlockFormat, block_format, block_words};
pub use dynamic_map::DYNAMIC_MAP;
pub use floats::{BF16, FP8_E4M3, FP8_E5M2, FP16, Float};
pub use fp4::{MXFP4, Mxfp4, NVFP4, Nvfp4};
pub use ggml::{Q1_0, Q2_0, Q4_0, Q4_1, Q4K, Q5_0, Q5_1, Q8_0, TQ1_0, TQ2_0};
pub use int4::INT4;
pub use int8::INT8;
pub use mx::{
    Element, MX_BLOCK, MXFP4_E2M1, MXFP6_E2M3, MXFP6_E3M2, MXFP8_E4M3, MXFP8_E5M2, MXINT4, MXINT6,
    MXINT8, Mx, ScaleMode,
};
pub use sign1::SIGN1;
pub use table::{TABLE_FORMATS, TableFormat};
pub use ternary2::TERNARY2;
pub use ternary3::TERNARY3;
pub use uint4::UINT4;
pub use uint8::UINT8;

/// Every weight format. Adding one is a file and a line here.
pub static WEIGHT_FORMATS: &[&dyn WeightFormat] =
    &[&TERNARY2, &TERNARY3, &SIGN1, &INT8, &INT4, &UINT4];
/// Every format of quantized activations.
pub static ACTIVATION_FORMATS: &[&dyn WeightFormat] = &[&INT8, &INT4, &UINT8];

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
    fn pack(&self, codes: &[Code]) -> Result<Vec<u8>, CodeOutOfRange>;
    /// One row of bytes to `len` codes.
    fn unpack(&self, bytes: &[u8], len: usize) -> Result<Vec<Code>, UnpackError>;
    /// The canonical name.
    fn name(&self) -> &'static str {
        self.word().name
    }
}

/// Look a format up by its canonical name.
pub fn weight_format(name: &str) -> Option<&'static dyn WeightFormat> {
    WEIGHT_FORMATS.iter().copied().find(|f| f.name() == name)
}

/// Look a format of activations up by its canonical name.
pub fn activation_format(name: &str) -> Option<&'static dyn WeightFormat> {
    ACTIVATION_FORMATS.iter().copied().find(|f| f.name() == name)
}

/// The words of the weight formats, for parameters.
pub fn weight_words() -> Vec<Word> {
    WEIGHT_FORMATS.iter().map(|f| f.word()).collect()
}

/// The words of the activation formats, for parameters.
pub fn activation_words() -> Vec<Word> {
    ACTIVATION_FORMATS.iter().map(|f| f.word()).collect()
}

/// `bytes` if it can hold `len` codes of `per_byte` a byte.
fn enough(bytes: &[u8], len: usize, per_byte: usize) -> Result<&[u8], UnpackError> {
    let needed = len.div_ceil(per_byte);
    bytes.get(..needed).ok_or(UnpackError::Short { len, needed, found: bytes.len() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(levels: Levels, len: usize) -> Vec<Code> {
        let draw = |i: usize| match levels {
            Levels::Sign => [-1, 1][i * 7 % 5 % 2],
            _ => {
                let (least, most) = levels.range();
                least + Code::from((i * 37 % 256) as u8) % (most - least + 1)
            }
        };
        (0..len).map(draw).collect()
    }

    #[test]
    fn every_format_round_trips_every_length() {
        for format in WEIGHT_FORMATS.iter().chain(ACTIVATION_FORMATS) {
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
        for format in WEIGHT_FORMATS.iter().chain(ACTIVATION_FORMATS) {
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
        // Low nibble first; two's complement where codes are signed.
        assert_eq!(INT4.pack(&[-8, 7, -1]).unwrap(), [0x78, 0x0f]);
        assert_eq!(UINT4.pack(&[1, 15, 8]).unwrap(), [0xf1, 0x08]);
        // A code above 127 stays what it is: the source's packer made -110 of 146.
        assert_eq!(UINT8.unpack(&UINT8.pack(&[146]).unwrap(), 1).unwrap(), [146]);
        assert!(INT8.pack(&[146]).is_err() && UINT8.pack(&[-1]).is_err());
        assert!(INT4.pack(&[8]).is_err() && UINT4.pack(&[16]).is_err());
    }
}
