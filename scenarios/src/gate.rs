//! What makes a run fail.
use crate::json::{Checked, Node};
use crate::keys;
use lowbit_reference::op::rho;
use lowbit_reference::rho::{RelativeGate, RhoGate};

/// What a broken limit does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GateMode {
    /// Fails the run.
    Enforce,
    /// Is written down.
    Report,
    /// Nothing: the limit is not looked at.
    Off,
}

/// Gates of a sweep.
#[derive(Clone, Debug, PartialEq)]
pub struct Gates {
    /// What a wrong answer does; never [`GateMode::Off`].
    pub correctness: GateMode,
    /// What codes do that no case of the sweep's rows holds; never [`GateMode::Off`].
    pub codes: GateMode,
    /// What a compressed state of poor quality does, and the limits; only for ops on rho.
    pub rho: Option<(GateMode, RhoGate)>,
    /// The same for limits relative to the state's own magnitude, side by side with those.
    pub rho_relative: Option<(GateMode, RelativeGate)>,
}

impl Default for Gates {
    fn default() -> Gates {
        Gates {
            correctness: GateMode::Enforce,
            codes: GateMode::Report,
            rho: None,
            rho_relative: None,
        }
    }
}

pub(crate) const CORRECTNESS: &[(&str, GateMode)] =
    &[("enforce", GateMode::Enforce), ("report", GateMode::Report)];
pub(crate) const MODES: &[(&str, GateMode)] =
    &[("enforce", GateMode::Enforce), ("report", GateMode::Report), ("off", GateMode::Off)];
/// No limit is larger than this.
pub(crate) const MAX_LIMIT: f64 = 1e9;

/// Whether the op compresses a state, so that the quality gate applies.
pub(crate) fn gates_rho(op: &str) -> bool {
    let specs = [
        &rho::pack::SPEC,
        &rho::unpack::SPEC,
        &rho::encode::SPEC,
        &rho::decode::SPEC,
        &rho::drift::SPEC,
    ];
    specs.iter().any(|spec| spec.name == op)
}

impl Gates {
    /// The gates of a sweep over `op` that says nothing about them.
    pub(crate) fn of(op: &str) -> Gates {
        let rho = gates_rho(op).then(|| (GateMode::Report, RhoGate::default()));
        let rho_relative = gates_rho(op).then(|| (GateMode::Report, RelativeGate::default()));
        Gates { rho, rho_relative, ..Gates::default() }
    }

    /// `self` with what `node` says.
    pub(crate) fn overridden(mut self, node: Node) -> Checked<Gates> {
        let fields = node.fields(keys::GATE)?;
        if let Some(node) = fields.get("correctness") {
            self.correctness = node.word(CORRECTNESS)?;
        }
        if let Some(node) = fields.get("codes") {
            self.codes = node.word(CORRECTNESS)?;
        }
        if let Some(node) = fields.get("rho") {
            let (mode, limits) =
                self.rho.ok_or_else(|| node.error("is for the ops that begin with rho_"))?;
            self.rho = Some(rho_gate(node, mode, limits)?);
        }
        if let Some(node) = fields.get("rho_relative") {
            let (mode, limits) = self
                .rho_relative
                .ok_or_else(|| node.error("is for the ops that begin with rho_"))?;
            self.rho_relative = Some(relative_gate(node, mode, limits)?);
        }
        Ok(self)
    }
}

fn rho_gate(node: Node, mut mode: GateMode, mut limits: RhoGate) -> Checked<(GateMode, RhoGate)> {
    let fields = node.fields(keys::RHO)?;
    if let Some(node) = fields.get("mode") {
        mode = node.word(MODES)?;
    }
    for (key, slot) in [
        ("mean_abs_error", &mut limits.mean_abs_error),
        ("max_abs_error", &mut limits.max_abs_error),
        ("min_rms_ratio", &mut limits.min_rms_ratio),
        ("max_rms_ratio", &mut limits.max_rms_ratio),
        ("compression_ratio", &mut limits.compression_ratio),
    ] {
        let value = fields.get(key).map(|node| node.positive(MAX_LIMIT)).transpose()?;
        value.inspect(|value| *slot = *value);
    }
    if limits.min_rms_ratio > limits.max_rms_ratio {
        let (min, max) = (limits.min_rms_ratio, limits.max_rms_ratio);
        return Err(node.error(format!("min_rms_ratio {min} is more than max_rms_ratio {max}")));
    }
    Ok((mode, limits))
}

fn relative_gate(
    node: Node,
    mut mode: GateMode,
    mut limits: RelativeGate,
) -> Checked<(GateMode, RelativeGate)> {
    let fields = node.fields(keys::RHO_RELATIVE)?;
    if let Some(node) = fields.get("mode") {
        mode = node.word(MODES)?;
    }
    if let Some(node) = fields.get("nmse") {
        limits.nmse = node.positive(MAX_LIMIT)?;
    }
    if let Some(node) = fields.get("block_error") {
        limits.block_error = node.positive(MAX_LIMIT)?;
    }
    Ok((mode, limits))
}
