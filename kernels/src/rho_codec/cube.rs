//! The codecs of flat blocks on a device, in integers alone but for one product.
//!
//! A magnitude `1.f 2^(e - 127)` times `2^p` is the pair `(e + p, f)`; of a subnormal one the
//! fraction becomes an f32 first, which is exact and normal. An integer `k < 2^24` times `2^t` has
//! the bits of `f32(k)` with `t` added to the exponent, shifted right where that is below 1.
//! Nothing here divides, rounds as the device likes or meets a subnormal float, so every bit is
//! fixed, on devices that flush subnormals as well. Only `fp8_block` multiplies; it is decoded but
//! not encoded, since its codes need a quotient that is rounded once, which WGSL does not promise.
use super::{BLOCK, Codec};
use cubecl::prelude::*;

/// Units of a cube: eight blocks.
pub(crate) const UNITS: u32 = 256;
/// The bits of infinity.
const INFINITY: u32 = 0x7f80_0000;
const NAN: u32 = 0x7fc0_0000;
/// Values of a block.
pub(crate) const VALUES: u32 = BLOCK as u32;

impl Codec {
    /// Bytes of a block before its codes.
    pub(crate) const fn head(self) -> u32 {
        match self {
            Codec::Fp8Block => 4,
            Codec::MxFp8 | Codec::MxInt8 => 1,
            _ => 0,
        }
    }

    /// Bytes of a code.
    pub(crate) const fn each(self) -> u32 {
        if matches!(self, Codec::Bf16) { 2 } else { 1 }
    }

    /// Bytes of so many values.
    pub(crate) fn bytes(self, len: usize) -> usize {
        let tail = match len % BLOCK {
            0 => 0,
            values => self.head() as usize + values * self.each() as usize,
        };
        len / BLOCK * self.block_bytes() + tail
    }

    /// Whether a block has a power of two, and the exponent of the largest code.
    pub(crate) const fn power(self) -> Option<u32> {
        match self {
            Codec::MxFp8 => Some(8),
            Codec::MxInt8 => Some(0),
            _ => None,
        }
    }
}

/// `1.fraction 2^(exponent - 127)`.
#[derive(CubeType, Clone, Copy)]
pub(crate) struct Normal {
    exponent: i32,
    fraction: u32,
}

/// A finite magnitude times `2^power`.
#[cube]
pub(crate) fn times_power(magnitude: u32, power: i32) -> Normal {
    let fraction = magnitude & 0x007f_ffff;
    let small = u32::reinterpret(f32::cast_from(fraction));
    let subnormal = magnitude < 0x0080_0000;
    let bits = select(subnormal, small, magnitude);
    let offset = select(subnormal, power - 149, power);
    Normal { exponent: i32::cast_from(bits >> 23) + offset, fraction: bits & 0x007f_ffff }
}

/// `k 2^power` for `k < 2^24`, as bits of an f32; what is below 2^-149 is cut.
#[cube]
fn assembled(k: u32, power: i32) -> u32 {
    let bits = u32::reinterpret(f32::cast_from(k));
    let exponent = i32::cast_from(bits >> 23) + power;
    let fraction = bits & 0x007f_ffff;
    let down = u32::cast_from(clamp(1 - exponent, 0, 24));
    let subnormal = (fraction | 0x0080_0000) >> down;
    let normal = (u32::cast_from(clamp(exponent, 0, 254)) << 23) | fraction;
    let finite = select(exponent < 1, subnormal, normal);
    let value = select(exponent > 254, INFINITY, finite);
    select(k == 0, 0u32, value)
}

/// The magnitude `2^(23 - shift) 1.fraction` as an integer, to nearest even; `shift` is positive.
#[cube]
fn rounded(fraction: u32, shift: i32) -> u32 {
    // Further down there is nothing left: the half is then above all of it.
    let shift = u32::cast_from(min(shift, 26));
    let all = fraction | 0x0080_0000;
    let whole = all >> shift;
    let rest = all - (whole << shift);
    let half = 1u32 << (shift - 1);
    let up = rest > half || (rest == half && (whole & 1) == 1);
    whole + select(up, 1u32, 0u32)
}

/// E4M3 without its sign: `floats.rs` has the formula. `magnitude` tells infinities and NaN.
#[cube]
pub(crate) fn e4m3(x: Normal, magnitude: u32) -> u32 {
    let bits = (u32::cast_from(clamp(x.exponent, 0, 200)) << 23) | x.fraction;
    let normal = ((bits + 0x7_ffff + ((bits >> 20) & 1)) >> 20) - 960;
    let tiny = rounded(x.fraction, 141 - min(x.exponent, 121));
    let finite = min(select(x.exponent < 121, tiny, normal), 0x7eu32);
    let code = select(magnitude == INFINITY, 0x7eu32, finite);
    select(magnitude > INFINITY, 0x7fu32, code)
}

/// `round(64 x)` as a byte of two's complement; beyond its ends the end.
#[cube]
pub(crate) fn sixty_fourths(x: Normal, magnitude: u32, negative: bool) -> u32 {
    let found = rounded(x.fraction, 144 - min(x.exponent, 143));
    let whole = select(magnitude == INFINITY || x.exponent > 130, 128u32, found);
    let down = min(whole, 128);
    select(negative, (256u32 - down) & 255, min(whole, 127))
}

/// bf16 of an f32, to nearest even.
#[cube]
pub(crate) fn bf16(bits: u32) -> u32 {
    let to_even = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    let quiet = ((bits >> 16) & 0x8000) | 0x7fc0;
    select((bits & 0x7fff_ffff) > INFINITY, quiet, to_even)
}

/// The bits of the f32 that a code stands for, under the bits of its block's scale where it has
/// one: of an f32, or a byte for a power of two.
#[cube]
pub(crate) fn value(code: u32, scale: u32, #[comptime] codec: Codec) -> u32 {
    if comptime!(codec == Codec::Bf16) {
        code << 16
    } else if comptime!(codec == Codec::MxInt8) {
        let negative = code > 127;
        let k = select(negative, 256 - code, code);
        let bits = assembled(k, i32::cast_from(scale) - 133);
        let signed = select(negative && bits != 0, bits | 0x8000_0000u32, bits);
        select(scale == 255, NAN, signed)
    } else {
        let low = code & 0x7f;
        let power = i32::cast_from(low >> 3);
        let tiny = low < 8;
        let k = select(tiny, low, 8 + (low & 7));
        let mut offset = select(tiny, -9, power - 10);
        if comptime!(codec == Codec::MxFp8) {
            offset += i32::cast_from(scale) - 127;
        }
        let finite = assembled(k, offset) | ((code & 0x80) << 24);
        let spoiled = low == 0x7f || comptime!(codec == Codec::MxFp8) && scale == 255;
        let mut bits = select(spoiled, NAN, finite);
        if comptime!(codec == Codec::Fp8Block) {
            bits = u32::reinterpret(f32::reinterpret(bits) * f32::reinterpret(scale));
        }
        bits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_block_has_its_head_and_its_own_codes() {
        let bytes = |codec: Codec| [0, 1, 31, 32, 65].map(|len| codec.bytes(len));
        assert_eq!(bytes(Codec::Bf16), [0, 2, 62, 64, 130]);
        assert_eq!(bytes(Codec::Fp8), [0, 1, 31, 32, 65]);
        assert_eq!(bytes(Codec::Fp8Block), [0, 5, 35, 36, 77]);
        assert_eq!(bytes(Codec::MxInt8), [0, 2, 32, 33, 68]);
    }
}
