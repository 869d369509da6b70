//! Gradients of both projections, two ways: Burn's automatic differentiation through
//! straight-through estimators, in f32, and the analytic ones of `op::projection`, in f64.
use burn::backend::Autodiff;
use burn::tensor::{Tensor, TensorData, activation};
use burn_ndarray::NdArray;
use lowbit_reference::bound;
use lowbit_reference::data::{Distribution, Stream, realistic};
use lowbit_reference::fake_quantize::ByRule;
use lowbit_reference::format::Levels;
use lowbit_reference::op::projection::{
    Accumulator, Coded, Contraction, DecoderTail, Gradients, IntegerProjection, LowrankProjection,
    Projection,
};
use lowbit_reference::rule::{
    Granularity, Groups, Rule, activation_rule, quantize, quantize_groups, weight_rule,
};
use lowbit_reference::ste::fake_quantize;

type Tracked = Autodiff<NdArray<f32>>;
type Tensor4 = Tensor<Tracked, 4>;

/// A shape and its product on tensors, from the input and the weight as they are stored.
struct Differentiated<S> {
    shape: S,
    product: fn(&S, Tensor4, Tensor4) -> Tensor4,
}

fn lowrank(input_heads: usize) -> Differentiated<LowrankProjection> {
    let shape = LowrankProjection {
        batch: 2,
        input_heads,
        heads: 3,
        time: 4,
        embd: 16,
        packed_latent: 7,
        latent: 6,
    };
    // [B, H or 1, T, E] by [1, H, E, L].
    let product = |s: &LowrankProjection, x: Tensor4, w: Tensor4| {
        let x = x.expand([s.batch, s.heads, s.time, s.embd]);
        let w = w.reshape([1, s.heads, s.embd, s.packed_latent]);
        let w = w.slice([0..1, 0..s.heads, 0..s.embd, 0..s.latent]);
        x.matmul(w.expand([s.batch, s.heads, s.embd, s.latent]))
    };
    Differentiated { shape, product }
}

fn tail() -> Differentiated<DecoderTail> {
    let shape = DecoderTail { batch: 2, heads: 3, time: 4, latent: 5, latent_total: 21, dim: 6 };
    // [B, H, T, L] by [1, H, L, D], summed over heads.
    let product = |s: &DecoderTail, x: Tensor4, w: Tensor4| {
        let packed = s.latent_total / s.heads;
        let w = w.reshape([1, s.heads, packed, s.dim]);
        let w = w.slice([0..1, 0..s.heads, 0..s.latent, 0..s.dim]);
        x.matmul(w.expand([s.batch, s.heads, s.latent, s.dim])).sum_dim(1)
    };
    Differentiated { shape, product }
}

/// Quantizers of a projection: a scale a token, one for the weight.
#[derive(Clone, Copy)]
struct Quantizers {
    input: ByRule,
    weight: ByRule,
}

fn quantizers(activation: &str, (weight, levels): (&str, Levels)) -> Quantizers {
    let input = activation_rule(activation, Levels::Int8).unwrap();
    let weight = weight_rule(weight, levels).unwrap();
    let weight = Rule { granularity: Granularity::Tensor, ..weight };
    Quantizers {
        input: ByRule { rule: input, levels: Levels::Int8 },
        weight: ByRule { rule: weight, levels },
    }
}

fn tensor(values: &[f32], shape: [usize; 4]) -> Tensor4 {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), &Default::default())
}

fn values(tensor: Tensor4) -> Vec<f32> {
    tensor.to_data().into_vec().expect("f32")
}

fn len(shape: &[usize]) -> usize {
    shape.iter().product()
}

/// The bound of an f32 sum of `count` products whose magnitudes sum to `magnitude`.
#[allow(clippy::cast_sign_loss, reason = "a count, as a sum of ones")]
fn bound_of(count: f32, magnitude: f32) -> f64 {
    bound::dot(count as usize, f64::from(magnitude))
}

/// Within the bound of f32 sums of `counts` products whose magnitudes sum to `magnitudes`.
fn check(name: &str, got: &[f32], want: &[f32], counts: &[f32], magnitudes: &[f32]) {
    assert_eq!(got.len(), want.len(), "{name}");
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        let off = (f64::from(*got) - f64::from(*want)).abs();
        let bound = bound_of(counts[i], magnitudes[i]);
        assert!(off <= bound, "{name}[{i}]: {got}, analytic {want}, bound {bound:e}");
    }
}

/// What Burn makes of a projection.
struct Burn {
    /// Input and weight, fake-quantized.
    quantized: [Vec<f32>; 2],
    y: Vec<f32>,
    by_x: Vec<f32>,
    by_w: Vec<f32>,
}

impl<S: Contraction + Copy> Differentiated<S> {
    fn by_burn(&self, [x, w, upstream]: [&[f32]; 3], by: Quantizers, relu: Option<f32>) -> Burn {
        let tracked_x = tensor(x, self.shape.input_shape()).require_grad();
        let tracked_w = tensor(w, [1, 1, 1, w.len()]).require_grad();
        let vx = fake_quantize(&by.input, tracked_x.clone()).unwrap();
        let vw = fake_quantize(&by.weight, tracked_w.clone()).unwrap();
        let quantized = [&vx, &vw].map(|v| values(v.clone().detach()));
        let mut y = (self.product)(&self.shape, vx, vw);
        if let Some(threshold) = relu {
            y = activation::relu(y - threshold);
        }
        let upstream = tensor(upstream, self.shape.output_shape());
        let gradients = (y.clone() * upstream).sum().backward();
        let gradient = |x: &Tensor4| -> Vec<f32> {
            let gradient = x.grad(&gradients).expect("a gradient");
            gradient.to_data().into_vec().expect("f32")
        };
        let [by_x, by_w] = [&tracked_x, &tracked_w].map(gradient);
        Burn { quantized, y: values(y), by_x, by_w }
    }

    fn check(&self, name: &str, by: Quantizers, relu_threshold: Option<f32>) {
        let (input_shape, weight_shape) = (self.shape.input_shape(), self.shape.weight_shape());
        let draw = |stream, len| realistic(Distribution::StudentT, (17, stream), (len, len), 0.7);
        let x = draw(Stream::Activation, len(&input_shape));
        let w = draw(Stream::Weight, len(&weight_shape));
        let upstream = draw(Stream::State, len(&self.shape.output_shape()));

        let groups = Groups::activation_heads(&by.input.rule, input_shape).unwrap();
        let qx = quantize_groups(&by.input.rule, by.input.levels, &x, &groups);
        let qw = quantize(&by.weight.rule, by.weight.levels, &w, w.len());
        let (sx, sw) = (qx.scales(), qw.scales());
        let exact = IntegerProjection {
            shape: self.shape,
            input: Coded { codes: &qx.codes, limit: 128, scales: &sx },
            weight: Coded { codes: &qw.codes, limit: 128, scales: &sw },
            accumulator: Accumulator::I32,
            relu_threshold,
        };
        let analytic = exact.gradients(&upstream).unwrap();
        assert!(sx.len() == self.shape.tokens() && sw.len() == 1, "{name}");

        let burn = self.by_burn([&x, &w, &upstream], by, relu_threshold);

        // Sums of ones count the products; sums of magnitudes bound them. A relu makes neither
        // larger.
        let of = |input: &[f32], weight: &[f32], upstream: &[f32]| {
            let sums = Projection { shape: self.shape, input, weight, relu_threshold: None };
            (sums.forward().unwrap(), sums.gradients(upstream).unwrap())
        };
        let ones = |len: usize| vec![1.0; len];
        let (y_counts, counts) = of(&ones(x.len()), &ones(w.len()), &ones(upstream.len()));
        let absolute: Vec<f32> = upstream.iter().map(|g| g.abs()).collect();
        let [ax, aw] = burn.quantized.map(|v| v.iter().map(|v| v.abs()).collect::<Vec<_>>());
        let (mut y_magnitudes, magnitudes) = of(&ax, &aw, &absolute);
        y_magnitudes.iter_mut().for_each(|y| *y += relu_threshold.unwrap_or(0.0).abs());
        let want = exact.forward().unwrap();
        check(&format!("{name} y"), &burn.y, &want, &y_counts, &y_magnitudes);
        let Gradients { input, weight } = analytic;
        check(&format!("{name} dx"), &burn.by_x, &input, &counts.input, &magnitudes.input);
        check(&format!("{name} dw"), &burn.by_w, &weight, &counts.weight, &magnitudes.weight);
        assert!(burn.by_x.iter().chain(&burn.by_w).any(|g| *g != 0.0), "{name}");
        // Some outputs are above a threshold and some below, none where f32 could not tell.
        if let Some(threshold) = relu_threshold {
            let sums = IntegerProjection { relu_threshold: None, ..exact }.forward().unwrap();
            let below = sums.iter().filter(|y| **y < threshold).count();
            assert!(below > 0 && below < sums.len(), "{name}");
            for (i, y) in sums.iter().enumerate() {
                let distance = f64::from((y - threshold).abs());
                let bound = bound_of(y_counts[i] + 1.0, y_magnitudes[i]);
                assert!(distance > bound, "{name}: output {i} is at the threshold");
            }
        }
    }

    fn check_all(&self, name: &str, whole_tokens: Option<usize>) {
        let weights = [("burn_dragon", Levels::Ternary), ("b158", Levels::Ternary)];
        let weights = weights.into_iter().chain([("absmax", Levels::Int8), ("b1", Levels::Sign)]);
        for (rule, levels) in weights.chain([("burn_dragon", Levels::Int8)]) {
            for activation in ["b158", "absmax"] {
                let mut by = quantizers(activation, (rule, levels));
                if let Some(heads) = whole_tokens {
                    by.input.rule.granularity = Granularity::HeadGroup;
                    by.input.rule.group_size = heads;
                }
                let name = format!("{name} {activation} {rule} {levels:?}");
                self.check(&name, by, None);
                self.check(&format!("{name} relu"), by, Some(0.125));
            }
        }
    }
}

#[test]
fn lowrank_projection_differentiates_to_the_analytic_gradients() {
    lowrank(3).check_all("lowrank", None);
    lowrank(1).check_all("lowrank of one head", None);
}

/// An output sums over heads, so a scale is that of a token in all of them.
#[test]
fn decoder_tail_differentiates_to_the_analytic_gradients() {
    tail().check_all("tail", Some(3));
}
