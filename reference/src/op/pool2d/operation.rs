//! `pool2d` as an operation with rows: maxima, averages by either count, and both over the whole
//! image.
//!
//! A maximum is exact, NaN and minus infinity included. An average is a sum in f32, in any order,
//! and one division; in tier `exact` the sum is an exact float, and the quotient the nearest one.
//! The oracle compares a sample of the outputs above 2^27 pixels under windows.
use super::super::{
    Arithmetic, Bound, Expectation, Expected, Op, OpSpec, Outputs, Storage, Tensor,
};
use super::super::{Work, image, inputs, shape};
use super::{Divisor, Pool2dShape, Window, largest, mean, sums};
use crate::bound;
use crate::case::{Case, Kind, Param, Word};
use crate::data::{Files, Stream};
use crate::invalid::Invalid;
use crate::op::part::Part;
use crate::quality::Quality;
use rayon::prelude::*;

const KIND: Param = Param {
    key: "kind",
    kind: Kind::Word(|| words(["max", "average"])),
    about: "max or average",
    when: None,
    default: None,
};
const DIVISOR: Param = Param {
    key: "divisor",
    kind: Kind::Word(|| words(["valid", "padded"])),
    about: "an average divides by the pixels of the image under the window, or of its padding too",
    when: Some(("kind", &["average"])),
    default: Some("valid"),
};
const WINDOW: Param = Param {
    key: "window",
    kind: Kind::Word(|| words(["sliding", "global"])),
    about: "a window that slides, or the whole image",
    when: None,
    default: Some("sliding"),
};
const CEIL_MODE: Param = Param {
    key: "ceil_mode",
    kind: Kind::Number { min: 0, max: 1 },
    about: "1 keeps a last window that reaches beyond the padding",
    when: Some(("window", &["sliding"])),
    default: Some("0"),
};

fn words<const N: usize>(names: [&'static str; N]) -> Vec<Word> {
    names.map(|name| Word { name, aliases: &[] }).to_vec()
}

const fn sliding(param: Param) -> Param {
    Param { when: Some(("window", &["sliding"])), ..param }
}

const TAPS: [Param; 8] = image::window_params("2", "2");

/// Name and parameters.
pub static SPEC: OpSpec = OpSpec {
    name: "pool2d",
    about: "the maximum or the average of the f32 pixels under each window, channel by channel",
    params: &[
        KIND,
        DIVISOR,
        image::BATCH,
        image::C_IN,
        image::HEIGHT,
        image::WIDTH,
        WINDOW,
        sliding(TAPS[0]),
        sliding(TAPS[1]),
        sliding(TAPS[2]),
        sliding(TAPS[3]),
        sliding(TAPS[4]),
        sliding(TAPS[5]),
        sliding(TAPS[6]),
        sliding(TAPS[7]),
        CEIL_MODE,
        inputs::DRAWN,
        inputs::PATTERN,
        inputs::DISTRIBUTION,
        inputs::KEPT_FILE,
        inputs::SEED,
    ],
    validate: |case| check(case).map_err(|invalid| image::refused(case, &invalid)),
    work,
};

/// The shapes of a case; a global window is as large as the image.
fn shapes(case: &Case) -> Pool2dShape {
    let [batch, channels] = ["batch", "c_in"].map(|key| case.number(key));
    let input = [case.number("height"), case.number("width")];
    let window = match case.word("window") {
        "global" => Window { kernel: input, stride: [1; 2], pads: [0; 4], dilation: [1; 2] },
        _ => image::window(case),
    };
    Pool2dShape { batch, channels, input, window, ceil_mode: case.number("ceil_mode") == 1 }
}

fn check(case: &Case) -> Result<(), Invalid> {
    let shapes = shapes(case);
    image::check_padded(shapes.input_shape(), &shapes.window)?;
    shape::values("y", &shapes.output_shape()?).map(drop)
}

/// No multiplications; every pixel is read once.
fn work(case: &Case) -> Work {
    let shapes = shapes(case);
    let bytes =
        |shape: [usize; 4]| shape.iter().fold(4u64, |bytes, dim| bytes.saturating_mul(*dim as u64));
    Work {
        macs: 0,
        bytes_read: bytes(shapes.input_shape()),
        bytes_written: shapes.output_shape().map_or(0, bytes),
    }
}

/// What becomes of the pixels under a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// The largest.
    Max,
    /// Their sum over a count.
    Average(Divisor),
}

/// Everything one `pool2d` needs.
#[derive(Debug)]
pub struct Pool2dProblem {
    /// The shapes, valid.
    pub shape: Pool2dShape,
    /// What is done.
    pub pooling: Pooling,
    /// Pixels, `[N, C, H, W]`.
    pub x: Vec<f32>,
    /// Whether the data are of tier `exact`: small integers.
    pub exact: bool,
    /// Seed of the sample of a large output.
    pub seed: u64,
}

/// The outputs compared.
#[derive(Debug)]
pub struct Pool2dReference {
    /// Positions compared; `None` for all.
    positions: Option<Vec<usize>>,
    /// Length of the output.
    len: usize,
    values: Vec<f32>,
    /// How far off a sum in f32 and its quotient may be; empty for maxima.
    bounds: Vec<f64>,
}

/// The operation.
#[derive(Debug)]
pub struct Pool2d;

impl Op for Pool2d {
    const SPEC: &'static OpSpec = &SPEC;
    type Problem = Pool2dProblem;
    type Reference = Pool2dReference;

    fn generate(case: &Case, files: &dyn Files) -> Result<Pool2dProblem, String> {
        let shape = shapes(case);
        let len = shape.input_shape().iter().product();
        let x = inputs::values(case, None, Stream::Activation, (len, shape.input[1]), files)?;
        let pooling = match (case.word("kind"), case.word("divisor")) {
            ("max", _) => Pooling::Max,
            (_, "padded") => Pooling::Average(Divisor::Padded),
            _ => Pooling::Average(Divisor::Valid),
        };
        let (exact, seed) = (case.word("data") == "exact", inputs::seed(case));
        Ok(Pool2dProblem { shape, pooling, x, exact, seed })
    }

    fn reference(p: &Pool2dProblem) -> Pool2dReference {
        let output @ [_, _, height, width] = p.shape.output_shape().unwrap_or([0; 4]);
        let (len, kernel) = (output.iter().product(), p.shape.window.kernel);
        let pixels = (kernel[0] as u64 * kernel[1] as u64).saturating_mul(len as u64);
        let positions = (pixels > image::EXHAUSTIVE).then(|| image::sample(output, p.seed));
        let compared = positions.clone().unwrap_or_else(|| (0..len).collect());
        let (values, bounds) = compared
            .into_par_iter()
            .map(|index| {
                p.shape
                    .output(&p.x, [height, width], index, |pixels, padded| one(p, pixels, padded))
            })
            .unzip();
        Pool2dReference { positions, len, values, bounds }
    }

    fn expect(
        _: &Pool2dProblem,
        reference: &Pool2dReference,
        _: Arithmetic,
        _: &Outputs,
    ) -> Expectation {
        let bound = match reference.bounds.iter().all(|bound| *bound == 0.0) {
            true => Bound::Exact,
            false => Bound::Componentwise(reference.bounds.clone()),
        };
        let mut y = Expected::all("y", Tensor::F32(reference.values.clone()), bound);
        y.at.clone_from(&reference.positions);
        y.len = reference.len;
        Expectation { outputs: vec![y], faults: Vec::new() }
    }

    fn parts(problem: &mut Self::Problem) -> Vec<Part<'_>> {
        vec![Part::values("x", &mut problem.x, problem.shape.input[1])]
    }

    fn quality(_: &Pool2dProblem, _: &Pool2dReference) -> Option<Quality> {
        None
    }

    fn fewer(case: &Case) -> Option<Case> {
        inputs::fewer(case, "batch")
    }

    fn storage(problem: &Pool2dProblem) -> Storage {
        let elements = problem.x.len() as u64;
        Storage { elements, artifact_bytes: 4 * elements, scale_bytes: 0 }
    }

    fn predicted_zeros(_: &Pool2dProblem) -> Option<f64> {
        None
    }
}

/// One output, and how far off it may be. A sum of `n` terms has at most `n` roundings, the
/// quotient one more, and [`bound::dot`] allows for both; small integers add exactly below 2^24.
fn one(p: &Pool2dProblem, pixels: &mut dyn Iterator<Item = f32>, padded: usize) -> (f32, f64) {
    let Pooling::Average(divisor) = p.pooling else { return (largest(pixels), 0.0) };
    let (sum, magnitude, valid) = sums(pixels);
    let count = if divisor == Divisor::Valid { valid } else { padded };
    let exact = p.exact && magnitude < f64::from(1 << 24);
    let bound = if exact { 0.0 } else { bound::dot(valid, magnitude / count.max(1) as f64) };
    (mean(sum, count), bound)
}
