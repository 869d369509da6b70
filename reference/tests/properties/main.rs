//! What must hold whatever the data: of every rule under every format, every block format, NF4 and
//! FP4, every codec of the state, and the products and layers.
//!
//! Where a property does not hold by design, a test says so with an example, so that the day it
//! holds is noticed too. Data are seeded: a run is like the one before it.
mod blocks;
mod layers;
mod nf4;
mod products;
mod quality;
mod rules;
mod states;
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, RngSeed};

/// So many cases, always the same ones.
fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        rng_algorithm: RngAlgorithm::ChaCha,
        rng_seed: RngSeed::Fixed(14),
        ..ProptestConfig::default()
    }
}

/// So many floats of either sign, none nearer to zero than 1/16.
fn floats(len: impl Into<prop::collection::SizeRange>) -> impl Strategy<Value = Vec<f32>> {
    let magnitude = (0.0625f32..4.0, any::<bool>());
    prop::collection::vec(magnitude.prop_map(|(x, minus)| if minus { -x } else { x }), len)
}

/// So many multiples of 1/64 up to 4, zeros among them: sums of them are exact in any order.
fn grid(len: impl Into<prop::collection::SizeRange>) -> impl Strategy<Value = Vec<f32>> {
    prop::collection::vec((-256i16..=256).prop_map(|x| f32::from(x) / 64.0), len)
}

/// Every value times `2^k`, exact.
fn scaled(x: &[f32], k: i32) -> Vec<f32> {
    x.iter().map(|x| x * 2.0f32.powi(k)).collect()
}

fn negated(x: &[f32]) -> Vec<f32> {
    x.iter().map(|x| -x).collect()
}

/// Draws from a normal distribution: examples for what does not always hold.
fn normal(seed: u64, len: usize) -> Vec<f32> {
    use lowbit_reference::data::{Distribution, Stream, realistic};
    realistic(Distribution::Normal, (seed, Stream::Weight), (len, len), 1.0)
}
