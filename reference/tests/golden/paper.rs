//! Published rules: BitNet b1, b1.58, a4.8, top-k, Hadamard, AWQ's searches, OCP MX.
use super::replay::{Replay, Within, floats, integers, size};
use lowbit_reference::format::Levels;
use lowbit_reference::invalid::Invalid;
use lowbit_reference::op::awq::{Awq, AwqSearchConfig};
use lowbit_reference::op::hadamard::hadamard;
use lowbit_reference::op::top_k::top_k_mask;
use lowbit_reference::rule::{Quantized, Rule, activation_rule, mean, quantize, ulp, weight_rule};
use serde_json::Value;

/// Unit roundoff of f64.
const UNIT: f64 = f64::EPSILON / 2.0;

pub(crate) fn replay(document: &Value, replay: &mut Replay) {
    super::mx::replay(&document["ocp_mx_block32_floor"], replay);
    replay.input(&document["note"]);
    let matrix = |name: &str, replay: &mut Replay| {
        let shape: Vec<usize> = integers(replay.input(&document[name]["shape"]));
        let data = floats(replay.input(&document[name]["data"]));
        if let Err(error) = Invalid::check_len(name, data.len(), &shape) {
            replay.fail(name, error);
        }
        (data, shape.last().copied().unwrap_or_default().max(1))
    };
    let (w, _) = matrix("W", replay);
    let (x, columns) = matrix("X", replay);
    weights(document, &w, replay);
    activations(document, (&x, columns), replay);
    match top_k_mask(&x, columns, 0.5) {
        Ok(mask) => replay.integers("X", "topk50_mask", &document["topk50_mask"], mask),
        Err(error) => replay.fail("topk50_mask", error),
    }
    // The same sums and differences in the same order: the doubles are equal.
    let doubles: Vec<f64> = x.iter().map(|x| f64::from(*x)).collect();
    let field = "hadamard16_orthonormal";
    match hadamard(&doubles, columns) {
        Ok(y) => replay.doubles("X", field, &document[field], &y, 0.0),
        Err(error) => replay.fail(field, error),
    }
    tie_probe(&document["ternary_tie_probe"], replay);
    let (weight, k) = matrix("awq_W", replay);
    let (tokens, _) = matrix("awq_X", replay);
    let awq = |config| Awq { config, n: weight.len() / k, k, weight: &weight, tokens: &tokens };
    let mut clip_group = 0;
    for (name, levels) in [("awq_asym", Levels::Uint4), ("awq_sym", Levels::Int4)] {
        let want = &document[name];
        replay.equal(name, "bits", &want["bits"], &4.into());
        clip_group = size(replay.input(&want["group"]));
        let n_grid = size(replay.input(&want["n_grid"]));
        let config = AwqSearchConfig {
            levels,
            group_size: clip_group,
            n_grid,
            ..AwqSearchConfig::default()
        };
        if let Err(error) = search(name, want, &awq(config), replay) {
            replay.fail(name, error);
        }
    }
    // Clip limits are those of the unscaled weight, in the groups of the searches.
    let config = AwqSearchConfig { group_size: clip_group, ..AwqSearchConfig::default() };
    let want = &document["awq_clip_max_val"];
    replay.integers(
        "awq_clip_max_val",
        "shape",
        &want["shape"],
        [weight.len() / k, k / clip_group.max(1)].map(|dim| i64::try_from(dim).unwrap_or(-1)),
    );
    match awq(config).clip_limits() {
        Ok(got) => replay.floats("awq_clip_max_val", "data", &want["data"], &got, Within::Exactly),
        Err(error) => replay.fail("awq_clip_max_val", error),
    }
}

/// A named rule, which must exist, over groups of `group_len`.
fn quantized(rule: Option<Rule>, levels: Levels, x: &[f32], group_len: usize) -> Quantized {
    quantize(&rule.expect("a named rule"), levels, x, group_len)
}

fn weights(document: &Value, w: &[f32], replay: &mut Replay) {
    let q = quantized(weight_rule("b158", Levels::Ternary), Levels::Ternary, w, w.len());
    let want = &document["b158_weight"];
    // The vector multiplies by 1 / mean and rounds: two roundings before the threshold.
    let limit = q.shared[0].limit;
    let near = |i: usize| (w[i].abs() - limit).abs() <= 4.0 * ulp(limit);
    replay.codes("b158_weight", "codes", &want["codes"], &q.codes, near);
    // The vector is 1 / (1 / mean): two roundings, each at most half an ulp of its result, which
    // is a whole ulp of the mean on the other side of a power of two.
    replay.floats("b158_weight", "scale", &want["scale"], &q.scales(), Within::Ulps(1.5));
    let a48 = quantized(weight_rule("a48", Levels::Ternary), Levels::Ternary, w, w.len());
    // a48 compares with half of mean + 1e-5, the vector of b158 with half of the mean.
    let limit = a48.shared[0].limit;
    let near = |i: usize| (w[i].abs() - limit).abs() <= 0.5e-5 + 4.0 * ulp(limit);
    replay.codes("a48_weight", "codes", &want["codes"], &a48.codes, near);
    let q = quantized(weight_rule("b1", Levels::Sign), Levels::Sign, w, w.len());
    let want = &document["b1_weight"];
    replay.integers("b1_weight", "codes", &want["codes"], q.codes.iter().copied());
    replay.floats("b1_weight", "beta", &want["beta"], &q.scales(), Within::Exactly);
    replay.floats("b1_weight", "alpha_mean", &want["alpha_mean"], &q.centres(), Within::Exactly);
}

fn activations(document: &Value, (x, columns): (&[f32], usize), replay: &mut Replay) {
    for (key, rule, levels, within) in [
        // The vector is 1 / (127 / max), off by up to 1.5 ulp as above; max / 127 by half an ulp.
        ("act_int8_per_token", "b158", Levels::Int8, Within::Ulps(2.0)),
        ("act_int8_per_token", "a48", Levels::Int8, Within::Ulps(2.0)),
        ("act_int4_a48_per_token", "a48", Levels::Int4, Within::Exactly),
    ] {
        let (want, case) = (&document[key], format!("{key} by {rule}"));
        let q = quantized(activation_rule(rule, levels), levels, x, columns);
        // The vector multiplies by 127 / max: within 2 ulp of our quotient. a48 divides by
        // max + 1e-5, which the vector of b158 does not.
        let near = |i: usize| {
            let scale = q.shared[i / columns].scale;
            let quotient = (x[i] / scale).abs();
            let added = if key == "act_int8_per_token" && rule == "a48" {
                1e-5 / (127.0 * scale)
            } else {
                0.0
            };
            let off = (quotient - quotient.floor() - 0.5).abs();
            off <= 4.0 * ulp(quotient) + quotient * added
        };
        replay.codes(&case, "codes", &want["codes"], &q.codes, near);
        replay.floats(&case, "scale", &want["scale"], &q.scales(), within);
    }
}

fn tie_probe(probe: &Value, replay: &mut Replay) {
    let case = "ternary_tie_probe";
    let x = floats(replay.input(&probe["x"]));
    replay.floats(case, "mean_abs", &probe["mean_abs"], &[mean(&x, f32::abs)], Within::Exactly);
    for (rule, field) in [("b158", "paper_codes"), ("burn_dragon", "seed_codes")] {
        let q = quantized(weight_rule(rule, Levels::Ternary), Levels::Ternary, &x, x.len());
        replay.integers(case, field, &probe[field], q.codes);
    }
}

fn search(case: &str, want: &Value, awq: &Awq, replay: &mut Replay) -> Result<(), Invalid> {
    let found = awq.search()?;
    let bounds = (0..awq.config.n_grid)
        .map(|i| loss_bound(awq, i as f64 / awq.config.n_grid as f64))
        .collect::<Result<Vec<f64>, Invalid>>()?;
    replay.equal(case, "number of losses", &want["n_grid"], &found.losses.len().into());
    let history = want["loss_history_f64"].as_array().map(Vec::as_slice).unwrap_or_default();
    if history.len() != found.losses.len() {
        replay.fail(case, "loss_history_f64 has another length");
    }
    for ((want, got), bound) in history.iter().zip(&found.losses).zip(&bounds) {
        replay.doubles(case, "loss_history_f64", want, &[*got], *bound);
    }
    let best = &found.best;
    let at = found.losses.iter().position(|loss| *loss == best.loss).unwrap_or_default();
    replay.doubles(case, "best_ratio", &want["best_ratio"], &[best.ratio], 0.0);
    replay.doubles(case, "best_loss", &want["best_loss"], &[best.loss], bounds[at]);
    replay.doubles(case, "rtn_loss", &want["rtn_loss"], &found.losses[..1], bounds[0]);
    replay.floats(case, "best_scales", &want["best_scales"], &best.scales, Within::Exactly);
    let q = awq.quantize(&best.scales, false)?.quantized;
    replay.integers(case, "codes", &want["codes"], q.codes.iter().copied());
    replay.floats(case, "group_scales", &want["group_scales"], &q.scales(), Within::Exactly);
    replay.integers(case, "group_zeros", &want["group_zeros"], q.zero_points());
    Ok(())
}

/// Relative bound on a loss whose sums were made in another order: each of two products of `k`
/// terms is off by at most `k u` of its magnitude (in both implementations), so each difference
/// by `4 k u M`, with `M` the larger magnitude; the root of the mean square moves by no more than
/// the root mean square of that (triangle inequality), and `T N` squares are then summed.
fn loss_bound(awq: &Awq, ratio: f64) -> Result<f64, Invalid> {
    let candidate = awq.candidate(ratio)?;
    let magnitude = |x: &[f32], w: &[f32]| -> f64 {
        x.iter().zip(w).map(|(x, w)| (f64::from(*x) * f64::from(*w)).abs()).sum()
    };
    let rows = || awq.weight.chunks(awq.k).zip(candidate.weight.chunks(awq.k));
    let pairs = awq.tokens.chunks(awq.k).flat_map(|x| rows().map(move |(w, q)| (x, w, q)));
    let (mut squares, mut count) = (0.0, 0.0);
    for (x, w, q) in pairs {
        let off = 4.0 * awq.k as f64 * UNIT * magnitude(x, w).max(magnitude(x, q));
        (squares, count) = (squares + off * off, count + 1.0);
    }
    let relative = (squares / count).sqrt() / candidate.loss.sqrt();
    Ok(2.0 * relative + relative * relative + 2.0 * (count + 2.0) * UNIT)
}
