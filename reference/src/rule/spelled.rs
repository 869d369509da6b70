//! Rules a scenario spells out as JSON: canonical text, limits of each field, schema.
use super::Rule;

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
                "granularity": word(&["tensor", "row", "group"]),
                "group_size": { "type": "integer", "minimum": 1 },
                "range": word(&["absmax", "absmean", "minmax"]),
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
