//! `quantize_nf4`: f32 to NF4 codes and an absmax per block.
//!
//! A row answers `packed`, and `absmax`, or where that is double-quantized `absmax_codes`,
//! `absmax2` and the `offset` that was subtracted (schemes with a mean). Everything is to the bit,
//! but for the mean, a sum in f64 in any order: it may round to the neighbouring f32, and then the
//! codes are judged around the row's own.
use super::super::blocks::{K, N};
use super::{BLOCK_SIZE, DOUBLE_QUANT, format, sizes, storage, validate, values};
use crate::case::Case;
use crate::data::Files;
use crate::format::double_quant::DoubleQuant;
use crate::format::nf4::Nf4;
use crate::op::part::Part;
use crate::op::{
    Arithmetic, Bound, Expectation, Expected, Op, OpSpec, Outputs, Storage, Tensor, Work, inputs,
};
use crate::quality::{Quality, quality};
use crate::rule::ulp;

/// Name and parameters.
pub static SPEC: OpSpec = OpSpec {
    name: "quantize_nf4",
    about: "f32 [N, K] to NF4 codes and an absmax per block, itself quantized or not",
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
    Work { macs: 0, bytes_read: values, bytes_written: stored }
}

/// A tensor to quantize.
#[derive(Debug)]
pub struct QuantizeNf4Problem {
    /// The format.
    pub format: Nf4,
    /// Row-major values.
    pub x: Vec<f32>,
    /// Whether the values are planted.
    pub exact: bool,
}

/// Codes, and absmax before they are quantized themselves.
#[derive(Debug)]
pub struct QuantizeNf4Reference {
    packed: Vec<u8>,
    absmax: Vec<f32>,
}

/// The operation.
#[derive(Debug)]
pub struct QuantizeNf4;

impl Op for QuantizeNf4 {
    const SPEC: &'static OpSpec = &SPEC;
    type Problem = QuantizeNf4Problem;
    type Reference = QuantizeNf4Reference;

    fn generate(case: &Case, files: &dyn Files) -> Result<QuantizeNf4Problem, String> {
        let format = format(case).map_err(|e| e.to_string())?;
        let x = values(case, files)?;
        Ok(QuantizeNf4Problem { format, x, exact: case.word("data") == "exact" })
    }

    fn reference(problem: &QuantizeNf4Problem) -> QuantizeNf4Reference {
        let tensor = problem.format.with_double_quant(None).quantize(&problem.x);
        let packed = tensor.packed().to_vec();
        QuantizeNf4Reference { packed, absmax: tensor.absmax().dequantize() }
    }

    fn expect(
        problem: &QuantizeNf4Problem,
        reference: &QuantizeNf4Reference,
        arithmetic: Arithmetic,
        got: &Outputs,
    ) -> Expectation {
        let exact = |name, tensor| Expected::all(name, tensor, Bound::Exact);
        let packed = match got.get("packed") {
            Some(Tensor::U8(own)) if !arithmetic.exact_division => {
                near_midpoints(problem, reference, own)
            }
            _ => exact("packed", Tensor::U8(reference.packed.clone())),
        };
        let mut out = Expectation::default();
        let Some(scheme) = problem.format.double_quant() else {
            out.outputs.push(exact("absmax", Tensor::F32(reference.absmax.clone())));
            out.outputs.push(packed);
            return out;
        };
        let mut offset = scheme.offset(&reference.absmax);
        if scheme != DoubleQuant::Fp8E4m3 {
            let bound = Bound::Componentwise(vec![f64::from(ulp(offset))]);
            out.outputs.push(Expected::all("offset", Tensor::F32(vec![offset]), bound));
            offset = got.f32s("offset").and_then(<[f32]>::first).copied().unwrap_or(offset);
        }
        let stored = scheme.quantize_around(&reference.absmax, offset);
        out.outputs.push(exact("absmax2", Tensor::F32(stored.absmax2().to_vec())));
        out.outputs.push(exact("absmax_codes", Tensor::U8(stored.codes().to_vec())));
        out.outputs.push(packed);
        out
    }

    fn parts(problem: &mut Self::Problem) -> Vec<Part<'_>> {
        vec![Part::values("x", &mut problem.x, problem.format.block_size())]
    }

    /// None of planted values, whose errors are no measure of anything.
    fn quality(problem: &QuantizeNf4Problem, _: &QuantizeNf4Reference) -> Option<Quality> {
        let values = || problem.format.quantize(&problem.x).dequantize();
        (!problem.exact).then(|| quality(&problem.x, values()))
    }

    fn storage(problem: &QuantizeNf4Problem) -> Storage {
        storage(problem.format, problem.x.len())
    }

    fn predicted_zeros(_: &QuantizeNf4Problem) -> Option<f64> {
        None
    }
}

/// Codes of a row that does not divide exactly: the next code is forgiven where the quotient is
/// within 6 ulp of a midpoint. The reciprocal is within 2.5 ulp (WGSL), which come to 4.3 of the
/// largest midpoint, and the product is rounded once; the reference rounds both, half an ulp each.
fn near_midpoints(
    problem: &QuantizeNf4Problem,
    reference: &QuantizeNf4Reference,
    own: &[u8],
) -> Expected {
    let (format, codes) = (problem.format, 2 * reference.packed.len());
    let midpoints = format.table().thresholds();
    let near = |(i, x): (usize, &f32)| {
        let quotient = x / reference.absmax[i / format.block_size()].max(1e-38);
        midpoints.iter().any(|m| (quotient - m).abs() <= 6.0 * ulp(*m))
    };
    let near: Vec<bool> = problem.x.iter().enumerate().map(near).collect();
    let allowed = move |i: usize| if near.get(i).copied().unwrap_or(false) { 1.0 } else { 0.0 };
    let want = Tensor::U8(format.unpack(&reference.packed, codes));
    Expected {
        decoded: Some(Tensor::U8(format.unpack(own, 2 * own.len()))),
        ..Expected::all("packed", want, Bound::Code(Box::new(allowed)))
    }
}
