//! `quantize_weight`: a weight matrix `[N, K]` to scales and packed codes.
use super::super::{
    Arithmetic, CodesSeen, Expectation, Op, OpSpec, Outputs, Storage, Work, inputs,
};
use super::{QuantizeProblem, expect};
use crate::case::{Case, CaseError};
use crate::data::{Files, Stream};
use crate::format::{WeightFormat, weight_format};
use crate::op::part::Part;
use crate::quality::{Predicted, Quality};
use crate::rule::{Quantized, Range, Rule};
use std::sync::Arc;

/// Name and parameters.
pub static SPEC: OpSpec = OpSpec {
    name: "quantize_weight",
    about: "a weight matrix [N, K] of f32 to scales and packed codes",
    params: &[
        inputs::WEIGHT,
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

fn format(case: &Case) -> &'static dyn WeightFormat {
    weight_format(case.word("weight")).unwrap_or(&crate::format::INT8)
}

fn validate(case: &Case) -> Result<(), CaseError> {
    inputs::area(case, "n", "k")?;
    let rule = inputs::weight_rule(case, format(case).levels())?;
    inputs::check_groups(case, &rule, "k")
}

fn work(case: &Case) -> Work {
    let (n, k) = (case.number("n"), case.number("k"));
    let rule = inputs::weight_rule(case, format(case).levels());
    let scales = rule.map_or(0, |rule| groups(&rule, n * k, k));
    Work {
        macs: 0,
        bytes_read: 4 * (n * k) as u64,
        bytes_written: (n * format(case).row_bytes(k) + 4 * scales) as u64,
    }
}

/// Scales of a tensor.
pub(super) fn groups(rule: &Rule, len: usize, row_len: usize) -> usize {
    len.div_ceil(rule.group_len(len, row_len))
}

/// The operation.
#[derive(Debug)]
pub struct QuantizeWeight;

impl Op for QuantizeWeight {
    const SPEC: &'static OpSpec = &SPEC;
    type Problem = QuantizeProblem;
    type Reference = Quantized;

    fn generate(case: &Case, files: &dyn Files) -> Result<QuantizeProblem, String> {
        let format = format(case);
        let rule = inputs::weight_rule(case, format.levels()).map_err(|e| e.to_string())?;
        let (rows, row_len) = (case.number("n"), case.number("k"));
        let shape = (rows * row_len, row_len);
        let kind = Some((&rule, format.levels()));
        let x = inputs::values(case, kind, Stream::Weight, shape, files)?;
        Ok(QuantizeProblem {
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
        })
    }

    fn reference(problem: &QuantizeProblem) -> Quantized {
        problem.reference()
    }

    fn expect(
        problem: &QuantizeProblem,
        reference: &Quantized,
        arithmetic: Arithmetic,
        got: &Outputs,
    ) -> Expectation {
        expect(problem, reference, arithmetic, got)
    }

    fn parts(problem: &mut Self::Problem) -> Vec<Part<'_>> {
        problem.parts()
    }

    fn quality(problem: &QuantizeProblem, reference: &Quantized) -> Option<Quality> {
        Some(problem.quality(reference))
    }

    fn expected_error(problem: &QuantizeProblem) -> Option<Predicted> {
        problem.expected_error()
    }

    fn codes(problem: &QuantizeProblem, reference: &Quantized) -> Vec<CodesSeen> {
        vec![CodesSeen::quantized(problem, reference)]
    }

    fn storage(problem: &QuantizeProblem) -> Storage {
        storage(problem)
    }

    fn predicted_zeros(problem: &QuantizeProblem) -> Option<f64> {
        problem.predicted_zeros()
    }
}

/// Bytes of a quantized tensor: packed codes, one f32 scale (and centre, or zero point) a group.
pub(in crate::op) fn storage(problem: &QuantizeProblem) -> Storage {
    let second = problem.rule.centred || problem.rule.range == Range::Minmax;
    let per_group = if second { 8 } else { 4 };
    Storage {
        elements: problem.x.len() as u64,
        artifact_bytes: problem.packed_bytes() as u64,
        scale_bytes: (per_group * problem.groups()) as u64,
    }
}
