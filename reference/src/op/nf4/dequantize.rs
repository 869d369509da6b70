//! `dequantize_nf4`: NF4 codes and absmax to f32, exactly: `x = table[code] * absmax`, where a
//! double-quantized absmax is `number(code) * step + offset`, rounded after each operation.
//!
//! Tier `exact` has any bytes for codes, and planted absmax.
use super::super::blocks::{K, N};
use super::{BLOCK_SIZE, DOUBLE_QUANT, format, sizes, storage, validate, values};
use crate::case::Case;
use crate::data::{Files, Stream, block_rng};
use crate::format::double_quant::{DOUBLE_QUANT_BLOCK, DoubleQuantized};
use crate::format::nf4::{Absmax, Nf4, Nf4Tensor};
use crate::op::part::{Part, Role};
use crate::op::{
    Arithmetic, Bound, Expectation, Expected, Op, OpSpec, Outputs, Storage, Tensor, Work, inputs,
};
use crate::quality::Quality;
use rand::Rng;

/// Name and parameters.
pub static SPEC: OpSpec = OpSpec {
    name: "dequantize_nf4",
    about: "NF4 codes and absmax, itself quantized or not, to f32 [N, K]",
    params: &[
        BLOCK_SIZE,
        DOUBLE_QUANT,
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
    let (values, stored) = sizes(case);
    Work { macs: 0, bytes_read: stored, bytes_written: values }
}

/// A tensor of any bytes: codes, absmax or its codes, second absmax.
fn any(format: Nf4, len: usize, seed: u64) -> Result<Nf4Tensor, String> {
    let mut rng = block_rng(seed, Stream::Weight, 0);
    let blocks = len.div_ceil(format.block_size());
    let mut packed = vec![0; len.div_ceil(2)];
    rng.fill(&mut packed[..]);
    let mut floats = |len: usize| -> Vec<f32> {
        let float = |_| f32::from(rng.random_range(-999i16..=9999)) / 512.0;
        (0..len).map(float).collect()
    };
    let absmax = match format.double_quant() {
        None => Absmax::Float(floats(blocks)),
        Some(scheme) => {
            let (absmax2, offset) = (floats(blocks.div_ceil(DOUBLE_QUANT_BLOCK)), floats(1)[0]);
            let mut codes = vec![0; blocks];
            rng.fill(&mut codes[..]);
            let stored = DoubleQuantized::new(scheme, codes, absmax2, offset);
            Absmax::Double(stored.map_err(|e| e.to_string())?)
        }
    };
    format.tensor(packed, absmax, len).map_err(|e| e.to_string())
}

fn parts(tensor: &mut Nf4Tensor) -> Vec<Part<'_>> {
    let row_bytes = tensor.format().block_size() / 2;
    let (packed, absmax) = tensor.stored();
    let mut parts = vec![Part::packed("packed", packed, row_bytes)];
    match absmax {
        Absmax::Float(absmax) => parts.push(Part::scales("absmax", &mut absmax[..])),
        Absmax::Double(double) => {
            let (codes, absmax2, offset) = double.stored();
            parts.push(Part::rows(("absmax_codes", Role::Codes), codes, DOUBLE_QUANT_BLOCK));
            parts.push(Part::scales("absmax2", absmax2));
            parts.push(Part::rows(("offset", Role::Centres), vec![offset], 1));
        }
    }
    parts
}

/// The operation.
#[derive(Debug)]
pub struct DequantizeNf4;

impl Op for DequantizeNf4 {
    const SPEC: &'static OpSpec = &SPEC;
    type Problem = Nf4Tensor;
    type Reference = Vec<f32>;

    fn generate(case: &Case, files: &dyn Files) -> Result<Nf4Tensor, String> {
        let format = format(case).map_err(|e| e.to_string())?;
        if case.word("data") == "exact" {
            return any(format, case.number("n") * case.number("k"), inputs::seed(case));
        }
        Ok(format.quantize(&values(case, files)?))
    }

    fn reference(problem: &Nf4Tensor) -> Vec<f32> {
        problem.dequantize()
    }

    fn expect(_: &Nf4Tensor, values: &Vec<f32>, _: Arithmetic, _: &Outputs) -> Expectation {
        let want = Expected::all("values", Tensor::F32(values.clone()), Bound::Exact);
        Expectation { outputs: vec![want], faults: Vec::new() }
    }

    fn parts(problem: &mut Self::Problem) -> Vec<Part<'_>> {
        parts(problem)
    }

    fn quality(_: &Nf4Tensor, _: &Vec<f32>) -> Option<Quality> {
        None
    }

    fn storage(problem: &Nf4Tensor) -> Storage {
        storage(problem.format(), problem.len())
    }

    fn predicted_zeros(_: &Nf4Tensor) -> Option<f64> {
        None
    }
}
