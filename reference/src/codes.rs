//! Checked sequences of integer codes: a code outside its range cannot be stored.
//!
//! The source's packers read `u8` codes as `i8` (146 became -110) and accepted the invalid
//! ternary code 3; here the range is checked once, where codes are made.

/// The integers a code may take, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodeRange {
    /// Smallest legal code.
    pub min: i8,
    /// Largest legal code.
    pub max: i8,
}

/// Codes in `{-1, 0, 1}`.
pub const TERNARY: CodeRange = CodeRange { min: -1, max: 1 };
/// Signed bytes, `-128` included: ONNX and the published activation rules reach it.
pub const INT8: CodeRange = CodeRange { min: -128, max: 127 };

/// A code outside the range of its format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("code {value} at {index} is outside {min}..={max}", min = range.min, max = range.max)]
pub struct CodeOutOfRange {
    /// Position of the first offender.
    pub index: usize,
    /// Its value.
    pub value: i8,
    /// What is allowed.
    pub range: CodeRange,
}

impl CodeRange {
    /// The first code outside the range, as an error.
    pub fn check(self, codes: &[i8]) -> Result<(), CodeOutOfRange> {
        match codes.iter().position(|c| *c < self.min || *c > self.max) {
            Some(index) => Err(CodeOutOfRange { index, value: codes[index], range: self }),
            None => Ok(()),
        }
    }
}
