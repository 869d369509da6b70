//! `mxfp4` (ggml's): 32 values in E2M1 under a power of two.
//!
//! ```text
//! byte  0              1 .. 16
//!       scale + 127    codes: values 0 .. 15 in low nibbles, 16 .. 31 in high ones
//! ```
//!
//! The scale is `2^(floor(log2f(absmax)) - 2)`. The floor is the exponent, but where the logarithm
//! rounds up to the next whole number: at `2^k (1 - j 2^-24)` it is `k - j 8.6e-8`, which f32 takes for
//! `k` within half an ulp, at most `2^-18`, so for `j` up to 44; from 64 below on, the exponent is
//! right. Codes are a comparison with the seven midpoints, ties toward zero, what rounds to zero
//! positive; multiplying by a power of two is exact, or ends below 1/4. NaN does not count and becomes
//! 0, an infinity is taken as the largest float.
use super::{Blocks, Format, Shared};
use crate::codes::Codes;

/// See the module.
#[derive(Debug)]
pub(crate) struct Mxfp4;

/// Twice the values of the codes.
static DOUBLED: [f32; 16] =
    [0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 0.0, -1.0, -2.0, -3.0, -4.0, -6.0, -8.0, -12.0];

/// The scale byte for a largest magnitude.
#[inline(always)]
fn scale_byte(absmax: f32) -> u8 {
    let bits = absmax.to_bits();
    if bits & 0x7f_ffff >= 0x7f_ffc0 {
        return rounded_scale(absmax);
    }
    (bits >> 23).saturating_sub(2) as u8
}

/// The same by the logarithm itself.
#[cold]
#[inline(never)]
fn rounded_scale(absmax: f32) -> u8 {
    let byte = (f64::from(absmax).log2() as f32).floor() + 125.0;
    (byte.max(0.0) as i16).to_le_bytes()[0]
}

/// The byte of `2^126`, of values just below `2^128`.
const LAST_SCALE: u8 = 253;

/// Under the last scale 4 and 6 are infinite, and 3 is the nearest to what is above.
#[cold]
#[inline(never)]
fn finite_codes(codes: &mut [u8; 32]) {
    codes.iter_mut().for_each(|code| *code = *code & 8 | (*code & 7).min(5));
}

/// The largest magnitude where there are infinities or NaN.
#[cold]
#[inline(never)]
fn finite_absmax(x: &[f32; 32]) -> f32 {
    x.iter().fold(0.0, |most: f32, x| most.max(x.abs())).min(f32::MAX)
}

/// Half of `2^(byte - 127)`.
#[inline(always)]
fn half_power(byte: u8) -> f32 {
    f32::from_bits(match byte {
        0 | 1 => 0x0020_0000 << byte,
        _ => (u32::from(byte) - 1) << 23,
    })
}

impl Format<32, 17> for Mxfp4 {
    const DIVISOR: f32 = 1.0;

    #[inline(always)]
    fn encode<I: Blocks>(isa: I, x: &[f32; 32], shared: &Shared, bytes: &mut [u8; 17]) {
        let usual = shared.absmax < f32::INFINITY;
        let byte = scale_byte(if usual { shared.absmax } else { finite_absmax(x) });
        // 2^(127 - byte), and byte is at most 253.
        let inverse = f32::from_bits((254 - u32::from(byte)) << 23);
        let mut codes = [0; 32];
        isa.e2m1(x, inverse, &mut codes);
        if byte == LAST_SCALE {
            finite_codes(&mut codes);
        }
        let [scale, fours @ ..] = bytes;
        *scale = byte;
        isa.join_halves(&codes, fours);
    }

    #[inline(always)]
    fn decode<I: Codes>(isa: I, bytes: &[u8; 17], x: &mut [f32; 32]) {
        let [byte, fours @ ..] = bytes;
        let half = half_power(*byte);
        let table = DOUBLED.map(|doubled| doubled * half);
        let mut codes = [0; 32];
        isa.split_halves(fours, &mut codes);
        isa.looked_up(&codes, &table, x);
    }
}
