//! Coding in plain Rust, which LLVM turns into the vectors of the target: no branch, no cast that
//! saturates.
//!
//! Adding `M = 1.5 * 2^23` and subtracting it rounds to the nearest integer, ties to even, for
//! magnitudes below `2^22`; here they are at most 128. `q - r` is then exact, so a tie is seen as
//! `q - r = 0.5`, and the low byte of the bits of `r + M` is the integer's.
use crate::quantize::isa::STEP;

/// `1.5 * 2^23`: f32 near it are integers, and their low bits those of the integer.
const MAGIC: f32 = 12_582_912.0;

#[inline(always)]
fn low_byte(whole: f32) -> u8 {
    (whole + MAGIC).to_bits().to_le_bytes()[0]
}

/// Ties away from zero.
#[inline(always)]
pub(super) fn nearest(x: &[f32; STEP], inverse: f32, codes: &mut [u8; STEP]) {
    for (code, x) in codes.iter_mut().zip(x) {
        let q = x * inverse;
        let even = (q + MAGIC) - MAGIC;
        let off = q - even;
        let up = if off == 0.5 && q > 0.0 { 1.0 } else { 0.0 };
        let down = if off == -0.5 && q < 0.0 { 1.0 } else { 0.0 };
        // 127.5 is the most: `absmax` itself is 127 to within an ulp.
        *code = low_byte(even + up - down);
    }
}

/// What lies above the largest code is the value of largest magnitude with the other sign.
#[inline(always)]
pub(super) fn halves(x: &[f32; STEP], (inverse, half): (f32, u8), codes: &mut [u8; STEP]) {
    let (inverse, middle) = (f64::from(inverse), f64::from(half) + 0.5);
    let most = f32::from(2 * half - 1);
    for (code, x) in codes.iter_mut().zip(x) {
        let sum = (f64::from(*x) * inverse + middle) as f32;
        let sum = if sum < most { sum } else { most };
        let even = (sum + MAGIC) - MAGIC;
        let whole = if even > sum { even - 1.0 } else { even };
        *code = low_byte(whole);
    }
}

#[inline(always)]
pub(super) fn digits(x: &[f32; STEP], inverse: f32, digits: &mut [u8; STEP]) {
    for (digit, x) in digits.iter_mut().zip(x) {
        let q = x * inverse;
        *digit = 1 + u8::from(q >= 0.5) - u8::from(q <= -0.5);
    }
}

/// The number of midpoints below the magnitude, and the sign where that is not 0.
#[inline(always)]
pub(super) fn e2m1(x: &[f32; STEP], inverse: f32, codes: &mut [u8; STEP]) {
    for (code, x) in codes.iter_mut().zip(x) {
        let q = (x * inverse).abs();
        let mut magnitude = 0;
        for midpoint in [0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0] {
            magnitude += u8::from(q > midpoint);
        }
        let negative = *x < 0.0 && q > 0.25;
        *code = magnitude + 8 * u8::from(negative);
    }
}
