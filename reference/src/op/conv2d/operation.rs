//! `conv2d` as an operation with rows: f32, or int8 codes with one scale for the activations and
//! one per output channel for the weights.
//!
//! int8: `y = float(sum x w) * (sx * sw[o])`, an integer sum, one product of scales, one product
//! with it, as `linear` has it. The codes are symmetric, so that padding stands for the code 0.
//! Activations are quantized by the rule `onnx` (-128 to 127), weights by `absmax` per channel.
use super::super::linear::max_k;
use super::super::{Arithmetic, Expectation, Op, OpSpec, Outputs, Storage, Tensor, Work};
use super::super::{image, inputs, shape};
use super::oracle::{self, Conv2dReference};
use super::{Conv2dShape, Window};
use crate::case::{Case, CaseError, Kind, Param, Word};
use crate::data::{Files, Stream};
use crate::format::Levels;
use crate::invalid::Invalid;
use crate::op::part::{Part, Role};
use crate::quality::Quality;
use crate::rule::{Rule, named, quantize};

const FORMAT: Param = Param {
    key: "format",
    kind: Kind::Word(formats),
    about: "f32, or int8: activations with one scale, weights with one per output channel",
    when: None,
    default: None,
};

fn formats() -> Vec<Word> {
    ["f32", "int8"].map(|name| Word { name, aliases: &[] }).to_vec()
}

const WINDOW: [Param; 8] = image::window_params("3", "1");

/// Name and parameters.
pub static SPEC: OpSpec = OpSpec {
    name: "conv2d",
    about: "Y[N, O, H', W'] = X[N, C, H, W] * W[O, C / groups, K_h, K_w], a cross-correlation",
    params: &[
        FORMAT,
        image::BATCH,
        image::C_IN,
        image::HEIGHT,
        image::WIDTH,
        image::C_OUT,
        WINDOW[0],
        WINDOW[1],
        WINDOW[2],
        WINDOW[3],
        WINDOW[4],
        WINDOW[5],
        WINDOW[6],
        WINDOW[7],
        image::GROUPS,
        inputs::DRAWN,
        inputs::PATTERN,
        inputs::DISTRIBUTION,
        inputs::KEPT_FILE,
        inputs::SEED,
    ],
    validate: |case| {
        check(case).map_err(|invalid| image::refused(case, &invalid)).and_then(|()| depth(case))
    },
    work,
};

/// The shapes of a case.
fn shapes(case: &Case) -> Conv2dShape {
    let [batch, channels, outputs] = ["batch", "c_in", "c_out"].map(|key| case.number(key));
    let input = [case.number("height"), case.number("width")];
    let (groups, window): (usize, Window) = (case.number("groups"), image::window(case));
    Conv2dShape { batch, channels, input, outputs, groups, window }
}

/// The tensors exist, the window fits, and the padded input can be held.
fn check(case: &Case) -> Result<(), Invalid> {
    let shapes = shapes(case);
    shape::values("w", &shapes.weight_shape()?)?;
    shape::values("y", &shapes.output_shape()?)?;
    image::check_padded(shapes.input_shape(), &shapes.window)
}

/// int8 sums of the depth fit an i32.
fn depth(case: &Case) -> Result<(), CaseError> {
    let depth = shapes(case).depth().map_err(|invalid| image::refused(case, &invalid))?;
    let most = max_k(Levels::Int8, Levels::Int8);
    match case.word("format") == "int8" && depth > most {
        true => {
            let why = format!("makes {depth} products, which overflow an i32 sum; at most {most}");
            Err(case.conflict("c_in", why))
        }
        false => Ok(()),
    }
}

/// Taps in the padding are counted: a row may leave them out or not.
fn work(case: &Case) -> Work {
    let shapes = shapes(case);
    let len = |shape: &[usize]| shape.iter().fold(1u64, |len, dim| len.saturating_mul(*dim as u64));
    let outputs = shapes.output_shape().map_or(0, |shape| len(&shape));
    let weights = shapes.weight_shape().map_or(0, |shape| len(&shape));
    let bytes = if case.word("format") == "int8" { 1 } else { 4 };
    Work {
        macs: outputs.saturating_mul(shapes.depth().unwrap_or(0) as u64),
        bytes_read: bytes * (len(&shapes.input_shape()) + weights),
        bytes_written: 4 * outputs,
    }
}

/// What is convolved.
#[derive(Debug)]
pub enum Conv2dTensors {
    /// The floats of the problem.
    F32,
    /// Codes and scales.
    Int8 {
        /// Activations, `[N, C, H, W]`.
        x: Vec<i8>,
        /// Their scale.
        x_scale: f32,
        /// Weights, `[O, C / groups, K_h, K_w]`.
        w: Vec<i8>,
        /// A scale per output channel.
        w_scales: Vec<f32>,
    },
}

/// Everything one `conv2d` needs.
#[derive(Debug)]
pub struct Conv2dProblem {
    /// The shapes: valid, with sums that fit.
    pub shape: Conv2dShape,
    /// The operands.
    pub tensors: Conv2dTensors,
    /// The activations, or what they were quantized from.
    pub x_f32: Vec<f32>,
    /// The weights, or what they were quantized from.
    pub w_f32: Vec<f32>,
    /// Whether the data are of tier `exact`.
    pub exact: bool,
    /// Seed of the sample of a large output.
    pub seed: u64,
}

impl Conv2dProblem {
    /// What an integer sum of output channel `o` is multiplied by; 1 for f32.
    pub fn scale(&self, o: usize) -> f32 {
        match &self.tensors {
            Conv2dTensors::F32 => 1.0,
            Conv2dTensors::Int8 { x_scale, w_scales, .. } => x_scale * w_scales[o],
        }
    }
}

/// The operation.
#[derive(Debug)]
pub struct Conv2d;

impl Op for Conv2d {
    const SPEC: &'static OpSpec = &SPEC;
    type Problem = Conv2dProblem;
    type Reference = Conv2dReference;

    fn generate(case: &Case, files: &dyn Files) -> Result<Conv2dProblem, String> {
        let shape = shapes(case);
        let [batch, channels, height, width] = shape.input_shape();
        let outputs = shape.outputs;
        let (x_len, depth) =
            (batch * channels * height * width, shape.depth().map_err(|e| e.to_string())?);
        let (exact, seed) = (case.word("data") == "exact", inputs::seed(case));
        let int8 = case.word("format") == "int8";
        let x_rule = int8.then(|| named::onnx(Levels::Int8));
        let w_rule = int8.then(|| named::absmax(Levels::Int8));
        let draw = |rule: &Option<Rule>, stream, shape| {
            let rule = rule.as_ref().map(|rule| (rule, Levels::Int8));
            inputs::values(case, rule, stream, shape, files)
        };
        let x_f32 = draw(&x_rule, Stream::Activation, (x_len, width))?;
        let w_f32 = draw(&w_rule, Stream::Weight, (outputs * depth, depth))?;
        let tensors = match (&x_rule, &w_rule) {
            (Some(x_rule), Some(w_rule)) => {
                let (x, x_scales) = codes(x_rule, &x_f32, width);
                let (w, w_scales) = codes(w_rule, &w_f32, depth);
                Conv2dTensors::Int8 { x, x_scale: x_scales[0], w, w_scales }
            }
            _ => Conv2dTensors::F32,
        };
        Ok(Conv2dProblem { shape, tensors, x_f32, w_f32, exact, seed })
    }

    fn reference(problem: &Conv2dProblem) -> Conv2dReference {
        Conv2dReference::new(problem)
    }

    fn expect(
        problem: &Conv2dProblem,
        reference: &Conv2dReference,
        arithmetic: Arithmetic,
        got: &Outputs,
    ) -> Expectation {
        oracle::expect(problem, reference, arithmetic, got)
    }

    fn parts(problem: &mut Self::Problem) -> Vec<Part<'_>> {
        let row_len = problem.shape.input[1];
        let window: usize = problem.shape.window.kernel.iter().product();
        let mut parts = vec![
            Part::values("x_f32", &mut problem.x_f32, row_len),
            Part::values("w_f32", &mut problem.w_f32, window),
        ];
        if let Conv2dTensors::Int8 { x, x_scale, w, w_scales } = &mut problem.tensors {
            parts.extend([
                Part::rows(("x", Role::Codes), &mut x[..], row_len),
                Part::scales("x_scale", vec![x_scale]),
                Part::rows(("w", Role::Codes), &mut w[..], window),
                Part::scales("w_scales", &mut w_scales[..]),
            ]);
        }
        parts
    }

    fn quality(problem: &Conv2dProblem, reference: &Conv2dReference) -> Option<Quality> {
        reference.quality(problem)
    }

    /// Images of floats: int8 ones share a scale.
    fn fewer(case: &Case) -> Option<Case> {
        inputs::fewer(case, "batch").filter(|_| case.word("format") == "f32")
    }

    fn storage(problem: &Conv2dProblem) -> Storage {
        let elements = problem.w_f32.len() as u64;
        let (bytes, scales) = match &problem.tensors {
            Conv2dTensors::F32 => (4, 0),
            Conv2dTensors::Int8 { w_scales, .. } => (1, w_scales.len() as u64),
        };
        Storage { elements, artifact_bytes: bytes * elements, scale_bytes: 4 * scales }
    }

    fn predicted_zeros(problem: &Conv2dProblem) -> Option<f64> {
        Some(oracle::predicted_zeros(problem))
    }
}

/// Codes and scales of rows of `row_len`.
fn codes(rule: &Rule, values: &[f32], row_len: usize) -> (Vec<i8>, Vec<f32>) {
    let q = quantize(rule, Levels::Int8, values, rule.group_len(values.len(), row_len));
    match Levels::Int8.tensor(&q.codes) {
        Tensor::I8(codes) => (codes, q.scales()),
        other => unreachable!("int8 codes are {}", other.type_name()),
    }
}
