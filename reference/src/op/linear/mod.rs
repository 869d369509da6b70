//! `linear`: `Y[M, N] = X[M, K] W[N, K]^T` with packed weights and f32 or integer activations.
//!
//! What a weight is: `w[j, k] = (code - zero_point) * scale`, one scale and zero point for the
//! tensor, for each row or for each group of a row; or what a block or table format makes of its
//! bytes. What an activation is: a float, or `(code - zero_point) * sx[i]`.
//!
//! * Integer activations, one scale a row: `Y[i, j] = float(sum_k x w) * (sx[i] * sw[j])`, an
//!   integer sum, one product of scales, one product with it.
//! * Integer activations, a scale for each group (or block):
//!   `Y[i, j] = sx[i] * sum_g sw[j, g] * float(sum_{k in g} x w)`, where `x` and `w` are codes
//!   less their zero points. The sums inside are exact; over groups they are floats.
//! * Integer activations, a table of floats (`nf4`): the products are floats, too.
//! * f32 activations: `Y[i, j] = sum_k x[i, k] w[j, k]`.
//!
//! M, N and K may be 0: an empty sum is 0.
mod activation;
mod checksum;
mod exported;
mod oracle;
mod own_scales;
mod weight;
use super::{Arithmetic, CodesSeen, Expectation, Op, OpSpec, Outputs, Storage, Work, inputs};
use crate::case::{Case, CaseError, Kind, Param};
use crate::codes::Levels;
use crate::data::Files;
use crate::op::part::Part;
use crate::quality::Quality;
use crate::rule::Rule;
pub use activation::{Activation, ActivationCodes, Rows};
pub use oracle::LinearReference;
pub(super) use oracle::zero_sums;
pub use weight::{BlockWeight, PackedWeight, TableWeight, Weight};

const SIZE: Kind = Kind::Number { min: 0, max: 1 << 28 };

/// Name and parameters.
pub static SPEC: OpSpec = OpSpec {
    name: "linear",
    about: "Y[M, N] = X[M, K] W[N, K]^T with packed weights (GEMV when m = 1)",
    params: &[
        Param { kind: Kind::Word(weight::words), ..inputs::WEIGHT },
        activation::ACTIVATION,
        Param {
            kind: Kind::WordOrConfig {
                words: weight::rule_words,
                canonical: Rule::canonical,
                schema: Rule::schema,
            },
            about: "how weights become scales and codes: a named rule or one spelled out; `none` \
                    for formats that carry their scales",
            ..inputs::WEIGHT_RULE
        },
        inputs::ACTIVATION_RULE,
        Param { kind: SIZE, ..inputs::M },
        Param { kind: SIZE, ..inputs::K },
        Param { kind: SIZE, ..inputs::N },
        activation::STRIDE,
        activation::OFFSET,
        inputs::DATA,
        inputs::PATTERN,
        inputs::DISTRIBUTION,
        inputs::FILE,
        inputs::TENSOR,
        inputs::SEED,
    ],
    validate,
    work,
};

/// Largest magnitude of a code less its zero point.
fn reach(levels: Levels) -> u32 {
    let (least, most) = levels.range();
    (most.unsigned_abs()).max(least.unsigned_abs()).into()
}

/// Longest sum of products of two kinds of codes, less their zero points, that no codes can make
/// overflow an i32: `(2^31 - 1) / (reach reach)`, where codes reach 1 (sign, ternary), 8 (int4),
/// 15 (uint4), 128 (int8) or 255 (uint8).
pub fn max_k(activation: Levels, weight: Levels) -> usize {
    (i32::MAX.unsigned_abs() / (reach(activation) * reach(weight))) as usize
}

fn validate(case: &Case) -> Result<(), CaseError> {
    inputs::area(case, "n", "k")?;
    inputs::area(case, "m", "k")?;
    inputs::area(case, "m", "n")?;
    weight::validate(case)?;
    activation::validate(case)?;
    if let (Some(x), Some((w, depth))) = (activation::reach(case), weight::depth(case)) {
        let most = (i32::MAX.unsigned_abs() / (x * w)) as usize;
        if depth > most {
            return Err(case.conflict("k", format!("overflows an i32 sum; at most {most}")));
        }
    }
    Ok(())
}

fn work(case: &Case) -> Work {
    let [m, k, n] = ["m", "k", "n"].map(|key| case.number(key) as u64);
    let (x, w) = (activation::bytes(case), weight::bytes(case));
    Work {
        macs: m.saturating_mul(k).saturating_mul(n),
        bytes_read: (x.0 + x.1 + w.0 + w.1) as u64,
        bytes_written: 4 * m * n,
    }
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
    pub weight: Weight,
    /// What they were quantized from, `[N, K]` row-major: for fake-quant rows and quality.
    pub weight_f32: Vec<f32>,
    /// Activations.
    pub activation: Activation,
    /// Where the rows of the activations lie.
    pub rows: Rows,
    /// What they were quantized from, `[M, K]` row-major and contiguous; the activations
    /// themselves for f32.
    pub activation_f32: Vec<f32>,
    /// Whether the data are of tier `exact`.
    pub exact: bool,
    /// Seed of the sample of a large output.
    pub seed: u64,
}

impl LinearProblem {
    /// Scale of token `i`; 1 for f32 activations.
    pub fn activation_scale(&self, i: usize) -> f32 {
        match self.activation.scales() {
            [] => 1.0,
            [one] => *one,
            scales => scales[i],
        }
    }
    /// Code that stands for zero in token `i`.
    pub fn activation_zero_point(&self, i: usize) -> i32 {
        match self.activation.zero_points() {
            [] => 0,
            [one] => *one,
            zero_points => zero_points[i],
        }
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
        let [m, k, n] = ["m", "k", "n"].map(|key| case.number(key));
        let (weight, weight_f32) = weight::generate(case, files)?;
        let (activation, rows, activation_f32) = activation::generate(case, files)?;
        Ok(LinearProblem {
            m,
            k,
            n,
            weight,
            weight_f32,
            activation,
            rows,
            activation_f32,
            exact: case.word("data") == "exact",
            seed: inputs::seed(case),
        })
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
        // A row of integer sums is held to them, whatever scales it answers.
        match got.f32s("weight_scales").filter(|_| !arithmetic.integer) {
            Some(own) => own_scales::expect(problem, reference, arithmetic, (own, got)),
            None => reference.expect(problem, arithmetic, got),
        }
    }

    fn parts(problem: &mut Self::Problem) -> Vec<Part<'_>> {
        let k = problem.k;
        let mut parts = problem.weight.parts();
        parts.extend(problem.activation.parts(problem.rows));
        parts.push(Part::values("weight_f32", &mut problem.weight_f32, k));
        parts.push(Part::values("activation_f32", &mut problem.activation_f32, k));
        parts
    }

    fn quality(problem: &LinearProblem, reference: &LinearReference) -> Option<Quality> {
        reference.quality(problem)
    }

    /// Tokens, where each has a scale of its own.
    fn fewer(case: &Case) -> Option<Case> {
        inputs::fewer(case, "m").filter(|_| inputs::own_scales(case, case.word("activation")))
    }
    fn codes(problem: &LinearProblem, _: &LinearReference) -> Vec<CodesSeen> {
        problem.weight.seen().into_iter().chain(problem.activation.seen(problem.rows)).collect()
    }

    fn storage(problem: &LinearProblem) -> Storage {
        problem.weight.storage(problem.weight_f32.len())
    }

    fn predicted_zeros(problem: &LinearProblem) -> Option<f64> {
        Some(oracle::predicted_zeros(problem))
    }
}
