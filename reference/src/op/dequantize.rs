//! `dequantize`: packed codes with their scales and zero points back to f32 `[N, K]`: the inverse
//! of `quantize_weight`, with its parameters.
//!
//! `x = (code - zero_point) * scale`: the difference is exact and the product rounds once, so every
//! row must give the same bits. Scales belong to the tensor, to a row, or to a group of one.
use super::quantize::{QuantizeProblem, pack, weight::storage};
use super::{
    Arithmetic, Bound, CodesSeen, Expectation, Expected, Op, OpSpec, Outputs, Storage, Tensor,
    Work, inputs,
};
use crate::case::{Case, CaseError, Kind, Param, Word};
use crate::data::{Files, Stream};
use crate::format::{INT8, UINT8, WEIGHT_FORMATS, WeightFormat};
use crate::judge::counted_zeros;
use crate::op::part::Part;
use crate::quality::Quality;
use crate::rule::{Code, Quantized, Range};
use std::sync::Arc;

fn formats() -> impl Iterator<Item = &'static dyn WeightFormat> {
    WEIGHT_FORMATS.iter().copied().chain([&UINT8 as &dyn WeightFormat])
}

fn format_words() -> Vec<Word> {
    formats().map(WeightFormat::word).collect()
}

/// Every format whose codes are packed row by row, weights or not.
pub(super) const FORMAT: Param = Param { kind: Kind::Word(format_words), ..inputs::WEIGHT };

/// The format of a case.
pub(super) fn format(case: &Case) -> &'static dyn WeightFormat {
    formats().find(|format| format.name() == case.word("weight")).unwrap_or(&INT8)
}

/// Name and parameters.
pub static SPEC: OpSpec = OpSpec {
    name: "dequantize",
    about: "packed codes with scales and zero points to a matrix [N, K] of f32",
    params: &[
        FORMAT,
        inputs::WEIGHT_RULE,
        inputs::K,
        inputs::N,
        inputs::DATA,
        inputs::PATTERN,
        inputs::DISTRIBUTION,
        inputs::FILE,
        inputs::TENSOR,
        inputs::SEED,
    ],
    validate,
    work,
};

fn validate(case: &Case) -> Result<(), CaseError> {
    inputs::area(case, "n", "k")?;
    let rule = inputs::weight_rule(case, format(case).levels())?;
    inputs::check_groups(case, &rule, "k")
}

fn work(case: &Case) -> Work {
    let (n, k) = (case.number("n"), case.number("k"));
    let rule = inputs::weight_rule(case, format(case).levels());
    let scales = rule.as_ref().map_or(0, |rule| (n * k).div_ceil(rule.group_len(n * k, k)));
    let each = if rule.is_ok_and(|rule| rule.range == Range::Minmax) { 8 } else { 4 };
    Work {
        macs: 0,
        bytes_read: (n * format(case).row_bytes(k) + each * scales) as u64,
        bytes_written: 4 * (n * k) as u64,
    }
}

/// A quantized tensor.
#[derive(Debug)]
pub struct DequantizeProblem {
    /// What was quantized, and how.
    pub source: QuantizeProblem,
    /// Scales, zero points and codes.
    pub quantized: Quantized,
    /// The codes packed, run by run of `source.packed_len` values.
    pub packed: Vec<u8>,
}

impl DequantizeProblem {
    /// Share of values that are zero because their codes say so; however many are, an output of
    /// nothing but zeros proves nothing.
    pub fn zero_share(&self) -> f64 {
        let values = self.values();
        let zeros = values.iter().filter(|x| **x == 0.0).count() as f64;
        counted_zeros(zeros / values.len().max(1) as f64, values.len())
    }

    /// What a row reads.
    pub(super) fn parts(&mut self) -> Vec<Part<'_>> {
        let row_bytes = self.source.format.row_bytes(self.source.packed_len);
        let mut parts = self.quantized.parts(self.source.packed_len);
        parts.push(Part::packed("packed", &mut self.packed, row_bytes));
        parts
    }

    /// Quantize what is to come back.
    pub(super) fn new(source: QuantizeProblem) -> DequantizeProblem {
        let quantized = source.reference();
        let packed = pack(source.format, &quantized.codes, source.packed_len);
        DequantizeProblem { source, quantized, packed }
    }

    /// The values the codes stand for.
    pub(super) fn values(&self) -> Vec<f32> {
        let (q, source) = (&self.quantized, &self.source);
        let shared = |i: usize| &q.shared[i / source.group_len.max(1)];
        let value = |(i, code): (usize, &Code)| source.rule.value(*code, shared(i));
        q.codes.iter().enumerate().map(value).collect()
    }
}

/// What rows must have answered.
pub(super) fn expect(values: &[f32]) -> Expectation {
    let want = Expected::all("values", Tensor::F32(values.to_vec()), Bound::Exact);
    Expectation { outputs: vec![want], faults: Vec::new() }
}

/// The operation.
#[derive(Debug)]
pub struct Dequantize;

impl Op for Dequantize {
    const SPEC: &'static OpSpec = &SPEC;
    type Problem = DequantizeProblem;
    type Reference = Vec<f32>;

    fn generate(case: &Case, files: &dyn Files) -> Result<DequantizeProblem, String> {
        let format = format(case);
        let rule = inputs::weight_rule(case, format.levels()).map_err(|e| e.to_string())?;
        let (rows, row_len) = (case.number("n"), case.number("k"));
        let shape = (rows * row_len, row_len);
        let kind = Some((&rule, format.levels()));
        let x = inputs::values(case, kind, Stream::Weight, shape, files)?;
        Ok(DequantizeProblem::new(QuantizeProblem {
            group_len: rule.group_len(x.len(), row_len),
            x: Arc::new(x),
            rows,
            row_len,
            rule,
            format,
            packed_len: row_len,
            exact: inputs::exact_codes(case, &rule),
            distribution: inputs::distribution(case),
            sigma: inputs::sigma(case),
        }))
    }

    fn reference(problem: &DequantizeProblem) -> Vec<f32> {
        problem.values()
    }

    fn expect(_: &DequantizeProblem, values: &Vec<f32>, _: Arithmetic, _: &Outputs) -> Expectation {
        expect(values)
    }

    fn parts(problem: &mut Self::Problem) -> Vec<Part<'_>> {
        problem.parts()
    }

    fn quality(problem: &DequantizeProblem, _: &Vec<f32>) -> Option<Quality> {
        Some(problem.source.quality(&problem.quantized))
    }

    fn codes(problem: &DequantizeProblem, _: &Vec<f32>) -> Vec<CodesSeen> {
        vec![CodesSeen::stored(&problem.source, &problem.quantized)]
    }

    fn storage(problem: &DequantizeProblem) -> Storage {
        storage(&problem.source)
    }

    fn predicted_zeros(problem: &DequantizeProblem) -> Option<f64> {
        Some(problem.zero_share())
    }
}
