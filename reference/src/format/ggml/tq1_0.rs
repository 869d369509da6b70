//! `tq1_0`: 256 ternary values, five (at the end four) a byte: `x = (digit - 1) d`, `d = absmax`.
//!
//! Bytes: 52 bytes of digits, then `d`. Byte `i` of the first 32 holds the values `i + 32 n`, of
//! the next 16 the values `160 + i + 16 n` (n < 5), of the last 4 the values `240 + i + 4 n`
//! (n < 4). Digit `n` counts `3^(4 - n)` in a number `v` below 243, stored as `ceil(256 v / 243)`,
//! so that digit `n` is the upper byte of `3 (byte 3^n mod 256)`: no division. ggml `block_tq1_0`.
use super::{f16, fill, put_f16, ternary_codes, ternary_value};
use crate::case::Word;
use crate::format::BlockFormat;

/// See the module.
#[derive(Debug)]
pub struct TQ1_0;

/// Bytes that hold digits.
const DIGIT_BYTES: usize = 52;

/// Byte and digit of every value, in the order of the values.
fn places() -> impl Iterator<Item = (usize, u32)> {
    let stripe = |(start, width, digits): (usize, usize, u32)| {
        (0..digits).flat_map(move |digit| (start..start + width).map(move |byte| (byte, digit)))
    };
    [(0, 32, 5), (32, 16, 5), (48, 4, 4)].into_iter().flat_map(stripe)
}

impl BlockFormat for TQ1_0 {
    fn word(&self) -> Word {
        Word { name: "tq1_0", aliases: &[] }
    }
    fn block_len(&self) -> usize {
        256
    }
    fn block_bytes(&self) -> usize {
        DIGIT_BYTES + 2
    }
    fn encode_block(&self, x: &[f32], bytes: &mut [u8]) {
        let (digits, scale) = bytes.split_at_mut(DIGIT_BYTES);
        let (d, codes) = ternary_codes(x);
        put_f16(scale, d);
        let mut numbers = [0u16; DIGIT_BYTES];
        for ((byte, digit), code) in places().zip(codes) {
            numbers[byte] += u16::from(code) * 3u16.pow(4 - digit);
        }
        let stored = |number: &u16| (number * 256).div_ceil(243) as u8;
        digits.iter_mut().zip(&numbers).for_each(|(byte, number)| *byte = stored(number));
    }
    fn decode_block(&self, bytes: &[u8], x: &mut [f32]) {
        let (digits, scale) = bytes.split_at(DIGIT_BYTES);
        let d = f16(scale);
        let code = |(byte, digit): (usize, u32)| {
            let shifted = u32::from(digits[byte]) * 3u32.pow(digit) % 256;
            (3 * shifted / 256) as u8
        };
        fill(x, places().map(|place| ternary_value(code(place), d)));
    }
}
