//! `rho_pack`: a flat state of f32 to packed codes and one scale per block of 32.
use super::super::quantize::{QuantizeProblem, expect, weight::storage};
use super::super::{
    Arithmetic, CodesSeen, Expectation, Op, OpSpec, Outputs, Storage, Work, inputs,
};
use crate::case::{Case, Kind, Param};
use crate::data::Files;
use crate::op::part::Part;
use crate::quality::{Predicted, Quality};
use crate::rule::Quantized;

/// The compression.
pub(super) const FORMAT: Param = Param {
    key: "format",
    kind: Kind::Word(crate::rho::rho_words),
    about: "block compression of the state",
    when: None,
    default: None,
};

/// Name and parameters.
pub static SPEC: OpSpec = OpSpec {
    name: "rho_pack",
    about: "a flat recurrent state of f32 to packed codes and one scale per block of 32",
    params: &[
        FORMAT,
        inputs::ELEMENTS,
        inputs::DATA,
        inputs::PATTERN,
        inputs::DISTRIBUTION,
        inputs::SIGMA,
        inputs::FILE,
        inputs::TENSOR,
        inputs::SEED,
    ],
    validate: |_| Ok(()),
    work,
};

fn work(case: &Case) -> Work {
    let len = case.number("elements");
    let (codes, scales) = super::format(case).stored_bytes(len);
    Work { macs: 0, bytes_read: 4 * len as u64, bytes_written: codes + scales }
}

/// The operation.
#[derive(Debug)]
pub struct RhoPack;

impl Op for RhoPack {
    const SPEC: &'static OpSpec = &SPEC;
    type Problem = QuantizeProblem;
    type Reference = Quantized;

    fn generate(case: &Case, files: &dyn Files) -> Result<QuantizeProblem, String> {
        super::problem(case, files)
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
