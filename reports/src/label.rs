//! Short names of cases: what distinguishes them in a list, and what they have in common.
//!
//! A label is made from the record's parameters, never by parsing ids, so a run of a later
//! version with parameters unknown here still gets readable labels.
use crate::record::Record;
use std::collections::{BTreeMap, BTreeSet};

/// Parameters that read best in this order; all others follow by name.
const ORDER: &[&str] = &[
    "weight",
    "weight_rule",
    "activation",
    "activation_rule",
    "format",
    "rule",
    "symmetry",
    "block_size",
    "double_quant",
    "m",
    "k",
    "n",
    "len",
    "causal",
    "pass",
    "relu",
    "batch",
    "input_heads",
    "heads",
    "kv_heads",
    "query_len",
    "key_len",
    "head_dim",
    "time",
    "embd",
    "packed_latent",
    "latent",
    "latent_total",
    "dim",
    "data",
    "pattern",
    "distribution",
    "file",
    "tensor",
    "seed",
];

/// A format and the parameter that names its rule, printed together.
const PAIRS: &[(&str, &str)] =
    &[("weight", "weight_rule"), ("activation", "activation_rule"), ("format", "rule")];

/// Where the data come from; one of them names it.
const DATA: &[&str] = &["data", "pattern", "distribution", "file", "tensor"];

/// Sizes share a piece.
const SIZES: &[&str] = &[
    "m",
    "k",
    "n",
    "len",
    "batch",
    "input_heads",
    "heads",
    "kv_heads",
    "query_len",
    "key_len",
    "head_dim",
    "time",
    "embd",
    "packed_latent",
    "latent",
    "latent_total",
    "dim",
];

/// Stands before the activation of a product.
const CROSS: &str = "x ";

/// Labels for a set of cases of one op.
pub struct Labels {
    varying: BTreeSet<String>,
    common: Vec<String>,
}

impl Labels {
    /// Find out which parameters distinguish these records' cases.
    pub fn new<'a>(records: impl IntoIterator<Item = &'a Record>) -> Labels {
        let mut values: BTreeMap<&str, BTreeSet<Option<&str>>> = BTreeMap::new();
        let sets: Vec<_> = records.into_iter().map(|r| &r.parameters).collect();
        for key in sets.iter().flat_map(|p| p.keys()) {
            values.entry(key).or_default();
        }
        for parameters in &sets {
            for (key, seen) in &mut values {
                seen.insert(parameters.get(*key).map(String::as_str));
            }
        }
        let (varying, fixed): (Vec<_>, Vec<_>) =
            values.iter().partition(|(_, seen)| seen.len() > 1);
        let mut varying: BTreeSet<String> =
            varying.into_iter().map(|(key, _)| key.to_string()).collect();
        for (format, rule) in PAIRS {
            // A rule alone is not recognised: `ternary2 (b158)`, never `b158`.
            if varying.contains(*rule) && values.contains_key(format) {
                varying.insert((*format).to_owned());
            }
        }
        if varying.is_empty() {
            // A single case is still called by something: its formats and sizes.
            let named = |key: &&str| ORDER.iter().take(29).any(|k| k == key);
            varying = values.keys().copied().filter(named).map(str::to_owned).collect();
        }
        let mut fixed: Vec<&str> = fixed.into_iter().map(|(key, _)| *key).collect();
        fixed.retain(|key| !varying.contains(*key));
        fixed.sort_by_key(rank);
        let first = sets.first();
        let value = |key: &str| first.and_then(|p| p.get(key)).cloned().unwrap_or_default();
        let common = fixed.into_iter().map(|key| format!("{key}={}", value(key))).collect();
        Labels { varying, common }
    }

    /// `key=value` of every parameter the cases share and the labels leave out.
    pub fn common(&self) -> &[String] {
        &self.common
    }

    /// The label of one case in pieces that may be put on separate lines.
    pub fn pieces(&self, record: &Record) -> Vec<String> {
        let mut pieces = self.formats(record);
        let mut rest: Vec<&str> = self.varying.iter().map(String::as_str).collect();
        rest.retain(|key| !DATA.contains(key) && !PAIRS.iter().any(|(f, r)| key == f || key == r));
        rest.sort_by_key(rank);
        let pair = |key: &str| self.shown(record, key).map(|value| format!("{key}={value}"));
        let (sizes, rest): (Vec<&str>, Vec<&str>) =
            rest.into_iter().partition(|key| SIZES.contains(key));
        let sizes: Vec<String> = sizes.into_iter().filter_map(pair).collect();
        if !sizes.is_empty() {
            pieces.push(sizes.join(" "));
        }
        if DATA.iter().any(|key| self.varying.contains(*key)) {
            pieces.push(data(record));
        }
        pieces.extend(rest.into_iter().filter_map(pair));
        pieces
    }

    /// Formats with their rules: `ternary2 (b158)`, `x int8 (absmax)`.
    fn formats(&self, record: &Record) -> Vec<String> {
        let mut pieces: Vec<String> = Vec::new();
        for (format, rule) in PAIRS {
            let cross = if *format == "activation" && !pieces.is_empty() { CROSS } else { "" };
            match (self.shown(record, format), self.shown(record, rule)) {
                (Some(format), Some(rule)) => pieces.push(format!("{cross}{format} ({rule})")),
                (Some(format), None) => pieces.push(format!("{cross}{format}")),
                (None, Some(value)) => pieces.push(format!("{rule}={value}")),
                (None, None) => {}
            }
        }
        pieces
    }

    fn shown<'a>(&self, record: &'a Record, key: &str) -> Option<&'a str> {
        let value = record.parameters.get(key).map(String::as_str);
        value.filter(|_| self.varying.contains(key))
    }

    /// The label of one case on one line.
    pub fn line(&self, record: &Record) -> String {
        self.pieces(record).join(", ").replace(&format!(", {CROSS}"), &format!(" {CROSS}"))
    }
}

/// Where a record's data came from: a distribution, a pattern, a tensor of a file, or a tier.
pub fn data(record: &Record) -> String {
    let get = |key: &str| record.parameters.get(key).map(String::as_str);
    match (get("data"), get("distribution").or(get("pattern"))) {
        (Some("file"), _) => get("tensor").or(get("file")).unwrap_or("file").to_owned(),
        (_, Some(distribution)) => distribution.to_owned(),
        (Some(tier), None) => tier.to_owned(),
        (None, None) => "unnamed data".to_owned(),
    }
}

/// Distinct values in the order of first appearance.
pub fn distinct<T: PartialEq>(values: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut seen = Vec::new();
    for value in values {
        if !seen.contains(&value) {
            seen.push(value);
        }
    }
    seen
}

fn rank<'a>(key: &&'a str) -> (usize, &'a str) {
    (ORDER.iter().position(|k| k == key).unwrap_or(ORDER.len()), key)
}

/// What a record stores, as `(format, rule)`: a weight, else an activation, else a named format.
///
/// An op that knows one rule only, like those on rho, names none; its rule is empty.
pub fn stored(record: &Record) -> Option<(&str, &str)> {
    let get = |key: &str| record.parameters.get(key).map(String::as_str);
    let (format, rule) = PAIRS.iter().find_map(|(f, r)| Some((get(f)?, get(r))))?;
    Some((format, rule.unwrap_or("")))
}
