//! `rho_drift`: a state that goes through a codec at the end of every chunk, and on from there.
//!
//! A row answers the state after each chunk, `states [chunks, values]`; all are judged bit for bit,
//! so that a row that is right once and wrong from what it left itself is found out. The quality is
//! the drift after the last chunk: the carried state against the one no codec touched.
use super::payload::{self, StateProblem};
use crate::case::{Case, CaseError, Kind, Param, Word};
use crate::data::{Distribution, Files, Stream, realistic, small_integers};
use crate::op::{
    Arithmetic, Bound, Expectation, Expected, Op, OpSpec, Outputs, Part, Storage, Tensor, Work,
    inputs,
};
use crate::quality::Quality;
use crate::rho::carry::{Carried, DECAY, carry};

/// Values of all chunks that the oracle goes through.
const MOST: usize = 1 << 26;

const CHUNKS: Param = Param {
    key: "chunks",
    kind: Kind::Number { min: 1, max: 4096 },
    about: "how often the state is updated, encoded and decoded",
    when: None,
    default: Some("64"),
};

const DATA: Param = Param {
    kind: Kind::Word(data_words),
    about: "exact (any order of summation agrees), realistic (drawn)",
    ..inputs::DRAWN
};

/// What single states may hold is for the ops of the codecs.
fn data_words() -> Vec<Word> {
    ["exact", "realistic"].map(|name| Word { name, aliases: &[] }).to_vec()
}

/// Name and parameters.
pub static SPEC: OpSpec = OpSpec {
    name: "rho_drift",
    about: "a recurrent state of f32, updated, encoded and decoded chunk after chunk",
    params: &[
        payload::CODEC,
        payload::MATRICES,
        payload::ROWS,
        payload::COLUMNS,
        CHUNKS,
        DATA,
        inputs::DISTRIBUTION,
        inputs::SIGMA,
        inputs::SEED,
    ],
    validate,
    work,
};

fn validate(case: &Case) -> Result<(), CaseError> {
    payload::validate(case)?;
    let values = payload::bytes(case).0 / 4;
    match values.checked_mul(case.number("chunks") as u64) {
        Some(all) if all <= MOST as u64 => Ok(()),
        _ => Err(case.conflict("chunks", format!("times the state is more than {MOST} values"))),
    }
}

/// The start and the updates in, the states out; what moves in between may stay in caches.
fn work(case: &Case) -> Work {
    let (bytes, _) = payload::bytes(case);
    let chunks = case.number("chunks") as u64;
    Work { macs: 0, bytes_read: bytes * (chunks + 1), bytes_written: bytes * chunks }
}

/// A state, its codec, and what it gains in each chunk.
#[derive(Debug)]
pub struct DriftProblem {
    /// The state before the first chunk, its shape and codec.
    pub source: StateProblem,
    /// What is left of the state after one more chunk: [`DECAY`].
    pub decay: f32,
    /// What it gains, `[chunks, values]`.
    pub updates: Vec<f32>,
}

/// The operation.
#[derive(Debug)]
pub struct RhoDrift;

impl Op for RhoDrift {
    const SPEC: &'static OpSpec = &SPEC;
    type Problem = DriftProblem;
    type Reference = Carried;

    fn generate(case: &Case, files: &dyn Files) -> Result<DriftProblem, String> {
        let source = StateProblem::generate(case, files)?;
        let (chunks, len) = (case.number("chunks"), source.x.len());
        let (seed, all) = ((inputs::seed(case), Stream::Gradient), chunks * len);
        let mut updates = match inputs::distribution(case) {
            _ if case.word("data") == "exact" => small_integers(seed, all),
            distribution => {
                // The variance of the state stays what it was.
                let sigma = inputs::sigma(case) * (1.0 - DECAY * DECAY).sqrt();
                let row_len = source.shape.columns().max(1);
                let distribution = distribution.unwrap_or(Distribution::Normal);
                realistic(distribution, seed, (all, row_len), sigma)
            }
        };
        if case.word("codec") == "sparse_tile" {
            // Tiles that are dead stay dead.
            for gain in updates.chunks_mut(len.max(1)) {
                source.kill_tiles(gain);
            }
        }
        Ok(DriftProblem { source, decay: DECAY, updates })
    }

    /// None of these codecs refuses a state of its shape.
    fn reference(problem: &DriftProblem) -> Carried {
        let DriftProblem { source, updates, .. } = problem;
        let carried = carry(source.codec, source.shape, (&source.x, updates));
        carried.unwrap_or(Carried { states: vec![], exact: vec![], payload_bytes: vec![] })
    }

    fn expect(_: &DriftProblem, want: &Carried, _: Arithmetic, _: &Outputs) -> Expectation {
        let want = Expected::all("states", Tensor::F32(want.states.clone()), Bound::Exact);
        Expectation { outputs: vec![want], faults: Vec::new() }
    }

    fn parts(problem: &mut DriftProblem) -> Vec<Part<'_>> {
        let columns = problem.source.shape.columns();
        let updates = Part::values("updates", &mut problem.updates, columns);
        vec![problem.source.part(), updates]
    }

    fn quality(_: &DriftProblem, carried: &Carried) -> Option<Quality> {
        carried.drift().pop()
    }

    /// The payload of the first state.
    fn storage(problem: &DriftProblem) -> Storage {
        let artifact_bytes = problem.source.payload().len() as u64;
        Storage { elements: problem.source.x.len() as u64, artifact_bytes, scale_bytes: 0 }
    }

    fn predicted_zeros(_: &DriftProblem) -> Option<f64> {
        None
    }
}
