//! Projections of codes: exact sums, scales, straight-through gradients, overflow.
use super::*;

/// Against the loops of the definition in f32, which hold every one of these sums exactly.
#[test]
fn integer_sums_are_exact_and_scaled_once() {
    let shape = LowrankProjection { input_heads: 1, ..LOWRANK };
    let [inputs, weights, outputs] = lens(&shape);
    let (x, w) = (codes(inputs, 1), codes(weights, 2));
    let floats = |codes: &[i8]| codes.iter().map(|c| f32::from(*c)).collect::<Vec<f32>>();
    let want = lowrank_by_definition(shape, &floats(&x), &floats(&w));
    // One scale per token and per channel, all different.
    let scales = |len: usize, by: f32| (0..len).map(|i| (i + 1) as f32 * by).collect::<Vec<_>>();
    let (sx, sw) = (scales(shape.tokens(), 0.01), scales(shape.channels(), 0.003));
    let problem = IntegerProjection {
        shape,
        input: Coded { codes: &x, limit: 127, scales: &sx },
        weight: Coded { codes: &w, limit: 127, scales: &sw },
        accumulator: Accumulator::I32,
        relu_threshold: None,
    };
    let sums = problem.sums().unwrap();
    assert_eq!(sums.iter().map(|s| *s as f32).collect::<Vec<_>>(), want);
    let y = problem.forward().unwrap();
    for o in 0..outputs {
        let (l, h) = (o % 6, o / 6 / 4 % 3);
        let token = o / 6 / 4 / 3 * 4 + o / 6 % 4;
        assert_eq!(y[o], want[o] * (sx[token] * sw[h * 7 + l]), "{o}");
    }
    // A wide sum of i16 by i16 beyond an i32.
    let shape = DecoderTail { batch: 1, heads: 1, time: 1, latent: 3, latent_total: 3, dim: 1 };
    let (wide, one) = ([i16::MAX; 3], [1.0]);
    let problem = IntegerProjection {
        shape,
        input: Coded { codes: &wide, limit: 32767, scales: &one },
        weight: Coded { codes: &wide, limit: 32767, scales: &one },
        accumulator: Accumulator::I64,
        relu_threshold: None,
    };
    assert_eq!(problem.sums().unwrap(), [3 * 32767 * 32767]);
    let error = IntegerProjection { accumulator: Accumulator::I32, ..problem }.sums();
    assert_eq!(error.unwrap_err().field, "depth");
}

#[test]
fn scales_follow_the_token_and_the_channel_of_a_decoder_tail() {
    let [inputs, weights, outputs] = lens(&TAIL);
    let (x, w) = (codes(inputs, 1), codes(weights, 2));
    let sx: Vec<f32> = (1..=8).map(|i| i as f32 * 0.01).collect();
    let sw: Vec<f32> = (1..=6).map(|i| i as f32 * 0.003).collect();
    let problem = IntegerProjection {
        shape: TAIL,
        input: Coded { codes: &x, limit: 127, scales: &sx },
        weight: Coded { codes: &w, limit: 127, scales: &sw },
        accumulator: Accumulator::I32,
        relu_threshold: None,
    };
    let (sums, y) = (problem.sums().unwrap(), problem.forward().unwrap());
    for o in 0..outputs {
        assert_eq!(y[o], sums[o] as f32 * (sx[o / 6] * sw[o % 6]), "{o}");
    }
    // Every factor of an output is under the output's token and channel.
    for o in 0..outputs {
        assert!(TAIL.terms(o).all(|(i, j)| TAIL.token(i) == o / 6 && TAIL.channel(j) == o % 6));
    }
}

#[test]
fn unsigned_codes_stay_positive() {
    // The source reads 146 as -110.
    let shape = DecoderTail { batch: 1, heads: 1, time: 1, latent: 2, latent_total: 2, dim: 1 };
    let problem = IntegerProjection {
        shape,
        input: Coded { codes: &[146u8, 255], limit: 255, scales: &[1.0] },
        weight: Coded { codes: &[1i8, -1], limit: 1, scales: &[1.0] },
        accumulator: Accumulator::I32,
        relu_threshold: Some(-120.0),
    };
    assert_eq!(problem.sums().unwrap(), [146 - 255]);
    assert_eq!(problem.forward().unwrap(), [11.0]);
}

#[test]
fn straight_through_gradients_are_those_of_the_dequantized_product_once() {
    // One token, two latents, one output: y = 0.5 * 0.25 * (3 * 7 + 127 * -2).
    let shape = DecoderTail { batch: 1, heads: 1, time: 1, latent: 2, latent_total: 2, dim: 1 };
    let problem = IntegerProjection {
        shape,
        input: Coded { codes: &[3i8, 127], limit: 127, scales: &[0.5] },
        weight: Coded { codes: &[7i8, -2], limit: 127, scales: &[0.25] },
        accumulator: Accumulator::I32,
        relu_threshold: None,
    };
    assert_eq!(problem.forward().unwrap(), [-29.125]);
    // Not twice, and the clamped code 127 has its gradient as any other.
    let want = Gradients { input: vec![3.5, -1.0], weight: vec![3.0, 127.0] };
    assert_eq!(problem.gradients(&[2.0]).unwrap(), want);
    let closed = IntegerProjection { relu_threshold: Some(-29.125), ..problem };
    assert_eq!(closed.gradients(&[2.0]).unwrap().weight, [0.0, 0.0]);
}

/// Scales that are powers of two, another for each token and channel: dequantized values are
/// exact in f32.
#[test]
fn straight_through_gradients_are_under_the_scales_of_their_groups() {
    let [inputs, weights, outputs] = lens(&LOWRANK);
    let (x, w, g) = (codes(inputs, 1), codes(weights, 2), values(outputs, 3));
    let scales = |len: usize| (0..len).map(|i| [0.5, 0.125, 0.25][i % 3]).collect::<Vec<f32>>();
    let (sx, sw) = (scales(LOWRANK.tokens()), scales(LOWRANK.channels()));
    let value = |code: i8, scale: f32| f32::from(code) * scale;
    let x_values: Vec<f32> =
        x.iter().enumerate().map(|(i, c)| value(*c, sx[LOWRANK.token(i)])).collect();
    let w_values: Vec<f32> =
        w.iter().enumerate().map(|(j, c)| value(*c, sw[LOWRANK.channel(j)])).collect();
    let float = Projection {
        shape: LOWRANK,
        input: &x_values,
        weight: &w_values,
        relu_threshold: Some(0.5),
    };
    let integer = IntegerProjection {
        shape: LOWRANK,
        input: Coded { codes: &x, limit: 127, scales: &sx },
        weight: Coded { codes: &w, limit: 127, scales: &sw },
        accumulator: Accumulator::I32,
        relu_threshold: Some(0.5),
    };
    assert_eq!(integer.forward().unwrap(), float.forward().unwrap());
    assert_eq!(integer.gradients(&g).unwrap(), float.gradients(&g).unwrap());
}

#[test]
fn sums_that_might_overflow_are_refused() {
    // The limits of the source's formats, and every corner of them reached.
    let i32 = Accumulator::I32;
    assert_eq!(i32.max_depth(127, 127), 133_144);
    assert_eq!(i32.max_depth(255, 127), 66_311);
    assert_eq!(i32.max_depth(127, 1), 16_909_320);
    assert_eq!(i32.max_depth(0, 127), 2_147_483_647);
    for depth in [66_311, 66_312] {
        let shape =
            DecoderTail { batch: 1, heads: 1, time: 1, latent: depth, latent_total: depth, dim: 1 };
        let (x, w) = (vec![255u8; depth], vec![-127i8; depth]);
        let problem = IntegerProjection {
            shape,
            input: Coded { codes: &x, limit: 255, scales: &[1.0] },
            weight: Coded { codes: &w, limit: 127, scales: &[1.0] },
            accumulator: i32,
            relu_threshold: None,
        };
        match problem.sums() {
            Ok(sums) => {
                assert_eq!((depth, sums[0]), (66_311, -66_311 * 255 * 127));
                assert!(sums[0] >= i64::from(i32::MIN));
            }
            Err(error) => assert_eq!((depth, error.field.as_str()), (66_312, "depth")),
        }
    }
}
