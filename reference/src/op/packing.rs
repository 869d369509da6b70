//! `pack` and `unpack`: codes one a byte `[N, K]` to the packed rows of a format, and back.
//!
//! The meaning is [`WeightFormat::pack`] and its inverse, row by row; nothing is rounded, so every
//! row must answer the same bytes. Bits that hold no code are zero (digits of code 0 for `ternary3`).
//! Signed codes are two's complement bytes.
//!
//! The reference refuses codes out of range. A row need not look: what it makes of one is not said. Unpacking, bits beyond the last code of a row
//! are not read.
use super::blocks::{K, N};
use super::dequantize::{FORMAT, format};
use super::quantize::pack;
use super::{
    Arithmetic, Bound, CodesSeen, Expectation, Expected, Op, OpSpec, Outputs, Storage, Tensor,
    Work, inputs,
};
use crate::case::{Case, CaseError, Kind, Param, Word};
use crate::codes::Levels;
use crate::data::{Files, Stream, block_rng};
use crate::format::WeightFormat;
use crate::op::part::{Part, Role};
use crate::quality::Quality;
use crate::rule::Code;
use rand::Rng;

const DATA: Param = Param {
    kind: Kind::Word(data_words),
    about: "exact: every code equally often, and every byte compared",
    default: Some("exact"),
    ..inputs::DATA
};
const PARAMS: &[Param] = &[FORMAT, K, N, DATA, inputs::SEED];

fn data_words() -> Vec<Word> {
    vec![Word { name: "exact", aliases: &[] }]
}

fn validate(case: &Case) -> Result<(), CaseError> {
    inputs::area(case, "n", "k")
}

/// Codes, and the bytes they are packed to.
fn sizes(case: &Case) -> (u64, u64) {
    let (n, k) = (case.number("n"), case.number("k"));
    ((n * k) as u64, (n * format(case).row_bytes(k)) as u64)
}

/// Codes and their packed rows.
#[derive(Debug)]
pub struct PackingProblem {
    /// The format.
    pub format: &'static dyn WeightFormat,
    /// Rows.
    pub n: usize,
    /// Codes of a row.
    pub k: usize,
    /// One code a byte, two's complement where they are signed.
    pub codes: Vec<u8>,
    /// Rows one after the other, each starting on a byte; what is to be unpacked.
    pub packed: Vec<u8>,
}

impl PackingProblem {
    fn new(case: &Case) -> PackingProblem {
        let format = format(case);
        let (n, k) = (case.number("n"), case.number("k"));
        let mut rng = block_rng(inputs::seed(case), Stream::Weight, 0);
        let (least, most) = format.levels().range();
        let mut draw = || match format.levels() {
            Levels::Sign => 2 * rng.random_range(0..2) - 1,
            _ => rng.random_range(least..=most),
        };
        let codes: Vec<Code> = (0..n * k).map(|_| draw()).collect();
        let bytes = codes.iter().map(|code| code.to_le_bytes()[0]).collect();
        PackingProblem { format, n, k, codes: bytes, packed: pack(format, &codes, k) }
    }

    /// The codes as signed or unsigned bytes.
    fn tensor(&self) -> Tensor {
        let codes = self.codes.iter();
        match self.format.levels().unsigned() {
            true => Tensor::U8(self.codes.clone()),
            false => Tensor::I8(codes.map(|code| code.cast_signed()).collect()),
        }
    }

    fn seen(&self) -> CodesSeen {
        let levels = self.format.levels();
        let tensor = self.tensor();
        let codes = (0..tensor.len()).map(|i| tensor.get(i) as Code);
        CodesSeen::new("codes", (self.format.name(), levels, None), codes)
    }

    fn storage(&self) -> Storage {
        let artifact_bytes = self.packed.len() as u64;
        Storage { elements: self.codes.len() as u64, artifact_bytes, scale_bytes: 0 }
    }
}

fn expect(name: &'static str, want: &Tensor) -> Expectation {
    let outputs = vec![Expected::all(name, want.clone(), Bound::Exact)];
    Expectation { outputs, faults: Vec::new() }
}

/// Name and parameters.
pub static PACK: OpSpec = OpSpec {
    name: "pack",
    about: "codes [N, K], one a byte, to the packed rows of a format",
    params: PARAMS,
    validate,
    work: |case| {
        let (codes, packed) = sizes(case);
        Work { macs: 0, bytes_read: codes, bytes_written: packed }
    },
};

/// Name and parameters.
pub static UNPACK: OpSpec = OpSpec {
    name: "unpack",
    about: "the packed rows of a format to codes [N, K], one a byte",
    params: PARAMS,
    validate,
    work: |case| {
        let (codes, packed) = sizes(case);
        Work { macs: 0, bytes_read: packed, bytes_written: codes }
    },
};

/// The operation.
#[derive(Debug)]
pub struct Pack;

impl Op for Pack {
    const SPEC: &'static OpSpec = &PACK;
    type Problem = PackingProblem;
    type Reference = Tensor;

    fn generate(case: &Case, _: &dyn Files) -> Result<PackingProblem, String> {
        Ok(PackingProblem::new(case))
    }
    fn reference(problem: &PackingProblem) -> Tensor {
        Tensor::U8(problem.packed.clone())
    }
    fn expect(_: &PackingProblem, want: &Tensor, _: Arithmetic, _: &Outputs) -> Expectation {
        expect("packed", want)
    }
    fn parts(problem: &mut Self::Problem) -> Vec<Part<'_>> {
        vec![Part::rows(("codes", Role::Codes), &mut problem.codes[..], problem.k)]
    }
    fn quality(_: &PackingProblem, _: &Tensor) -> Option<Quality> {
        None
    }
    fn codes(problem: &PackingProblem, _: &Tensor) -> Vec<CodesSeen> {
        vec![problem.seen()]
    }
    fn storage(problem: &PackingProblem) -> Storage {
        problem.storage()
    }
    fn predicted_zeros(_: &PackingProblem) -> Option<f64> {
        None
    }
}

/// The operation.
#[derive(Debug)]
pub struct Unpack;

impl Op for Unpack {
    const SPEC: &'static OpSpec = &UNPACK;
    type Problem = PackingProblem;
    type Reference = Tensor;

    fn generate(case: &Case, _: &dyn Files) -> Result<PackingProblem, String> {
        Ok(PackingProblem::new(case))
    }
    fn reference(problem: &PackingProblem) -> Tensor {
        problem.tensor()
    }
    fn expect(_: &PackingProblem, want: &Tensor, _: Arithmetic, _: &Outputs) -> Expectation {
        expect("codes", want)
    }
    fn parts(problem: &mut Self::Problem) -> Vec<Part<'_>> {
        let row_bytes = problem.format.row_bytes(problem.k);
        vec![Part::packed("packed", &mut problem.packed, row_bytes)]
    }
    fn quality(_: &PackingProblem, _: &Tensor) -> Option<Quality> {
        None
    }
    fn codes(problem: &PackingProblem, _: &Tensor) -> Vec<CodesSeen> {
        vec![problem.seen()]
    }
    fn storage(problem: &PackingProblem) -> Storage {
        problem.storage()
    }
    fn predicted_zeros(_: &PackingProblem) -> Option<f64> {
        None
    }
}
