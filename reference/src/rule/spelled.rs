//! Rules a scenario spells out as JSON: canonical text, limits of each field, schema.
use super::{Granularity, Range, Rule, named};
use crate::case::nearest;
use crate::format::Levels;
use serde_json::{Map, Value};

/// Fields whose default is the format's and not the rule's: once given, they are kept.
const OF_THE_FORMAT: [&str; 2] = ["steps", "min_code"];
/// Least and largest scale known beforehand: 255 of either are numbers, and their reciprocals too.
const SCALES: (f32, f32) = (1e-30, 1e30);

impl Rule {
    /// Parse a rule spelled out as JSON and rewrite it canonically: keys sorted, defaults left out.
    pub fn canonical(text: &str) -> Result<String, String> {
        let given: Map<String, Value> =
            serde_json::from_str(text).map_err(|e| format!("a rule object ({e})"))?;
        let rule: Rule = serde_json::from_str(text).map_err(|e| unreadable(&given, &e))?;
        rule.validate()?;
        // Through text, where an f32 is its shortest decimal: 0.7, not 0.699999988079071.
        let value = |rule: &Rule| -> Result<serde_json::Value, String> {
            let text = serde_json::to_string(rule).map_err(|e| e.to_string())?;
            serde_json::from_str(&text).map_err(|e| e.to_string())
        };
        let (default, mut value) = (value(&Rule::default())?, value(&rule)?);
        if let Some(fields) = value.as_object_mut() {
            fields.retain(|key, value| {
                let kept = OF_THE_FORMAT.contains(&key.as_str()) && given.contains_key(key);
                kept || default.get(key) != Some(value)
            });
            fields.sort_keys();
        }
        Ok(value.to_string())
    }

    /// A canonical rule for the levels of a format. What is not spelled out is the format's: 7
    /// steps of int4, 255 of uint8, 1 of ternary, and a symmetric range.
    pub fn spelled_out(text: &str, levels: Levels) -> Result<Rule, String> {
        let given: Map<String, Value> = serde_json::from_str(text).map_err(|e| e.to_string())?;
        let rule: Rule = serde_json::from_str(text).map_err(|e| e.to_string())?;
        if rule.centred && levels != Levels::Sign {
            return Err("is `centred`, which only sign codes can be".into());
        }
        if rule.range == Range::Minmax && !levels.unsigned() {
            return Err("is `minmax`, which needs unsigned codes".into());
        }
        let (least, most) = levels.range();
        if given.contains_key("min_code") && i16::from(rule.min_code) < least {
            return Err(format!("has a `min_code` of {}, below {least}", rule.min_code));
        }
        let steps = if given.contains_key("steps") { rule.steps } else { named::steps(levels) };
        let min_code = match i8::try_from(-most) {
            Ok(symmetric) if !given.contains_key("min_code") => symmetric,
            _ => rule.min_code,
        };
        Ok(Rule { steps, min_code, ..rule })
    }

    fn validate(&self) -> Result<(), String> {
        let grouped = matches!(self.granularity, Granularity::Group | Granularity::HeadGroup);
        if grouped != (self.group_size > 0) {
            return Err(format!(
                "a rule whose `group_size` is at least 1 where `granularity` is group, and absent \
                 elsewhere, not {}",
                self.group_size
            ));
        }
        let fixed = self.range == Range::Fixed;
        let (least, most) = SCALES;
        if !if fixed { (least..=most).contains(&self.fixed_scale) } else { self.fixed_scale == 0.0 }
        {
            return Err(format!(
                "a rule whose `scale` is from {least:e} to {most:e} where `range` is fixed, and \
                 absent elsewhere, not {:e}",
                self.fixed_scale
            ));
        }
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
                "granularity": word(&["tensor", "row", "group"]),
                "group_size": { "type": "integer", "minimum": 1 },
                "range": word(&["absmax", "absmean", "minmax", "fixed"]),
                "scale": { "type": "number", "minimum": SCALES.0, "maximum": SCALES.1 },
                "times": factor,
                "steps": factor,
                "rounding": word(&["half_even", "half_away"]),
                "min_code": { "type": "integer", "minimum": -128, "maximum": 0 },
                "threshold": { "type": "number", "minimum": 0 },
                "kept_mean": { "type": "boolean" },
                "inclusive": { "type": "boolean" },
                "centred": { "type": "boolean" },
                "zero_is_positive": { "type": "boolean" },
                "with_zero": { "type": "boolean" },
                "rotated": { "type": "boolean" },
                "epsilon": { "type": "number", "exclusiveMinimum": 0, "maximum": 1 },
                "epsilon_use": word(&["floor_scale", "floor_statistic", "add", "unit"]),
            }
        })
    }
}

/// What stands where a rule should, with the nearest field to one that is none.
fn unreadable(given: &Map<String, Value>, error: &serde_json::Error) -> String {
    let fields = serde_json::to_value(Rule::default()).unwrap_or_default();
    let known: Vec<&str> =
        fields.as_object().map(|f| f.keys().map(String::as_str).collect()).unwrap_or_default();
    let unknown = given.keys().find(|key| !known.contains(&key.as_str()));
    match unknown.map(|key| (key, nearest(key, known.iter().copied()))) {
        Some((key, Some(near))) => format!("a rule without `{key}` (did you mean `{near}`?)"),
        Some((key, None)) => format!("a rule without `{key}`; fields: {}", known.join(", ")),
        None => format!("a rule object ({error})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str, levels: Levels) -> Result<Rule, String> {
        Rule::spelled_out(&Rule::canonical(text)?, levels)
    }

    #[test]
    fn what_is_spelled_out_is_what_is_used() {
        // A default of int8 given for another format is not a default there.
        assert_eq!(rule(r#"{"steps":127}"#, Levels::Uint8).unwrap().steps, 127.0);
        assert_eq!(rule("{}", Levels::Uint8).unwrap().steps, 255.0);
        assert_eq!(rule(r#"{"steps":127}"#, Levels::Ternary).unwrap().steps, 127.0);
        assert_eq!(rule("{}", Levels::Ternary).unwrap().steps, 1.0);
        let error = rule(r#"{"min_code":-127}"#, Levels::Int4).unwrap_err();
        assert_eq!(error, "has a `min_code` of -127, below -8");
        // The range is symmetric whatever the steps are.
        assert_eq!(rule(r#"{"steps":4}"#, Levels::Int4).unwrap().min_code, -7);
        assert_eq!(rule(r#"{"steps":4}"#, Levels::Int8).unwrap().min_code, -127);
        assert_eq!(rule(r#"{"min_code":-8}"#, Levels::Int4).unwrap().min_code, -8);
    }

    #[test]
    fn canonical_text_is_its_own_and_keeps_what_a_format_would_change() {
        for (text, canonical) in [
            (r#"{"times":1,"threshold":0.7}"#, r#"{"threshold":0.7}"#),
            (r#"{"steps":127}"#, r#"{"steps":127.0}"#),
            (r#"{"granularity":"token"}"#, "{}"),
            (r#"{"scale":1e-2,"range":"fixed"}"#, r#"{"range":"fixed","scale":0.01}"#),
        ] {
            assert_eq!(Rule::canonical(text).unwrap(), canonical);
            assert_eq!(Rule::canonical(canonical).unwrap(), canonical);
        }
    }

    #[test]
    fn errors_say_what_is_meant() {
        let error = Rule::canonical(r#"{"group_sise":32}"#).unwrap_err();
        assert_eq!(error, "a rule without `group_sise` (did you mean `group_size`?)");
        for text in [r#"{"range":"fixed"}"#, r#"{"scale":0.1}"#, r#"{"range":"fixed","scale":-1}"#]
        {
            assert!(Rule::canonical(text).unwrap_err().contains("`scale`"), "{text}");
        }
        for text in [r#"{"granularity":"group"}"#, r#"{"group_size":32}"#] {
            assert!(Rule::canonical(text).unwrap_err().contains("`group_size`"), "{text}");
        }
    }
}
