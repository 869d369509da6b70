//! Floats stored one by one: `fp16`, `bf16` (two bytes, little-endian), `fp8_e4m3`, `fp8_e5m2`
//! (one byte). A block is one value and has no scale.
//!
//! Values are rounded to nearest, ties to even; NaN stays NaN with its sign. The 16-bit formats
//! overflow to infinity, as the casts of every library do; the 8-bit formats saturate, infinity
//! included, as a store of quantized values does (ml_dtypes' and torch's plain casts to E4M3 give
//! NaN instead: that is [`E4M3FN`](super::minifloat::E4M3FN) itself).
use super::BlockFormat;
use super::minifloat::{BF16 as BRAIN, E4M3FN, E5M2, F16, Minifloat};
use crate::case::Word;

/// See the module.
#[derive(Debug)]
pub struct Float {
    name: &'static str,
    aliases: &'static [&'static str],
    float: Minifloat,
}

/// The `fp16` format.
pub static FP16: Float = Float { name: "fp16", aliases: &["float16", "f16"], float: F16 };
/// The `bf16` format.
pub static BF16: Float = Float { name: "bf16", aliases: &["bfloat16"], float: BRAIN };
/// The `fp8_e4m3` format.
pub static FP8_E4M3: Float =
    Float { name: "fp8_e4m3", aliases: &["float8_e4m3fn"], float: E4M3FN.saturating() };
/// The `fp8_e5m2` format.
pub static FP8_E5M2: Float =
    Float { name: "fp8_e5m2", aliases: &["float8_e5m2"], float: E5M2.saturating() };

impl BlockFormat for Float {
    fn word(&self) -> Word {
        Word { name: self.name, aliases: self.aliases }
    }
    fn block_len(&self) -> usize {
        1
    }
    fn block_bytes(&self) -> usize {
        self.float.bits() as usize / 8
    }
    fn encode_block(&self, x: &[f32], bytes: &mut [u8]) {
        let pattern = self.float.encode(x[0]).to_le_bytes();
        bytes.iter_mut().zip(pattern).for_each(|(byte, part)| *byte = part);
    }
    fn decode_block(&self, bytes: &[u8], x: &mut [f32]) {
        let pattern = bytes.iter().rev().fold(0, |high: u16, byte| (high << 8) | u16::from(*byte));
        x[0] = self.float.decode(pattern);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_little_endian() {
        assert_eq!(FP16.encode(&[1.0, -2.0]).unwrap(), [0x00, 0x3c, 0x00, 0xc0]);
        assert_eq!(BF16.encode(&[1.0]).unwrap(), [0x80, 0x3f]);
        assert_eq!(BF16.decode(&[0x80, 0x3f]).unwrap(), [1.0]);
        assert_eq!(FP8_E4M3.encode(&[1.0, -0.0]).unwrap(), [0x38, 0x80]);
        assert!(BF16.decode(&[0x80]).is_err());
    }

    #[test]
    fn wide_floats_overflow_and_bytes_saturate() {
        let x = [1e9, f32::NEG_INFINITY];
        let stored = |format: &Float| format.decode(&format.encode(&x).unwrap()).unwrap();
        assert_eq!(stored(&FP16), [f32::INFINITY, f32::NEG_INFINITY]);
        assert_eq!(stored(&BF16), [998_244_352.0, f32::NEG_INFINITY]);
        assert_eq!(stored(&FP8_E4M3), [448.0, -448.0]);
        assert_eq!(stored(&FP8_E5M2), [57344.0, -57344.0]);
        for format in [&FP16, &BF16, &FP8_E4M3, &FP8_E5M2] {
            let nan = format.decode(&format.encode(&[f32::NAN]).unwrap()).unwrap();
            assert!(nan[0].is_nan(), "{}", format.name());
        }
    }
}
