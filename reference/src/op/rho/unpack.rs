//! `rho_unpack`: packed codes and scales back to a flat state of f32.
use super::super::quantize::{QuantizeProblem, pack as pack_codes, weight::storage};
use super::super::{
    Arithmetic, Bound, CodesSeen, Expectation, Expected, Op, OpSpec, Outputs, Storage, Tensor,
    Work, inputs,
};
use crate::case::Case;
use crate::data::Files;
use crate::op::part::Part;
use crate::quality::Quality;
use crate::rule::{Code, Quantized};

/// Name and parameters.
pub static SPEC: OpSpec = OpSpec {
    name: "rho_unpack",
    about: "packed codes and one scale per block of 32 to a flat recurrent state of f32",
    params: &[
        super::pack::FORMAT,
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
    Work { macs: 0, bytes_read: codes + scales, bytes_written: 4 * len as u64 }
}

/// A compressed state.
#[derive(Debug)]
pub struct UnpackProblem {
    /// What was compressed.
    pub source: QuantizeProblem,
    /// Scales and codes.
    pub quantized: Quantized,
    /// The codes packed, block by block.
    pub packed: Vec<u8>,
}

/// The operation.
#[derive(Debug)]
pub struct RhoUnpack;

impl Op for RhoUnpack {
    const SPEC: &'static OpSpec = &SPEC;
    type Problem = UnpackProblem;
    type Reference = Vec<f32>;

    fn generate(case: &Case, files: &dyn Files) -> Result<UnpackProblem, String> {
        let source = super::problem(case, files)?;
        let quantized = source.reference();
        let packed = pack_codes(source.format, &quantized.codes, source.packed_len);
        Ok(UnpackProblem { source, quantized, packed })
    }

    /// Code times scale: one rounding, so every row must give these bits.
    fn reference(problem: &UnpackProblem) -> Vec<f32> {
        let (q, source) = (&problem.quantized, &problem.source);
        let value =
            |(i, code): (usize, &Code)| source.rule.value(*code, &q.shared[i / source.group_len]);
        q.codes.iter().enumerate().map(value).collect()
    }

    fn expect(_: &UnpackProblem, want: &Vec<f32>, _: Arithmetic, _: &Outputs) -> Expectation {
        let want = Expected::all("values", Tensor::F32(want.clone()), Bound::Exact);
        Expectation { outputs: vec![want], faults: Vec::new() }
    }

    fn parts(problem: &mut Self::Problem) -> Vec<Part<'_>> {
        let row_bytes = problem.source.format.row_bytes(problem.source.packed_len);
        let mut parts = problem.quantized.parts(problem.source.packed_len);
        parts.push(Part::packed("packed", &mut problem.packed, row_bytes));
        parts
    }

    fn quality(problem: &UnpackProblem, _: &Vec<f32>) -> Option<Quality> {
        Some(problem.source.quality(&problem.quantized))
    }

    fn codes(problem: &UnpackProblem, _: &Vec<f32>) -> Vec<CodesSeen> {
        vec![CodesSeen::stored(&problem.source, &problem.quantized)]
    }

    fn storage(problem: &UnpackProblem) -> Storage {
        storage(&problem.source)
    }

    fn predicted_zeros(problem: &UnpackProblem) -> Option<f64> {
        problem.source.predicted_zeros()
    }
}
