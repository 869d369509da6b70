//! `rho_decode`: the payload of a codec back to a state of f32, every value of it judged.
use super::payload::{self, StateProblem};
use crate::case::Case;
use crate::data::Files;
use crate::op::part::Part;
use crate::op::{
    Arithmetic, Bound, Expectation, Expected, Op, OpSpec, Outputs, Storage, Tensor, Work, inputs,
};
use crate::quality::Quality;

/// Name and parameters.
pub static SPEC: OpSpec = OpSpec {
    name: "rho_decode",
    about: "the payload of a codec back to a recurrent state of f32",
    params: &[
        payload::CODEC,
        payload::MATRICES,
        payload::ROWS,
        payload::COLUMNS,
        inputs::DRAWN,
        inputs::PATTERN,
        inputs::DISTRIBUTION,
        inputs::SIGMA,
        inputs::KEPT_FILE,
        inputs::SEED,
    ],
    validate: payload::validate,
    work,
};

/// Sparse payloads count as the shortest of their shape.
fn work(case: &Case) -> Work {
    let (values, payload) = payload::bytes(case);
    Work { macs: 0, bytes_read: payload, bytes_written: values }
}

/// A payload and what it was made of.
#[derive(Debug)]
pub struct PayloadProblem {
    /// The state, its shape and codec.
    pub source: StateProblem,
    /// Its payload.
    pub payload: Vec<u8>,
}

impl PayloadProblem {
    /// The payload of a state.
    pub fn new(source: StateProblem) -> PayloadProblem {
        let payload = source.payload();
        PayloadProblem { source, payload }
    }
}

/// The operation.
#[derive(Debug)]
pub struct RhoDecode;

impl Op for RhoDecode {
    const SPEC: &'static OpSpec = &SPEC;
    type Problem = PayloadProblem;
    type Reference = Vec<f32>;

    fn generate(case: &Case, files: &dyn Files) -> Result<PayloadProblem, String> {
        StateProblem::generate(case, files).map(PayloadProblem::new)
    }

    fn reference(problem: &PayloadProblem) -> Vec<f32> {
        problem.source.values(&problem.payload)
    }

    /// A value is a code times a scale, one rounding, or nothing but bits.
    fn expect(_: &PayloadProblem, want: &Vec<f32>, _: Arithmetic, _: &Outputs) -> Expectation {
        let want = Expected::all("values", Tensor::F32(want.clone()), Bound::Exact);
        Expectation { outputs: vec![want], faults: Vec::new() }
    }

    fn parts(problem: &mut Self::Problem) -> Vec<Part<'_>> {
        let bytes = problem.payload.len();
        vec![Part::packed("payload", &mut problem.payload, bytes)]
    }

    fn quality(problem: &PayloadProblem, _: &Vec<f32>) -> Option<Quality> {
        Some(problem.source.quality(&problem.payload))
    }

    /// The payload holds its scales.
    fn storage(problem: &PayloadProblem) -> Storage {
        let artifact_bytes = problem.payload.len() as u64;
        Storage { elements: problem.source.x.len() as u64, artifact_bytes, scale_bytes: 0 }
    }

    fn predicted_zeros(_: &PayloadProblem) -> Option<f64> {
        None
    }
}
