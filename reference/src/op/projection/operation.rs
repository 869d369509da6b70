//! The projections as operations: what a case says, the data it stands for, and its cost.
//!
//! Weights are packed codes under one scale; inputs are floats, or int8 codes under one scale (or
//! one a token, where an output sums over one token's row only). Pass `forward` answers `y`; pass
//! `backward` answers `grad_input` and `grad_weight` for a gradient of the output, straight
//! through both quantizers: the gradients of the product of the dequantized operands.
use super::oracle::ProjectionReference;
use super::problem::{Input, ProjectionProblem, Weight};
use super::{Contraction, DecoderTail, LowrankProjection};
use crate::case::{Case, CaseError, Kind, Param, Value, Word};
use crate::data::Distribution;
use crate::data::{Files, Stream, realistic, small_integers};
use crate::format::{INT4, INT8, Levels, SIGN1, TERNARY2, WeightFormat};
use crate::judge::ZERO_UNKNOWN;
use crate::op::linear::max_k;
use crate::op::part::Part;
use crate::op::quantize::pack;
use crate::op::{Arithmetic, Expectation, Op, OpSpec, Outputs, Storage, Tensor, Work, inputs};
use crate::quality::Quality;
use crate::rule::{Granularity, Range, Rule, quantize};
use std::marker::PhantomData;

/// Products of a backward pass that the oracle computes, every one; of a forward pass eight times
/// as many.
const MAX_BACKWARD_MACS: u64 = 1 << 27;

/// Formats of the weights.
static FORMATS: [&dyn WeightFormat; 4] = [&TERNARY2, &SIGN1, &INT8, &INT4];

const fn size(key: &'static str, default: Option<&'static str>, about: &'static str) -> Param {
    Param { key, kind: Kind::Number { min: 1, max: 1 << 20 }, about, when: None, default }
}

const fn word(
    key: &'static str,
    words: fn() -> Vec<Word>,
    default: Option<&'static str>,
    about: &'static str,
) -> Param {
    Param { key, kind: Kind::Word(words), about, when: None, default }
}

fn plain<const N: usize>(names: [&'static str; N]) -> Vec<Word> {
    names.map(|name| Word { name, aliases: &[] }).to_vec()
}

const WEIGHT: Param =
    word("weight", || FORMATS.iter().map(|f| f.word()).collect(), None, "format of the weights");
const ACTIVATION: Param =
    word("activation", || plain(["f32", "int8"]), None, "format of the input: f32 or int8");
const PASS: Param = word(
    "pass",
    || plain(["forward", "backward"]),
    Some("forward"),
    "forward answers y, backward the gradients of input and weight",
);
const RELU: Param = word(
    "relu",
    || plain(["none", "zero", "above"]),
    Some("none"),
    "what follows the sums: nothing, relu(y), or relu(y - relu_threshold)",
);
const RELU_THRESHOLD: Param = Param {
    key: "relu_threshold",
    kind: Kind::Decimal,
    about: "what is taken off before the relu",
    when: Some(("relu", &["above"])),
    default: Some("0.5"),
};
const BATCH: Param = size("batch", Some("1"), "B");
const HEADS: Param = size("heads", None, "H, heads of the weight");
const TIME: Param = size("time", None, "T, tokens of a sequence");

/// Name and parameters of `lowrank_projection`.
pub static LOWRANK: OpSpec = OpSpec {
    name: "lowrank_projection",
    about: "[B, H or 1, T, E] x [H, E, L] -> [B, H, T, L], and its gradients",
    params: &[
        WEIGHT,
        ACTIVATION,
        inputs::WEIGHT_RULE,
        inputs::ACTIVATION_RULE,
        PASS,
        RELU,
        RELU_THRESHOLD,
        BATCH,
        size("input_heads", Some("1"), "heads of the input: 1, or as many as the weight has"),
        HEADS,
        TIME,
        size("embd", None, "E, summed over"),
        size("packed_latent", None, "latents of the packed weight"),
        size("latent", None, "L, latents of the output: the first of those packed"),
        inputs::DRAWN,
        inputs::PATTERN,
        inputs::DISTRIBUTION,
        inputs::KEPT_FILE,
        inputs::SEED,
    ],
    validate: validate::<LowrankProjection>,
    work: work::<LowrankProjection>,
};

/// Name and parameters of `decoder_tail`.
pub static DECODER: OpSpec = OpSpec {
    name: "decoder_tail",
    about: "[B, H, T, L] x [latent_total, D] -> [B, 1, T, D], summed over heads, and its gradients",
    params: &[
        WEIGHT,
        ACTIVATION,
        inputs::WEIGHT_RULE,
        inputs::ACTIVATION_RULE,
        PASS,
        RELU,
        RELU_THRESHOLD,
        BATCH,
        HEADS,
        TIME,
        size("latent", None, "L, latents of the input, summed over"),
        size("latent_total", None, "rows of the weight: a multiple of heads"),
        size("dim", None, "D, columns of the weight"),
        inputs::DRAWN,
        inputs::PATTERN,
        inputs::DISTRIBUTION,
        inputs::KEPT_FILE,
        inputs::SEED,
    ],
    validate: validate::<DecoderTail>,
    work: work::<DecoderTail>,
};

/// A contraction that a case can name.
pub trait Named: Contraction + Copy + Send + std::fmt::Debug + 'static {
    /// Name and parameters.
    const SPEC: &'static OpSpec;
    /// Whether a token's scale belongs to one row of the input.
    const TOKEN_IS_ROW: bool;
    /// The shape of a case.
    fn of(case: &Case) -> Self;
    /// Weights that enter a product: not those of latents that are packed and skipped.
    fn used_weights(&self) -> usize;
}

impl Named for LowrankProjection {
    const SPEC: &'static OpSpec = &LOWRANK;
    const TOKEN_IS_ROW: bool = true;
    fn of(case: &Case) -> LowrankProjection {
        let number = |key| case.number(key);
        LowrankProjection {
            batch: number("batch"),
            input_heads: number("input_heads"),
            heads: number("heads"),
            time: number("time"),
            embd: number("embd"),
            packed_latent: number("packed_latent"),
            latent: number("latent"),
        }
    }
    fn used_weights(&self) -> usize {
        self.heads * self.embd * self.latent
    }
}

impl Named for DecoderTail {
    const SPEC: &'static OpSpec = &DECODER;
    const TOKEN_IS_ROW: bool = false;
    fn of(case: &Case) -> DecoderTail {
        let number = |key| case.number(key);
        DecoderTail {
            batch: number("batch"),
            heads: number("heads"),
            time: number("time"),
            latent: number("latent"),
            latent_total: number("latent_total"),
            dim: number("dim"),
        }
    }
    fn used_weights(&self) -> usize {
        self.heads * self.latent * self.dim
    }
}

fn format(case: &Case) -> &'static dyn WeightFormat {
    let named = |f: &&&dyn WeightFormat| f.name() == case.word("weight");
    FORMATS.iter().find(named).copied().unwrap_or(&INT8)
}

fn validate<S: Named>(case: &Case) -> Result<(), CaseError> {
    let shape = S::of(case);
    shape.validate().map_err(|e| {
        let key = S::SPEC.params.iter().map(|p| p.key).find(|key| *key == e.field);
        case.conflict(key.unwrap_or("time"), format!("does not fit: {e}"))
    })?;
    let most = max_k(Levels::Int8, Levels::Int8);
    if case.word("activation") == "int8" && shape.depth() > most {
        return Err(case.conflict(
            "heads",
            format!("sums over {} products; an i32 holds {most}", shape.depth()),
        ));
    }
    let allowed = if backward(case) { MAX_BACKWARD_MACS } else { 8 * MAX_BACKWARD_MACS };
    if macs(&shape) > allowed {
        let why = format!("makes more than {allowed} products, all of which the oracle computes");
        return Err(case.conflict("time", why));
    }
    let weight_rule = inputs::weight_rule(case, format(case).levels())?;
    if weight_rule.granularity != Granularity::Tensor {
        return Err(
            case.conflict("weight_rule", "has more than one scale; a projection's weight has one")
        );
    }
    check_rule(case, "weight_rule", &weight_rule)?;
    match (case.word("activation"), case.word("activation_rule")) {
        ("f32", "none") => Ok(()),
        ("f32", _) => {
            Err(case.conflict("activation_rule", "goes with no f32 activation; use `none`"))
        }
        _ => {
            let rule = inputs::activation_rule(case, Levels::Int8)?;
            check_rule(case, "activation_rule", &rule)?;
            match rule.granularity {
                Granularity::Tensor => Ok(()),
                Granularity::Row if S::TOKEN_IS_ROW => Ok(()),
                _ => Err(case.conflict(
                    "activation_rule",
                    "has more scales than one a token whose products are summed",
                )),
            }
        }
    }
}

fn check_rule(case: &Case, key: &'static str, rule: &Rule) -> Result<(), CaseError> {
    match rule {
        Rule { range: Range::Minmax, .. } => Err(case.conflict(key, "has a zero point")),
        Rule { rotated: true, .. } => Err(case.conflict(key, "has a rotation")),
        _ => Ok(()),
    }
}

fn backward(case: &Case) -> bool {
    case.word("pass") == "backward"
}

fn macs(shape: &impl Contraction) -> u64 {
    let outputs = shape.output_shape().iter().fold(1u64, |n, dim| n.saturating_mul(*dim as u64));
    outputs.saturating_mul(shape.depth() as u64)
}

/// The forward product once; backward the two products of the gradients, and the forward one where
/// a relu asks which gradients pass.
fn work<S: Named>(case: &Case) -> Work {
    let shape = S::of(case);
    let count = |dims: &[usize]| dims.iter().fold(1u64, |n, dim| n.saturating_mul(*dim as u64));
    let (input, output) = (count(&shape.input_shape()), count(&shape.output_shape()));
    let weight = shape.weight_shape();
    let row_len = weight.last().copied().unwrap_or(1);
    let packed = (count(&weight) / row_len.max(1) as u64) * format(case).row_bytes(row_len) as u64;
    let read = input * if case.word("activation") == "int8" { 1 } else { 4 } + packed;
    let products = if case.word("relu") == "none" { 2 } else { 3 };
    match backward(case) {
        false => Work { macs: macs(&shape), bytes_read: read, bytes_written: 4 * output },
        true => Work {
            macs: products * macs(&shape),
            bytes_read: read + 4 * output,
            bytes_written: 4 * (input + count(&weight)),
        },
    }
}

/// The operation on a shape.
#[derive(Debug)]
pub struct ProjectionOp<S>(PhantomData<S>);

impl<S: Named> Op for ProjectionOp<S> {
    const SPEC: &'static OpSpec = S::SPEC;
    type Problem = ProjectionProblem<S>;
    type Reference = ProjectionReference;

    fn generate(case: &Case, files: &dyn Files) -> Result<ProjectionProblem<S>, String> {
        let (shape, format) = (S::of(case), format(case));
        let rule = inputs::weight_rule(case, format.levels()).map_err(|e| e.to_string())?;
        let dims = shape.weight_shape();
        let (len, row_len) = (dims.iter().product(), dims.last().copied().unwrap_or(1));
        let kind = Some((&rule, format.levels()));
        let values = inputs::values(case, kind, Stream::Weight, (len, row_len), files)?;
        let q = quantize(&rule, format.levels(), &values, len);
        let weight = Weight {
            format,
            bytes: pack(format, &q.codes, row_len),
            row_len,
            row_bytes: format.row_bytes(row_len),
            scale: q.scales().first().copied().unwrap_or(1.0),
            codes: q.codes,
        };
        let relu_threshold = match (case.word("relu"), case.get("relu_threshold")) {
            ("none", _) => None,
            (_, Some(Value::Decimal(threshold))) => Some(*threshold as f32),
            _ => Some(0.0),
        };
        let exact = case.word("data") == "exact";
        let outputs: usize = shape.output_shape().iter().product();
        let seed = (inputs::seed(case), Stream::Gradient);
        let grad_output = match (backward(case), exact) {
            (false, _) => Vec::new(),
            (true, true) => small_integers(seed, outputs),
            (true, false) => realistic(Distribution::Normal, seed, (outputs, outputs), 1.0),
        };
        let input = input(case, &shape, files)?;
        Ok(ProjectionProblem { shape, input, weight, relu_threshold, grad_output, exact })
    }

    fn reference(problem: &ProjectionProblem<S>) -> ProjectionReference {
        ProjectionReference::new(problem)
    }

    fn expect(
        problem: &ProjectionProblem<S>,
        reference: &ProjectionReference,
        arithmetic: Arithmetic,
        _: &Outputs,
    ) -> Expectation {
        reference.expect(problem, arithmetic)
    }

    fn parts(problem: &mut Self::Problem) -> Vec<Part<'_>> {
        problem.parts()
    }

    fn quality(_: &ProjectionProblem<S>, _: &ProjectionReference) -> Option<Quality> {
        None
    }

    /// Sequences, forward: gradients of the weight add them up.
    fn fewer(case: &Case) -> Option<Case> {
        let own = !backward(case) && inputs::own_scales(case, case.word("activation"));
        inputs::fewer(case, "batch").filter(|_| own)
    }

    fn storage(problem: &ProjectionProblem<S>) -> Storage {
        Storage {
            elements: problem.weight.codes.len() as u64,
            artifact_bytes: problem.weight.bytes.len() as u64,
            scale_bytes: 4,
        }
    }

    /// Weights that no product uses have no gradient. Of the rest nothing is known: a relu leaves
    /// the share that the data say, and a sign of sums of them is as dear as the sums.
    fn predicted_zeros(problem: &ProjectionProblem<S>) -> Option<f64> {
        let used = problem.shape.used_weights() as f64 / problem.weight.codes.len() as f64;
        let unused = if problem.backward() { 1.0 - used } else { 0.0 };
        Some(unused + ZERO_UNKNOWN * (1.0 - unused))
    }
}

fn input<S: Named>(case: &Case, shape: &S, files: &dyn Files) -> Result<Input, String> {
    let dims = shape.input_shape();
    let (len, row_len) = (dims.iter().product(), dims[3]);
    let draw = |rule| inputs::values(case, rule, Stream::Activation, (len, row_len), files);
    if case.word("activation") == "f32" {
        return Ok(Input { values: draw(None)?, codes: Vec::new(), scales: Vec::new() });
    }
    let rule = inputs::activation_rule(case, Levels::Int8).map_err(|e| e.to_string())?;
    let values = draw(Some((&rule, Levels::Int8)))?;
    let q = quantize(&rule, Levels::Int8, &values, rule.group_len(len, row_len));
    match Levels::Int8.tensor(&q.codes) {
        Tensor::I8(codes) => Ok(Input { values, codes, scales: q.scales() }),
        other => Err(format!("int8 codes are {}", other.type_name())),
    }
}
