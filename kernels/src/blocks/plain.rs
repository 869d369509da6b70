//! Coding in plain Rust, which LLVM turns into the vectors of the target: no branch, no cast that
//! saturates.
//!
//! Adding `M = 1.5 * 2^23` and subtracting it rounds to the nearest integer, ties to even, for
//! magnitudes below `2^22`; here they are at most 128. `q - r` is then exact, so a tie is seen as
//! `q - r = 0.5`, and the low byte of the bits of `r + M` is the integer's.
use crate::quantize::isa::STEP;

/// `1.5 * 2^23`: f32 near it are integers, and their low bits those of the integer.
const MAGIC: f32 = 12_582_912.0;

/// The low byte of each lane.
#[inline(always)]
fn low_bytes(lanes: &[u32; STEP], codes: &mut [u8; STEP]) {
    for (code, lane) in codes.iter_mut().zip(lanes) {
        *code = lane.to_le_bytes()[0];
    }
}

/// Ties away from zero.
#[inline(always)]
pub(super) fn nearest(x: &[f32; STEP], inverse: f32, codes: &mut [u8; STEP]) {
    let mut lanes = [0; STEP];
    for (lane, x) in lanes.iter_mut().zip(x) {
        let q = x * inverse;
        let even = (q + MAGIC) - MAGIC;
        let off = q - even;
        let up = if (off == 0.5) & (q > 0.0) { 1.0 } else { 0.0 };
        let down = if (off == -0.5) & (q < 0.0) { 1.0 } else { 0.0 };
        // At most 127: `absmax` itself is that to within an ulp.
        *lane = (even + up - down + MAGIC).to_bits();
    }
    low_bytes(&lanes, codes);
}

/// What lies above the largest code is the value of largest magnitude with the other sign.
#[inline(always)]
pub(super) fn halves(x: &[f32; STEP], (inverse, half): (f32, u8), codes: &mut [u8; STEP]) {
    let (inverse, middle) = (f64::from(inverse), f64::from(half) + 0.5);
    let most = f32::from(2 * half - 1);
    let mut lanes = [0; STEP];
    for (lane, x) in lanes.iter_mut().zip(x) {
        let sum = (f64::from(*x) * inverse + middle) as f32;
        let sum = if sum < most { sum } else { most };
        let even = (sum + MAGIC) - MAGIC;
        let whole = if even > sum { even - 1.0 } else { even };
        *lane = (whole + MAGIC).to_bits();
    }
    low_bytes(&lanes, codes);
}

/// A search for the largest without branches.
#[inline(always)]
pub(super) fn largest(x: &[f32; STEP], absmax: f32) -> (u32, u32) {
    let (mut largest, mut negative) = (0, 0);
    for (i, x) in x.iter().enumerate() {
        largest |= u32::from(x.abs() == absmax) << i;
        negative |= (x.to_bits() >> 31) << i;
    }
    (largest, negative)
}

#[inline(always)]
pub(super) fn digits(x: &[f32; STEP], inverse: f32, digits: &mut [u8; STEP]) {
    let mut lanes = [0; STEP];
    for (lane, x) in lanes.iter_mut().zip(x) {
        let q = x * inverse;
        *lane = 1 + u32::from(q >= 0.5) - u32::from(q <= -0.5);
    }
    low_bytes(&lanes, digits);
}

/// The number of midpoints below the magnitude, and the sign where that is not 0.
#[inline(always)]
pub(super) fn e2m1(x: &[f32; STEP], inverse: f32, codes: &mut [u8; STEP]) {
    let mut lanes = [0; STEP];
    for (lane, x) in lanes.iter_mut().zip(x) {
        let q = (x * inverse).abs();
        let mut magnitude = 0;
        for midpoint in [0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0] {
            magnitude += u32::from(q > midpoint);
        }
        *lane = magnitude + 8 * u32::from((*x < 0.0) & (q > 0.25));
    }
    low_bytes(&lanes, codes);
}
