//! What the answers must be: the reference's codes, sums in f64, and bounds from the magnitudes.
use lowbit_reference::codes::Levels;
use lowbit_reference::estimator::Estimator;
use lowbit_reference::fake_quantize::ByRule;
use lowbit_reference::op::projection::{
    Contraction, DecoderTail, Gradients, LowrankProjection, Projection,
};
use lowbit_reference::rule::{Range, Rule, quantize};
use lowbit_training::Coding;

/// Values at clip edges are whole multiples of it.
const UNIT: f32 = 1.0 / 64.0;
/// Steps through such values: no length here is a multiple of it.
const PRIME: usize = 1009;

/// Shapes of one projection.
#[derive(Clone, Debug)]
pub(crate) struct Example {
    pub(crate) x: [usize; 4],
    pub(crate) w: Vec<usize>,
    /// Columns used; none for the decoder.
    pub(crate) latent: Option<usize>,
    pub(crate) relu_threshold: Option<f32>,
}

/// Input, latent weight, and the gradient of the output.
pub(crate) struct Data {
    pub(crate) x: Vec<f32>,
    pub(crate) w: Vec<f32>,
    pub(crate) g: Vec<f32>,
}

/// Output and gradients; or the bound of each of their values.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answers {
    pub(crate) y: Vec<f32>,
    pub(crate) input: Vec<f32>,
    pub(crate) weight: Vec<f32>,
}

/// Odd sizes, one head for all and one each, fewer latents than there are, a single token of one head and
/// of three.
pub(crate) fn examples() -> Vec<Example> {
    let example = |x, w: &[usize], latent, relu_threshold| Example {
        x,
        w: w.to_vec(),
        latent,
        relu_threshold,
    };
    vec![
        example([2, 1, 5, 37], &[3, 37, 19], Some(19), Some(0.125)),
        example([2, 3, 5, 37], &[3, 37, 19], Some(11), Some(0.0)),
        example([1, 1, 1, 64], &[2, 64, 32], Some(32), None),
        example([1, 3, 1, 37], &[3, 37, 19], Some(19), None),
        example([1, 2, 33, 70], &[2, 70, 65], Some(65), Some(-0.25)),
        example([2, 3, 5, 17], &[3 * 17, 23], None, None),
        example([1, 3, 20, 13], &[3 * 16, 33], None, Some(0.5)),
        example([1, 1, 1, 5], &[5, 3], None, None),
    ]
}

/// Weight and activation; one scale for all, and for the input of each head also one for each token;
/// some of either clipped.
pub(crate) fn codings(example: &Example) -> Vec<[Coding; 2]> {
    let per_token = |[weight, activation]: &[Coding; 2]| [*weight, activation.per_token()];
    let [ternary, of_means, centred, _, int8] = of_tensors();
    let half = int8.map(|coding| {
        let rule = Rule { times: 0.5, min_code: -128, ..*coding.rule() };
        Coding::new(coding.format(), rule).unwrap()
    });
    let clipped = [[ternary[0], of_means[1]], centred, half].map(|both| both.map(Coding::clipped));
    let mut all = [&of_tensors()[..], &clipped].concat();
    if example.latent.is_some() {
        all.extend(of_tensors().iter().map(per_token));
        all.push([of_means[0], of_means[1].per_token().clipped()]);
    }
    all
}

/// Those of one scale for all.
pub(crate) fn of_tensors() -> [[Coding; 2]; 5] {
    let of = |weight: [&str; 2], activation: &str| {
        let weight = Coding::weight(weight[0], weight[1]).unwrap();
        [weight, Coding::activation("int8", activation).unwrap()]
    };
    [
        of(["ternary2", "b158"], "absmax"),
        of(["ternary2", "burn_dragon"], "burn_dragon"),
        of(["sign1", "b1"], "onnx"),
        of(["sign1", "burn_dragon"], "burn_dragon"),
        of(["int8", "absmax"], "absmax"),
    ]
}

/// A sequence in [-1, 1) that is the same everywhere.
fn drawn(len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

/// Drawn values in rows, of which none is of the size of the one before.
pub(crate) fn rows(len: usize, row_len: usize) -> Vec<f32> {
    let size = |at: usize| 1.0 + (at / row_len % 3) as f32;
    drawn(len, 1).iter().enumerate().map(|(at, value)| value * size(at)).collect()
}

impl Example {
    fn lens(&self) -> [usize; 3] {
        let outputs = match self.shape() {
            Shape::Lowrank(shape) => shape.output_shape(),
            Shape::Decoder(shape) => shape.output_shape(),
        };
        [self.x.iter().product(), self.w.iter().product(), outputs.iter().product()]
    }

    /// Drawn values.
    pub(crate) fn drawn(&self, codings: [Coding; 2]) -> Data {
        let [x, w, g] = self.lens();
        let x = rows(x, self.x[3]);
        self.decided(codings, false, Data { x, w: drawn(w, 2), g: drawn(g, 3) })
    }

    /// Values on every border under a scale that is a power of two, of the input in every row: ties of
    /// both signs, the clip edges, zeros of both signs, and a saturated tail where the rule has one.
    pub(crate) fn planted(&self, codings: [Coding; 2]) -> Data {
        let [x, w, g] = self.lens();
        // The largest is 127 steps of 1/64; the others are multiples of half a step.
        let halves = |len: usize, edged: usize, seed: u64| -> Vec<f32> {
            let mut values: Vec<f32> =
                drawn(len, seed).iter().map(|v| (v * 254.0).round() / 128.0).collect();
            for row in values.chunks_mut(edged) {
                let edges = [127.0 / 64.0, -127.0 / 64.0, -0.0];
                row.iter_mut().zip(edges).for_each(|(value, edge)| *value = edge);
            }
            values
        };
        let (x, w) = (halves(x, self.x[3], 4), halves(w, w, 5));
        let exact = is_exact(codings);
        // Gradients of few bits, whose sums are exact where codes and scales are.
        let bits = |g: f32| if exact { (g * 64.0).round() / 64.0 } else { g };
        let g = drawn(g, 6).into_iter().map(bits).collect();
        self.decided(codings, exact, Data { x, w, g })
    }

    /// Values at the clip edges and on both sides of them, half of the rest negative: scales are exact.
    pub(crate) fn edged(&self, codings: [Coding; 2]) -> Data {
        let ([x, w, g], [weight, activation]) = (self.lens(), codings);
        let (x, w) = (edged(activation, x, self.x[3]), edged(weight, w, w));
        self.decided(codings, false, Data { x, w, g: drawn(g, 7) })
    }

    /// Nothing flows back from where a relu is not decided: within four bounds of its threshold, or
    /// nowhere if sums are exact, so that what is at the threshold itself is held to the rule.
    fn decided(&self, codings: [Coding; 2], exact: bool, mut data: Data) -> Data {
        let Some(threshold) = self.relu_threshold.filter(|_| !exact) else { return data };
        let without = Example { relu_threshold: None, ..self.clone() };
        let (answers, bound) = expected(&without, codings, &data);
        for (i, g) in data.g.iter_mut().enumerate() {
            if (answers.y[i] - threshold).abs() <= 4.0 * bound.y[i] {
                *g = 0.0;
            }
        }
        data
    }

    fn shape(&self) -> Shape {
        let [batch, heads, time, inner] = self.x;
        match (self.latent, &self.w[..]) {
            (Some(latent), &[of_weight, embd, packed_latent]) => {
                let (input_heads, heads) = (heads, of_weight);
                Shape::Lowrank(LowrankProjection {
                    batch,
                    input_heads,
                    heads,
                    time,
                    embd,
                    packed_latent,
                    latent,
                })
            }
            (None, &[latent_total, dim]) => {
                Shape::Decoder(DecoderTail { batch, heads, time, latent: inner, latent_total, dim })
            }
            _ => panic!("{self:?}"),
        }
    }
}

/// Whether sums of planted values are exact in any order: of int8 codes under absmax both scales are 1/64.
pub(crate) fn is_exact(codings: [Coding; 2]) -> bool {
    let passes = |coding: &Coding| coding.estimator() == Estimator::Identity;
    codings[0].format().name() == "int8" && codings.iter().all(passes)
}

enum Shape {
    Lowrank(LowrankProjection),
    Decoder(DecoderTail),
}

/// Values in groups under a scale of 1, with some of them where gradients begin to stop. Where the largest
/// value is a code, none stops, and groups may be too short: these are drawn.
fn edged(coding: Coding, len: usize, row_len: usize) -> Vec<f32> {
    let (rule, levels) = (coding.rule(), coding.format().levels());
    let group_len = rule.group_len(len, row_len);
    if rule.range == Range::Absmax && rule.times == 0.5 {
        // Half the largest is 127 steps. Ties at 128.5 go back to -128, those at 127.5 to no code.
        let ends = [254.0, 127.5, 128.5];
        let beside = ends[1..].iter().flat_map(|end| [end - UNIT, end + UNIT]);
        let all = ends.into_iter().chain(beside).flat_map(|value| [value, -value]);
        let group: Vec<f32> = all.chain((0..len).map(|i| (i % 255) as f32 - 127.0)).collect();
        return (0..len).map(|at| group[at % group_len]).collect();
    }
    // In units: the mean that makes the scale 1, and the last value whose gradient may pass.
    let (mean, edge) = match (rule.range, levels) {
        (Range::Absmean, Levels::Int8) if rule.steps == 63.5 * rule.times => (4064, 8160),
        (Range::Absmean, _) if rule.steps == rule.times => (64, 64),
        _ => return rows(len, row_len),
    };
    let pairs = [edge, edge - 1, edge + 1, edge + edge / 2];
    let rest = group_len.saturating_sub(2 * pairs.len()) / 2;
    if rest < pairs.len() {
        return rows(len, row_len);
    }
    // What the others have to add up to: each has a share, and the first some one more.
    let Some(left) = (group_len * mean / 2).checked_sub(pairs.iter().sum()) else {
        return rows(len, row_len);
    };
    let other = |i: usize| left / rest + usize::from(i < left % rest);
    let all = pairs.into_iter().chain((0..rest).map(other));
    let all = all.map(|units| units as f32 * UNIT).flat_map(|value| [value, -value]);
    let group: Vec<f32> = all.chain([0.0]).take(group_len).collect();
    let moved = |at: usize| group[at % group_len * PRIME % group_len];
    (0..len).map(moved).collect()
}

/// The values that codes stand for, in rows of `row_len`.
pub(crate) fn dequantized(coding: Coding, x: &[f32], row_len: usize) -> Vec<f32> {
    let levels = coding.format().levels();
    let group_len = coding.rule().group_len(x.len(), row_len);
    let quantized = quantize(coding.rule(), levels, x, group_len);
    let scales = quantized.scales();
    let codes = quantized.codes.iter().enumerate();
    codes.map(|(i, code)| f32::from(*code) * scales[i / group_len]).collect()
}

/// What the reference answers, and the bound of each value: as many roundings as its sum has
/// products and forty for scales, on the magnitudes.
pub(crate) fn expected(example: &Example, codings: [Coding; 2], data: &Data) -> (Answers, Answers) {
    match example.shape() {
        Shape::Lowrank(shape) => of_shape(shape, example, codings, data),
        Shape::Decoder(shape) => of_shape(shape, example, codings, data),
    }
}

fn of_shape<S: Contraction + Copy>(
    shape: S,
    example: &Example,
    [weight, activation]: [Coding; 2],
    data: &Data,
) -> (Answers, Answers) {
    let w_row = example.w[example.w.len() - 1];
    let x = dequantized(activation, &data.x, example.x[3]);
    let w = dequantized(weight, &data.w, w_row);
    let relu_threshold = example.relu_threshold;
    let run = |x: &[f32], w: &[f32], g: &[f32], relu_threshold: Option<f32>| {
        let projection = Projection { shape, input: x, weight: w, relu_threshold };
        let Gradients { input, weight } = projection.gradients(g).unwrap();
        Answers { y: projection.forward().unwrap(), input, weight }
    };
    let passed = |coding: Coding, x: &[f32], row_len: usize, gradient: &[f32]| {
        let by = ByRule { rule: *coding.rule(), levels: coding.format().levels() };
        coding.estimator().gradient(&by, (x, &[x.len() / row_len, row_len]), gradient).unwrap()
    };
    let straight = run(&x, &w, &data.g, relu_threshold);
    let input = passed(activation, &data.x, example.x[3], &straight.input);
    let weight = passed(weight, &data.w, w_row, &straight.weight);
    let want = Answers { y: straight.y, input, weight };
    let magnitude = |values: &[f32]| values.iter().map(|v| v.abs()).collect::<Vec<_>>();
    let sums = run(&magnitude(&x), &magnitude(&w), &magnitude(&data.g), None);
    let products = shape.depth() * sums.y.len();
    let bound = |sums: &[f32], extra: f32| -> Vec<f32> {
        // A rounding for each product of a sum; both scales; a mean on the device.
        let unit = (products / sums.len() + 40) as f32 * f32::EPSILON;
        sums.iter().map(|sum| unit * (sum + extra) + f32::MIN_POSITIVE).collect()
    };
    let y = bound(&sums.y, relu_threshold.unwrap_or(0.0).abs());
    let bounds = Answers { y, input: bound(&sums.input, 0.0), weight: bound(&sums.weight, 0.0) };
    (want, bounds)
}

/// Whether all are within their bounds; else the first that is not.
pub(crate) fn compare(got: &Answers, want: &Answers, bound: &Answers) -> Result<(), String> {
    let all = [
        ("y", &got.y, &want.y, &bound.y),
        ("grad_input", &got.input, &want.input, &bound.input),
        ("grad_weight", &got.weight, &want.weight, &bound.weight),
    ];
    for (name, got, want, bound) in all {
        if got.len() != want.len() {
            return Err(format!("{name}: {} values for {}", got.len(), want.len()));
        }
        for (i, ((got, want), bound)) in got.iter().zip(want).zip(bound).enumerate() {
            let near = (got - want).abs() <= *bound;
            if !near {
                return Err(format!("{name}[{i}]: {got} for {want}, bound {bound:e}"));
            }
        }
    }
    Ok(())
}
