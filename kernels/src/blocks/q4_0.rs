//! `q4_0` and `q5_0`: the value of largest magnitude becomes the least of `2 H` codes,
//! `d = value / -H` as f16, and the code is `trunc(x / d + H + 0.5)`.
//!
//! ```text
//! q4_0, H = 8    byte  0 1 | 2 .. 17                 nibbles of values 0 .. 15 low, 16 .. 31 high
//! q5_0, H = 16   byte  0 1 | 2 .. 5 | 6 .. 21        the fifth bits, low bit first; nibbles likewise
//! ```
//!
//! Only the sign of `d` is not known from the largest magnitude: it is that of the first value that
//! has it. Of several NaN the last counts, whose sign a division keeps.
use super::{Blocks, Format, Shared};
use crate::codes::{Codes, floats, half::from_f16};

/// See the module.
#[derive(Debug)]
pub(crate) struct Q4_0;
/// See the module.
#[derive(Debug)]
pub(crate) struct Q5_0;

/// Whether `d` is negative: the first value of largest magnitude is not.
#[inline(always)]
fn negative<I: Blocks>(isa: I, x: &[f32; 32], absmax: f32) -> bool {
    if absmax.is_nan() {
        return x.iter().rfind(|x| x.is_nan()).is_some_and(|x| x.is_sign_negative());
    }
    let (largest, negative) = isa.largest(x, absmax);
    !negative & largest & largest.wrapping_neg() != 0
}

/// The scale's bytes and the codes of a block of `2 half` levels.
#[inline(always)]
fn codes_of<I: Blocks>(isa: I, x: &[f32; 32], shared: &Shared, half: u8) -> ([u8; 2], [u8; 32]) {
    let negative = negative(isa, x, shared.absmax);
    let sign = if negative { -1.0 } else { 1.0 };
    let scale = shared.half | u16::from(negative) << 15;
    let mut codes = [0; 32];
    if shared.usual() {
        isa.halves(x, (sign * shared.inverse, half), &mut codes);
    } else {
        single(x, (sign * shared.inverse, half), &mut codes);
    }
    (scale.to_le_bytes(), codes)
}

/// Sums that are no numbers are 0, and large ones saturate.
#[cold]
#[inline(never)]
fn single(x: &[f32; 32], (inverse, half): (f32, u8), codes: &mut [u8; 32]) {
    let (inverse, middle) = (f64::from(inverse), f64::from(half) + 0.5);
    let most = i16::from(2 * half - 1);
    for (code, x) in codes.iter_mut().zip(x) {
        // The cast cuts off fractions, saturates, and makes 0 of NaN.
        let whole = (f64::from(*x) * inverse + middle) as f32 as i16;
        *code = whole.clamp(0, most).to_le_bytes()[0];
    }
}

impl Format<32, 18> for Q4_0 {
    const DIVISOR: f32 = 8.0;

    #[inline(always)]
    fn encode<I: Blocks>(isa: I, x: &[f32; 32], shared: &Shared, bytes: &mut [u8; 18]) {
        let (scale, codes) = codes_of(isa, x, shared, 8);
        let [low, high, fours @ ..] = bytes;
        [*low, *high] = scale;
        isa.join_halves(&codes, fours);
    }

    #[inline(always)]
    fn decode<I: Codes>(isa: I, bytes: &[u8; 18], x: &mut [f32; 32]) {
        let [low, high, fours @ ..] = bytes;
        let d = from_f16(u16::from_le_bytes([*low, *high]));
        let mut codes = [0; 32];
        isa.split_halves(fours, &mut codes);
        floats(&codes, false, (8.0, d), x);
    }
}

impl Format<32, 22> for Q5_0 {
    const DIVISOR: f32 = 16.0;

    #[inline(always)]
    fn encode<I: Blocks>(isa: I, x: &[f32; 32], shared: &Shared, bytes: &mut [u8; 22]) {
        let (scale, codes) = codes_of(isa, x, shared, 16);
        let [low, high, a, b, c, d, fours @ ..] = bytes;
        [*low, *high] = scale;
        // A code is +1 to `signs` where its bit 7 is not set.
        let mut fifths = [0; 32];
        for (fifth, code) in fifths.iter_mut().zip(&codes) {
            *fifth = !(code << 3);
        }
        [*a, *b, *c, *d] = isa.signs(&fifths).to_le_bytes();
        isa.join_halves(&codes, fours);
    }

    #[inline(always)]
    fn decode<I: Codes>(isa: I, bytes: &[u8; 22], x: &mut [f32; 32]) {
        let [low, high, a, b, c, d, fours @ ..] = bytes;
        let mut fifths = [0; 32];
        isa.split_signs(u32::from_le_bytes([*a, *b, *c, *d]), &mut fifths);
        let mut codes = [0; 32];
        isa.split_halves(fours, &mut codes);
        for (code, fifth) in codes.iter_mut().zip(fifths) {
            // 16 for +1, 0 for -1.
            *code += 8u8.wrapping_add(fifth << 3);
        }
        let d = from_f16(u16::from_le_bytes([*low, *high]));
        floats(&codes, false, (16.0, d), x);
    }
}
