//! ggml's block formats (`ggml-quants.c` and gguf-py, which write the same bytes): what they share.
//!
//! A block holds a scale `d`, some also an offset `m`, as little-endian f16, and unsigned codes.
//! Codes are made with `d` as f32, before it is rounded to the f16 that is stored.
//!
//! Not a number: a block that holds a NaN has a NaN for a scale, so all of its values are NaN. In
//! a block that holds an infinity, or whose scale or offset is too large for f16 (above 65,504),
//! no value is finite. Quotients too large for a code, which subnormal scales can have, saturate.
//! ggml and gguf-py leave these cases to the hardware's casts.
mod q1_0;
mod q2_0;
mod q4_0;
mod q4_1;
mod q4_k;
mod q5_0;
mod q5_1;
mod q8_0;
#[cfg(test)]
mod tests;
mod tq1_0;
mod tq2_0;
use super::minifloat::F16;
use super::statistic::{absmax, extreme, inverse, signed_absmax};
pub use q1_0::Q1_0;
pub use q2_0::Q2_0;
pub use q4_0::Q4_0;
pub use q4_1::Q4_1;
pub use q4_k::Q4K;
pub use q5_0::Q5_0;
pub use q5_1::Q5_1;
pub use q8_0::Q8_0;
pub use tq1_0::TQ1_0;
pub use tq2_0::TQ2_0;

/// Stores a scale or an offset.
fn put_f16(bytes: &mut [u8], value: f32) {
    bytes.copy_from_slice(&F16.encode(value).to_le_bytes());
}

/// A stored scale or offset.
fn f16(bytes: &[u8]) -> f32 {
    F16.decode(bytes.iter().rev().fold(0, |value, byte| value << 8 | u16::from(*byte)))
}

/// The whole part of a quotient, in `0..=largest`; 0 for NaN.
fn truncate(quotient: f32, largest: u8) -> u8 {
    (quotient as i16).clamp(0, largest.into()).to_le_bytes()[0]
}

/// Scale and codes of `2 half` levels `-half..half` without offset: the value of largest magnitude
/// becomes `-half` exactly, `d = x / -half` and the code is `trunc(x / d + half + 0.5)`.
///
/// The sum is rounded to f32 once: gguf-py computes it in f64, compiled ggml fuses it where the
/// processor can; without either, ties of some blocks have other codes.
fn signed_codes(x: &[f32], half: u8) -> (f32, Vec<u8>) {
    let d = signed_absmax(x) / -f32::from(half);
    let (inverse, middle) = (f64::from(inverse(d)), f64::from(half) + 0.5);
    let code = |x: &f32| truncate((f64::from(*x) * inverse + middle) as f32, 2 * half - 1);
    (d, x.iter().map(code).collect())
}

/// Scale, offset and codes of the levels `0..=largest` between the smallest and the largest value:
/// `m = min`, `d = (max - min) / largest` and the code is `trunc((x - m) / d + 0.5)`.
fn offset_codes(x: &[f32], largest: u8) -> (f32, f32, Vec<u8>) {
    let (min, max) = (extreme(x, |x, best| x < best), extreme(x, |x, best| x > best));
    let d = (max - min) / f32::from(largest);
    let inverse = inverse(d);
    let code = |x: &f32| truncate((x - min) * inverse + 0.5, largest);
    (d, min, x.iter().map(code).collect())
}

/// Scale and codes 0, 1, 2 for -1, 0, 1: `d = absmax`, ties away from zero. Exact for values that
/// are ternary already, and for nothing else.
fn ternary_codes(x: &[f32]) -> (f32, Vec<u8>) {
    let d = absmax(x);
    let inverse = inverse(d);
    // A NaN is 0 after the cast; its block has a NaN for a scale.
    let code = |x: &f32| ((x * inverse).round() as i8).clamp(-1, 1) + 1;
    (d, x.iter().map(|x| code(x).cast_unsigned()).collect())
}

/// The value of a ternary code.
fn ternary_value(code: u8, d: f32) -> f32 {
    (f32::from(code) - 1.0) * d
}

/// The low four bits of codes: the first half of the block in low nibbles, the second in high ones.
fn put_nibbles(bytes: &mut [u8], codes: &[u8]) {
    let (low, high) = codes.split_at(codes.len() / 2);
    let pairs = low.iter().zip(high);
    bytes.iter_mut().zip(pairs).for_each(|(byte, (low, high))| *byte = low & 15 | high << 4);
}

/// The nibbles of [`put_nibbles`], in the order of the values.
fn nibbles(bytes: &[u8]) -> impl Iterator<Item = u8> {
    bytes.iter().map(|byte| byte & 15).chain(bytes.iter().map(|byte| byte >> 4))
}

/// One bit per value, low bits first.
fn put_bits(bytes: &mut [u8], bits: impl Iterator<Item = bool>) {
    bytes.fill(0);
    bits.enumerate().for_each(|(i, bit)| bytes[i / 8] |= u8::from(bit) << (i % 8));
}

/// The bits of [`put_bits`].
fn bits(bytes: &[u8]) -> impl Iterator<Item = bool> {
    bytes.iter().flat_map(|byte| (0..8).map(move |i| byte >> i & 1 == 1))
}

/// Codes of five bits: the fifth of each in a bit field, the others in nibbles.
fn put_five_bits(fifths: &mut [u8], fours: &mut [u8], codes: &[u8]) {
    put_bits(fifths, codes.iter().map(|code| code >> 4 & 1 == 1));
    put_nibbles(fours, codes);
}

/// The codes of [`put_five_bits`].
fn five_bits(fifths: &[u8], fours: &[u8]) -> impl Iterator<Item = u8> {
    bits(fifths).zip(nibbles(fours)).map(|(fifth, four)| u8::from(fifth) << 4 | four)
}

/// Codes of two bits, four a byte: those of each run of `4 stride` values lie `stride` apart.
fn put_two_bits(bytes: &mut [u8], codes: &[u8], stride: usize) {
    for (bytes, codes) in bytes.chunks_mut(stride).zip(codes.chunks(4 * stride)) {
        for (i, byte) in bytes.iter_mut().enumerate() {
            let four = codes.iter().skip(i).step_by(stride).enumerate();
            *byte = four.map(|(place, code)| code << (2 * place)).sum();
        }
    }
}

/// The codes of [`put_two_bits`].
fn two_bits(bytes: &[u8], stride: usize) -> impl Iterator<Item = u8> {
    let run = |bytes| (0..4).flat_map(move |place| field(bytes, 2 * place));
    bytes.chunks(stride).flat_map(run)
}

/// Two bits of each byte.
fn field(bytes: &[u8], shift: u32) -> impl Iterator<Item = u8> {
    bytes.iter().map(move |byte| byte >> shift & 3)
}

/// Fills a block with decoded values.
fn fill(x: &mut [f32], values: impl Iterator<Item = f32>) {
    x.iter_mut().zip(values).for_each(|(x, value)| *x = value);
}
