//! `q4_0`: 32 values, 4 bits: `x = (code - 8) d`, `d = x_absmax / -8`.
//!
//! Bytes: `d`, then 16 bytes with values 0..16 in low and 16..32 in high nibbles. ggml `block_q4_0`.
use super::{f16, fill, nibbles, put_f16, put_nibbles, signed_codes};
use crate::case::Word;
use crate::format::BlockFormat;

/// See the module.
#[derive(Debug)]
pub struct Q4_0;

impl BlockFormat for Q4_0 {
    fn word(&self) -> Word {
        Word { name: "q4_0", aliases: &[] }
    }
    fn block_len(&self) -> usize {
        32
    }
    fn block_bytes(&self) -> usize {
        18
    }
    fn encode_block(&self, x: &[f32], bytes: &mut [u8]) {
        let (scale, fours) = bytes.split_at_mut(2);
        let (d, codes) = signed_codes(x, 8);
        put_f16(scale, d);
        put_nibbles(fours, &codes);
    }
    fn decode_block(&self, bytes: &[u8], x: &mut [f32]) {
        let (scale, fours) = bytes.split_at(2);
        let d = f16(scale);
        fill(x, nibbles(fours).map(|code| (f32::from(code) - 8.0) * d));
    }
}
