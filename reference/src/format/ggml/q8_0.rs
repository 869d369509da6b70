//! `q8_0`: 32 values, 8 bits: `x = code d`, `d = absmax / 127`, ties away from zero.
//!
//! Bytes: `d`, then 32 signed bytes. ggml `block_q8_0`.
use super::{absmax, f16, fill, inverse, put_f16};
use crate::case::Word;
use crate::format::BlockFormat;

/// See the module.
#[derive(Debug)]
pub struct Q8_0;

impl BlockFormat for Q8_0 {
    fn word(&self) -> Word {
        Word { name: "q8_0", aliases: &[] }
    }
    fn block_len(&self) -> usize {
        32
    }
    fn block_bytes(&self) -> usize {
        34
    }
    fn encode_block(&self, x: &[f32], bytes: &mut [u8]) {
        let (scale, codes) = bytes.split_at_mut(2);
        let d = absmax(x) / 127.0;
        let inverse = inverse(d);
        put_f16(scale, d);
        let code = |x: &f32| ((x * inverse).round() as i8).cast_unsigned();
        codes.iter_mut().zip(x).for_each(|(byte, x)| *byte = code(x));
    }
    fn decode_block(&self, bytes: &[u8], x: &mut [f32]) {
        let (scale, codes) = bytes.split_at(2);
        let d = f16(scale);
        fill(x, codes.iter().map(|code| f32::from(code.cast_signed()) * d));
    }
}
