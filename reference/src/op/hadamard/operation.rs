//! `hadamard` as an operation: rows of f32 to rows of f32.
//!
//! A fast transform in f32 adds `log2 n` times and then multiplies by `n^-1/2`, itself rounded:
//! each value is off by at most `gamma(log2 n + 2) n^-1/2 sum |x|`, and the wanted one by another
//! rounding. Tier `exact` has small integers, whose sums are exact: what is left are the three
//! roundings, and none of them where the root is a power of two.
use super::hadamard;
use crate::bound::gamma;
use crate::case::{Case, CaseError};
use crate::data::{Files, Stream};
use crate::op::part::Part;
use crate::op::{
    Arithmetic, Bound, Expectation, Expected, Op, OpSpec, Outputs, Storage, Tensor, Work, inputs,
};
use crate::quality::Quality;

/// Name and parameters.
pub static SPEC: OpSpec = OpSpec {
    name: "hadamard",
    about: "the orthonormal Walsh-Hadamard transform of rows of a power of two",
    params: &[
        inputs::M,
        inputs::K,
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

fn validate(case: &Case) -> Result<(), CaseError> {
    inputs::area(case, "m", "k")?;
    match case.number("k").is_power_of_two() {
        true => Ok(()),
        false => Err(case.conflict("k", "is no power of two")),
    }
}

fn work(case: &Case) -> Work {
    let values = (case.number("m") * case.number("k")) as u64;
    Work { macs: 0, bytes_read: 4 * values, bytes_written: 4 * values }
}

/// Rows to transform.
#[derive(Debug)]
pub struct HadamardProblem {
    /// Row-major values.
    pub x: Vec<f32>,
    /// Length of a row: a power of two.
    pub row_len: usize,
    /// Whether the values are small integers.
    pub exact: bool,
}

/// The transform in f64.
#[derive(Debug)]
pub struct HadamardReference(Vec<f64>);

/// The operation.
#[derive(Debug)]
pub struct HadamardTransform;

impl Op for HadamardTransform {
    const SPEC: &'static OpSpec = &SPEC;
    type Problem = HadamardProblem;
    type Reference = HadamardReference;

    fn generate(case: &Case, files: &dyn Files) -> Result<HadamardProblem, String> {
        let row_len = case.number("k");
        let shape = (case.number("m") * row_len, row_len);
        let x = inputs::values(case, None, Stream::Activation, shape, files)?;
        Ok(HadamardProblem { x, row_len, exact: case.word("data") == "exact" })
    }

    fn reference(problem: &HadamardProblem) -> HadamardReference {
        let wide: Vec<f64> = problem.x.iter().copied().map(f64::from).collect();
        // The length of a row has been checked, and the rows are whole.
        HadamardReference(hadamard(&wide, problem.row_len).unwrap_or_default())
    }

    fn expect(
        problem: &HadamardProblem,
        HadamardReference(want): &HadamardReference,
        _: Arithmetic,
        _: &Outputs,
    ) -> Expectation {
        let (len, stages) = (problem.row_len, problem.row_len.ilog2() as usize);
        let row = |row: &[f32]| {
            let magnitude: f64 = row.iter().map(|x| f64::from(x.abs())).sum();
            gamma(stages + 3) * magnitude / (len as f64).sqrt() + f64::from(f32::MIN_POSITIVE)
        };
        let bounds: Vec<f64> = match problem.exact {
            true => want.iter().map(|y| gamma(3) * y.abs()).collect(),
            false => problem.x.chunks(len).flat_map(|x| vec![row(x); len]).collect(),
        };
        let bound = match problem.exact && stages.is_multiple_of(2) {
            true => Bound::Exact,
            false => Bound::Componentwise(bounds),
        };
        let want = Tensor::F32(want.iter().map(|y| *y as f32).collect());
        Expectation { outputs: vec![Expected::all("y", want, bound)], faults: Vec::new() }
    }

    fn parts(problem: &mut Self::Problem) -> Vec<Part<'_>> {
        vec![Part::values("x", &mut problem.x, problem.row_len)]
    }

    fn quality(_: &HadamardProblem, _: &HadamardReference) -> Option<Quality> {
        None
    }

    fn fewer(case: &Case) -> Option<Case> {
        inputs::fewer(case, "m")
    }

    fn storage(problem: &HadamardProblem) -> Storage {
        let elements = problem.x.len() as u64;
        Storage { elements, artifact_bytes: 4 * elements, scale_bytes: 0 }
    }

    /// Sums of few small integers cancel, or are of zeros alone.
    fn predicted_zeros(problem: &HadamardProblem) -> Option<f64> {
        let zeros = problem.x.iter().filter(|x| **x == 0.0).count() as f64;
        let share = zeros / problem.x.len().max(1) as f64;
        let all = share.powi(i32::try_from(problem.row_len).unwrap_or(i32::MAX));
        Some(all + if problem.exact { 0.1 } else { 0.0 })
    }
}
