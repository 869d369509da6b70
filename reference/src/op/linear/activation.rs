//! Activations of `linear`: floats, or codes with a scale for the tensor or for each token; and
//! where their rows lie.
use super::super::{CodesSeen, Tensor, inputs};
use super::weight::quantized;
use crate::case::{Case, CaseError, Kind, Param, Word};
use crate::data::{Files, Stream};
use crate::format::{INT8, Levels, activation_format, activation_words};
use crate::op::part::{Numbers, Part, Role};
use crate::rule::{Granularity, Range, Rule};

/// Activation format.
pub(super) const ACTIVATION: Param = Param {
    key: "activation",
    kind: Kind::Word(words),
    about: "activation format: f32, int8, int4 or uint8",
    when: None,
    default: None,
};
/// Elements between the first of one token and the first of the next.
pub(super) const STRIDE: Param = Param {
    key: "x_stride",
    kind: Kind::Number { min: 0, max: 1 << 28 },
    about: "elements from the start of a token's row to the next one's; k where it is not given",
    when: None,
    default: Some(Param::ABSENT),
};
/// Elements before the first token.
pub(super) const OFFSET: Param = Param {
    key: "x_offset",
    kind: Kind::Number { min: 0, max: 1 << 28 },
    about: "elements before the first token's row; 0 where it is not given",
    when: None,
    default: Some(Param::ABSENT),
};

fn words() -> Vec<Word> {
    let f32s = Word { name: "f32", aliases: &[] };
    [f32s].into_iter().chain(activation_words()).collect()
}

/// Codes and what they are scaled by: `value = (code - zero_point) * scale`.
#[derive(Debug)]
pub struct ActivationCodes<T> {
    /// What codes there are: int8 or int4 where `T` is signed, else uint8.
    pub levels: Levels,
    /// The rule that made them.
    pub rule: Rule,
    /// One code a byte, also of int4; rows lie as [`Rows`] says.
    pub codes: Vec<T>,
    /// One scale for all, or one per token.
    pub scales: Vec<f32>,
    /// As many codes of zero as there are scales, or none where zero is the code 0.
    pub zero_points: Vec<i32>,
}

/// Activations as the op receives them. Rows lie as [`Rows`] says; what lies between them is NaN,
/// or the code -128 or 255, and belongs to no token.
#[derive(Debug)]
pub enum Activation {
    /// Floats.
    F32(Vec<f32>),
    /// int8 and int4.
    I8(ActivationCodes<i8>),
    /// uint8.
    U8(ActivationCodes<u8>),
}

impl Activation {
    /// What a row reads.
    pub(super) fn parts(&mut self, rows: Rows) -> Vec<Part<'_>> {
        match self {
            Activation::F32(x) => vec![Part::values("activation", x, rows.stride)],
            Activation::I8(x) => x.parts(rows),
            Activation::U8(x) => x.parts(rows),
        }
    }
    /// Name of the format.
    pub fn name(&self) -> &'static str {
        match self {
            Activation::F32(_) => "f32",
            Activation::I8(x) if x.levels == Levels::Int4 => "int4",
            Activation::I8(_) => "int8",
            Activation::U8(_) => "uint8",
        }
    }
    /// One scale for all or one per token; none for floats.
    pub fn scales(&self) -> &[f32] {
        match self {
            Activation::F32(_) => &[],
            Activation::I8(x) => &x.scales,
            Activation::U8(x) => &x.scales,
        }
    }
    /// As many as there are scales, or none where zero is the code 0.
    pub fn zero_points(&self) -> &[i32] {
        match self {
            Activation::F32(_) => &[],
            Activation::I8(x) => &x.zero_points,
            Activation::U8(x) => &x.zero_points,
        }
    }
    /// Which codes the rows hold.
    pub(super) fn seen(&self, rows: Rows) -> Option<CodesSeen> {
        fn codes<T: Copy + Into<i16>>(x: &[T], rows: Rows) -> impl Iterator<Item = i16> {
            (0..rows.m).flat_map(move |i| rows.row(x, i)).map(|code| (*code).into())
        }
        let (levels, rule) = self.quantization()?;
        let kind = (self.name(), levels, Some(&rule));
        match self {
            Activation::F32(_) => None,
            Activation::I8(x) => Some(CodesSeen::new("activation", kind, codes(&x.codes, rows))),
            Activation::U8(x) => Some(CodesSeen::new("activation", kind, codes(&x.codes, rows))),
        }
    }
    /// Levels and rule of codes.
    pub fn quantization(&self) -> Option<(Levels, Rule)> {
        match self {
            Activation::F32(_) => None,
            Activation::I8(x) => Some((x.levels, x.rule)),
            Activation::U8(x) => Some((x.levels, x.rule)),
        }
    }
}

impl<T> ActivationCodes<T> {
    fn parts(&mut self, rows: Rows) -> Vec<Part<'_>>
    where
        for<'a> &'a mut [T]: Numbers,
    {
        vec![
            Part::rows(("activation", Role::Codes), &mut self.codes[..], rows.stride),
            Part::scales("activation_scales", &mut self.scales[..]),
            Part::zero_points("activation_zero_points", &mut self.zero_points[..]),
        ]
    }
}

/// Where the rows of the activations lie: row `i` is `k` elements from `offset + i stride` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rows {
    /// Tokens.
    pub m: usize,
    /// Elements of a row.
    pub k: usize,
    /// Elements before the first row.
    pub offset: usize,
    /// Elements from the start of one row to the next one's, at least `k`.
    pub stride: usize,
}

impl Rows {
    /// Rows one after another.
    pub fn contiguous(m: usize, k: usize) -> Rows {
        Rows { m, k, offset: 0, stride: k }
    }
    /// Whether nothing lies before or between the rows.
    pub fn is_contiguous(&self) -> bool {
        self.offset == 0 && (self.stride == self.k || self.m < 2)
    }
    /// Elements up to the end of the last row.
    pub fn len(&self) -> usize {
        self.offset + self.m.checked_sub(1).map_or(0, |last| last * self.stride + self.k)
    }
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Row `i` of activations that lie so.
    pub fn row<'x, T>(&self, x: &'x [T], i: usize) -> &'x [T] {
        &x[self.offset + i * self.stride..][..self.k]
    }
    /// Rows one after another, spread out as they lie, with `poison` in between.
    fn spread<T: Copy>(&self, x: &[T], poison: T) -> Vec<T> {
        let mut all = vec![poison; self.len()];
        for i in 0..self.m {
            let row = &x[i * self.k..][..self.k];
            all[self.offset + i * self.stride..][..self.k].copy_from_slice(row);
        }
        all
    }
}

/// Where the rows of a case lie.
fn rows(case: &Case) -> Rows {
    let [m, k, offset] = ["m", "k", "x_offset"].map(|key| case.number(key));
    let stride = case.get("x_stride").map_or(k, |_| case.number("x_stride"));
    Rows { m, k, offset, stride }
}

fn levels(case: &Case) -> Levels {
    activation_format(case.word("activation")).unwrap_or(&INT8).levels()
}

/// Whether the activation's words and layout make a case together.
pub(super) fn validate(case: &Case) -> Result<(), CaseError> {
    let rows = rows(case);
    if rows.stride < rows.k {
        return Err(case.conflict("x_stride", "is less than k: rows would overlap"));
    }
    if rows.m.saturating_mul(rows.stride).saturating_add(rows.offset) > 1 << 31 {
        return Err(case.conflict("m", "times x_stride is more than 2^31 values"));
    }
    let none = case.word("activation_rule") == "none";
    match (case.word("activation"), none) {
        ("f32", true) => Ok(()),
        ("f32", false) => {
            Err(case.conflict("activation_rule", "goes with no f32 activation; use `none`"))
        }
        _ => check_rule(case, &inputs::activation_rule(case, levels(case))?),
    }
}

/// One scale for all or one per token, values as they are.
fn check_rule(case: &Case, rule: &Rule) -> Result<(), CaseError> {
    let what = match rule {
        Rule { granularity: Granularity::Group | Granularity::HeadGroup, .. } => {
            "groups within a row"
        }
        Rule { rotated: true, .. } => "a rotation",
        _ => return Ok(()),
    };
    let why = format!("has {what}; `linear` takes a scale per tensor or token");
    Err(case.conflict("activation_rule", why))
}

/// Largest magnitude of a code less its zero point; none for floats.
pub(super) fn reach(case: &Case) -> Option<u32> {
    (case.word("activation") != "f32").then(|| super::reach(levels(case)))
}

/// Bytes of the activations of a case: their values, and scales and zero points beside.
pub(super) fn bytes(case: &Case) -> (usize, usize) {
    let (m, k) = (case.number("m"), case.number("k"));
    if case.word("activation") == "f32" {
        return (4 * m * k, 0);
    }
    let scales = |rule: Rule| {
        let each = if rule.range == Range::Minmax { 8 } else { 4 };
        each * if rule.granularity == Granularity::Tensor { 1 } else { m }
    };
    (m * k, inputs::activation_rule(case, levels(case)).map_or(0, scales))
}

/// The activations of a case, where their rows lie, and what they were quantized from, row after
/// row.
pub(super) fn generate(
    case: &Case,
    files: &dyn Files,
) -> Result<(Activation, Rows, Vec<f32>), String> {
    let rows = rows(case);
    let (m, k) = (rows.m, rows.k);
    let draw = |rule| inputs::values(case, rule, Stream::Activation, (m * k, k), files);
    if case.word("activation") == "f32" {
        let x = draw(None)?;
        return Ok((Activation::F32(rows.spread(&x, f32::NAN)), rows, x));
    }
    let levels = levels(case);
    let rule = inputs::activation_rule(case, levels).map_err(|e| e.to_string())?;
    let x = draw(Some((&rule, levels)))?;
    let q = quantized((&rule, levels), &x, (m, k));
    let scales = q.scales();
    let minmax = rule.range == Range::Minmax;
    let zero_points = if minmax { q.zero_points() } else { Vec::new() };
    let zero_points = zero_points.into_iter().map(i32::from).collect();
    let activation = match levels.tensor(&q.codes) {
        Tensor::I8(codes) => {
            let codes = rows.spread(&codes, i8::MIN);
            Activation::I8(ActivationCodes { levels, rule, codes, scales, zero_points })
        }
        Tensor::U8(codes) => {
            let codes = rows.spread(&codes, u8::MAX);
            Activation::U8(ActivationCodes { levels, rule, codes, scales, zero_points })
        }
        other => unreachable!("codes are {}", other.type_name()),
    };
    Ok((activation, rows, x))
}
