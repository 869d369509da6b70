//! E8M0: a power of two in a byte, `2^(byte - 127)`; 255 is NaN. The scale of OCP Microscaling.
//!
//! There is no zero, no sign and no infinity. Encoding rounds to nearest, ties up, as
//! ml_dtypes 0.6 does: what is below `2^-127` becomes `2^-127`, and zero, negative values, infinity
//! and what rounds to more than `2^127` become NaN.
use super::minifloat::{floor_log2, power_of_two};

/// The byte of NaN.
pub const NAN: u8 = 255;
/// The exponent of byte 0, negated.
const BIAS: i32 = 127;

/// The byte of `2^exponent`, exponents limited to -127 and 127.
pub fn of_exponent(exponent: i32) -> u8 {
    (exponent.clamp(-BIAS, BIAS) + BIAS).cast_unsigned() as u8
}

/// The byte nearest to `x`.
pub fn encode(x: f32) -> u8 {
    if x.is_nan() || x <= 0.0 {
        return NAN;
    }
    let exponent = floor_log2(f64::from(x));
    let fraction = f64::from(x) / power_of_two(exponent);
    match exponent + i32::from(fraction >= 1.5) {
        large if large > BIAS => NAN,
        exponent => of_exponent(exponent),
    }
}

/// The value of a byte.
pub fn decode(byte: u8) -> f32 {
    if byte == NAN { f32::NAN } else { power_of_two(i32::from(byte) - BIAS) as f32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_comes_back() {
        for byte in 0..NAN {
            assert_eq!(encode(decode(byte)), byte);
            assert_eq!(of_exponent(i32::from(byte) - 127), byte);
        }
        assert!(decode(NAN).is_nan());
        assert_eq!((of_exponent(-1023), of_exponent(1024)), (0, 254));
    }

    #[test]
    fn ties_go_up_and_their_neighbours_to_their_side() {
        for byte in 0..NAN - 1 {
            let middle = (1.5 * f64::from(decode(byte))) as f32;
            assert_eq!(encode(middle), byte + 1, "{middle:e}");
            assert_eq!(encode(middle.next_down()), byte, "{middle:e}");
            assert_eq!(encode(middle.next_up()), byte + 1, "{middle:e}");
        }
    }

    #[test]
    fn what_has_no_byte_is_nan_and_what_is_too_small_is_the_smallest() {
        for x in [0.0, -0.0, -1.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, f32::MAX] {
            assert_eq!(encode(x), NAN, "{x}");
        }
        let last = decode(254);
        assert_eq!(encode((1.5 * last).next_down()), 254);
        assert_eq!(encode(1.5 * last), NAN);
        assert_eq!(encode(f32::from_bits(1)), 0);
    }
}
