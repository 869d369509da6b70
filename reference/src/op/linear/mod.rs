//! `linear`: `Y[M, N] = X[M, K] W[N, K]^T` with packed weights and f32 or int8 activations.
//!
//! With int8 activations `Y[i, j] = float(sum_k x[i, k] w[j, k]) * (sx[i] * sw[j])`: an integer
//! sum, one product of scales, one product with it. With f32 activations
//! `Y[i, j] = sum_k x[i, k] w[j, k] sw[j]`.
mod exported;
mod oracle;
use super::quantize::pack;
use super::{Arithmetic, Expectation, Op, OpSpec, Outputs, Storage, Tensor, Work, inputs};
use crate::case::{Case, CaseError};
use crate::data::{Files, Stream};
use crate::format::{INT8, Levels, WeightFormat, weight_format};
use crate::quality::Quality;
use crate::rule::{Code, Granularity, Range, Rule, quantize};
pub use oracle::LinearReference;

/// Name and parameters.
pub static SPEC: OpSpec = OpSpec {
    name: "linear",
    about: "Y[M, N] = X[M, K] W[N, K]^T with packed weights (GEMV when m = 1)",
    params: &[
        inputs::WEIGHT,
        inputs::ACTIVATION,
        inputs::WEIGHT_RULE,
        inputs::ACTIVATION_RULE,
        inputs::M,
        inputs::K,
        inputs::N,
        inputs::DATA,
        inputs::DISTRIBUTION,
        inputs::FILE,
        inputs::TENSOR,
        inputs::SEED,
    ],
    validate,
    work,
};

/// Largest depth whose i32 sum cannot overflow with codes of magnitude up to 128.
pub const MAX_K: usize = (i32::MAX as usize) / (128 * 128);

fn format(case: &Case) -> &'static dyn WeightFormat {
    weight_format(case.word("weight")).unwrap_or(&INT8)
}

fn validate(case: &Case) -> Result<(), CaseError> {
    inputs::area(case, "n", "k")?;
    inputs::area(case, "m", "k")?;
    inputs::area(case, "m", "n")?;
    if case.word("activation") == "int8" && case.number("k") > MAX_K {
        return Err(case.conflict("k", format!("overflows an i32 sum; at most {MAX_K}")));
    }
    check_rule(case, "weight_rule", &inputs::weight_rule(case, format(case).levels())?)?;
    let none = case.word("activation_rule") == "none";
    match (case.word("activation"), none) {
        ("f32", false) => {
            Err(case.conflict("activation_rule", "goes with no f32 activation; use `none`"))
        }
        ("int8", _) => {
            let rule = inputs::activation_rule(case, Levels::Int8)?;
            check_rule(case, "activation_rule", &rule)
        }
        _ => Ok(()),
    }
}

/// One scale for all or one per row, codes centred on zero, values as they are.
fn check_rule(case: &Case, key: &'static str, rule: &Rule) -> Result<(), CaseError> {
    let what = match rule {
        Rule { granularity: Granularity::Group | Granularity::HeadGroup, .. } => {
            "groups within a row"
        }
        Rule { range: Range::Minmax, .. } => "a zero point",
        Rule { rotated: true, .. } => "a rotation",
        _ => return Ok(()),
    };
    Err(case.conflict(key, format!("has {what}; `linear` takes a scale per tensor or row")))
}

fn work(case: &Case) -> Work {
    let [m, k, n] = ["m", "k", "n"].map(|key| case.number(key));
    let activation = if case.word("activation") == "int8" { 1 } else { 4 };
    Work {
        macs: (m as u64).saturating_mul(k as u64).saturating_mul(n as u64),
        bytes_read: (activation * m * k + n * format(case).row_bytes(k)) as u64,
        bytes_written: 4 * (m * n) as u64,
    }
}

/// Packed weights.
#[derive(Debug)]
pub struct PackedWeight {
    /// How `bytes` is to be read.
    pub format: &'static dyn WeightFormat,
    /// The rule that made it.
    pub rule: Rule,
    /// Output features: rows.
    pub n: usize,
    /// Input features: length of a row.
    pub k: usize,
    /// One scale for all, or one per row.
    pub scales: Vec<f32>,
    /// Centres of a centred rule, else empty; not used by `linear` (b1 drops them).
    pub centres: Vec<f32>,
    /// Rows, each starting on a byte.
    pub bytes: Vec<u8>,
    /// Bytes of a row.
    pub row_bytes: usize,
}

impl PackedWeight {
    /// Packed bytes of row `j`.
    pub fn row(&self, j: usize) -> &[u8] {
        &self.bytes[j * self.row_bytes..][..self.row_bytes]
    }
    /// Scale of row `j`.
    pub fn scale(&self, j: usize) -> f32 {
        self.scales[if self.scales.len() == 1 { 0 } else { j }]
    }
}

/// Activations as the op receives them.
#[derive(Debug)]
pub enum Activation {
    /// Floats.
    F32,
    /// Codes, one scale for all tokens or one each.
    Int8 {
        /// The rule that made them.
        rule: Rule,
        /// Row-major codes.
        codes: Vec<i8>,
        /// One scale for all, or one per token.
        scales: Vec<f32>,
    },
}

/// Everything one `linear` needs.
#[derive(Debug)]
pub struct LinearProblem {
    /// Tokens.
    pub m: usize,
    /// Depth.
    pub k: usize,
    /// Output features.
    pub n: usize,
    /// Packed weights.
    pub weight: PackedWeight,
    /// What they were quantized from, `[N, K]` row-major: for fake-quant rows and quality.
    pub weight_f32: Vec<f32>,
    /// Activations.
    pub activation: Activation,
    /// What they were quantized from, `[M, K]` row-major; the activations themselves for f32.
    pub activation_f32: Vec<f32>,
    /// Whether the data are of tier `exact`.
    pub exact: bool,
    /// Seed of the sample of a large output.
    pub seed: u64,
}

impl LinearProblem {
    /// Scale of token `i`; 1 for f32 activations.
    pub fn activation_scale(&self, i: usize) -> f32 {
        match &self.activation {
            Activation::F32 => 1.0,
            Activation::Int8 { scales, .. } => scales[if scales.len() == 1 { 0 } else { i }],
        }
    }
    /// The codes of the weights, unpacked.
    pub fn weight_codes(&self) -> Vec<Code> {
        let row = |j| self.weight.format.unpack(self.weight.row(j), self.k);
        let unpacked = |j| row(j).unwrap_or_else(|e| unreachable!("packed by the reference: {e}"));
        (0..self.n).flat_map(unpacked).collect()
    }
}

/// The operation.
#[derive(Debug)]
pub struct Linear;

impl Op for Linear {
    const SPEC: &'static OpSpec = &SPEC;
    type Problem = LinearProblem;
    type Reference = LinearReference;

    fn generate(case: &Case, files: &dyn Files) -> Result<LinearProblem, String> {
        let format = format(case);
        let [m, k, n] = ["m", "k", "n"].map(|key| case.number(key));
        let rule = inputs::weight_rule(case, format.levels()).map_err(|e| e.to_string())?;
        let kind = Some((&rule, format.levels()));
        let weight_f32 = inputs::values(case, kind, Stream::Weight, (n * k, k), files)?;
        let group_len = rule.group_len(n * k, k);
        let q = quantize(&rule, format.levels(), &weight_f32, group_len);
        let centres = if rule.centred { q.centres() } else { Vec::new() };
        let (scales, bytes) = (q.scales(), pack(format, &q.codes, k));
        let row_bytes = format.row_bytes(k);
        let weight = PackedWeight { format, rule, n, k, scales, centres, bytes, row_bytes };
        let (activation, activation_f32) = activations(case, (m, k), files)?;
        let (exact, seed) = (case.word("data") == "exact", inputs::seed(case));
        Ok(LinearProblem { m, k, n, weight, weight_f32, activation, activation_f32, exact, seed })
    }

    fn reference(problem: &LinearProblem) -> LinearReference {
        LinearReference::new(problem)
    }

    fn expect(
        problem: &LinearProblem,
        reference: &LinearReference,
        arithmetic: Arithmetic,
        got: &Outputs,
    ) -> Expectation {
        oracle::expect(problem, reference, arithmetic, got)
    }

    fn quality(problem: &LinearProblem, reference: &LinearReference) -> Option<Quality> {
        reference.quality(problem)
    }

    fn storage(problem: &LinearProblem) -> Storage {
        let weight = &problem.weight;
        Storage {
            elements: problem.weight_f32.len() as u64,
            artifact_bytes: weight.bytes.len() as u64,
            scale_bytes: 4 * (weight.scales.len() + weight.centres.len()) as u64,
        }
    }

    fn predicted_zeros(problem: &LinearProblem) -> Option<f64> {
        Some(oracle::predicted_zeros(problem))
    }
}

fn activations(
    case: &Case,
    (m, k): (usize, usize),
    files: &dyn Files,
) -> Result<(Activation, Vec<f32>), String> {
    let draw = |rule| inputs::values(case, rule, Stream::Activation, (m * k, k), files);
    if case.word("activation") == "f32" {
        return Ok((Activation::F32, draw(None)?));
    }
    let rule = inputs::activation_rule(case, Levels::Int8).map_err(|e| e.to_string())?;
    let x = draw(Some((&rule, Levels::Int8)))?;
    let q = quantize(&rule, Levels::Int8, &x, rule.group_len(m * k, k));
    let codes = match Levels::Int8.tensor(&q.codes) {
        Tensor::I8(codes) => codes,
        other => unreachable!("int8 codes are {}", other.type_name()),
    };
    Ok((Activation::Int8 { rule, codes, scales: q.scales() }, x))
}
