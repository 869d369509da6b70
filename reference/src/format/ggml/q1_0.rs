//! `q1_0`: 128 values, 1 bit: `x = d` for a set bit, `-d` otherwise; `d = mean |x|`, the bit is
//! `x >= 0` (also for -0).
//!
//! Bytes: `d`, then 16 bytes of bits, low bit first. ggml `block_q1_0`; gguf-py does not have it.
use super::{bits, f16, fill, put_bits, put_f16};
use crate::case::Word;
use crate::format::BlockFormat;

/// See the module.
#[derive(Debug)]
pub struct Q1_0;

impl BlockFormat for Q1_0 {
    fn word(&self) -> Word {
        Word { name: "q1_0", aliases: &[] }
    }
    fn block_len(&self) -> usize {
        128
    }
    fn block_bytes(&self) -> usize {
        18
    }
    fn encode_block(&self, x: &[f32], bytes: &mut [u8]) {
        let (scale, signs) = bytes.split_at_mut(2);
        // ggml sums in f32 and in this order, and the bytes depend on it.
        let sum = x.iter().fold(0.0f32, |sum, x| sum + x.abs());
        put_f16(scale, sum / 128.0);
        put_bits(signs, x.iter().map(|x| *x >= 0.0));
    }
    fn decode_block(&self, bytes: &[u8], x: &mut [f32]) {
        let (scale, signs) = bytes.split_at(2);
        let d = f16(scale);
        fill(x, bits(signs).map(|positive| if positive { d } else { -d }));
    }
}
