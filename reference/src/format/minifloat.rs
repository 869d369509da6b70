//! Small floats: a sign, `E` exponent bits and `M` mantissa bits in at most 16 bits.
//!
//! The magnitude of the pattern `e m` is `m 2^(1 - bias - M)` for `e = 0` (subnormal) and
//! `(2^M + m) 2^(e - bias - M)` otherwise; the sign is the highest bit. Encoding rounds to nearest,
//! ties to the even pattern, and keeps the sign of zero and of NaN where the format has it (the
//! payload of a NaN is not kept).
//!
//! The constants have the meaning of ml_dtypes 0.6 and numpy, so `E4M3FN` turns what it cannot
//! hold into NaN; [`Minifloat::saturating`] is the other custom (CUDA's `satfinite`). Sources:
//! IEEE 754, "FP8 Formats for Deep Learning" (2209.05433), OCP Microscaling Formats v1.0.

/// Which patterns are no numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Specials {
    /// The largest exponent holds infinity (mantissa 0) and NaN (all others).
    Ieee,
    /// "fn": only all ones, of either sign, is NaN; there is no infinity.
    AllOnes,
    /// "fnuz": only the pattern of `-0` is NaN; there is no infinity and no negative zero.
    NegativeZero,
    /// Every pattern is a number. NaN is encoded as `-0`, as in ml_dtypes.
    None,
}

/// What a value beyond the largest finite one becomes, infinity included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// Infinity of its sign. Only formats with an infinity.
    Infinity,
    /// NaN of its sign. Only formats with a NaN.
    Nan,
    /// The largest finite value of its sign.
    Saturate,
}

/// A small float format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Minifloat {
    exponent_bits: u32,
    mantissa_bits: u32,
    bias: i32,
    specials: Specials,
    overflow: Overflow,
}

/// A format; the caller sees to an overflow that the format has a pattern for.
pub(super) const fn small_float(
    (exponent_bits, mantissa_bits): (u32, u32),
    bias: i32,
    specials: Specials,
    overflow: Overflow,
) -> Minifloat {
    Minifloat { exponent_bits, mantissa_bits, bias, specials, overflow }
}

/// IEEE half precision.
pub const F16: Minifloat = small_float((5, 10), 15, Specials::Ieee, Overflow::Infinity);
/// The upper half of an f32.
pub const BF16: Minifloat = small_float((8, 7), 127, Specials::Ieee, Overflow::Infinity);
/// 8 bits, up to 448.
pub const E4M3FN: Minifloat = small_float((4, 3), 7, Specials::AllOnes, Overflow::Nan);
/// 8 bits, up to 57,344.
pub const E5M2: Minifloat = small_float((5, 2), 15, Specials::Ieee, Overflow::Infinity);
/// 8 bits, up to 240, without `-0`.
pub const E4M3FNUZ: Minifloat = small_float((4, 3), 8, Specials::NegativeZero, Overflow::Nan);
/// 8 bits, up to 57,344, without `-0`.
pub const E5M2FNUZ: Minifloat = small_float((5, 2), 16, Specials::NegativeZero, Overflow::Nan);
/// 6 bits, up to 7.5.
pub const E2M3: Minifloat = small_float((2, 3), 1, Specials::None, Overflow::Saturate);
/// 6 bits, up to 28.
pub const E3M2: Minifloat = small_float((3, 2), 3, Specials::None, Overflow::Saturate);
/// 4 bits: 0, 0.5, 1, 1.5, 2, 3, 4, 6.
pub const E2M1: Minifloat = small_float((2, 1), 1, Specials::None, Overflow::Saturate);

/// `2^exponent`, for exponents of normal f64 numbers.
pub(crate) fn power_of_two(exponent: i32) -> f64 {
    f64::from_bits(u64::from((exponent.clamp(-1022, 1023) + 1023).cast_unsigned()) << 52)
}

/// `floor(log2 |x|)` of any f32 as f64; -1023 for zero and 1024 for infinity and NaN.
pub(crate) fn floor_log2(x: f64) -> i32 {
    i32::from((x.to_bits() >> 52) as u16 & 0x7ff) - 1023
}

impl Minifloat {
    /// The same numbers, where overflow and infinity give the largest finite value. NaN stays NaN.
    pub const fn saturating(self) -> Minifloat {
        Minifloat { overflow: Overflow::Saturate, ..self }
    }

    /// Bits of a pattern, the sign included.
    pub const fn bits(self) -> u32 {
        1 + self.exponent_bits + self.mantissa_bits
    }

    /// Bits of the mantissa, without the implied one.
    pub const fn mantissa_bits(self) -> u32 {
        self.mantissa_bits
    }

    /// The largest finite value.
    pub fn max(self) -> f32 {
        self.decode(self.max_pattern())
    }

    const fn sign_bit(self) -> u16 {
        1 << (self.bits() - 1)
    }

    /// The pattern of the largest finite value.
    const fn max_pattern(self) -> u16 {
        let all = self.sign_bit() - 1;
        match self.specials {
            Specials::Ieee => all - (1 << self.mantissa_bits),
            Specials::AllOnes => all - 1,
            Specials::NegativeZero | Specials::None => all,
        }
    }

    /// The pattern of NaN with a sign.
    fn nan(self, sign: u16) -> u16 {
        match self.specials {
            Specials::Ieee => sign | (self.max_pattern() + 1) | (1 << (self.mantissa_bits - 1)),
            Specials::AllOnes => sign | (self.max_pattern() + 1),
            Specials::NegativeZero | Specials::None => self.sign_bit(),
        }
    }

    /// The pattern nearest to `x`, in the low [`bits`](Minifloat::bits) bits.
    pub fn encode(self, x: f32) -> u16 {
        let sign = if x.is_sign_negative() { self.sign_bit() } else { 0 };
        if x.is_nan() {
            return self.nan(sign);
        }
        let magnitude = f64::from(x).abs();
        // In units of the last place there; subnormal numbers have that of the smallest normal.
        let exponent = floor_log2(magnitude).max(1 - self.bias);
        let unit = power_of_two(exponent - self.mantissa_bits.cast_signed());
        let rounded = (magnitude / unit).round_ties_even();
        // `rounded` holds the implied one, which adds one to the exponent field; a mantissa that
        // was rounded up to the next power of two carries into it likewise.
        let below = f64::from((exponent + self.bias - 1) << self.mantissa_bits);
        let pattern = below + rounded;
        if pattern <= f64::from(self.max_pattern()) {
            let pattern = (pattern as i32).cast_unsigned() as u16;
            let unsigned = self.specials == Specials::NegativeZero && pattern == 0;
            return if unsigned { 0 } else { sign | pattern };
        }
        match self.overflow {
            Overflow::Infinity => sign | (self.max_pattern() + 1),
            Overflow::Nan => self.nan(sign),
            Overflow::Saturate => sign | self.max_pattern(),
        }
    }

    /// The value of a pattern, exact in f32. Bits above [`bits`](Minifloat::bits) are ignored.
    pub fn decode(self, pattern: u16) -> f32 {
        let magnitude = pattern & (self.sign_bit() - 1);
        let negative = pattern & self.sign_bit() != 0;
        let signed = |value: f32| if negative { -value } else { value };
        if self.specials == Specials::NegativeZero && negative && magnitude == 0 {
            return f32::NAN;
        }
        if magnitude > self.max_pattern() {
            let infinite = self.specials == Specials::Ieee && magnitude == self.max_pattern() + 1;
            return signed(if infinite { f32::INFINITY } else { f32::NAN });
        }
        let exponent = i32::from(magnitude >> self.mantissa_bits);
        let mantissa = magnitude & ((1 << self.mantissa_bits) - 1);
        let implied = if exponent == 0 { 0 } else { 1 << self.mantissa_bits };
        let unit = power_of_two(exponent.max(1) - self.bias - self.mantissa_bits.cast_signed());
        signed((f64::from(mantissa + implied) * unit) as f32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Minifloat; 9] = [F16, BF16, E4M3FN, E5M2, E4M3FNUZ, E5M2FNUZ, E2M3, E3M2, E2M1];

    fn every() -> impl Iterator<Item = Minifloat> {
        ALL.into_iter().flat_map(|float| [float, float.saturating()])
    }

    #[test]
    fn every_pattern_comes_back() {
        for float in every() {
            for pattern in 0..=(u16::MAX >> (16 - float.bits())) {
                let value = float.decode(pattern);
                let back = float.encode(value);
                if value.is_nan() {
                    let sign = pattern & float.sign_bit();
                    assert_eq!(back, float.nan(sign), "{float:?} {pattern:#x}");
                } else if value.is_infinite() && float.overflow == Overflow::Saturate {
                    assert_eq!(float.decode(back), float.max().copysign(value), "{float:?}");
                } else {
                    assert_eq!(back, pattern, "{float:?} {value}");
                }
            }
        }
    }

    #[test]
    fn ties_go_to_the_even_pattern_and_their_neighbours_to_their_side() {
        for float in every() {
            for low in 0..float.max_pattern() {
                let (a, b) = (float.decode(low), float.decode(low + 1));
                assert!(a < b, "{float:?}: {a} is not below {b}");
                let middle = ((f64::from(a) + f64::from(b)) / 2.0) as f32;
                let even = low + (low & 1);
                for (x, want) in
                    [(middle, even), (middle.next_down(), low), (middle.next_up(), low + 1)]
                {
                    assert_eq!(float.encode(x), want, "{float:?} {x:e}");
                    let no_zero = float.specials == Specials::NegativeZero && want == 0;
                    let negative = if no_zero { 0 } else { float.sign_bit() | want };
                    assert_eq!(float.encode(-x), negative, "{float:?} {:e}", -x);
                }
            }
        }
    }

    /// The first value that overflows, where the tie goes up, and what lies on either side of it.
    #[test]
    fn overflow_begins_half_a_unit_above_the_largest_value() {
        let first = [(F16, 65520.0f32), (E5M2, 61440.0), (E5M2FNUZ, 61440.0), (E4M3FNUZ, 248.0)];
        for (float, x) in first {
            assert_eq!(float.decode(float.encode(x.next_down())), float.max());
            assert!(!float.decode(float.encode(x)).is_finite(), "{float:?}");
            assert_eq!(float.saturating().encode(x), float.max_pattern());
            assert_eq!(float.saturating().encode(-x), float.sign_bit() | float.max_pattern());
        }
        // The largest pattern of E4M3FN is even, so that the tie at 464 goes down.
        assert_eq!(E4M3FN.decode(E4M3FN.encode(464.0)), 448.0);
        assert_eq!(E4M3FN.encode(465.0), 0x7f);
        assert_eq!(E4M3FN.encode(-465.0), 0xff);
        assert_eq!(BF16.encode(f32::MAX), 0x7f80);
        for (float, max) in [(E2M1, 6.0), (E2M3, 7.5), (E3M2, 28.0)] {
            assert_eq!(float.max(), max);
            assert_eq!(float.decode(float.encode(f32::MAX)), max);
        }
    }

    #[test]
    fn specials_have_the_patterns_of_ml_dtypes() {
        let table = [
            (F16, [0x7e00, 0xfe00, 0x7c00, 0xfc00, 0x8000]),
            (BF16, [0x7fc0, 0xffc0, 0x7f80, 0xff80, 0x8000]),
            (E5M2, [0x7e, 0xfe, 0x7c, 0xfc, 0x80]),
            (E4M3FN, [0x7f, 0xff, 0x7f, 0xff, 0x80]),
            (E4M3FN.saturating(), [0x7f, 0xff, 0x7e, 0xfe, 0x80]),
            (E5M2.saturating(), [0x7e, 0xfe, 0x7b, 0xfb, 0x80]),
            (E4M3FNUZ, [0x80, 0x80, 0x80, 0x80, 0]),
            (E5M2FNUZ, [0x80, 0x80, 0x80, 0x80, 0]),
            (E2M3, [0x20, 0x20, 0x1f, 0x3f, 0x20]),
            (E3M2, [0x20, 0x20, 0x1f, 0x3f, 0x20]),
            (E2M1, [8, 8, 7, 15, 8]),
        ];
        for (float, want) in table {
            let x = [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.0];
            assert_eq!(x.map(|x| float.encode(x)), want, "{float:?}");
        }
        assert_eq!(E2M1.decode(0xfff0 | 3), 1.5);
    }
}
