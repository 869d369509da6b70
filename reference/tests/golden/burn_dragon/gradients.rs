//! Defect 2: `reference + native - native.detach()` has the value of the reference and the
//! gradient of both. Weights and inputs are ramps, in the shapes the answers have.
use crate::replay::{Replay, Within, floats};
use crate::source::{fake, quantize as source};
use lowbit_reference::bound::gamma;
use serde_json::Value;

/// Rows of weights, outputs, and heads the rows belong to.
const LATENT: usize = 4;
const OUTPUTS: usize = 3;

/// Weights `[4, 3]`: one value a row, so that the codes of the rows are -1, 0, 0 and 1.
fn weights() -> Vec<f32> {
    (0..LATENT * OUTPUTS).map(|i| ((i / OUTPUTS) as f32 - 1.5) * 0.6).collect()
}

/// The gradient of the sum of `x @ w` by one input: the sum of a row of `w`.
fn by_input(w: &[f32]) -> Vec<f32> {
    w.chunks(OUTPUTS).map(|row| row.iter().sum()).collect()
}

pub(super) fn replay(demos: &Value, replay: &mut Replay) {
    // Row sums of three terms and their doubling, there and here.
    let near = |want: &Value| -> Vec<f64> {
        floats(want).iter().map(|g| gamma(8) * f64::from(g.abs())).collect()
    };
    let rows = by_input(&fake::ternary(&weights()));
    let native = by_input(&values(source::ternary(&weights())));
    let both: Vec<f32> = rows.iter().zip(&native).map(|(a, b)| a + b).collect();

    let (key, demo) = ("training_fallback_gradient", &demos["training_fallback_gradient"]);
    // Two tokens of four latents.
    for (field, rows) in [("grad_input", &both), ("expected_grad_input_ste", &rows)] {
        let (want, got) = (&demo[field], rows.repeat(2));
        replay.floats(key, field, want, &got, Within::Each(&near(want)));
    }
    let x: Vec<f32> = (0..2 * LATENT).map(|i| (i as f32 - 3.0) * 0.3).collect();
    let q = fake::signed(&x, 127.0);
    // By one weight: the sum of its input over the tokens. Two values of at most 1.2 cancel.
    let by_weight: Vec<f32> =
        (0..LATENT * OUTPUTS).map(|i| q[i / OUTPUTS] + q[LATENT + i / OUTPUTS]).collect();
    let cancelling = Within::Distance(gamma(8) * 2.4);
    for field in ["grad_weight", "expected_grad_weight_ste"] {
        replay.floats(key, field, &demo[field], &by_weight, cancelling);
    }
    let w = fake::ternary(&weights());
    let output = |(t, n)| (0..LATENT).map(|k| q[t * LATENT + k] * w[k * OUTPUTS + n]).sum::<f32>();
    let at = (0..2).flat_map(|t| (0..OUTPUTS).map(move |n| (t, n)));
    let forward: Vec<f32> = at.map(output).collect();
    for field in ["forward", "reference_forward"] {
        let want = &demo[field];
        replay.floats(key, field, want, &forward, Within::Each(&near(want)));
    }

    let (key, demo) = ("training_decoder_tail_gradient", &demos["training_decoder_tail_gradient"]);
    // Two heads of two latents, each for two tokens.
    let by_head = |rows: &[f32]| rows.chunks(2).flat_map(|head| head.repeat(2)).collect::<Vec<_>>();
    for (field, rows) in [("grad_input", by_head(&both)), ("expected", by_head(&rows))] {
        let want = &demo[field];
        replay.floats(key, field, want, &rows, Within::Each(&near(want)));
    }
}

/// What codes stand for.
fn values((scale, codes): (f32, Vec<i8>)) -> Vec<f32> {
    codes.iter().map(|code| f32::from(*code) * scale).collect()
}
