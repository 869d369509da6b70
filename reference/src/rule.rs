//! Rules: how a group of values becomes a scale and codes.
//!
//! A rule is a handful of independent choices (statistic, multiple, rounding, threshold,
//! granularity, epsilon). The published rules and the source's own are *named* sets of choices;
//! a scenario may also spell one out. Formulas and sources: `METHODOLOGY.md`, "Rules".
//!
//! Statistics are summed in f64: the source's f32 sums drift (2^22 times 0.02 has a mean of
//! 0.02037 there, which makes every ternary code zero).
use crate::case::Word;
use crate::format::Levels;
use serde::{Deserialize, Serialize};

/// Which values share one scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Granularity {
    /// The whole tensor.
    Tensor,
    /// Each row: an output channel of a weight, a token of an activation.
    Row,
}

/// The statistic a scale is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Range {
    /// `max |x|`.
    Absmax,
    /// `mean |x|`.
    Absmean,
}

/// What a quotient halfway between two codes becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rounding {
    /// The even code (IEEE, numpy, ONNX, torch).
    HalfEven,
    /// The code farther from zero (Rust's and C's `round`).
    HalfAway,
}

/// How a rule keeps away from a division by zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EpsilonUse {
    /// `scale = max(scale, epsilon)`.
    FloorScale,
    /// `statistic = max(statistic, epsilon)`.
    FloorStatistic,
    /// `x / (scale + epsilon / steps)`, the scale itself without epsilon.
    Add,
}

/// A quantization rule, spelled out.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rule {
    /// Which values share one scale.
    pub granularity: Granularity,
    /// The statistic.
    pub range: Range,
    /// The range is `times` the statistic.
    pub times: f32,
    /// Steps the range is divided into: `scale = range / steps`. Sign and ternary take 1.
    pub steps: f32,
    /// Ties of int8 codes.
    pub rounding: Rounding,
    /// Smallest int8 code; the largest is 127.
    pub min_code: i8,
    /// Ternary codes are nonzero above `threshold * scale`.
    pub threshold: f32,
    /// Whether a value exactly at the threshold is nonzero.
    pub inclusive: bool,
    /// Whether the mean is subtracted before the sign is taken.
    pub centred: bool,
    /// Whether the sign of zero is +1.
    pub zero_is_positive: bool,
    /// See [`EpsilonUse`].
    pub epsilon: f32,
    /// What epsilon does.
    pub epsilon_use: EpsilonUse,
}

impl Default for Rule {
    /// `absmax` of a row in 127 steps, ties to even.
    fn default() -> Rule {
        Rule {
            granularity: Granularity::Row,
            range: Range::Absmax,
            times: 1.0,
            steps: 127.0,
            rounding: Rounding::HalfEven,
            min_code: -127,
            threshold: 0.5,
            inclusive: false,
            centred: false,
            zero_is_positive: false,
            epsilon: f32::MIN_POSITIVE,
            epsilon_use: EpsilonUse::FloorScale,
        }
    }
}

/// Scale floor of the source (seed 002, `QUANT_EPSILON`).
const SOURCE_EPSILON: f32 = 1e-8;

const fn word(name: &'static str) -> Word {
    Word { name, aliases: &[] }
}

/// The named weight rules.
pub fn weight_rule_words() -> Vec<Word> {
    ["burn_dragon", "b1", "b158", "a48", "absmax", "onnx", "bnb"].map(word).to_vec()
}

/// The named activation rules, and `none` for activations that stay f32.
pub fn activation_rule_words() -> Vec<Word> {
    ["none", "burn_dragon", "b1", "b158", "a48", "absmax", "onnx", "bnb"].map(word).to_vec()
}

/// The source's rule for `levels`: twice the mean for int8, the mean for ternary and sign.
pub fn burn_dragon(levels: Levels) -> Rule {
    let int8 = levels == Levels::Int8;
    Rule {
        granularity: Granularity::Tensor,
        range: Range::Absmean,
        times: if int8 { 2.0 } else { 1.0 },
        steps: if int8 { 127.0 } else { 1.0 },
        rounding: Rounding::HalfAway,
        threshold: 1.0,
        inclusive: true,
        zero_is_positive: true,
        epsilon: SOURCE_EPSILON,
        ..Rule::default()
    }
}

/// The weight rule of that name for a format's levels, if there is one.
pub fn weight_rule(name: &str, levels: Levels) -> Option<Rule> {
    let absmean = Rule {
        granularity: Granularity::Tensor,
        range: Range::Absmean,
        steps: 1.0,
        epsilon: 1e-5,
        epsilon_use: EpsilonUse::FloorStatistic,
        ..Rule::default()
    };
    match (name, levels) {
        ("burn_dragon", _) => Some(burn_dragon(levels)),
        ("b1", Levels::Sign) => Some(Rule { centred: true, ..absmean }),
        ("b158", Levels::Ternary) => Some(absmean),
        ("a48", Levels::Ternary) => Some(Rule { epsilon_use: EpsilonUse::Add, ..absmean }),
        ("absmax" | "bnb", Levels::Int8) => Some(Rule::default()),
        ("onnx", Levels::Int8) => {
            Some(Rule { granularity: Granularity::Tensor, min_code: -128, ..Rule::default() })
        }
        _ => None,
    }
}

/// The int8 activation rule of that name, if there is one.
pub fn activation_rule(name: &str) -> Option<Rule> {
    let per_token = Rule {
        epsilon: 1e-5,
        epsilon_use: EpsilonUse::FloorStatistic,
        min_code: -128,
        ..Rule::default()
    };
    match name {
        "burn_dragon" => Some(burn_dragon(Levels::Int8)),
        "b1" => Some(Rule { steps: 128.0, min_code: -127, ..per_token }),
        "b158" => Some(per_token),
        "a48" => Some(Rule { epsilon_use: EpsilonUse::Add, ..per_token }),
        "absmax" | "bnb" => Some(Rule::default()),
        "onnx" => weight_rule("onnx", Levels::Int8),
        _ => None,
    }
}

impl Rule {
    /// Parse a rule spelled out as JSON and rewrite it canonically: keys sorted, defaults left out.
    pub fn canonical(text: &str) -> Result<String, String> {
        let rule: Rule = serde_json::from_str(text).map_err(|e| format!("a rule object: {e}"))?;
        rule.validate()?;
        // Through text, where an f32 is its shortest decimal: 0.7, not 0.699999988079071.
        let value = |rule: &Rule| -> Result<serde_json::Value, String> {
            let text = serde_json::to_string(rule).map_err(|e| e.to_string())?;
            serde_json::from_str(&text).map_err(|e| e.to_string())
        };
        let (default, mut value) = (value(&Rule::default())?, value(&rule)?);
        if let Some(fields) = value.as_object_mut() {
            fields.retain(|key, value| default.get(key) != Some(value));
            fields.sort_keys();
        }
        Ok(value.to_string())
    }

    fn validate(&self) -> Result<(), String> {
        let ranges = [("times", self.times, 1e-6, 1e6), ("steps", self.steps, 1e-6, 1e6)];
        let epsilon = ("epsilon", self.epsilon, f32::from_bits(1), 1.0);
        for (field, value, least, most) in ranges.into_iter().chain([epsilon]) {
            if !(least..=most).contains(&value) {
                return Err(format!(
                    "a rule whose `{field}` is from {least:e} to {most:e}, not {value:e}"
                ));
            }
        }
        if self.min_code > 0 {
            return Err(format!(
                "a rule whose `min_code` is from -128 to 0, not {}",
                self.min_code
            ));
        }
        if !(self.threshold.is_finite() && self.threshold >= 0.0) {
            return Err(format!("a rule whose `threshold` is at least 0, not {}", self.threshold));
        }
        Ok(())
    }

    /// JSON Schema of a rule spelled out.
    pub fn schema() -> serde_json::Value {
        let word = |words: &[&str]| serde_json::json!({ "enum": words });
        let factor = serde_json::json!({ "type": "number", "minimum": 1e-6, "maximum": 1e6 });
        serde_json::json!({
            "type": "object",
            "additionalProperties": false,
            "properties": {
                "granularity": word(&["tensor", "row"]),
                "range": word(&["absmax", "absmean"]),
                "times": factor,
                "steps": factor,
                "rounding": word(&["half_even", "half_away"]),
                "min_code": { "type": "integer", "minimum": -128, "maximum": 0 },
                "threshold": { "type": "number", "minimum": 0 },
                "inclusive": { "type": "boolean" },
                "centred": { "type": "boolean" },
                "zero_is_positive": { "type": "boolean" },
                "epsilon": { "type": "number", "exclusiveMinimum": 0, "maximum": 1 },
                "epsilon_use": word(&["floor_scale", "floor_statistic", "add"]),
            }
        })
    }

    /// How many values share a scale in rows of `row_len`, of `len` in all.
    pub fn group_len(&self, len: usize, row_len: usize) -> usize {
        match self.granularity {
            Granularity::Tensor => len.max(1),
            Granularity::Row => row_len.max(1),
        }
    }

    /// The statistic of a group, summed in f64.
    pub fn statistic(&self, group: &[f32]) -> f32 {
        match self.range {
            Range::Absmax => group.iter().fold(0.0, |max: f32, x| max.max(x.abs())),
            Range::Absmean => mean(group, |x| x.abs()),
        }
    }

    /// The stored scale for a statistic.
    pub fn scale(&self, statistic: f32) -> f32 {
        match self.epsilon_use {
            EpsilonUse::FloorScale => (self.times * statistic / self.steps).max(self.epsilon),
            EpsilonUse::FloorStatistic => self.times * statistic.max(self.epsilon) / self.steps,
            EpsilonUse::Add => self.times * statistic / self.steps,
        }
    }

    /// The divisor of the quotient: the scale, unless the rule adds an epsilon to it.
    pub fn step(&self, scale: f32) -> f32 {
        match self.epsilon_use {
            EpsilonUse::Add => scale + self.epsilon / self.steps,
            _ => scale,
        }
    }

    /// The code of one value under a group's scale and centre.
    pub fn code(&self, levels: Levels, x: f32, scale: f32, centre: f32) -> i8 {
        let step = self.step(scale);
        match levels {
            Levels::Sign => {
                let x = if self.centred { x - centre } else { x };
                if x > 0.0 || (self.zero_is_positive && x == 0.0) { 1 } else { -1 }
            }
            Levels::Ternary => {
                let limit = self.threshold * step;
                let active = x.abs() > limit || (self.inclusive && x.abs() >= limit);
                i8::from(active) * if x < 0.0 { -1 } else { 1 }
            }
            Levels::Int8 => {
                let quotient = x / step;
                let rounded = match self.rounding {
                    Rounding::HalfEven => quotient.round_ties_even(),
                    Rounding::HalfAway => quotient.round(),
                };
                // A saturating cast: NaN becomes 0, as documented in METHODOLOGY.md.
                rounded.clamp(f32::from(self.min_code), 127.0) as i8
            }
        }
    }

    /// Whether the value lies within 4 ulp of the border between two codes, so that a division
    /// rounded another way may give the neighbour.
    pub fn near_tie(&self, levels: Levels, x: f32, scale: f32, centre: f32) -> bool {
        let step = self.step(scale);
        let near = |value: f32, border: f32| (value - border).abs() <= 4.0 * ulp(border);
        match levels {
            Levels::Sign => self.centred && near(x, centre),
            Levels::Ternary => near(x.abs(), self.threshold * step),
            Levels::Int8 => {
                let quotient = (x / step).abs();
                near(quotient, quotient.floor() + 0.5)
            }
        }
    }
}

/// Distance from `x` to the next larger float of its magnitude.
pub fn ulp(x: f32) -> f32 {
    let x = x.abs();
    f32::from_bits(x.to_bits() + 1) - x
}

/// Mean of `f(x)` over a group, summed in f64; 0 for an empty group.
pub fn mean(group: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    (group.iter().map(|x| f64::from(f(*x))).sum::<f64>() / group.len().max(1) as f64) as f32
}

/// Scales, centres and codes of a tensor.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Quantized {
    /// One scale per group.
    pub scales: Vec<f32>,
    /// One centre per group; empty unless the rule is centred.
    pub centres: Vec<f32>,
    /// One code per value.
    pub codes: Vec<i8>,
}

/// Quantize `x` in consecutive groups of `group_len` values (the last may be short).
pub fn quantize(rule: &Rule, levels: Levels, x: &[f32], group_len: usize) -> Quantized {
    let mut out = Quantized::default();
    for group in x.chunks(group_len.max(1)) {
        let scale = rule.scale(rule.statistic(group));
        let centre = if rule.centred { mean(group, |x| x) } else { 0.0 };
        out.scales.push(scale);
        if rule.centred {
            out.centres.push(centre);
        }
        out.codes.extend(group.iter().map(|x| rule.code(levels, *x, scale, centre)));
    }
    out
}
