//! Codecs of flat blocks: 32 values to a fixed number of bytes and back.
//!
//! `fp8_block`: `s = absmax / 448` of what is finite, 1 where that is 0, and `E4M3(x / s)` by a
//! division, since a product with `1 / s` would round some quotients to another side.
//!
//! `blockfp8` and `blockfp`: with the exponent field `f` of the largest magnitude the scale is the
//! byte `max(f - emax, 0)`, `2^(byte - 127)`, `emax` 8 and 0; 254 for an infinity. The inverse is
//! again a power of two (2^-127 at least, a subnormal number), so that `x 2^(127 - byte)` is exact,
//! or so small that its code is 0. Integers are `round(64 x / scale)` within -128 and 127: `q + M`
//! with `M = 1.5 2^23` has them in its low byte, to nearest even, in two's complement, as
//! `|q| <= 128`. A NaN makes the scale 255 and all codes 0. Back: code times scale, exact but for
//! what is too large.
use super::BLOCK;
use super::floats::{INFINITY, bf16, e4m3, from_bf16, from_e4m3};
use crate::quantize::isa::{Fold, Isa};

/// A codec whose blocks have `BYTES` bytes. The bytes of a short block are the first of a block
/// that zeros were added to.
pub(crate) trait Block<const BYTES: usize> {
    fn encode<I: Isa>(isa: I, x: &[f32; BLOCK], bytes: &mut [u8; BYTES]);
    fn decode(bytes: &[u8; BYTES], x: &mut [f32; BLOCK]);
}

pub(crate) struct Bf16;
pub(crate) struct Fp8;
pub(crate) struct Fp8Block;
pub(crate) struct MxFp8;
pub(crate) struct MxInt8;

impl Block<64> for Bf16 {
    #[inline(always)]
    fn encode<I: Isa>(_: I, x: &[f32; BLOCK], bytes: &mut [u8; 64]) {
        for (bytes, x) in bytes.as_chunks_mut().0.iter_mut().zip(x) {
            *bytes = bf16(*x).to_le_bytes();
        }
    }

    #[inline(always)]
    fn decode(bytes: &[u8; 64], x: &mut [f32; BLOCK]) {
        for (x, bytes) in x.iter_mut().zip(bytes.as_chunks().0) {
            *x = from_bf16(u16::from_le_bytes(*bytes));
        }
    }
}

impl Block<BLOCK> for Fp8 {
    #[inline(always)]
    fn encode<I: Isa>(_: I, x: &[f32; BLOCK], bytes: &mut [u8; BLOCK]) {
        for (byte, x) in bytes.iter_mut().zip(x) {
            *byte = e4m3(*x);
        }
    }

    #[inline(always)]
    fn decode(bytes: &[u8; BLOCK], x: &mut [f32; BLOCK]) {
        for (x, byte) in x.iter_mut().zip(bytes) {
            *x = from_e4m3(*byte);
        }
    }
}

impl Block<36> for Fp8Block {
    #[inline(always)]
    fn encode<I: Isa>(isa: I, x: &[f32; BLOCK], bytes: &mut [u8; 36]) {
        let most = largest(isa, x);
        let most = if most < INFINITY { most } else { largest_finite(x) };
        let scale = f32::from_bits(most) / 448.0;
        let scale = if scale == 0.0 { 1.0 } else { scale };
        let [a, b, c, d, codes @ ..] = bytes;
        [*a, *b, *c, *d] = scale.to_le_bytes();
        for (code, x) in codes.iter_mut().zip(x) {
            *code = e4m3(x / scale);
        }
    }

    #[inline(always)]
    fn decode(bytes: &[u8; 36], x: &mut [f32; BLOCK]) {
        let [a, b, c, d, codes @ ..] = bytes;
        let scale = f32::from_le_bytes([*a, *b, *c, *d]);
        for (x, code) in x.iter_mut().zip(codes) {
            *x = from_e4m3(*code) * scale;
        }
    }
}

impl Block<33> for MxFp8 {
    #[inline(always)]
    fn encode<I: Isa>(isa: I, x: &[f32; BLOCK], bytes: &mut [u8; 33]) {
        let [byte, codes @ ..] = bytes;
        let inverse;
        (*byte, inverse) = power(isa, x, 8);
        for (code, x) in codes.iter_mut().zip(x) {
            *code = e4m3(x * inverse);
        }
        spoil(*byte, codes);
    }

    #[inline(always)]
    fn decode(bytes: &[u8; 33], x: &mut [f32; BLOCK]) {
        let [byte, codes @ ..] = bytes;
        let scale = scale(*byte);
        for (x, code) in x.iter_mut().zip(codes) {
            *x = from_e4m3(*code) * scale;
        }
    }
}

impl Block<33> for MxInt8 {
    #[inline(always)]
    fn encode<I: Isa>(isa: I, x: &[f32; BLOCK], bytes: &mut [u8; 33]) {
        let [byte, codes @ ..] = bytes;
        let inverse;
        (*byte, inverse) = power(isa, x, 0);
        for (code, x) in codes.iter_mut().zip(x) {
            let q = x * inverse * 64.0;
            let q = if q > -128.0 { q } else { -128.0 };
            let q = if q < 127.0 { q } else { 127.0 };
            *code = (q + 12_582_912.0).to_bits() as u8;
        }
        spoil(*byte, codes);
    }

    #[inline(always)]
    fn decode(bytes: &[u8; 33], x: &mut [f32; BLOCK]) {
        let [byte, codes @ ..] = bytes;
        // Exact: 2^-133 at least.
        let unit = scale(*byte) / 64.0;
        for (x, code) in x.iter_mut().zip(codes) {
            *x = f32::from(code.cast_signed()) * unit;
        }
    }
}

/// The largest of the bits of magnitudes, whose order is theirs: NaN above all.
#[inline(always)]
fn largest<I: Isa>(isa: I, x: &[f32; BLOCK]) -> u32 {
    isa.finish(Fold::Absmax, isa.take(Fold::Absmax, isa.splat(0.0), x)).to_bits() & 0x7fff_ffff
}

/// The same of what is finite.
#[cold]
#[inline(never)]
fn largest_finite(x: &[f32; BLOCK]) -> u32 {
    let magnitudes = x.iter().map(|x| x.to_bits() & 0x7fff_ffff);
    magnitudes.filter(|bits| *bits < INFINITY).max().unwrap_or(0)
}

/// The byte of a block's power of two, and the inverse of that power; 255 for a NaN.
#[inline(always)]
fn power<I: Isa>(isa: I, x: &[f32; BLOCK], emax: u32) -> (u8, f32) {
    let most = largest(isa, x);
    let byte = if most == INFINITY { 254 } else { (most >> 23).saturating_sub(emax) };
    let inverse = if byte == 254 { 0x0040_0000 } else { 254u32.wrapping_sub(byte) << 23 };
    let byte = if most > INFINITY { 255 } else { byte };
    (byte as u8, f32::from_bits(inverse))
}

/// The power of two of a byte.
#[inline(always)]
fn scale(byte: u8) -> f32 {
    match byte {
        0 => f32::from_bits(0x0040_0000),
        255 => f32::NAN,
        byte => f32::from_bits(u32::from(byte) << 23),
    }
}

/// A block with a NaN has no codes.
#[inline(always)]
fn spoil(byte: u8, codes: &mut [u8; BLOCK]) {
    if byte == 255 {
        codes.fill(0);
    }
}
