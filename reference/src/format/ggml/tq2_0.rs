//! `tq2_0`: 256 ternary values, 2 bits: `x = (code - 1) d`, `d = absmax`, ties away from zero.
//!
//! Bytes: 64 bytes of codes, then `d`. Byte `i` of the first 32 holds the values `i`, `i + 32`,
//! `i + 64`, `i + 96`, low bits first; the other 32 bytes hold the second half of the block
//! likewise. Encoding makes no code 3; it decodes to `2 d`. ggml `block_tq2_0`.
use super::{f16, fill, put_f16, put_two_bits, ternary_codes, ternary_value, two_bits};
use crate::case::Word;
use crate::format::BlockFormat;

/// See the module.
#[derive(Debug)]
pub struct TQ2_0;

impl BlockFormat for TQ2_0 {
    fn word(&self) -> Word {
        Word { name: "tq2_0", aliases: &[] }
    }
    fn block_len(&self) -> usize {
        256
    }
    fn block_bytes(&self) -> usize {
        66
    }
    fn encode_block(&self, x: &[f32], bytes: &mut [u8]) {
        let (twos, scale) = bytes.split_at_mut(64);
        let (d, codes) = ternary_codes(x);
        put_f16(scale, d);
        put_two_bits(twos, &codes, 32);
    }
    fn decode_block(&self, bytes: &[u8], x: &mut [f32]) {
        let (twos, scale) = bytes.split_at(64);
        let d = f16(scale);
        fill(x, two_bits(twos, 32).map(|code| ternary_value(code, d)));
    }
}
