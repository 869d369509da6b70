//! `dequantize_blocks`: the bytes of a block format to f32 `[N, K]`, exactly (a zero of either sign is a zero).
//!
//! Tier `exact` has any bytes, and so every code under scales of either sign, subnormal, infinite
//! and NaN.
use super::{FORMAT, K, N, format, quantize, sizes, validate};
use crate::case::Case;
use crate::data::{Files, Stream, block_rng};
use crate::format::BlockFormat;
use crate::op::part::Part;
use crate::op::{
    Arithmetic, Bound, Expectation, Expected, Op, OpSpec, Outputs, Storage, Tensor, Work, inputs,
};
use crate::quality::Quality;
use rand::Rng;

/// Name and parameters.
pub static SPEC: OpSpec = OpSpec {
    name: "dequantize_blocks",
    about: "the bytes of a block format to f32 [N, K]",
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
    Work { macs: 0, bytes_read: bytes as u64, bytes_written: 4 * values as u64 }
}

/// Blocks to dequantize.
#[derive(Debug)]
pub struct DequantizeBlocksProblem {
    /// The format.
    pub format: &'static dyn BlockFormat,
    /// Whole blocks.
    pub bytes: Vec<u8>,
}

/// The operation.
#[derive(Debug)]
pub struct DequantizeBlocks;

impl Op for DequantizeBlocks {
    const SPEC: &'static OpSpec = &SPEC;
    type Problem = DequantizeBlocksProblem;
    type Reference = Vec<f32>;

    fn generate(case: &Case, files: &dyn Files) -> Result<DequantizeBlocksProblem, String> {
        let format = format(case);
        if case.word("data") == "exact" {
            let mut bytes = vec![0; sizes(case).1];
            block_rng(inputs::seed(case), Stream::Weight, 0).fill(&mut bytes[..]);
            return Ok(DequantizeBlocksProblem { format, bytes });
        }
        let bytes = format.encode(&quantize::values(case, files)?).map_err(|e| e.to_string())?;
        Ok(DequantizeBlocksProblem { format, bytes })
    }

    fn reference(problem: &DequantizeBlocksProblem) -> Vec<f32> {
        // Made by the format, or of the length the case gives.
        problem.format.decode(&problem.bytes).unwrap_or_default()
    }

    fn expect(
        _: &DequantizeBlocksProblem,
        values: &Vec<f32>,
        _: Arithmetic,
        _: &Outputs,
    ) -> Expectation {
        let want = Expected::all("values", Tensor::F32(values.clone()), Bound::Exact);
        Expectation { outputs: vec![want], faults: Vec::new() }
    }

    fn parts(problem: &mut Self::Problem) -> Vec<Part<'_>> {
        vec![Part::packed("blocks", &mut problem.bytes, problem.format.block_bytes())]
    }

    fn quality(_: &DequantizeBlocksProblem, _: &Vec<f32>) -> Option<Quality> {
        None
    }

    fn storage(problem: &DequantizeBlocksProblem) -> Storage {
        let artifact_bytes = problem.bytes.len() as u64;
        let blocks = artifact_bytes / problem.format.block_bytes() as u64;
        let elements = blocks * problem.format.block_len() as u64;
        Storage { elements, artifact_bytes, scale_bytes: 0 }
    }

    fn predicted_zeros(_: &DequantizeBlocksProblem) -> Option<f64> {
        None
    }
}
