//! `q5_1`: 32 values, 5 bits: `x = code d + m`, `m = min`, `d = (max - min) / 31`.
//!
//! Bytes: `d`, `m`, 4 bytes with the fifth bits (low bit first), then 16 bytes of nibbles as in
//! `q4_0`. ggml `block_q5_1`.
use super::{f16, fill, five_bits, offset_codes, put_f16, put_five_bits};
use crate::case::Word;
use crate::format::BlockFormat;

/// See the module.
#[derive(Debug)]
pub struct Q5_1;

impl BlockFormat for Q5_1 {
    fn word(&self) -> Word {
        Word { name: "q5_1", aliases: &[] }
    }
    fn block_len(&self) -> usize {
        32
    }
    fn block_bytes(&self) -> usize {
        24
    }
    fn encode_block(&self, x: &[f32], bytes: &mut [u8]) {
        let (scale, rest) = bytes.split_at_mut(2);
        let (offset, codes) = rest.split_at_mut(2);
        let (fifths, fours) = codes.split_at_mut(4);
        let (d, m, codes) = offset_codes(x, 31);
        put_f16(scale, d);
        put_f16(offset, m);
        put_five_bits(fifths, fours, &codes);
    }
    fn decode_block(&self, bytes: &[u8], x: &mut [f32]) {
        let (scale, rest) = bytes.split_at(2);
        let (offset, codes) = rest.split_at(2);
        let (fifths, fours) = codes.split_at(4);
        let (d, m) = (f16(scale), f16(offset));
        fill(x, five_bits(fifths, fours).map(|code| f32::from(code) * d + m));
    }
}
