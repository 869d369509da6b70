//! `top_k` as an operation: rows of f32 to a byte a value, 1 where it is kept.
//!
//! There is one right answer, ties included, so every row must give it. Tier `exact` is small
//! integers, nearly all of them tied.
use super::{kept, top_k_mask};
use crate::case::{Case, CaseError, Kind, Param, Value};
use crate::data::{Files, Stream};
use crate::op::part::Part;
use crate::op::{
    Arithmetic, Bound, Expectation, Expected, Op, OpSpec, Outputs, Storage, Tensor, Work, inputs,
};
use crate::quality::Quality;

/// Name and parameters.
pub static SPEC: OpSpec = OpSpec {
    name: "top_k",
    about: "which values of each token are among the largest magnitudes, a byte a value",
    params: &[
        inputs::M,
        inputs::K,
        Param {
            key: "fraction",
            kind: Kind::Decimal,
            about: "share of a row that is kept, at most 1; a count is rounded up",
            when: None,
            default: Some("0.5"),
        },
        inputs::DRAWN,
        inputs::PATTERN,
        inputs::DISTRIBUTION,
        inputs::KEPT_FILE,
        inputs::SEED,
    ],
    validate,
    work,
};

fn fraction(case: &Case) -> f64 {
    match case.get("fraction") {
        Some(Value::Decimal(fraction)) => *fraction,
        _ => 0.0,
    }
}

fn validate(case: &Case) -> Result<(), CaseError> {
    inputs::area(case, "m", "k")?;
    match fraction(case) <= 1.0 {
        true => Ok(()),
        false => Err(case.conflict("fraction", "is more than the whole, 1")),
    }
}

fn work(case: &Case) -> Work {
    let values = (case.number("m") * case.number("k")) as u64;
    Work { macs: 0, bytes_read: 4 * values, bytes_written: values }
}

/// Rows of which some values are kept.
#[derive(Debug)]
pub struct TopKProblem {
    /// Row-major values.
    pub x: Vec<f32>,
    /// Length of a row.
    pub row_len: usize,
    /// Share of a row that is kept.
    pub fraction: f64,
}

impl TopKProblem {
    /// How many values of a row are kept.
    pub fn kept(&self) -> usize {
        kept(self.row_len, self.fraction)
    }
}

/// The operation.
#[derive(Debug)]
pub struct TopK;

impl Op for TopK {
    const SPEC: &'static OpSpec = &SPEC;
    type Problem = TopKProblem;
    type Reference = Vec<u8>;

    fn generate(case: &Case, files: &dyn Files) -> Result<TopKProblem, String> {
        let row_len = case.number("k");
        let shape = (case.number("m") * row_len, row_len);
        let x = inputs::values(case, None, Stream::Activation, shape, files)?;
        Ok(TopKProblem { x, row_len, fraction: fraction(case) })
    }

    fn reference(problem: &TopKProblem) -> Vec<u8> {
        // Fraction and length of a row have been checked, and the rows are whole.
        let mask = top_k_mask(&problem.x, problem.row_len, problem.fraction);
        mask.unwrap_or_default().into_iter().map(u8::from).collect()
    }

    fn expect(_: &TopKProblem, want: &Vec<u8>, _: Arithmetic, _: &Outputs) -> Expectation {
        let want = Expected::all("mask", Tensor::U8(want.clone()), Bound::Exact);
        Expectation { outputs: vec![want], faults: Vec::new() }
    }

    fn parts(problem: &mut Self::Problem) -> Vec<Part<'_>> {
        vec![Part::values("x", &mut problem.x, problem.row_len)]
    }

    fn quality(_: &TopKProblem, _: &Vec<u8>) -> Option<Quality> {
        None
    }

    fn fewer(case: &Case) -> Option<Case> {
        inputs::fewer(case, "m")
    }

    fn storage(problem: &TopKProblem) -> Storage {
        let elements = problem.x.len() as u64;
        Storage { elements, artifact_bytes: elements, scale_bytes: 0 }
    }

    fn predicted_zeros(problem: &TopKProblem) -> Option<f64> {
        Some(1.0 - problem.kept() as f64 / problem.row_len as f64)
    }
}
