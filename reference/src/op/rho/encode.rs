//! `rho_encode`: a state of f32 to the payload of a codec, every byte of it judged.
use super::payload::{self, StateProblem};
use crate::case::Case;
use crate::data::Files;
use crate::judge::ZERO_UNKNOWN;
use crate::op::part::Part;
use crate::op::{
    Arithmetic, Bound, Expectation, Expected, Op, OpSpec, Outputs, Storage, Tensor, Work, inputs,
};
use crate::quality::Quality;

/// Name and parameters.
pub static SPEC: OpSpec = OpSpec {
    name: "rho_encode",
    about: "a recurrent state of f32 to the payload of a codec",
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
    Work { macs: 0, bytes_read: values, bytes_written: payload }
}

/// The operation.
#[derive(Debug)]
pub struct RhoEncode;

impl Op for RhoEncode {
    const SPEC: &'static OpSpec = &SPEC;
    type Problem = StateProblem;
    type Reference = Vec<u8>;

    fn generate(case: &Case, files: &dyn Files) -> Result<StateProblem, String> {
        StateProblem::generate(case, files)
    }

    fn reference(problem: &StateProblem) -> Vec<u8> {
        problem.payload()
    }

    fn expect(_: &StateProblem, payload: &Vec<u8>, _: Arithmetic, _: &Outputs) -> Expectation {
        let want = Expected::all("payload", Tensor::U8(payload.clone()), Bound::Exact);
        Expectation { outputs: vec![want], faults: Vec::new() }
    }

    fn parts(problem: &mut Self::Problem) -> Vec<Part<'_>> {
        vec![problem.part()]
    }

    fn quality(problem: &StateProblem, payload: &Vec<u8>) -> Option<Quality> {
        Some(problem.quality(payload))
    }

    /// The payload holds its scales.
    fn storage(problem: &StateProblem) -> Storage {
        let artifact_bytes = problem.payload().len() as u64;
        Storage { elements: problem.x.len() as u64, artifact_bytes, scale_bytes: 0 }
    }

    /// A value that is not zero has a byte that is not; what tiles have beyond the state is zero. Of
    /// the rest nothing is known.
    fn predicted_zeros(problem: &StateProblem) -> Option<f64> {
        let values = problem.x.iter().filter(|x| **x != 0.0).count();
        let known = 1.0 - (values as f64 / problem.most_bytes.max(1) as f64).min(1.0);
        Some(known + ZERO_UNKNOWN * (1.0 - known))
    }
}
