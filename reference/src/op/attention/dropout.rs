//! Dropout of attention weights: weight (sequence, head, query, key) is kept with probability
//! `1 - p` and then divided by it, so that the expectation is the weight (Srivastava et al. 2014).
//!
//! Every query draws from a ChaCha8 generator of its own, key after key, so whether a weight is
//! kept depends on the seed and its four places alone: not on the number of queries or keys, on
//! the causal mask, or on the order of work.
use crate::data::{Stream, block_rng, mix};
use rand::Rng;

/// Which of the first `keys` weights of a query at `[batch, head, query]` are kept.
pub fn kept(probability: f64, seed: u64, place: [usize; 3], keys: usize) -> Vec<bool> {
    if probability == 0.0 {
        return vec![true; keys];
    }
    let seed = place.iter().fold(seed, |seed, place| mix(seed ^ mix(*place as u64 + 1)));
    let mut rng = block_rng(seed, Stream::Dropout, 0);
    (0..keys).map(|_| rng.random::<f64>() >= probability).collect()
}
