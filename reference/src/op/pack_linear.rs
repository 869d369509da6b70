//! `pack_linear`: canonical packed rows to the layout that a kernel of `linear` reads.
//!
//! The meaning is `format::layout::Layout::pack`, byte by byte; there is no rounding, so every
//! row must answer the same bytes. Codes are drawn from the seed, each equally often.
use super::inputs;
use super::quantize::pack;
use super::{Arithmetic, Bound, Expectation, Expected, Op, OpSpec, Outputs, Storage, Tensor, Work};
use crate::case::{Case, CaseError, Kind, Param, Word};
use crate::data::{Files, Stream, block_rng};
use crate::format::layout::{LANES16, Layout, layout, layout_words};
use crate::format::{INT8, SIGN1, TERNARY2, TERNARY3, WeightFormat, weight_format};
use crate::judge::ZERO_UNKNOWN;
use crate::op::part::Part;
use crate::quality::Quality;
use crate::rule::Code;
use rand::Rng;

fn weight_words() -> Vec<Word> {
    [&SIGN1 as &dyn WeightFormat, &TERNARY2, &TERNARY3, &INT8].map(WeightFormat::word).to_vec()
}

const WEIGHT: Param = Param { kind: Kind::Word(weight_words), ..inputs::WEIGHT };
const LAYOUT: Param = Param {
    key: "layout",
    kind: Kind::Word(layout_words),
    about: "where the bytes go: the layout of an instruction set",
    when: None,
    default: None,
};
const DATA: Param = Param {
    kind: Kind::Word(data_words),
    about: "exact: every code equally often, and every byte compared",
    default: Some("exact"),
    ..inputs::DATA
};

fn data_words() -> Vec<Word> {
    vec![Word { name: "exact", aliases: &[] }]
}

/// Name and parameters.
pub static SPEC: OpSpec = OpSpec {
    name: "pack_linear",
    about: "canonical packed weights to the layout that a kernel of `linear` reads",
    params: &[WEIGHT, LAYOUT, inputs::K, inputs::N, DATA, inputs::SEED],
    validate,
    work,
};

fn format(case: &Case) -> &'static dyn WeightFormat {
    weight_format(case.word("weight")).unwrap_or(&INT8)
}

fn to(case: &Case) -> &'static Layout {
    layout(case.word("layout")).unwrap_or(&LANES16)
}

fn validate(case: &Case) -> Result<(), CaseError> {
    inputs::area(case, "n", "k")
}

fn work(case: &Case) -> Work {
    let (n, row_bytes) = (case.number("n"), format(case).row_bytes(case.number("k")));
    let written = to(case).len(n, row_bytes) as u64;
    Work { macs: 0, bytes_read: (n * row_bytes) as u64, bytes_written: written }
}

/// Packed rows and where they are to go.
#[derive(Debug)]
pub struct PackProblem {
    /// What the bytes mean.
    pub format: &'static dyn WeightFormat,
    /// Where they are to go.
    pub layout: &'static Layout,
    /// Rows.
    pub n: usize,
    /// Codes of a row.
    pub k: usize,
    /// Rows one after the other, each starting on a byte.
    pub bytes: Vec<u8>,
    /// Bytes of a row.
    pub row_bytes: usize,
}

/// The operation.
#[derive(Debug)]
pub struct PackLinear;

impl Op for PackLinear {
    const SPEC: &'static OpSpec = &SPEC;
    type Problem = PackProblem;
    type Reference = Vec<u8>;

    fn generate(case: &Case, _: &dyn Files) -> Result<PackProblem, String> {
        let (format, layout) = (format(case), to(case));
        let (n, k) = (case.number("n"), case.number("k"));
        let mut rng = block_rng(inputs::seed(case), Stream::Weight, 0);
        let (least, most) = format.levels().range();
        let mut draw = || match (least, most) {
            (-1, 1) if format.name() == "sign1" => 2 * rng.random_range(0..2) - 1,
            _ => rng.random_range(least..=most),
        };
        let codes: Vec<Code> = (0..n * k).map(|_| draw()).collect();
        let (bytes, row_bytes) = (pack(format, &codes, k), format.row_bytes(k));
        Ok(PackProblem { format, layout, n, k, bytes, row_bytes })
    }

    fn reference(problem: &PackProblem) -> Vec<u8> {
        problem.layout.pack(problem.format, &problem.bytes, problem.n)
    }

    fn expect(_: &PackProblem, packed: &Vec<u8>, _: Arithmetic, _: &Outputs) -> Expectation {
        let want = Tensor::U8(packed.clone());
        let outputs = vec![Expected::all("packed", want, Bound::Exact)];
        Expectation { outputs, faults: Vec::new() }
    }

    fn parts(problem: &mut Self::Problem) -> Vec<Part<'_>> {
        vec![Part::packed("weight", &mut problem.bytes, problem.row_bytes)]
    }

    fn quality(_: &PackProblem, _: &Vec<u8>) -> Option<Quality> {
        None
    }

    fn storage(problem: &PackProblem) -> Storage {
        let artifact_bytes = problem.layout.len(problem.n, problem.row_bytes) as u64;
        let elements = (problem.n * problem.k) as u64;
        Storage { elements, artifact_bytes, scale_bytes: 0 }
    }

    /// Padding is zero; of the rest nothing is known.
    fn predicted_zeros(problem: &PackProblem) -> Option<f64> {
        let PackProblem { layout, n, row_bytes, .. } = problem;
        let padding = 1.0 - (n * row_bytes) as f64 / layout.len(*n, *row_bytes).max(1) as f64;
        Some(padding.max(0.0) + ZERO_UNKNOWN * (1.0 - padding.max(0.0)))
    }
}
