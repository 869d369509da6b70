//! Checked sequences of integer codes: a code outside its levels cannot be stored.
//!
//! The source's packers read `u8` codes as `i8` (146 became -110) and accepted the invalid
//! ternary code 3; here the range is checked once, where codes are made.
use crate::op::Tensor;
use crate::rule::Code;

/// Which codes a quantizer may choose from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Levels {
    /// `{-1, 1}`.
    Sign,
    /// `{-1, 0, 1}`.
    Ternary,
    /// `-8..=7`, evenly spaced.
    Int4,
    /// `0..=15`, evenly spaced.
    Uint4,
    /// `-128..=127`, evenly spaced: ONNX and the published activation rules reach -128.
    Int8,
    /// `0..=255`, evenly spaced.
    Uint8,
}

/// A code that its levels do not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("code {value} at {index} is none of the {}, which are {}", levels.name(), levels.set())]
pub struct CodeOutOfRange {
    /// Position of the first offender.
    pub index: usize,
    /// Its value.
    pub value: Code,
    /// What is allowed.
    pub levels: Levels,
}

impl Levels {
    /// Smallest and largest code.
    pub fn range(self) -> (Code, Code) {
        match self {
            Levels::Sign | Levels::Ternary => (-1, 1),
            Levels::Int4 => (-8, 7),
            Levels::Uint4 => (0, 15),
            Levels::Int8 => (-128, 127),
            Levels::Uint8 => (0, 255),
        }
    }

    /// Distance between neighbouring codes.
    pub fn step(self) -> f64 {
        if self == Levels::Sign { 2.0 } else { 1.0 }
    }

    /// Whether no code is negative.
    pub fn unsigned(self) -> bool {
        matches!(self, Levels::Uint4 | Levels::Uint8)
    }

    /// What such codes are called.
    pub fn name(self) -> &'static str {
        match self {
            Levels::Sign => "sign codes",
            Levels::Ternary => "ternary codes",
            Levels::Int4 => "int4 codes",
            Levels::Uint4 => "uint4 codes",
            Levels::Int8 => "int8 codes",
            Levels::Uint8 => "uint8 codes",
        }
    }

    /// `rounded + zero_point` as a code between the limits; the zero point for NaN.
    pub fn saturated(rounded: f32, zero_point: i32, (least, most): (Code, Code)) -> Code {
        let rounded = if rounded.is_nan() { 0.0 } else { rounded };
        let code = rounded + zero_point as f32;
        // Unlike `clamp`, with an answer where the least is above the largest; exact as a cast.
        code.min(f32::from(most)).max(f32::from(least)) as Code
    }

    /// The codes, for people.
    fn set(self) -> String {
        match (self, self.range()) {
            (Levels::Sign, _) => "-1 and 1".to_owned(),
            (_, (least, most)) => format!("{least} to {most}"),
        }
    }

    /// Codes as the signed or unsigned bytes they fit in.
    pub fn tensor(self, codes: &[Code]) -> Tensor {
        let bytes = codes.iter().map(|code| code.to_le_bytes()[0]);
        match self.unsigned() {
            true => Tensor::U8(bytes.collect()),
            false => Tensor::I8(bytes.map(u8::cast_signed).collect()),
        }
    }

    /// The first code that is none of these, as an error.
    pub fn check(self, codes: &[Code]) -> Result<(), CodeOutOfRange> {
        let (least, most) = self.range();
        let wrong =
            |code: &Code| !(least..=most).contains(code) || (self == Levels::Sign && *code == 0);
        match codes.iter().position(wrong) {
            Some(index) => Err(CodeOutOfRange { index, value: codes[index], levels: self }),
            None => Ok(()),
        }
    }
}
