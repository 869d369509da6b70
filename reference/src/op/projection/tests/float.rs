//! Projections of floats and their gradients.
use super::super::float;
use super::*;

fn project<S: Contraction>(shape: S, x: &[f32], w: &[f32]) -> Vec<f32> {
    Projection { shape, input: x, weight: w, relu_threshold: None }.forward().unwrap()
}

#[test]
fn projections_are_those_of_the_definition() {
    for (input_heads, latent) in [(3, 6), (1, 6), (3, 7), (1, 1)] {
        let shape = LowrankProjection { input_heads, latent, ..LOWRANK };
        let [inputs, weights, outputs] = lens(&shape);
        let (x, w) = (values(inputs, 1), values(weights, 2));
        let y = project(shape, &x, &w);
        assert_eq!(y.len(), outputs);
        assert_eq!(y, lowrank_by_definition(shape, &x, &w), "{shape:?}");
    }
    for (heads, latent) in [(3, 5), (3, 7), (1, 20), (7, 1)] {
        let shape = DecoderTail { heads, latent, ..TAIL };
        let [inputs, weights, outputs] = lens(&shape);
        let (x, w) = (values(inputs, 1), values(weights, 2));
        let y = project(shape, &x, &w);
        assert_eq!((y.len(), shape.output_shape()), (outputs, [2, 1, 4, 6]));
        assert_eq!(y, tail_by_definition(shape, &x, &w), "{shape:?}");
    }
}

#[test]
fn a_sum_is_rounded_once() {
    let shape = LowrankProjection {
        batch: 1,
        input_heads: 1,
        heads: 1,
        time: 1,
        embd: 3,
        packed_latent: 1,
        latent: 1,
    };
    // In f32 the small term is lost before the large ones cancel.
    assert_eq!(project(shape, &[1e8, 1.0, -1e8], &[1.0; 3]), [1.0]);
    // Not a number and infinity are answers; a zero of products of -0 is +0.
    assert!(project(shape, &[f32::NAN, 1.0, 1.0], &[1.0; 3])[0].is_nan());
    assert_eq!(project(shape, &[f32::INFINITY, 1.0, 1.0], &[1.0; 3]), [f32::INFINITY]);
    assert_eq!(project(shape, &[-0.0; 3], &[1.0; 3])[0].to_bits(), 0);
}

/// The loss `sum g y` is linear in each value, and quadratic in none, so a central difference
/// has no truncation error: what is left is `2^-53` of the terms over the step.
fn check_gradients<S: Contraction + Copy + std::fmt::Debug>(shape: S, threshold: Option<f32>) {
    let [inputs, weights, outputs] = lens(&shape);
    let (x, w, g) = (values(inputs, 3), values(weights, 4), values(outputs, 5));
    let problem = Projection { shape, input: &x, weight: &w, relu_threshold: threshold };
    let got = problem.gradients(&g).unwrap();
    let double = |values: &[f32]| values.iter().map(|v| f64::from(*v)).collect::<Vec<f64>>();
    let (x, w) = (double(&x), double(&w));
    let loss = |x: &[f64], w: &[f64]| -> f64 {
        let y = float::sums(&shape, |i| x[i], |j| w[j]);
        y.iter().zip(&g).map(|(y, g)| activate(*y, threshold) * f64::from(*g)).sum()
    };
    const STEP: f64 = 1.0 / 1024.0;
    // Sums below 2^10 of multiples of 2^-16: nothing is rounded at all.
    for i in 0..inputs {
        let (mut up, mut down) = (x.clone(), x.clone());
        up[i] += STEP;
        down[i] -= STEP;
        let slope = (loss(&up, &w) - loss(&down, &w)) / (2.0 * STEP);
        assert_eq!(f64::from(got.input[i]), slope, "{shape:?} {threshold:?} input {i}");
    }
    for j in 0..weights {
        let (mut up, mut down) = (w.clone(), w.clone());
        up[j] += STEP;
        down[j] -= STEP;
        let slope = (loss(&x, &up) - loss(&x, &down)) / (2.0 * STEP);
        assert_eq!(f64::from(got.weight[j]), slope, "{shape:?} {threshold:?} weight {j}");
    }
}

#[test]
fn gradients_are_finite_differences() {
    // Sums are multiples of 1/16 and a step moves them by less than 1/32: with such a threshold
    // no difference straddles the kink.
    for threshold in [None, Some(1.0 / 32.0), Some(-3.0 - 1.0 / 32.0)] {
        for input_heads in [1, 3] {
            check_gradients(LowrankProjection { input_heads, ..LOWRANK }, threshold);
        }
        check_gradients(TAIL, threshold);
    }
}

#[test]
fn a_broadcast_head_sums_its_gradient_and_unused_latents_get_none() {
    let shared = LowrankProjection { input_heads: 1, ..LOWRANK };
    let [inputs, weights, outputs] = lens(&shared);
    let (x, w, g) = (values(inputs, 1), values(weights, 2), values(outputs, 3));
    // The same input written out for each head.
    let head = shared.time * shared.embd;
    let repeated: Vec<f32> = x.chunks(head).flat_map(|b| b.repeat(3)).collect();
    let one = Projection { shape: shared, input: &x, weight: &w, relu_threshold: None };
    let all = Projection { shape: LOWRANK, input: &repeated, weight: &w, relu_threshold: None };
    assert_eq!(one.forward().unwrap(), all.forward().unwrap());
    let (one, all) = (one.gradients(&g).unwrap(), all.gradients(&g).unwrap());
    assert_eq!(one.weight, all.weight);
    for (i, got) in one.input.iter().enumerate() {
        let (b, rest) = (i / head, i % head);
        let sum: f32 = (0..3).map(|h| all.input[(b * 3 + h) * head + rest]).sum();
        assert_eq!(*got, sum, "{i}");
    }
    let unused = |(j, g): (usize, &f32)| j % 7 != 6 || g.to_bits() == 0;
    assert!(one.weight.iter().enumerate().all(unused));
    assert!(one.weight.iter().any(|g| *g != 0.0));
}

#[test]
fn a_relu_passes_strictly_above_its_threshold() {
    let shape = LowrankProjection {
        batch: 1,
        input_heads: 1,
        heads: 1,
        time: 4,
        embd: 1,
        packed_latent: 1,
        latent: 1,
    };
    let x = [0.25, 0.5, 2.0, f32::NAN];
    let problem = Projection { shape, input: &x, weight: &[1.0], relu_threshold: Some(0.5) };
    let y = problem.forward().unwrap();
    assert_eq!(y[..3], [0.0, 0.0, 1.5]);
    assert!(y[3].is_nan());
    let got = problem.gradients(&[1.0, 1.0, 3.0, 1.0]).unwrap();
    assert_eq!(got, Gradients { input: vec![0.0, 0.0, 3.0, 0.0], weight: vec![6.0] });
    let error = Projection { relu_threshold: Some(f32::NAN), ..problem }.forward().unwrap_err();
    assert_eq!(error.field, "relu_threshold");
}
