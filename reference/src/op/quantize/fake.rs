//! `fake_quantize`: what a quantizer leaves of a matrix, and the gradient of the matrix for a
//! gradient of that: a quantizer as training sees it, forward and backward.
//!
//! A row answers `scales` (`centres`, `zero_points`), `dequantized` and `grad_input`. Scales and
//! values are judged as those of [`quantize`](super); the gradient bit for bit under the
//! row's own scales: the upstream gradient once where the [`Estimator`] passes, 0 where it does not.
use super::super::{
    Arithmetic, Bound, Expectation, Expected, Op, OpSpec, Outputs, Part, Storage, Tensor, Work,
    inputs,
};
use super::{QuantizeProblem, expect, own_shared, weight};
use crate::case::{Case, CaseError, Kind, Param, Word};
use crate::data::{Distribution, Files, Stream, realistic, small_integers};
use crate::estimator::Estimator;
use crate::format::{
    ACTIVATION_FORMATS, INT8, WEIGHT_FORMATS, WeightFormat, activation_format, weight_format,
};
use crate::judge::counted_zeros;
use crate::quality::{Predicted, Quality};
use crate::rule::{Code, Granularity, Quantized, Range, Rule};
use std::sync::Arc;

fn operands() -> Vec<Word> {
    ["weight", "activation"].map(|name| Word { name, aliases: &[] }).to_vec()
}

/// Formats of weights, then those of activations that are none of weights.
fn formats() -> Vec<Word> {
    let mut words: Vec<Word> = WEIGHT_FORMATS.iter().map(|format| format.word()).collect();
    for format in ACTIVATION_FORMATS {
        if words.iter().all(|word| word.name != format.name()) {
            words.push(format.word());
        }
    }
    words
}

const OPERAND: Param = Param {
    key: "operand",
    kind: Kind::Word(operands),
    about: "whose formats and rules: weight or activation",
    when: None,
    default: None,
};
const FORMAT: Param = Param {
    key: "format",
    kind: Kind::Word(formats),
    about: "the codes that values are rounded to",
    when: None,
    default: None,
};
const ESTIMATOR: Param = Param {
    key: "estimator",
    kind: Kind::Word(Estimator::words),
    about: "which gradients pass: identity (all), clipped (those of values that were not saturated)",
    when: None,
    default: Some("identity"),
};

/// Name and parameters.
pub static SPEC: OpSpec = OpSpec {
    name: "fake_quantize",
    about: "a matrix [M, K] of f32 to the values its codes stand for, and its gradient",
    params: &[
        OPERAND,
        FORMAT,
        inputs::RULE,
        ESTIMATOR,
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

fn is_weight(case: &Case) -> bool {
    case.word("operand") == "weight"
}

fn format(case: &Case) -> Option<&'static dyn WeightFormat> {
    let named = if is_weight(case) { weight_format } else { activation_format };
    named(case.word("format"))
}

fn rule(case: &Case) -> Result<Rule, CaseError> {
    let operand = if is_weight(case) { "weights" } else { "activations" };
    let format = format(case)
        .ok_or_else(|| case.conflict("format", format!("is no format of {operand}")))?;
    inputs::operand_rule(case, is_weight(case), format.levels())
}

fn validate(case: &Case) -> Result<(), CaseError> {
    inputs::area(case, "m", "k")?;
    inputs::check_groups(case, &rule(case)?, "k")
}

/// Values and upstream gradients in, values, gradients and scales out.
fn work(case: &Case) -> Work {
    let (m, k) = (case.number("m"), case.number("k"));
    let scales = rule(case).map_or(0, |rule| (m * k).div_ceil(rule.group_len(m * k, k)));
    let bytes = 8 * (m * k) as u64;
    Work { macs: 0, bytes_read: bytes, bytes_written: bytes + 4 * scales as u64 }
}

/// A matrix, how it is quantized, and the gradient of the result.
#[derive(Debug)]
pub struct FakeQuantizeProblem {
    /// Values, rule and format.
    pub quantize: QuantizeProblem,
    /// Which gradients pass.
    pub estimator: Estimator,
    /// Gradient of the dequantized values.
    pub grad_output: Arc<Vec<f32>>,
}

/// The operation.
#[derive(Debug)]
pub struct FakeQuantize;

impl Op for FakeQuantize {
    const SPEC: &'static OpSpec = &SPEC;
    type Problem = FakeQuantizeProblem;
    type Reference = Quantized;

    fn generate(case: &Case, files: &dyn Files) -> Result<FakeQuantizeProblem, String> {
        let rule = rule(case).map_err(|e| e.to_string())?;
        let format = format(case).unwrap_or(&INT8);
        let (rows, row_len) = (case.number("m"), case.number("k"));
        let stream = if is_weight(case) { Stream::Weight } else { Stream::Activation };
        let shape = (rows * row_len, row_len);
        let x = inputs::values(case, Some((&rule, format.levels())), stream, shape, files)?;
        let seed = (inputs::seed(case), Stream::Gradient);
        let grad_output = match case.word("data") == "exact" {
            true => small_integers(seed, x.len()),
            false => realistic(Distribution::Normal, seed, shape, 1.0),
        };
        let quantize = QuantizeProblem {
            group_len: rule.group_len(x.len(), row_len),
            x: Arc::new(x),
            rows,
            row_len,
            rule,
            format,
            packed_len: row_len,
            exact: inputs::exact_codes(case, &rule),
            distribution: inputs::distribution(case),
            sigma: inputs::sigma(case),
        };
        let estimator = Estimator::named(case.word("estimator")).unwrap_or(Estimator::Identity);
        Ok(FakeQuantizeProblem { quantize, estimator, grad_output: Arc::new(grad_output) })
    }

    fn reference(problem: &FakeQuantizeProblem) -> Quantized {
        problem.quantize.reference()
    }

    fn expect(
        problem: &FakeQuantizeProblem,
        reference: &Quantized,
        arithmetic: Arithmetic,
        got: &Outputs,
    ) -> Expectation {
        // Codes instead of values would be judged as those of a quantizer.
        if got.f32s("dequantized").is_none() {
            return Expectation::fault("output `dequantized` is missing");
        }
        let mut out = expect(&problem.quantize, reference, arithmetic, got);
        if let Some(gradient) = expect_gradient(problem, reference, arithmetic, got) {
            // The values stay last: theirs are the zeros that are predicted.
            out.outputs.insert(out.outputs.len().saturating_sub(1), gradient);
        }
        out
    }

    fn parts(problem: &mut FakeQuantizeProblem) -> Vec<Part<'_>> {
        let FakeQuantizeProblem { quantize, grad_output, .. } = problem;
        let gradient =
            Part::values("grad_output", &mut Arc::make_mut(grad_output)[..], quantize.row_len);
        let mut parts = quantize.parts();
        parts.push(gradient);
        parts
    }

    fn quality(problem: &FakeQuantizeProblem, reference: &Quantized) -> Option<Quality> {
        Some(problem.quantize.quality(reference))
    }

    fn expected_error(problem: &FakeQuantizeProblem) -> Option<Predicted> {
        problem.quantize.expected_error()
    }

    /// Rows, where each has a scale of its own.
    fn fewer(case: &Case) -> Option<Case> {
        let own = rule(case).is_ok_and(|rule| rule.granularity != Granularity::Tensor);
        inputs::fewer(case, "m").filter(|_| own)
    }

    fn storage(problem: &FakeQuantizeProblem) -> Storage {
        weight::storage(&problem.quantize)
    }

    /// Those of codes; where zero has a code of its own, the share of that.
    fn predicted_zeros(problem: &FakeQuantizeProblem) -> Option<f64> {
        let quantize = &problem.quantize;
        if quantize.rule.range != Range::Minmax {
            return quantize.predicted_zeros();
        }
        let (q, group_len) = (quantize.reference(), quantize.group_len.max(1));
        let zero = |(i, code): &(usize, &Code)| **code == q.shared[i / group_len].zero_point;
        let zeros = q.codes.iter().enumerate().filter(zero).count();
        let values = q.codes.len();
        Some(counted_zeros(zeros as f64 / values.max(1) as f64, values))
    }
}

/// The gradient under what the row's own groups share; nothing where those are missing.
fn expect_gradient(
    problem: &FakeQuantizeProblem,
    reference: &Quantized,
    arithmetic: Arithmetic,
    got: &Outputs,
) -> Option<Expected> {
    let FakeQuantizeProblem { quantize, estimator, grad_output } = problem;
    let (rule, levels, group_len) = (quantize.rule, quantize.levels(), quantize.group_len.max(1));
    let shared = own_shared(quantize, reference, got)?;
    let passed = |(i, (x, g)): (usize, (&f32, &f32))| {
        let passes = estimator.passes(&rule, levels, *x, &shared[i / group_len]);
        if passes { *g } else { 0.0 }
    };
    let want = quantize.x.iter().zip(grad_output.iter()).enumerate().map(passed).collect();
    let bound = match arithmetic.exact_division {
        true => Bound::Exact,
        false => {
            let (x, gradient) = (Arc::clone(&quantize.x), Arc::clone(grad_output));
            let (estimator, shared) = (*estimator, shared.clone());
            Bound::Code(Box::new(move |i| {
                let own = (&shared[i / group_len], group_len);
                let near = estimator.near_edge(&rule, levels, x[i], own);
                if near { f64::from(gradient[i].abs()) } else { 0.0 }
            }))
        }
    };
    Some(Expected::all("grad_input", Tensor::F32(want), bound))
}
