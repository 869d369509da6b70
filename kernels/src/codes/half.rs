//! f16 scales without branches, so that sixteen of them are a vector: IEEE half precision, nearest,
//! ties to even; a NaN is `0x7e00` with its sign.
//!
//! *To f16*: a normal one has its exponent less 112, rounded at bit 13 by `0x0fff` and the bit that
//! becomes the last; below `2^-14`, adding 0.5 rounds to multiples of `2^-24`, the unit of the
//! subnormal ones, and leaves their number in the low bits. *From f16*: the other way round, with the
//! product `number * 2^-24`, exact.

/// The nearest f16, infinite from 65520 on.
#[inline(always)]
pub(crate) fn to_f16(x: f32) -> u16 {
    let bits = x.to_bits();
    let magnitude = bits & 0x7fff_ffff;
    let normal =
        magnitude.wrapping_sub(112 << 23).wrapping_add(0x0fff + (magnitude >> 13 & 1)) >> 13;
    let small = (f32::from_bits(magnitude) + 0.5).to_bits().wrapping_sub(0.5f32.to_bits());
    let finite = if magnitude < 0x3880_0000 { small } else { normal };
    let large = if magnitude > 0x7f80_0000 { 0x7e00 } else { 0x7c00 };
    let half = if magnitude < 0x4780_0000 { finite } else { large };
    (bits >> 16 & 0x8000 | half) as u16
}

/// The value of an f16.
#[inline(always)]
pub(crate) fn from_f16(half: u16) -> f32 {
    let (sign, magnitude) = (u32::from(half & 0x8000) << 16, u32::from(half & 0x7fff));
    let small = magnitude as f32 * f32::from_bits((127 - 24) << 23);
    let shift = if magnitude < 0x7c00 { 112 << 23 } else { 224 << 23 };
    let normal = (magnitude << 13) + shift;
    let finite = if magnitude < 0x0400 { small.to_bits() } else { normal };
    f32::from_bits(sign | finite)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lowbit_reference::format::minifloat::F16;

    #[test]
    fn every_half_and_its_neighbours_are_those_of_the_format() {
        for half in 0..=u16::MAX {
            let value = from_f16(half);
            let want = F16.decode(half);
            assert!(value.to_bits() == want.to_bits() || (value.is_nan() && want.is_nan()));
            for bits in [0, 1, 0x0fff, 0x1000, 0x1001, 0x1fff] {
                let x = f32::from_bits(value.to_bits().wrapping_add(bits));
                assert_eq!(to_f16(x), F16.encode(x), "{x:e}");
            }
        }
        for x in [0.0, -0.0, f32::MAX, f32::MIN_POSITIVE, 1e-40, f32::NAN, -f32::NAN] {
            assert_eq!(to_f16(x), F16.encode(x), "{x:e}");
        }
    }
}
