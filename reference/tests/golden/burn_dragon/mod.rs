//! Rules, fake quantization, rho, memory and defects of burn_dragon_core 0.5.0, run as it is.
//!
//! Where the crate sums in f32 its scale is compared bit for bit with an f32 sum in its order
//! (`tests/source`), ours with that one within the bound of an f32 sum; codes are compared under
//! the golden scale, so that they are exact. Inputs that are not finite have the source's answer
//! (numerics of the source), which ours deliberately is not.
mod demos;
mod gradients;
mod memory;
mod quantized;
mod rho;
use super::replay::{Replay, float};
use serde_json::Value;

pub(crate) fn replay(document: &Value, replay: &mut Replay) {
    replay.input(&document["source"]);
    replay.input(&document["encoding"]);
    replay.note = Some(
        "the source's own f32 scales, its fake-quantized values, its defects and its answers to NaN are \
         compared with a port of its formulas, and ours with that",
    );
    let cases = &document["bitnet_reference"];
    quantized::rules(cases, replay);
    quantized::fake(cases, &document["fake_quant_forward"], replay);
    rho::replay(&document["rho"], replay);
    memory::replay(&document["memory_estimates"], replay);
    demos::replay(cases, &document["defect_demos"], replay);
    gradients::replay(&document["defect_demos"], replay);
}

/// The items of a list.
fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Counts for a comparison of integers.
fn counts(counts: impl IntoIterator<Item = u64>) -> Vec<i64> {
    counts.into_iter().map(|count| i64::try_from(count).unwrap_or(i64::MAX)).collect()
}

/// Inputs in groups of `group_len` that share a scale. An infinity makes the scale infinite and
/// the code of every finite value 0: its answer shows the sign of these at most.
fn inputs(value: &Value, group_len: usize, replay: &mut Replay) -> Vec<f32> {
    for group in items(value).chunks(group_len.max(1)) {
        let infinite = group.iter().any(|x| float(x).is_infinite());
        for x in group {
            match infinite && float(x).is_finite() {
                true => replay.exclude(x, "a finite input beside an infinite one"),
                false => drop(replay.input(x)),
            }
        }
    }
    items(value).iter().map(float).collect()
}
