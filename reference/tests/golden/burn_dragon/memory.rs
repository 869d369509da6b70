//! The source's memory estimate, row by row.
use super::{counts, items};
use crate::replay::{Replay, size, text};
use lowbit_reference::config::lowbit::{
    LowBitQuantizationConfig, LowBitRhoConfig, LowBitTargetModule,
};
use lowbit_reference::memory::{ModelShape, SavedInventory, compat, compat_saved};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

pub(super) fn replay(estimates: &Value, replay: &mut Replay) {
    replay.input(&estimates["targets"]);
    replay.input(&estimates["inputs"]);
    for row in items(&estimates["rows"]) {
        let keys = ["input", "weight", "act_and_saved_format", "saved_mode", "rho"];
        let words = keys.map(|key| text(replay.input(&row[key])));
        let at = format!("memory {}", words.join(" "));
        match read(words, &estimates["inputs"]) {
            Some((quant, rho, shape)) => compare(&at, row, (&quant, &rho, &shape), replay),
            None => replay.fail(&at, "cannot be read"),
        }
    }
}

fn word<T: DeserializeOwned>(word: &str) -> Option<T> {
    serde_json::from_value(json!(word)).ok()
}

/// The configs and the shape a row was made with; all three projections were targeted.
fn read(
    [input, weight, activation, mode, rho]: [&str; 5],
    inputs: &Value,
) -> Option<(LowBitQuantizationConfig, LowBitRhoConfig, ModelShape)> {
    let mut quant = LowBitQuantizationConfig {
        enable: true,
        weight_format: word(weight)?,
        decoder_x_mode: word(weight)?,
        act_format: word(activation)?,
        target_modules: LowBitTargetModule::ALL.to_vec(),
        ..Default::default()
    };
    quant.saved_activations.mode = word(mode)?;
    quant.saved_activations.format = word(activation)?;
    let rho = match rho.strip_prefix("none_") {
        Some(precision) => LowBitRhoConfig { precision: word(precision)?, ..Default::default() },
        None => LowBitRhoConfig { compression: word(rho)?, ..Default::default() },
    };
    let of = |key: &str| inputs.get(input)?.get(key).map(size);
    let shape = ModelShape {
        batch_size: of("batch_size")?,
        time_steps: of("time_steps")?,
        n_layer: of("n_layer")?,
        n_head: of("n_head")?,
        n_embd: of("n_embd")?,
        latent_total: of("latent_total")?,
    };
    Some((quant, rho, shape))
}

fn compare(
    at: &str,
    row: &Value,
    (quant, rho, shape): (&LowBitQuantizationConfig, &LowBitRhoConfig, &ModelShape),
    replay: &mut Replay,
) {
    let buckets = compat(quant, rho, shape);
    let figures = [
        ("master", buckets.master_weights),
        ("execution", buckets.execution_weights),
        ("activation", buckets.activations),
        ("saved", buckets.saved_activations),
        ("rho_bytes", buckets.rho_state),
        ("workspace", buckets.workspace),
        ("total", buckets.total()),
    ];
    for (key, got) in figures {
        replay.integers(at, key, &row[key], counts([got]));
    }
    match compat_saved(quant, shape) {
        Some(inventory) => saved(at, &row["inventory"], &inventory, replay),
        None => replay.equal(at, "inventory", &row["inventory"], &Value::Null),
    }
}

fn saved(at: &str, want: &Value, inventory: &SavedInventory, replay: &mut Replay) {
    let anchor = json!(inventory.requires_rho_window_anchor);
    replay.equal(at, "anchor", &want["anchor"], &anchor);
    if items(&want["tensors"]).len() != inventory.tensors.len() {
        replay.fail(at, format!("{} tensors are saved", inventory.tensors.len()));
    }
    for (want, tensor) in items(&want["tensors"]).iter().zip(&inventory.tensors) {
        replay.equal(at, "name", &want["name"], &json!(tensor.name));
        replay.equal(at, "shape", &want["shape"], &json!(tensor.shape));
        replay.integers(at, "elements", &want["elements"], counts([tensor.elements]));
        replay.integers(at, "bytes", &want["bytes"], counts([tensor.bytes]));
    }
}
