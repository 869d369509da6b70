//! How a tensor becomes codes: a format, and a rule with one scale for the whole tensor.
use lowbit_reference::format::{WeightFormat, activation_format, weight_format};
use lowbit_reference::invalid::Invalid;
use lowbit_reference::op::saved_activation::SavedFormat;
use lowbit_reference::rule::{EpsilonUse, Granularity, Range, Rule, activation_rule, weight_rule};

/// A format and a rule.
#[derive(Clone, Copy, Debug)]
pub struct Coding {
    /// How codes are stored.
    pub format: &'static dyn WeightFormat,
    /// How a tensor becomes a scale and codes.
    pub rule: Rule,
}

/// Formats of weights, and that of activations.
const FORMATS: [&str; 3] = ["sign1", "ternary2", "int8"];

impl Coding {
    /// A format of weights (`sign1`, `ternary2`, `int8`) under a named rule: `burn_dragon`, `b1`
    /// (signs), `b158`, `a48` (ternary), `absmax`, `onnx` (int8); with one scale for the whole tensor.
    ///
    /// # Errors
    ///
    /// The format or the rule, and which there are.
    pub fn weight(format: &str, rule: &str) -> Result<Coding, Invalid> {
        let named = FORMATS.contains(&format).then(|| weight_format(format)).flatten();
        let known = named.ok_or_else(|| Invalid::new("format", format, FORMATS.join(", ")))?;
        let found = weight_rule(rule, known.levels());
        let rules = format!("a rule of {format} weights");
        let found = found.ok_or_else(|| Invalid::new("rule", rule, rules))?;
        Coding::new(known, Rule { granularity: Granularity::Tensor, ..found })
    }

    /// Activations (`int8`) under a named rule: `burn_dragon`, `b1`, `b158`, `a48`, `absmax`, `onnx`;
    /// with one scale for the whole tensor.
    ///
    /// # Errors
    ///
    /// The format or the rule, and which there are.
    pub fn activation(format: &str, rule: &str) -> Result<Coding, Invalid> {
        let named = (format == "int8").then(|| activation_format(format)).flatten();
        let known = named.ok_or_else(|| Invalid::new("format", format, "int8"))?;
        let found = activation_rule(rule, known.levels());
        let found =
            found.ok_or_else(|| Invalid::new("rule", rule, "a rule of int8 activations"))?;
        Coding::new(known, Rule { granularity: Granularity::Tensor, ..found })
    }

    /// Any rule with one statistic and one scale.
    ///
    /// # Errors
    ///
    /// What of the rule no backend knows.
    pub fn new(format: &'static dyn WeightFormat, rule: Rule) -> Result<Coding, Invalid> {
        let refused = |field: &str, found: &dyn std::fmt::Debug, allowed: &str| {
            Err(Invalid::new(field, format!("{found:?}"), allowed))
        };
        if rule.granularity != Granularity::Tensor {
            return refused("rule.granularity", &rule.granularity, "tensor");
        }
        if !matches!(rule.range, Range::Absmax | Range::Absmean) {
            return refused("rule.range", &rule.range, "absmax, absmean");
        }
        if rule.epsilon_use == EpsilonUse::Unit || rule.kept_mean || rule.rotated {
            return refused("rule", &rule, "no unit scale, no mean of those kept, no rotation");
        }
        match FORMATS.contains(&format.name()) {
            true => Ok(Coding { format, rule }),
            false => Err(Invalid::new("format", format.name(), FORMATS.join(", "))),
        }
    }

    /// Bytes of a tensor of this shape that is kept as codes, its scale included.
    ///
    /// # Errors
    ///
    /// A shape of more values than there are bytes.
    pub fn stored_bytes(&self, shape: &[usize]) -> Result<u64, Invalid> {
        SavedFormat::Coded { format: self.format, rule: self.rule }.stored_bytes(shape)
    }
}
