//! ONNX QuantizeLinear, DequantizeLinear (opset 21) and DynamicQuantizeLinear (opset 11).
//!
//! * integers: `q = saturate(round(x / s) + z)` in f32, ties to even; `x' = f32(q - z) * s`;
//! * 8-bit floats: `q = cast(x / s)`, nearest, ties to even; too large becomes the largest finite
//!   number, or with `saturate = false` NaN (e4m3fn) or infinity (e5m2); `x' = value(q) * s`;
//! * dynamic: `lo = min(x, 0)`, `hi = max(x, 0)`, `s = (hi - lo) / 255`,
//!   `z = round(clamp(-lo / s, 0, 255))`.
//!
//! An integer code of NaN is the zero point; an infinity saturates.
use crate::format::Levels;
use crate::format::minifloat::{E4M3FN, E5M2, Minifloat};
use crate::invalid::Invalid;
use crate::rule::{Code, named::onnx};

/// What a code is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeType {
    /// -128 to 127.
    Int8,
    /// 0 to 255.
    Uint8,
    /// -8 to 7.
    Int4,
    /// 0 to 15.
    Uint4,
    /// The bits of an OCP e4m3fn float.
    Float8E4m3fn,
    /// The bits of an OCP e5m2 float.
    Float8E5m2,
}

impl CodeType {
    /// Smallest and largest code: the bits 0 to 255 for floats.
    pub fn range(self) -> (i16, i16) {
        match self {
            CodeType::Int8 => (-128, 127),
            CodeType::Int4 => (-8, 7),
            CodeType::Uint4 => (0, 15),
            CodeType::Uint8 | CodeType::Float8E4m3fn | CodeType::Float8E5m2 => (0, 255),
        }
    }

    /// The float whose bits are codes; none for integers. Floats have no zero point.
    pub fn float(self) -> Option<Minifloat> {
        match self {
            CodeType::Float8E4m3fn => Some(E4M3FN),
            CodeType::Float8E5m2 => Some(E5M2),
            _ => None,
        }
    }
}

/// `saturate(round(quotient) + zero_point)`, ties to even; NaN is the zero point. No code is below
/// the least, not even one above the most.
pub fn saturated_code(quotient: f32, zero_point: i32, range: (Code, Code)) -> Code {
    Levels::saturated(quotient.round_ties_even(), zero_point, range)
}

/// The pattern of an 8-bit float as a code.
fn bits(float: Minifloat, x: f32) -> i16 {
    float.encode(x).cast_signed()
}

/// Which values share a scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grouping {
    /// All: one scale.
    Tensor,
    /// Those at the same place of an axis: a scale for each place.
    Axis(usize),
    /// Those in the same run of `block_size` along an axis, the last of which may be short: the
    /// scales have the shape of the tensor, with that axis divided.
    Blocks {
        /// The axis.
        axis: usize,
        /// Values of a run.
        block_size: usize,
    },
}

/// Scales, zero points and what they belong to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QuantizeLinear<'a> {
    /// Shape of the tensor, row-major.
    pub shape: &'a [usize],
    /// What a code is.
    pub code_type: CodeType,
    /// Whether a float too large becomes the largest; integers always saturate.
    pub saturate: bool,
    /// Which values share a scale.
    pub grouping: Grouping,
    /// Scales, finite and above 0.
    pub scales: &'a [f32],
    /// As many zero points, codes of the type; 0 for floats.
    pub zero_points: &'a [i32],
}

impl QuantizeLinear<'_> {
    /// Codes of values.
    pub fn quantize(&self, x: &[f32]) -> Result<Vec<i16>, Invalid> {
        self.check()?;
        Invalid::check_len("x", x.len(), self.shape)?;
        let code = |(index, x): (usize, &f32)| {
            let group = self.group(index);
            let quotient = x / self.scales[group];
            match self.code_type.float() {
                Some(float) if self.saturate => bits(float.saturating(), quotient),
                Some(float) => bits(float, quotient),
                None => saturated_code(quotient, self.zero_points[group], self.code_type.range()),
            }
        };
        Ok(x.iter().enumerate().map(code).collect())
    }

    /// Values of codes; a code outside the type is an error.
    pub fn dequantize(&self, codes: &[i16]) -> Result<Vec<f32>, Invalid> {
        self.check()?;
        Invalid::check_len("codes", codes.len(), self.shape)?;
        let (least, most) = self.code_type.range();
        let value = |(index, code): (usize, &i16)| {
            if !(least..=most).contains(code) {
                let field = format!("codes[{index}]");
                return Err(Invalid::new(field, code, format!("from {least} to {most}")));
            }
            let group = self.group(index);
            let value = match self.code_type.float() {
                Some(float) => float.decode(code.cast_unsigned()),
                None => (i32::from(*code) - self.zero_points[group]) as f32,
            };
            Ok(value * self.scales[group])
        };
        codes.iter().enumerate().map(value).collect()
    }

    /// Shape of the scales and of the zero points.
    pub fn scale_shape(&self) -> Result<Vec<usize>, Invalid> {
        let (Grouping::Axis(axis) | Grouping::Blocks { axis, .. }) = self.grouping else {
            return Ok(Vec::new());
        };
        let Some(len) = self.shape.get(axis) else {
            return Err(Invalid::new("axis", axis, format!("below {}", self.shape.len())));
        };
        match self.grouping {
            Grouping::Blocks { block_size, .. } => {
                Invalid::check_range("block_size", block_size, (1, usize::MAX))?;
                let mut shape = self.shape.to_vec();
                shape[axis] = len.div_ceil(block_size);
                Ok(shape)
            }
            _ => Ok(vec![*len]),
        }
    }

    fn check(&self) -> Result<(), Invalid> {
        let shape = self.scale_shape()?;
        Invalid::check_len("scales", self.scales.len(), &shape)?;
        Invalid::check_len("zero_points", self.zero_points.len(), &shape)?;
        if let Some(scale) = self.scales.iter().find(|s| !(s.is_finite() && **s > 0.0)) {
            return Err(Invalid::new("scales", scale, "finite and above 0"));
        }
        let (least, most) = match self.code_type.float() {
            Some(_) => (0, 0),
            None => self.code_type.range(),
        };
        let legal = i32::from(least)..=i32::from(most);
        match self.zero_points.iter().find(|zero| !legal.contains(*zero)) {
            Some(zero) => Err(Invalid::new("zero_points", zero, format!("from {least} to {most}"))),
            None => Ok(()),
        }
    }

    /// The scale that belongs to the value at a row-major index.
    fn group(&self, index: usize) -> usize {
        let (Grouping::Axis(axis) | Grouping::Blocks { axis, .. }) = self.grouping else {
            return 0;
        };
        let (len, inner) = (self.shape[axis], self.shape[axis + 1..].iter().product::<usize>());
        let (place, within, outer) = (index / inner % len, index % inner, index / inner / len);
        match self.grouping {
            Grouping::Blocks { block_size, .. } => {
                (outer * len.div_ceil(block_size) + place / block_size) * inner + within
            }
            _ => place,
        }
    }
}

/// DynamicQuantizeLinear: codes 0 to 255, their scale and zero point, by the rule `onnx`. Values
/// that are all zero, or so small that the scale would be, have scale 1. NaN, an infinity and a
/// range beyond f32 are errors.
pub fn dynamic_quantize_linear(x: &[f32]) -> Result<(Vec<u8>, f32, u8), Invalid> {
    Invalid::check_finite("x", x)?;
    let (rule, levels) = (onnx(Levels::Uint8), Levels::Uint8);
    let shared = rule.shared(levels, x);
    if !shared.scale.is_finite() {
        return Err(Invalid::new("x", "a wider range", "a range within f32"));
    }
    // Codes of `Uint8` are bytes.
    let byte = |code: Code| code.to_le_bytes()[0];
    let codes = x.iter().map(|x| byte(rule.code(levels, *x, &shared))).collect();
    Ok((codes, shared.scale, byte(shared.zero_point)))
}
