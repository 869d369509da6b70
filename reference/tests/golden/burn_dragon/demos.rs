//! Each fault the crate was seen to commit, committed again by its formula (`tests/source`).
//!
//! Where the file leaves an input out, the input is the simplest that has the answer: ramps
//! `(i - a) * step`, constants, or the signs of the codes. An answer changed in the file is not
//! the answer of any of these.
use super::{counts, items};
use crate::replay::{Replay, Within, float, floats, integers, size};
use crate::source::caches::{ByAddress, ByShape, activation_scale, stack_key};
use crate::source::{fake, packing, plans, quantize as source};
use lowbit_reference::bound::gamma;
use lowbit_reference::config::lowbit::{
    LowBitInferenceMode, LowBitQuantizationConfig, LowBitTargetModule, LowBitTrainingMode,
};
use serde_json::{Value, json};

/// A fault, by what its key begins with; some keys end in a number.
type Demo = (&'static str, fn(&str, &Value, &mut Replay));

static DEMOS: &[Demo] = &[
    ("abs_mean_f32_sum_n", abs_mean),
    ("capabilities", capabilities),
    ("inference_cached_scale_zero_warmup", zero_warmup),
    ("pack_pad_lane_reads_next_row", pad_lanes),
    ("panics", panics),
    ("per_tensor_scale_leaks_across_tokens", leak),
    ("pointer_keyed_artifact_cache_stale", stale),
    ("rho_device_state_real_bytes", device_bytes),
    ("round_nearest_vs_f32_round", rounding),
    ("saved_activation_bytes_", saved_bytes),
    ("seed_test_line_4138_plan", seed_test),
    ("stack_address_key_collides_for_two_artifacts", stack_address),
    ("training_scale_cache_history", activation_history),
    ("training_weight_scale_cache_history", weight_history),
    ("uint8_prepack_wrap", wrap),
];

pub(super) fn replay(cases: &Value, demos: &Value, replay: &mut Replay) {
    for (key, demo) in demos.as_object().into_iter().flatten() {
        let named = |(name, _): &&Demo| key.starts_with(name);
        if let Some((_, run)) = DEMOS.iter().find(named) {
            run(key, demo, replay);
        }
    }
    requantized(cases, &demos["int8_weight_requant_not_idempotent"], replay);
    straight_through(cases, &demos["ste_forward_inexact"], replay);
}

/// The number in a key.
fn number(key: &str) -> usize {
    // The last, where there are several: `f32_sum_n1048576`.
    let runs = key.split(|c: char| !c.is_ascii_digit());
    runs.filter_map(|digits| digits.parse().ok()).next_back().unwrap_or_default()
}

fn ramp(len: usize, before: f32, step: f32) -> Vec<f32> {
    (0..len).map(|i| (i as f32 - before) * step).collect()
}

/// Defect 7: the f32 mean of many equal values, and the ternary code they then have.
fn abs_mean(key: &str, demo: &Value, replay: &mut Replay) {
    let truth = float(replay.input(&demo["true"]));
    let n = number(key);
    let mean = (0..n).fold(0.0f32, |sum, _| sum + truth) / n as f32;
    replay.floats(key, "got", &demo["got"], &[mean], Within::Exactly);
    replay.integers(key, "codes_all", &demo["codes_all"], [i8::from(truth >= mean)]);
}

/// Defect 21.
fn capabilities(key: &str, demo: &Value, replay: &mut Replay) {
    let config = LowBitQuantizationConfig { enable: true, ..Default::default() };
    let (runtime, _) = plans::resolve(&config, true, "ndarray");
    replay.equal(key, "plan_cpu_offline_pack", &demo["plan_cpu_offline_pack"], &json!(runtime));
    for (field, name) in [("ndarray_native", "ndarray"), ("unknown_backend_native", "no such")] {
        replay.equal(key, field, &demo[field], &json!(plans::native_supported(name)));
    }
}

/// Defect 22: what the source's test asserts is not what its plan says.
fn seed_test(key: &str, demo: &Value, replay: &mut Replay) {
    let config = LowBitQuantizationConfig {
        enable: true,
        training_mode: LowBitTrainingMode::TrainKernelExp,
        inference_mode: LowBitInferenceMode::RuntimeFakeQuant,
        target_modules: vec![LowBitTargetModule::DecoderY],
        ..Default::default()
    };
    let (runtime, _) = plans::resolve(&config, false, "ndarray");
    replay.equal(key, "actual", &demo["actual"], &json!(runtime));
    let asserted = "packed_native_training_forward";
    replay.equal(key, "asserted", &demo["asserted"], &json!(asserted));
}

/// Defect 4: zeros first, then anything: all codes are at the limit, with the signs they have.
fn zero_warmup(key: &str, demo: &Value, replay: &mut Replay) {
    let codes: Vec<f32> = integers::<i16>(&demo["codes"]).into_iter().map(f32::from).collect();
    let next: Vec<f32> = codes.iter().map(|code| code.clamp(-1.0, 1.0)).collect();
    let mut cache = ByShape::default();
    let (_, warmup, _) = cache.activations(&vec![0.0; next.len()]);
    let (codes, scale, hit) = cache.activations(&next);
    replay.integers(key, "codes", &demo["codes"], codes);
    replay.floats(key, "warmup_scale", &demo["warmup_scale"], &[warmup], Within::Exactly);
    replay.floats(key, "scale_used_next", &demo["scale_used_next"], &[scale], Within::Exactly);
    replay.equal(key, "hit", &demo["hit"], &json!(hit));
}

/// Defect 3, activations: zeros, then a ramp around its middle.
fn activation_history(key: &str, demo: &Value, replay: &mut Replay) {
    let len = items(&demo["second_codes"]).len();
    let second = ramp(len, (len / 2) as f32, 0.1);
    let mut cache = ByShape::default();
    let (_, first, hit1) = cache.activations(&vec![0.0; len]);
    let (codes, used, hit2) = cache.activations(&second);
    replay.integers(key, "second_codes", &demo["second_codes"], codes);
    let correct = activation_scale(&second);
    for (field, got) in
        [("first_call_scale", first), ("second_call_scale_used", used), ("correct_scale", correct)]
    {
        replay.floats(key, field, &demo[field], &[got], Within::Exactly);
    }
    replay.equal(key, "hit1", &demo["hit1"], &json!(hit1));
    replay.equal(key, "hit2", &demo["hit2"], &json!(hit2));
}

/// Defect 3, weights: a ramp, then one ten times smaller.
fn weight_history(key: &str, demo: &Value, replay: &mut Replay) {
    let len = items(&demo["codes"]).len();
    let middle = (len as f32 - 1.0) / 2.0;
    let mut cache = ByShape::default();
    let (_, first, _) = cache.weights(&ramp(len, middle, 0.1));
    let (codes, used, hit) = cache.weights(&ramp(len, middle, 0.01));
    replay.integers(key, "codes", &demo["codes"], codes);
    replay.equal(key, "hit", &demo["hit"], &json!(hit));
    let (field, want) =
        ("scale_used_for_10x_smaller_weights", &demo["scale_used_for_10x_smaller_weights"]);
    replay.floats(key, field, want, &[used], Within::Exactly);
    replay.floats(
        key,
        "scale_first_weights",
        &demo["scale_first_weights"],
        &[first],
        Within::Exactly,
    );
}

/// Defect 18.
fn pad_lanes(key: &str, demo: &Value, replay: &mut Replay) {
    let codes: Vec<i8> = integers(replay.input(&demo["codes_2x6"]));
    let words = packing::pack_i8x4(&codes, 2, codes.len() / 2);
    for (i, word) in words.iter().enumerate() {
        let want = &demo["packed_words_hex"][i];
        replay.hex(key, "packed_words_hex", want, &word.to_be_bytes());
    }
}

/// Defect 19: what the source panics with, or does not notice.
fn panics(key: &str, demo: &Value, replay: &mut Replay) {
    let said = |result: Result<String, String>| json!(result.unwrap_or_else(|panic| panic));
    let unsupported = packing::encoding("none").map(str::to_owned);
    let (field, want) = ("pack_unsupported_compression", &demo["pack_unsupported_compression"]);
    replay.equal(key, field, want, &said(unsupported));
    let truncated = packing::unpack_rho_int8(64, &[1.0; 2], &[0; 40]);
    let truncated = said(truncated.map(|values| format!("{values:?}")));
    replay.equal(key, "truncated_rho", &demo["truncated_rho"], &truncated);
    let invalid = said(packing::unpack_ternary(0xff).map(|codes| format!("{codes:?}")));
    let (field, want) = ("unpack_invalid_ternary_code", &demo["unpack_invalid_ternary_code"]);
    replay.equal(key, field, want, &invalid);
    let short = packing::unpack_rho_int8(64, &[1.0], &[0; 64]).map_or(0, |values| values.len());
    let (field, want) = (
        "missing_scale_returns_len_instead_of_64",
        &demo["missing_scale_returns_len_instead_of_64"],
    );
    replay.integers(key, field, want, counts([short as u64]));
}

/// Defect 6: a second token of 0.1 or of 9 changes what the first becomes.
fn leak(key: &str, demo: &Value, replay: &mut Replay) {
    let token = floats(replay.input(&demo["token0_in"]));
    for (field, other) in
        [("token0_out_when_token1_small", 0.1), ("token0_out_when_token1_large", 9.0)]
    {
        let tokens = [token.clone(), vec![other; token.len()]].concat();
        let forward = fake::signed(&tokens, 127.0);
        replay.floats(key, field, &demo[field], &forward[..token.len()], Within::Exactly);
    }
}

/// Defect 5 (a): the weights are replaced by a multiple of themselves where they lie.
fn stale(key: &str, demo: &Value, replay: &mut Replay) {
    let first = floats(replay.input(&demo["first"]));
    let expected = floats(&demo["expected"]);
    let times = match (expected.first(), first.first()) {
        (Some(expected), Some(first)) => (expected / first).round(),
        _ => 1.0,
    };
    let mut artifact = Box::new(1.0f32);
    let mut cache = ByAddress::default();
    let output = |scale: &f32| first.iter().map(|y| y * scale).collect::<Vec<_>>();
    cache.get_or_make(&*artifact, output);
    *artifact = times;
    let after = cache.get_or_make(&*artifact, output);
    let field = "after_replacing_artifact_in_place";
    replay.floats(key, field, &demo[field], &after, Within::Exactly);
    // Both outputs are rounded sums of the same codes; six roundings each are generous for the
    // four products of a row.
    let bounds: Vec<f64> = expected.iter().map(|y| gamma(12) * f64::from(y.abs())).collect();
    let fresh = output(&artifact);
    replay.floats(key, "expected", &demo["expected"], &fresh, Within::Each(&bounds));
}

/// Defect 5 (b).
fn stack_address(key: &str, demo: &Value, replay: &mut Replay) {
    let keys: Vec<usize> = [1.0f32, 2.0].iter().map(stack_key).collect();
    replay.equal(key, "collides", demo, &json!(keys[0] == keys[1]));
}

/// Defect 27: codes held as i64, counted as bytes.
fn device_bytes(key: &str, demo: &Value, replay: &mut Replay) {
    let fp32 = size(replay.input(&demo["fp32_bytes"])) as u64;
    let (n, blocks) = (fp32 / 4, (fp32 / 4).div_ceil(32));
    let (field, want) = ("claimed_compressed_bytes", &demo["claimed_compressed_bytes"]);
    replay.integers(key, field, want, counts([n + 4 * blocks]));
    let (field, want) = ("real_packed_tensor_bytes", &demo["real_packed_tensor_bytes"]);
    replay.integers(key, field, want, counts([8 * n]));
}

/// Defect 29: `Vec<f32>` and `Vec<i8>`, whatever the format's bits.
fn saved_bytes(key: &str, demo: &Value, replay: &mut Replay) {
    let n = number(key) as u64;
    let figures = [
        ("fp16_reported", 4 * n),
        ("int8_reported", n + 4),
        ("int4_reported", n + 4),
        ("bucket_formula_fp16", 2 * n + 4),
        ("bucket_formula_int4", n.div_ceil(2) + 4),
    ];
    for (field, got) in figures {
        replay.integers(key, field, &demo[field], counts([got]));
    }
}

/// Defect 13.
fn rounding(key: &str, demo: &Value, replay: &mut Replay) {
    let x = floats(replay.input(&demo["x"]));
    let theirs: Vec<f32> = x.iter().map(|x| fake::round_nearest(*x)).collect();
    replay.floats(key, "round_nearest", &demo["round_nearest"], &theirs, Within::Exactly);
    let rust: Vec<f32> = x.iter().map(|x| x.round()).collect();
    replay.floats(key, "f32_round", &demo["f32_round"], &rust, Within::Exactly);
}

/// Defect 1.
fn wrap(key: &str, demo: &Value, replay: &mut Replay) {
    let x = floats(replay.input(&demo["x"]));
    let (scale, codes) = source::positive(&x);
    replay.floats(key, "scale", &demo["scale"], &[scale], Within::Exactly);
    replay.integers(key, "true_u8_codes", &demo["true_u8_codes"], codes.iter().copied());
    let (field, want) = ("codes_given_to_packer_as_i8", &demo["codes_given_to_packer_as_i8"]);
    replay.integers(key, field, want, packing::as_i8(&codes));
}

/// The case of the file whose int8 weights have this scale.
fn case_of<'v>(cases: &'v Value, scale: &Value) -> Option<&'v Value> {
    items(cases).iter().find(|case| {
        let found = &case["weight_symmetric_i8_2mean"]["scale"];
        !scale.is_null() && found == scale
    })
}

/// Defect 12: int8 values quantized again.
fn requantized(cases: &Value, demo: &Value, replay: &mut Replay) {
    let key = "int8_weight_requant_not_idempotent";
    let Some(case) = case_of(cases, &demo["scale1"]) else {
        return replay.fail(key, "there is no case of that scale");
    };
    let (first, codes) = source::signed(&floats(&case["x"]), 127.0);
    let values: Vec<f32> = codes.iter().map(|code| f32::from(*code) * first).collect();
    let (second, again) = source::signed(&values, 127.0);
    replay.floats(key, "scale1", &demo["scale1"], &[first], Within::Exactly);
    replay.floats(key, "scale2", &demo["scale2"], &[second], Within::Exactly);
    let changed = codes.iter().zip(&again).filter(|(a, b)| a != b).count();
    replay.integers(key, "codes_changed", &demo["codes_changed"], counts([changed as u64]));
}

/// Defects 11 and 14: `x + (q - x)` beside the grid it should be on.
fn straight_through(cases: &Value, demo: &Value, replay: &mut Replay) {
    let key = "ste_forward_inexact";
    let x = [0.02, 0.02, 0.02, 1e6];
    let (scale, codes) = source::ternary(&x);
    let grid: Vec<f32> = codes.iter().map(|code| f32::from(*code) * scale).collect();
    replay.floats(key, "grid", &demo["grid"], &grid, Within::Exactly);
    let forward = fake::ternary(&x);
    replay.floats(key, "ternary_forward", &demo["ternary_forward"], &forward, Within::Exactly);
    // The first case, whose int8 values are all off the grid of its codes.
    let Some(case) = items(cases).first() else { return };
    let x = floats(&case["x"]);
    let (scale, codes) = source::signed(&x, 127.0);
    let on_grid =
        |(code, value): (&i8, &f32)| (f32::from(*code) * scale).to_bits() == value.to_bits();
    let off = codes.iter().zip(&fake::signed(&x, 127.0)).filter(|pair| !on_grid(*pair)).count();
    let (field, want) = ("gauss96_int8_values_off_grid", &demo["gauss96_int8_values_off_grid"]);
    replay.integers(key, field, want, counts([off as u64]));
    replay.integers(key, "of", &demo["of"], counts([x.len() as u64]));
}
