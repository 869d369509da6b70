//! `quantize_activation`: activations `[M, K]` to scales and codes, as done at run time.
use super::super::{
    Arithmetic, CodesSeen, Expectation, Op, OpSpec, Outputs, Storage, Work, inputs,
};
use super::weight::{groups, storage};
use super::{QuantizeProblem, expect};
use crate::case::{Case, CaseError};
use crate::data::{Files, Stream};
use crate::format::{INT8, WeightFormat, activation_format};
use crate::op::part::Part;
use crate::quality::{Predicted, Quality};
use crate::rule::Quantized;
use std::sync::Arc;

/// Name and parameters.
pub static SPEC: OpSpec = OpSpec {
    name: "quantize_activation",
    about: "activations [M, K] of f32 to scales and int8, int4 or uint8 codes",
    params: &[
        inputs::CODES,
        inputs::ACTIVATION_RULE,
        inputs::M,
        inputs::K,
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
    inputs::area(case, "m", "k")?;
    let rule = inputs::activation_rule(case, format(case).levels())?;
    inputs::check_groups(case, &rule, "k")
}

fn format(case: &Case) -> &'static dyn WeightFormat {
    activation_format(case.word("activation")).unwrap_or(&INT8)
}

fn work(case: &Case) -> Work {
    let (m, k) = (case.number("m"), case.number("k"));
    let rule = inputs::activation_rule(case, format(case).levels());
    let scales = rule.map_or(0, |rule| groups(&rule, m * k, k));
    let codes = m * format(case).row_bytes(k);
    Work { macs: 0, bytes_read: 4 * (m * k) as u64, bytes_written: (codes + 4 * scales) as u64 }
}

/// The operation.
#[derive(Debug)]
pub struct QuantizeActivation;

impl Op for QuantizeActivation {
    const SPEC: &'static OpSpec = &SPEC;
    type Problem = QuantizeProblem;
    type Reference = Quantized;

    fn generate(case: &Case, files: &dyn Files) -> Result<QuantizeProblem, String> {
        let format = format(case);
        let rule = inputs::activation_rule(case, format.levels()).map_err(|e| e.to_string())?;
        let (rows, row_len) = (case.number("m"), case.number("k"));
        let shape = (rows * row_len, row_len);
        // A file's tensor stands for the activations themselves here, not for weights.
        let stream = match case.word("data") {
            "file" => Stream::State,
            _ => Stream::Activation,
        };
        let x = inputs::values(case, Some((&rule, format.levels())), stream, shape, files)?;
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

    /// Tokens, where each has a scale of its own.
    fn fewer(case: &Case) -> Option<Case> {
        inputs::fewer(case, "m").filter(|_| inputs::own_scales(case, case.word("activation")))
    }

    fn storage(problem: &QuantizeProblem) -> Storage {
        storage(problem)
    }

    fn predicted_zeros(problem: &QuantizeProblem) -> Option<f64> {
        problem.predicted_zeros()
    }
}
