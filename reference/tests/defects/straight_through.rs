//! Defects 2 and 11: straight-through estimators with two gradients and without their value.
use crate::source::fake;
use burn::backend::Autodiff;
use burn::tensor::{Tensor, TensorData};
use burn_ndarray::NdArray;
use lowbit_reference::bound::gamma;
use lowbit_reference::fake_quantize::{ByRule, FakeQuantize};
use lowbit_reference::format::Levels;
use lowbit_reference::op::projection::{Contraction, DecoderTail, LowrankProjection, Projection};
use lowbit_reference::rule::burn_dragon;
use lowbit_reference::ste::{fake_quantize, straight_through};

type Tracked = Autodiff<NdArray<f32>>;
type Tensor4 = Tensor<Tracked, 4>;

fn tensor<const D: usize>(values: &[f32], shape: [usize; D]) -> Tensor<Tracked, D> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), &Default::default())
}

fn values<const D: usize>(tensor: Tensor<Tracked, D>) -> Vec<f32> {
    tensor.to_data().into_vec().expect("f32")
}

/// The source's (lines 3335, 3381, 3463 and 3486): the value of the reference, both gradients.
fn source(reference: Tensor4, native: Tensor4) -> Tensor4 {
    reference + native.clone() - native.detach()
}

/// Ours: the value of the kernel, the gradient of the reference.
fn ours(reference: Tensor4, native: Tensor4) -> Tensor4 {
    straight_through(reference, native)
}

/// Two tokens of four latents, or two heads of two tokens of two; four rows of three weights.
struct Demo {
    input: [usize; 4],
    weight: [usize; 4],
    product: fn(Tensor4, Tensor4) -> Tensor4,
}

const LOWRANK: Demo =
    Demo { input: [1, 1, 2, 4], weight: [1, 1, 4, 3], product: |x, w| x.matmul(w) };
const TAIL: Demo =
    Demo { input: [1, 2, 2, 2], weight: [1, 2, 2, 3], product: |x, w| x.matmul(w).sum_dim(1) };

fn input() -> Vec<f32> {
    (0..8).map(|i| (i as f32 - 3.0) * 0.3).collect()
}

/// -0.9, -0.3, 0.3 and 0.9, three times each: scale 0.6, codes -1, 0, 0 and 1.
fn weight() -> Vec<f32> {
    (0..12).map(|i| ((i / 3) as f32 - 1.5) * 0.6).collect()
}

fn activations() -> ByRule {
    ByRule { rule: burn_dragon(Levels::Int8), levels: Levels::Int8 }
}

fn weights() -> ByRule {
    ByRule { rule: burn_dragon(Levels::Ternary), levels: Levels::Ternary }
}

impl Demo {
    /// The output and the gradients of its sum by input and weight. The kernel computes `times`
    /// the reference, from the same input and the codes of the weight, which have no gradient.
    fn run(&self, combine: fn(Tensor4, Tensor4) -> Tensor4, times: f32) -> [Vec<f32>; 3] {
        let x = tensor(&input(), self.input).require_grad();
        let w = tensor(&weight(), self.weight).require_grad();
        let q = fake_quantize(&activations(), x.clone()).unwrap();
        let v = fake_quantize(&weights(), w.clone()).unwrap();
        let native = (self.product)(q.clone(), v.clone().detach()) * times;
        let y = combine((self.product)(q, v), native);
        let gradients = y.clone().sum().backward();
        let gradient = |x: &Tensor4| x.grad(&gradients).expect("a gradient").to_data();
        let [by_x, by_w] = [&x, &w].map(|x| gradient(x).into_vec().expect("f32"));
        [values(y), by_x, by_w]
    }

    fn check(&self, shape: impl Contraction, want: [f32; 8]) {
        let (q, v) = (
            activations().fake_quantize(&input(), &self.input).unwrap(),
            weights().fake_quantize(&weight(), &self.weight).unwrap(),
        );
        let exact = Projection { shape, input: &q, weight: &v, relu_threshold: None };
        let outputs = exact.forward().unwrap();
        let analytic = exact.gradients(&vec![1.0; outputs.len()]).unwrap();
        let [y, by_x, by_w] = self.run(ours, 1.0);
        // Sums of three equal floats or of two: one rounding, there as in f64.
        assert_eq!((by_x.clone(), by_w.clone()), (analytic.input, analytic.weight));
        // By hand: three weights of -0.6, 0, 0 or 0.6, each rounded a few times.
        for (got, want) in by_x.iter().zip(want) {
            assert!((got - want).abs() <= want.abs() * gamma(8) as f32, "{got} {want}");
        }
        let [source_y, source_by_x, source_by_w] = self.run(source, 1.0);
        let twice: Vec<f32> = by_x.iter().map(|gradient| 2.0 * gradient).collect();
        assert_eq!((source_by_x, source_by_w), (twice, by_w), "-3.6 for -1.8");
        // Four products of at most 1.2 by 0.6, and the detour over the kernel's value.
        let near = |a: &[f32], b: &[f32]| {
            a.iter().zip(b).all(|(a, b)| f64::from((a - b).abs()) <= gamma(16) * 2.88)
        };
        assert!(near(&y, &outputs) && near(&source_y, &outputs));

        // A kernel that computes something else: the source never shows it.
        let [y, by_x, _] = self.run(ours, 1.5);
        let [source_y, source_by_x, _] = self.run(source, 1.5);
        let native: Vec<f32> = outputs.iter().map(|y| 1.5 * y).collect();
        assert!(near(&source_y, &outputs) && !near(&source_y, &native));
        assert!(near(&y, &native));
        assert!(near(&by_x, &want) && !near(&source_by_x, &want));
    }
}

#[test]
fn defect_02_the_training_fallback_doubles_gradients_and_drops_the_kernels_output() {
    let shape = LowrankProjection {
        batch: 1,
        input_heads: 1,
        heads: 1,
        time: 2,
        embd: 4,
        packed_latent: 3,
        latent: 3,
    };
    LOWRANK.check(shape, [-1.8, 0.0, 0.0, 1.8, -1.8, 0.0, 0.0, 1.8]);
    let shape = DecoderTail { batch: 1, heads: 2, time: 2, latent: 2, latent_total: 4, dim: 3 };
    TAIL.check(shape, [-1.8, 0.0, -1.8, 0.0, 0.0, 1.8, 0.0, 1.8]);
}

#[test]
fn defect_11_the_forward_value_is_not_the_quantized_one() {
    let x = [0.02, 0.02, 0.02, 1e6];
    // Mean 250,000.015, and floats there are multiples of 1/64.
    let q = [0.0, 0.0, 0.0, 250_000.0 + 1.0 / 64.0];
    assert_eq!(weights().fake_quantize(&x, &[4]).unwrap(), q);
    let there = [0.0, 0.0, 0.0, 250_000.0];
    assert_eq!(fake::ternary(&x), there);
    let tracked = tensor(&x, [4]).require_grad();
    let usual = tracked.clone() + (tensor(&q, [4]) - tracked.clone()).detach();
    assert_eq!(values(usual), there, "the same on tensors");
    let y = fake_quantize(&weights(), tracked.clone()).unwrap();
    assert_eq!(values(y.clone()), q);
    let gradients = y.sum().backward();
    let gradient: Vec<f32> = tracked.grad(&gradients).unwrap().to_data().into_vec().unwrap();
    assert_eq!(gradient, [1.0; 4]);
}
