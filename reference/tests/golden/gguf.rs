//! ggml's block formats as gguf-py and compiled ggml write them: bytes, values and errors.
use super::replay::{Replay, Within, bytes, floats, text};
use lowbit_reference::format::{BlockFormat, block_format};
use serde_json::Value;

pub(crate) fn replay(document: &Value, replay: &mut Replay) {
    replay.input(&document["source"]);
    for (name, want) in document["block_bytes"].as_object().into_iter().flatten() {
        match block_format(&name.to_lowercase()) {
            Some(format) => {
                let sizes = [format.block_len(), format.block_bytes()].map(|size| size as u32);
                replay.integers(name, "block_bytes", want, sizes);
            }
            None => replay.fail(name, "is no block format"),
        }
    }
    replay.input(&document["inputs"]);
    for result in document["results"].as_array().into_iter().flatten() {
        let (name, input) = (text(&result["type"]), text(&result["input"]));
        let case = format!("{name} {input}");
        match block_format(&name.to_lowercase()) {
            Some(format) => {
                let x = floats(&document["inputs"][input]);
                compare(replay, &case, format, &x, result);
            }
            None => replay.fail(&case, "is no block format"),
        }
    }
    for decoded in document["decoded"].as_array().into_iter().flatten() {
        let name = text(&decoded["type"]);
        let of = |format: &dyn BlockFormat| format.decode(&bytes(&decoded["bytes_hex"]));
        match block_format(&name.to_lowercase()).map(of) {
            Some(Ok(values)) => {
                replay.floats(name, "decoded", &decoded["dequant"], &values, Within::Exactly);
            }
            Some(Err(error)) => replay.fail(name, error),
            None => replay.fail(name, "is no block format"),
        }
        replay.input(&decoded["type"]);
        replay.input(&decoded["bytes_hex"]);
    }
}

fn compare(replay: &mut Replay, case: &str, format: &dyn BlockFormat, x: &[f32], result: &Value) {
    for input in ["type", "input", "from"] {
        replay.input(&result[input]);
    }
    let encoded = match format.encode(x) {
        Ok(encoded) => encoded,
        Err(error) => return replay.fail(case, error),
    };
    replay.hex(case, "bytes_hex", &result["bytes_hex"], &encoded);
    // The golden bytes, so that a wrong encoder does not hide a wrong decoder.
    let values = match format.decode(&bytes(&result["bytes_hex"])) {
        Ok(values) if values.len() == x.len() => values,
        Ok(values) => return replay.fail(case, format!("decodes to {} values", values.len())),
        Err(error) => return replay.fail(case, error),
    };
    if let Some(want) = result.get("dequant") {
        replay.floats(case, "dequant", want, &values, Within::Exactly);
    }
    // Two libraries agree, which leaves one answer; it is compared above.
    if let Some(equal) = result.get("c_dequant_equal") {
        replay.equal(case, "c_dequant_equal", equal, &true.into());
    }
    if let Some(equal) = result.get("c_bytes_equal") {
        let equal_bytes = result.get("c_bytes_hex").is_none();
        replay.equal(case, "c_bytes_equal", equal, &equal_bytes.into());
    }
    if let Some(other) = result.get("c_bytes_hex") {
        replay
            .exclude(other, "C bytes unlike gguf-py's depend on whether the compiler fused a sum");
    }
    let rmse = root_mean_square_error(x, &values);
    // Sums of `n` non-negative f64 in any order are within n EPSILON / 2 of each other, relatively;
    // the division and the root add less than one EPSILON.
    let relative = x.len() as f64 * f64::EPSILON;
    replay.doubles(case, "dequant_rmse", &result["dequant_rmse"], &[rmse], relative);
    // Made of f32 differences.
    let difference = x.iter().zip(&values).map(|(x, value)| (value - x).abs());
    let largest = difference.fold(0.0f32, f32::max).into();
    replay.doubles(case, "dequant_max_abs", &result["dequant_max_abs"], &[largest], 0.0);
}

/// `sqrt(mean (x - q)^2)`.
fn root_mean_square_error(x: &[f32], q: &[f32]) -> f64 {
    let squares = x.iter().zip(q).map(|(x, q)| (f64::from(*x) - f64::from(*q)).powi(2));
    (squares.sum::<f64>() / x.len() as f64).sqrt()
}
