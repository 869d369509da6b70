//! Shapes, data and definitions that the tests of both share; errors.
mod float;
mod integer;
mod operation;
use super::*;

/// Every dimension another, so that no two can be swapped unseen.
const LOWRANK: LowrankProjection = LowrankProjection {
    batch: 2,
    input_heads: 3,
    heads: 3,
    time: 4,
    embd: 5,
    packed_latent: 7,
    latent: 6,
};
const TAIL: DecoderTail =
    DecoderTail { batch: 2, heads: 3, time: 4, latent: 5, latent_total: 21, dim: 6 };

/// Quarters from -2 to 2, aperiodic in the shapes above: every sum of products is exact.
fn values(len: usize, seed: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * 7919 + seed * 104_729) % 1009 % 17) as f32 / 4.0 - 2.0).collect()
}

/// From -127 to 127.
fn codes(len: usize, seed: usize) -> Vec<i8> {
    let code = |i: usize| ((i * 7919 + seed * 104_729) % 1009 % 255) as u8;
    (0..len).map(|i| code(i).wrapping_sub(127).cast_signed()).collect()
}

fn lens<S: Contraction>(shape: &S) -> [usize; 3] {
    let product = |dims: &[usize]| dims.iter().product();
    [&shape.input_shape()[..], &shape.weight_shape(), &shape.output_shape()].map(product)
}

/// Loop nests as the definitions are written, over nested indices instead of flat positions.
fn lowrank_by_definition(s: LowrankProjection, x: &[f32], w: &[f32]) -> Vec<f32> {
    let mut y = Vec::new();
    for b in 0..s.batch {
        for h in 0..s.heads {
            for t in 0..s.time {
                for l in 0..s.latent {
                    let mut sum = 0.0;
                    for e in 0..s.embd {
                        let head = if s.input_heads == 1 { 0 } else { h };
                        let token = &x[b * s.input_heads * s.time * s.embd..]
                            [head * s.time * s.embd..][t * s.embd..];
                        let matrix = &w[h * s.embd * s.packed_latent..];
                        sum += token[e] * matrix[e * s.packed_latent..][l];
                    }
                    y.push(sum);
                }
            }
        }
    }
    y
}

fn tail_by_definition(s: DecoderTail, x: &[f32], w: &[f32]) -> Vec<f32> {
    let mut y = vec![0.0; s.batch * s.time * s.dim];
    for b in 0..s.batch {
        for h in 0..s.heads {
            let head = &x[b * s.heads * s.time * s.latent..][h * s.time * s.latent..];
            let rows = &w[h * (s.latent_total / s.heads) * s.dim..];
            for t in 0..s.time {
                for l in 0..s.latent {
                    for d in 0..s.dim {
                        y[b * s.time * s.dim + t * s.dim + d] +=
                            head[t * s.latent + l] * rows[l * s.dim + d];
                    }
                }
            }
        }
    }
    y
}

#[test]
fn errors_name_the_field() {
    let lowrank = |change: fn(&mut LowrankProjection)| {
        let mut shape = LOWRANK;
        change(&mut shape);
        shape.validate().unwrap_err().field
    };
    assert_eq!(lowrank(|s| s.input_heads = 2), "input_heads");
    assert_eq!(lowrank(|s| s.latent = 8), "latent");
    assert_eq!(lowrank(|s| s.latent = 0), "latent");
    assert_eq!(lowrank(|s| s.embd = 0), "embd");
    assert_eq!(lowrank(|s| s.batch = usize::MAX), "input");
    assert_eq!(lowrank(|s| s.packed_latent = usize::MAX), "weight");
    assert_eq!(
        lowrank(|s| (s.time, s.packed_latent, s.latent) = (1 << 15, 1 << 15, 1 << 15)),
        "output"
    );
    let tail = |change: fn(&mut DecoderTail)| {
        let mut shape = TAIL;
        change(&mut shape);
        shape.validate().unwrap_err().field
    };
    // The source floors this one.
    assert_eq!(tail(|s| s.latent_total = 22), "latent_total");
    assert_eq!(tail(|s| s.latent = 8), "latent");
    assert_eq!(tail(|s| s.heads = 0), "heads");
    assert_eq!(tail(|s| s.dim = usize::MAX), "weight");
    let [inputs, weights, outputs] = lens(&TAIL);
    let (x, w) = (values(inputs, 1), values(weights, 2));
    let problem = Projection { shape: TAIL, input: &x[1..], weight: &w, relu_threshold: None };
    assert_eq!(problem.forward().unwrap_err().field, "input");
    let problem = Projection { input: &x, weight: &w[1..], ..problem };
    assert_eq!(problem.forward().unwrap_err().field, "weight");
    let problem = Projection { weight: &w, ..problem };
    assert_eq!(problem.gradients(&vec![0.0; outputs + 1]).unwrap_err().field, "grad_output");
    let (x, w) = (codes(inputs, 1), codes(weights, 2));
    let input = Coded { codes: &x, limit: 127, scales: &[1.0] };
    let weight = Coded { codes: &w, limit: 127, scales: &[1.0] };
    let outside = [101, -101].map(|code| {
        let mut codes = vec![100; inputs];
        (codes[1], codes[7]) = (-100, code);
        codes
    });
    let field = |input, weight| {
        let accumulator = Accumulator::I32;
        let problem =
            IntegerProjection { shape: TAIL, input, weight, accumulator, relu_threshold: None };
        problem.forward().map(drop).map_err(|error| error.field)
    };
    assert_eq!(field(input, weight), Ok(()));
    for codes in &outside {
        let input = Coded { codes, limit: 100, scales: &[1.0] };
        assert_eq!(field(input, weight), Err("input[7]".into()));
    }
    assert_eq!(field(Coded { scales: &[1.0; 3], ..input }, weight), Err("input.scales".into()));
    assert_eq!(field(Coded { scales: &[], ..input }, weight), Err("input.scales".into()));
    let nan = Coded { scales: &[f32::NAN], ..weight };
    assert_eq!(field(input, nan), Err("weight.scales[0]".into()));
}
