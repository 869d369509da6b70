//! OCP Microscaling (MX v1.0) and block floating point: 32 values share a power of two.
//!
//! `scale = 2^e`, `code = element(x / scale)`, `x' = element value * scale`. How `e` follows from
//! the largest magnitude of the block is a [`ScaleMode`]; the named formats use FLOOR, the rule of
//! the specification (section 6.3). Elements are small floats, rounded to nearest even and
//! saturating, or two's-complement integers of `b` bits in units of `2^(2 - b)`, from -2 to almost
//! 2: `mxint8` is MXINT8, and `mxint6` and `mxint4` are the same block floating point with fewer
//! bits.
//!
//! Layout: the scale as a byte of [`e8m0`], then 32 codes, low bits first.
//!
//! A NaN makes the whole block NaN (scale 255, codes 0). A block of zeros has the scale `2^-127`.
//! An infinity gives the largest scale, `2^127`: float elements then decode to infinity again,
//! integers to `(2 - 2^(2 - b)) 2^127`, or `-2^128`, which is infinite.
use super::minifloat::{E2M1, E2M3, E3M2, E4M3FN, E5M2, Minifloat, floor_log2, power_of_two};
use super::{BlockFormat, e8m0};
use crate::case::Word;
use crate::invalid::Invalid;
use serde::{Deserialize, Serialize};

/// Values of a block.
pub const MX_BLOCK: usize = 32;

/// How the exponent of a block follows from its largest magnitude `a`. `emax` is the exponent of
/// the largest element, `max` that element, `m` its mantissa bits. The names are torchao's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScaleMode {
    /// `floor(log2 a) - emax`: the specification; the largest value may saturate.
    #[default]
    Floor,
    /// `ceil(log2 a) - emax`: nothing saturates, at up to one bit.
    Ceil,
    /// FLOOR of `a` rounded to `m` mantissa bits, halves up.
    Even,
    /// `ceil(log2(a / max))`: the smallest scale under which nothing saturates.
    Rceil,
}

/// What the codes of a block are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    /// A small float of at most 8 bits.
    Float(Minifloat),
    /// Two's complement of so many bits, from 3 to 8, in units of `2^(2 - bits)`.
    Integer(u32),
}

impl Element {
    /// Bits of a code.
    pub const fn bits(self) -> u32 {
        match self {
            Element::Float(float) => float.bits(),
            Element::Integer(bits) => bits,
        }
    }

    fn mantissa_bits(self) -> i32 {
        match self {
            Element::Float(float) => float.mantissa_bits().cast_signed(),
            Element::Integer(bits) => bits.cast_signed() - 2,
        }
    }

    fn max(self) -> f64 {
        match self {
            Element::Float(float) => f64::from(float.max()),
            Element::Integer(_) => 2.0 - power_of_two(-self.mantissa_bits()),
        }
    }

    /// The code nearest to `x`, in the low [`bits`](Element::bits) bits.
    fn encode(self, x: f64) -> u8 {
        match self {
            Element::Float(float) => float.encode(x as f32) as u8,
            Element::Integer(bits) => {
                let most = power_of_two(bits.cast_signed() - 1);
                let quotient = (x * power_of_two(self.mantissa_bits())).round_ties_even();
                (quotient.clamp(-most, most - 1.0) as i8).cast_unsigned()
            }
        }
    }

    fn decode(self, code: u8) -> f64 {
        match self {
            Element::Float(float) => f64::from(float.decode(u16::from(code))),
            Element::Integer(bits) => {
                let extended = (code << (8 - bits)).cast_signed() >> (8 - bits);
                f64::from(extended) / power_of_two(self.mantissa_bits())
            }
        }
    }
}

impl ScaleMode {
    /// The exponent of a block with the largest magnitude `a`, before it is limited to E8M0's.
    fn exponent(self, a: f64, element: Element) -> i32 {
        let ceil_log2 = |x: f64| {
            let floor = floor_log2(x);
            floor + i32::from(x > power_of_two(floor))
        };
        let emax = floor_log2(element.max());
        match self {
            ScaleMode::Floor => floor_log2(a) - emax,
            ScaleMode::Ceil => ceil_log2(a) - emax,
            ScaleMode::Even => {
                let half_unit = power_of_two(floor_log2(a) - element.mantissa_bits() - 1);
                floor_log2(a + half_unit) - emax
            }
            ScaleMode::Rceil => ceil_log2(a / element.max()),
        }
    }
}

/// A format of the family.
#[derive(Debug)]
pub struct Mx {
    word: Word,
    element: Element,
    mode: ScaleMode,
}

/// The `mxfp8_e4m3` format.
pub static MXFP8_E4M3: Mx = named("mxfp8_e4m3", &["mxfp8"], Element::Float(E4M3FN.saturating()));
/// The `mxfp8_e5m2` format.
pub static MXFP8_E5M2: Mx = named("mxfp8_e5m2", &[], Element::Float(E5M2.saturating()));
/// The `mxfp6_e3m2` format.
pub static MXFP6_E3M2: Mx = named("mxfp6_e3m2", &[], Element::Float(E3M2));
/// The `mxfp6_e2m3` format.
pub static MXFP6_E2M3: Mx = named("mxfp6_e2m3", &[], Element::Float(E2M3));
/// The `mxfp4_e2m1` format: the specification's; [`MXFP4`](super::MXFP4) is ggml's.
pub static MXFP4_E2M1: Mx = named("mxfp4_e2m1", &[], Element::Float(E2M1));
/// The `mxint8` format.
pub static MXINT8: Mx = named("mxint8", &[], Element::Integer(8));
/// The `mxint6` format: block floating point with 6-bit mantissas.
pub static MXINT6: Mx = named("mxint6", &[], Element::Integer(6));
/// The `mxint4` format: block floating point with 4-bit mantissas.
pub static MXINT4: Mx = named("mxint4", &[], Element::Integer(4));

const fn named(name: &'static str, aliases: &'static [&'static str], element: Element) -> Mx {
    Mx { word: Word { name, aliases }, element, mode: ScaleMode::Floor }
}

impl Mx {
    /// A format of that name; the [table](super::BLOCK_FORMATS) holds those with FLOOR scales.
    /// Elements of more than 8 bits, or integers of fewer than 3, are errors.
    pub fn new(word: Word, element: Element, mode: ScaleMode) -> Result<Mx, Invalid> {
        Invalid::check_range("element bits", element.bits() as usize, (3, 8))?;
        Ok(Mx { word, element, mode })
    }

    /// What its codes are.
    pub const fn element(&self) -> Element {
        self.element
    }

    /// The 32 codes in the bytes of a block, as they are stored.
    pub fn codes(&self, block: &[u8]) -> Vec<u8> {
        let bits = self.element.bits() as usize;
        let bit = |at: usize| block.get(1 + at / 8).map_or(0, |byte| byte >> (at % 8) & 1);
        let code = |i: usize| (0..bits).map(|j| bit(i * bits + j) << j).sum();
        (0..MX_BLOCK).map(code).collect()
    }
}

impl BlockFormat for Mx {
    fn word(&self) -> Word {
        self.word
    }
    fn block_len(&self) -> usize {
        MX_BLOCK
    }
    fn block_bytes(&self) -> usize {
        1 + MX_BLOCK * self.element.bits() as usize / 8
    }

    fn encode_block(&self, x: &[f32], bytes: &mut [u8]) {
        bytes.fill(0);
        if x.iter().any(|x| x.is_nan()) {
            bytes[0] = e8m0::NAN;
            return;
        }
        let largest = x.iter().fold(0.0, |largest: f64, x| largest.max(f64::from(x.abs())));
        bytes[0] = e8m0::of_exponent(self.mode.exponent(largest, self.element));
        let scale = f64::from(e8m0::decode(bytes[0]));
        let bits = self.element.bits() as usize;
        for (i, x) in x.iter().enumerate() {
            let code = self.element.encode(f64::from(*x) / scale);
            for j in 0..bits {
                let at = i * bits + j;
                bytes[1 + at / 8] |= (code >> j & 1) << (at % 8);
            }
        }
    }

    fn decode_block(&self, bytes: &[u8], x: &mut [f32]) {
        let scale = f64::from(e8m0::decode(bytes[0]));
        for (x, code) in x.iter_mut().zip(self.codes(bytes)) {
            *x = (self.element.decode(code) * scale) as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::minifloat::F16;
    use super::*;

    fn block(values: &[f32]) -> [f32; MX_BLOCK] {
        let mut block = [0.0; MX_BLOCK];
        block[..values.len()].copy_from_slice(values);
        block
    }

    #[test]
    fn modes_choose_the_exponents_of_their_definitions() {
        use ScaleMode::{Ceil, Even, Floor, Rceil};
        let table = [
            (256.0, [0, 0, 0, 0]),
            (257.0, [0, 1, 0, 0]),
            (448.0, [0, 1, 0, 0]),
            (449.0, [0, 1, 0, 1]),
            (495.0, [0, 1, 0, 1]),
            (496.0, [0, 1, 1, 1]),
            (512.0, [1, 1, 1, 1]),
        ];
        let element = Element::Float(E4M3FN.saturating());
        for (largest, want) in table {
            for (mode, want) in [Floor, Ceil, Even, Rceil].into_iter().zip(want) {
                let format = Mx::new(Word { name: "mode", aliases: &[] }, element, mode).unwrap();
                let bytes = format.encode(&block(&[1.0, -largest])).unwrap();
                assert_eq!(i32::from(bytes[0]) - 127, want, "{mode:?} {largest}");
                let exponent = mode.exponent(1024.0 * f64::from(largest), element);
                assert_eq!(exponent, want + 10, "{mode:?} {largest}");
            }
        }
        // 7-bit fractions: 1.984375 is the largest mxint8, 1.9921875 rounds up to 2.
        let integer = Element::Integer(8);
        for (largest, want) in [(1.984375, [0, 1, 0, 0]), (1.9921875, [0, 1, 1, 1])] {
            let found = [Floor, Ceil, Even, Rceil].map(|mode| mode.exponent(largest, integer));
            assert_eq!(found, want, "{largest}");
        }
    }

    #[test]
    fn elements_have_from_3_to_8_bits() {
        let word = Word { name: "wrong", aliases: &[] };
        for element in [Element::Integer(2), Element::Integer(9), Element::Float(F16)] {
            let error = Mx::new(word, element, ScaleMode::Floor).unwrap_err();
            assert_eq!(error.field, "element bits", "{element:?}");
        }
    }

    #[test]
    fn codes_are_packed_low_bits_first() {
        // Scale 2^-2 for a largest value of 1 in e2m3: 1 is 4, pattern 0x18, negative 0x38.
        let bytes = MXFP6_E2M3.encode(&block(&[1.0, -1.0, 0.25, 0.0, 1.0])).unwrap();
        assert_eq!(bytes.len(), 25);
        assert_eq!(bytes[..5], [125, 0b0001_1000, 0b1000_1110, 0b0000_0000, 0b0001_1000]);
        assert_eq!(MXFP6_E2M3.codes(&bytes)[..5], [0x18, 0x38, 0x08, 0, 0x18]);
        let bytes = MXINT4.encode(&block(&[1.0, -1.0, 0.5, -1.75])).unwrap();
        assert_eq!(bytes[..3], [127, 0xc4, 0x92]);
        let four = MXINT4.decode(&bytes).unwrap();
        assert_eq!(four[..4], [1.0, -1.0, 0.5, -1.75]);
    }

    #[test]
    fn every_code_comes_back_under_every_scale() {
        let all = [&MXFP8_E4M3, &MXFP8_E5M2, &MXFP6_E3M2, &MXFP6_E2M3, &MXFP4_E2M1];
        for format in all.into_iter().chain([&MXINT8, &MXINT6, &MXINT4]) {
            let max = format.element.max() as f32;
            for code in 0..=(u8::MAX >> (8 - format.element.bits())) {
                let value = format.element.decode(code) as f32;
                if !value.is_finite() || value == -2.0 {
                    continue;
                }
                for scale in [0.25, 1.0, 2.0f32.powi(-100), 2.0f32.powi(60)] {
                    let bytes = format.encode(&block(&[max * scale, value * scale])).unwrap();
                    assert_eq!(format.codes(&bytes)[1], code, "{} {value}", format.name());
                    let back = format.decode(&bytes).unwrap();
                    assert_eq!(back[..2], [max * scale, value * scale], "{}", format.name());
                }
            }
        }
    }

    #[test]
    fn integers_round_ties_to_even_and_saturate() {
        let rounded = |format: &Mx, x: &[f32]| {
            format.decode(&format.encode(&block(x)).unwrap()).unwrap()[..x.len()].to_vec()
        };
        let x = [1.0, 0.125, 0.375, 0.625, -0.125, -0.375, -0.626, 1.99, -1.99];
        let want = [1.0, 0.0, 0.5, 0.5, 0.0, -0.5, -0.75, 1.75, -2.0];
        assert_eq!(rounded(&MXINT4, &x), want);
        assert_eq!(rounded(&MXINT6, &[1.99, -1.99, 0.09375]), [1.9375, -2.0, 0.125]);
    }

    #[test]
    fn edges_are_those_of_the_module() {
        let decoded = |format: &Mx, x: &[f32]| {
            let bytes = format.encode(&block(x)).unwrap();
            (bytes[0], format.decode(&bytes).unwrap())
        };
        let all = [&MXFP8_E4M3, &MXFP8_E5M2, &MXFP6_E3M2, &MXFP6_E2M3, &MXFP4_E2M1, &MXINT8];
        for format in all {
            let (scale, values) = decoded(format, &[1.0, f32::NAN]);
            assert_eq!(scale, 255);
            assert!(values.iter().all(|x| x.is_nan()), "{}", format.name());
            let (scale, values) = decoded(format, &[0.0, -0.0]);
            assert_eq!((scale, values), (0, vec![0.0; 32]), "{}", format.name());
            let (scale, values) = decoded(format, &[f32::INFINITY, f32::NEG_INFINITY]);
            assert_eq!((scale, values[1]), (254, f32::NEG_INFINITY), "{}", format.name());
            let integer = format.element == Element::Integer(8);
            let positive = if integer { 127.0 / 64.0 * 2.0f32.powi(127) } else { f32::INFINITY };
            assert_eq!(values[0], positive, "{}", format.name());
        }
        // FLOOR lets the largest value saturate: 1.9 in units of 448 / 1.75.
        assert_eq!(decoded(&MXFP8_E4M3, &[1.9]).1[0], 1.75);
        assert_eq!(decoded(&MXINT8, &[-1.999, 1.999]).1[..2], [-2.0, 127.0 / 64.0]);
    }
}
