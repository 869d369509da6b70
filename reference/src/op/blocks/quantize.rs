//! `quantize_blocks`: f32 `[N, K]` to the bytes of a block format, to the bit.
use super::{FORMAT, K, N, Planted, format, planted, sizes, validate};
use crate::case::Case;
use crate::data::{Files, Stream};
use crate::format::BlockFormat;
use crate::op::part::Part;
use crate::op::{
    Arithmetic, Bound, Expectation, Expected, Op, OpSpec, Outputs, Storage, Tensor, Work, inputs,
};
use crate::quality::{Quality, quality};

/// Name and parameters.
pub static SPEC: OpSpec = OpSpec {
    name: "quantize_blocks",
    about: "f32 [N, K] to the bytes of a block format, which carry their scales",
    params: &[
        FORMAT,
        K,
        N,
        inputs::DRAWN,
        inputs::PATTERN,
        inputs::DISTRIBUTION,
        inputs::SIGMA,
        inputs::KEPT_FILE,
        inputs::SEED,
    ],
    validate,
    work,
};

fn work(case: &Case) -> Work {
    let (values, bytes) = sizes(case);
    Work { macs: 0, bytes_read: 4 * values as u64, bytes_written: bytes as u64 }
}

/// A matrix to quantize.
#[derive(Debug)]
pub struct QuantizeBlocksProblem {
    /// The format.
    pub format: &'static dyn BlockFormat,
    /// Row-major values, whole blocks.
    pub x: Vec<f32>,
    /// Whether the values are planted, infinities and NaN among them.
    pub exact: bool,
}

/// The values of a case.
pub(super) fn values(case: &Case, files: &dyn Files) -> Result<Vec<f32>, String> {
    let row_len = case.number("k");
    let len = case.number("n") * row_len;
    if case.word("data") == "exact" {
        let stream = (inputs::seed(case), Stream::Weight);
        return Ok(planted(stream, (len, format(case).block_len()), Planted::Anything));
    }
    inputs::values(case, None, Stream::Weight, (len, row_len), files)
}

/// The operation.
#[derive(Debug)]
pub struct QuantizeBlocks;

impl Op for QuantizeBlocks {
    const SPEC: &'static OpSpec = &SPEC;
    type Problem = QuantizeBlocksProblem;
    type Reference = Vec<u8>;

    fn generate(case: &Case, files: &dyn Files) -> Result<QuantizeBlocksProblem, String> {
        let x = values(case, files)?;
        Ok(QuantizeBlocksProblem { format: format(case), x, exact: case.word("data") == "exact" })
    }

    fn reference(problem: &QuantizeBlocksProblem) -> Vec<u8> {
        // The case has been checked: these are whole blocks.
        problem.format.encode(&problem.x).unwrap_or_default()
    }

    fn expect(
        _: &QuantizeBlocksProblem,
        bytes: &Vec<u8>,
        _: Arithmetic,
        _: &Outputs,
    ) -> Expectation {
        let want = Expected::all("bytes", Tensor::U8(bytes.clone()), Bound::Exact);
        Expectation { outputs: vec![want], faults: Vec::new() }
    }

    fn parts(problem: &mut Self::Problem) -> Vec<Part<'_>> {
        vec![Part::values("x", &mut problem.x, problem.format.block_len())]
    }

    /// None of planted values, whose errors are no measure of anything.
    fn quality(problem: &QuantizeBlocksProblem, bytes: &Vec<u8>) -> Option<Quality> {
        let values = problem.format.decode(bytes).unwrap_or_default();
        (!problem.exact).then(|| quality(&problem.x, values))
    }

    fn storage(problem: &QuantizeBlocksProblem) -> Storage {
        let elements = problem.x.len() as u64;
        let blocks = elements / problem.format.block_len() as u64;
        // Scales are among the bytes.
        let artifact_bytes = blocks * problem.format.block_bytes() as u64;
        Storage { elements, artifact_bytes, scale_bytes: 0 }
    }

    fn predicted_zeros(_: &QuantizeBlocksProblem) -> Option<f64> {
        None
    }
}
