//! `q2_0`: 64 ternary values, 2 bits: `x = (code - 1) d`, `d = absmax`, ties away from zero.
//!
//! Bytes: `d`, then 16 bytes of four neighbours each, low bits first. Encoding makes no code 3; it
//! decodes to `2 d`. ggml `block_q2_0`; gguf-py does not have it.
use super::{f16, fill, put_f16, put_two_bits, ternary_codes, ternary_value, two_bits};
use crate::case::Word;
use crate::format::BlockFormat;

/// See the module.
#[derive(Debug)]
pub struct Q2_0;

impl BlockFormat for Q2_0 {
    fn word(&self) -> Word {
        Word { name: "q2_0", aliases: &[] }
    }
    fn block_len(&self) -> usize {
        64
    }
    fn block_bytes(&self) -> usize {
        18
    }
    fn encode_block(&self, x: &[f32], bytes: &mut [u8]) {
        let (scale, twos) = bytes.split_at_mut(2);
        let (d, codes) = ternary_codes(x);
        put_f16(scale, d);
        put_two_bits(twos, &codes, 1);
    }
    fn decode_block(&self, bytes: &[u8], x: &mut [f32]) {
        let (scale, twos) = bytes.split_at(2);
        let d = f16(scale);
        fill(x, two_bits(twos, 1).map(|code| ternary_value(code, d)));
    }
}
