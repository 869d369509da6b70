//! `q8_0`: `d = absmax / 127` as f16, then `round(x / d)` of 32 values, a signed byte each.
//!
//! ```text
//! byte  0 1 | 2 .. 33
//!        d    codes 0 .. 31
//! ```
use super::{Blocks, Format, Shared};
use crate::codes::{Codes, floats, half::from_f16};

/// See the module.
#[derive(Debug)]
pub(crate) struct Q8_0;

impl Format<32, 34> for Q8_0 {
    const DIVISOR: f32 = 127.0;

    #[inline(always)]
    fn encode<I: Blocks>(isa: I, x: &[f32; 32], shared: &Shared, bytes: &mut [u8; 34]) {
        let (scale, codes) = bytes.split_at_mut(2);
        scale.copy_from_slice(&shared.half.to_le_bytes());
        let Some(codes) = codes.as_mut_array::<32>() else { unreachable!("34 bytes less 2") };
        if shared.usual() {
            isa.nearest(x, shared.inverse, codes);
        } else {
            single(x, shared.inverse, codes);
        }
    }

    #[inline(always)]
    fn decode<I: Codes>(_: I, bytes: &[u8; 34], x: &mut [f32; 32]) {
        let [low, high, codes @ ..] = *bytes;
        floats(&codes, true, (0.0, from_f16(u16::from_le_bytes([low, high]))), x);
    }
}

/// Quotients that are no numbers are 0, and large ones saturate.
#[cold]
#[inline(never)]
fn single(x: &[f32; 32], inverse: f32, codes: &mut [u8; 32]) {
    for (code, x) in codes.iter_mut().zip(x) {
        *code = ((x * inverse).round() as i8).cast_unsigned();
    }
}
