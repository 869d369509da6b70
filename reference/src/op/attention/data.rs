//! Queries, keys and values of a case.
//!
//! Tier `exact`: every key has a level from -4 to 4, drawn, times a sign that each feature has
//! for itself, and every query looks at one feature. A key of a level below the best that a query
//! sees is behind by at least 128: its weight, below `e^-128`, changes no float. Values depend on
//! the level alone and are never zero, so that the answer is the value of the best level there is
//! among the visible keys, whatever order they are added in, if the sum is divided by the sum of
//! weights and not multiplied by its reciprocal.
use super::AttentionShape;
use crate::case::Case;
use crate::data::{Files, Stream, block_rng, mix};
use crate::op::inputs;
use rand::Rng;

/// Q, K and V.
pub(super) fn inputs(
    case: &Case,
    shape: &AttentionShape,
    files: &dyn Files,
) -> Result<[Vec<f32>; 3], String> {
    if case.word("data") == "exact" {
        return Ok(planted(shape));
    }
    let dim = shape.config.head_dim;
    let queries = shape.batch * shape.config.num_heads * shape.query_len;
    let keys = shape.batch * shape.kv_heads * shape.key_len;
    let draw = |stream, tokens: usize, dim: usize| {
        inputs::values(case, None, stream, (tokens * dim, dim), files)
    };
    Ok([
        draw(Stream::Activation, queries, dim)?,
        draw(Stream::State, keys, dim)?,
        draw(Stream::Weight, keys, shape.value_dim)?,
    ])
}

fn planted(shape: &AttentionShape) -> [Vec<f32>; 3] {
    let (dim, value_dim) = (shape.config.head_dim, shape.value_dim);
    let queries = shape.batch * shape.config.num_heads * shape.query_len;
    // A level is worth this much, and a score is divided by the root of the length.
    let worth = 128.0 * (dim as f32).sqrt().ceil();
    let mut rng = block_rng(shape.seed, Stream::Activation, 0);
    let mut q = vec![0.0; queries * dim];
    for query in q.chunks_exact_mut(dim) {
        query[rng.random_range(0..dim)] = if rng.random() { worth } else { -worth };
    }
    let (mut k, mut v) = (Vec::new(), Vec::new());
    for head in 0..shape.batch * shape.kv_heads {
        let mut rng = block_rng(shape.seed, Stream::State, head);
        for _ in 0..shape.key_len {
            let level = rng.random_range(-4i8..=4);
            k.extend((0..dim).map(|d| f32::from(level) * sign(shape.seed, d)));
            v.extend((0..value_dim).map(|d| value(shape.seed, [head, level_index(level), d])));
        }
    }
    [q, k, v]
}

fn sign(seed: u64, feature: usize) -> f32 {
    if mix(seed ^ mix(feature as u64)) & 1 == 0 { 1.0 } else { -1.0 }
}

fn level_index(level: i8) -> usize {
    usize::from((level + 4).unsigned_abs())
}

/// From -8 to 8 and never 0.
fn value(seed: u64, place: [usize; 3]) -> f32 {
    let mixed = place.iter().fold(seed, |seed, place| mix(seed ^ mix(*place as u64 + 1)));
    let magnitude = (mixed % 8) as f32 + 1.0;
    if mixed & 8 == 0 { magnitude } else { -magnitude }
}
