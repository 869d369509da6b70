//! `q4_1`: 32 values, 4 bits: `x = code d + m`, `m = min`, `d = (max - min) / 15`.
//!
//! Bytes: `d`, `m`, then 16 bytes of nibbles as in `q4_0`. ggml `block_q4_1`.
use super::{f16, fill, nibbles, offset_codes, put_f16, put_nibbles};
use crate::case::Word;
use crate::format::BlockFormat;

/// See the module.
#[derive(Debug)]
pub struct Q4_1;

impl BlockFormat for Q4_1 {
    fn word(&self) -> Word {
        Word { name: "q4_1", aliases: &[] }
    }
    fn block_len(&self) -> usize {
        32
    }
    fn block_bytes(&self) -> usize {
        20
    }
    fn encode_block(&self, x: &[f32], bytes: &mut [u8]) {
        let (scale, rest) = bytes.split_at_mut(2);
        let (offset, fours) = rest.split_at_mut(2);
        let (d, m, codes) = offset_codes(x, 15);
        put_f16(scale, d);
        put_f16(offset, m);
        put_nibbles(fours, &codes);
    }
    fn decode_block(&self, bytes: &[u8], x: &mut [f32]) {
        let (scale, rest) = bytes.split_at(2);
        let (offset, fours) = rest.split_at(2);
        let (d, m) = (f16(scale), f16(offset));
        fill(x, nibbles(fours).map(|code| f32::from(code) * d + m));
    }
}
