//! `q5_0`: 32 values, 5 bits: `x = (code - 16) d`, `d = x_absmax / -16`.
//!
//! Bytes: `d`, 4 bytes with the fifth bits (low bit first), then 16 bytes of nibbles as in `q4_0`.
//! ggml `block_q5_0`.
use super::{f16, fill, five_bits, put_f16, put_five_bits, signed_codes};
use crate::case::Word;
use crate::format::BlockFormat;

/// See the module.
#[derive(Debug)]
pub struct Q5_0;

impl BlockFormat for Q5_0 {
    fn word(&self) -> Word {
        Word { name: "q5_0", aliases: &[] }
    }
    fn block_len(&self) -> usize {
        32
    }
    fn block_bytes(&self) -> usize {
        22
    }
    fn encode_block(&self, x: &[f32], bytes: &mut [u8]) {
        let (scale, codes) = bytes.split_at_mut(2);
        let (fifths, fours) = codes.split_at_mut(4);
        let (d, codes) = signed_codes(x, 16);
        put_f16(scale, d);
        put_five_bits(fifths, fours, &codes);
    }
    fn decode_block(&self, bytes: &[u8], x: &mut [f32]) {
        let (scale, codes) = bytes.split_at(2);
        let (fifths, fours) = codes.split_at(4);
        let d = f16(scale);
        fill(x, five_bits(fifths, fours).map(|code| (f32::from(code) - 16.0) * d));
    }
}
