//! How a tensor becomes codes, and which gradients come back: a format, a rule with one scale for the
//! whole tensor or for each token, and an estimator.
use lowbit_reference::estimator::Estimator;
use lowbit_reference::format::{SIGN1, WeightFormat, activation_format, weight_format};
use lowbit_reference::invalid::Invalid;
use lowbit_reference::rule::{
    EpsilonUse, Granularity, Range, Rule, activation_rule, burn_dragon, weight_rule,
};

/// A format, a rule and an estimator.
#[derive(Clone, Copy, Debug)]
pub struct Coding {
    format: &'static dyn WeightFormat,
    rule: Rule,
    estimator: Estimator,
}

/// Formats of weights, and that of activations.
const FORMATS: [&str; 3] = ["sign1", "ternary2", "int8"];

impl Coding {
    /// How codes are stored.
    pub fn format(&self) -> &'static dyn WeightFormat {
        self.format
    }

    /// How a tensor becomes a scale and codes.
    pub fn rule(&self) -> &Rule {
        &self.rule
    }

    /// Which gradients pass the quantizer: all (`identity`), or those of [`Coding::clipped`].
    pub fn estimator(&self) -> Estimator {
        self.estimator
    }

    /// A format of weights (`sign1`, `ternary2`, `int8`) under a named rule: `burn_dragon`, `b1`
    /// (signs), `b158`, `a48` (ternary), `absmax`, `bnb`, `onnx` (int8); with one scale for the whole
    /// tensor.
    ///
    /// # Errors
    ///
    /// The format and which there are; a rule that this format has not.
    pub fn weight(format: &str, rule: &str) -> Result<Coding, Invalid> {
        let named = FORMATS.contains(&format).then(|| weight_format(format)).flatten();
        let known = named.ok_or_else(|| Invalid::new("format", format, FORMATS.join(", ")))?;
        let found = weight_rule(rule, known.levels());
        let rules = format!("a rule of {format} weights");
        let found = found.ok_or_else(|| Invalid::new("rule", rule, rules))?;
        Coding::new(known, Rule { granularity: Granularity::Tensor, ..found })
    }

    /// Activations (`int8`) under a named rule: `burn_dragon`, `b1`, `b158`, `a48`, `absmax`, `bnb`,
    /// `onnx`; with one scale for the whole tensor; [`Coding::per_token`] has more.
    ///
    /// # Errors
    ///
    /// The format and which there are; a rule that int8 activations have not.
    pub fn activation(format: &str, rule: &str) -> Result<Coding, Invalid> {
        let named = (format == "int8").then(|| activation_format(format)).flatten();
        let known = named.ok_or_else(|| Invalid::new("format", format, "int8"))?;
        let found = activation_rule(rule, known.levels());
        let found =
            found.ok_or_else(|| Invalid::new("rule", rule, "a rule of int8 activations"))?;
        Coding::new(known, Rule { granularity: Granularity::Tensor, ..found })
    }

    /// The same with a scale for each row along the last dimension, so that no token moves the scale of
    /// another: one for each token of each head of an input of `lowrank`. A decoder adds up heads, and
    /// a weight is summed along its columns: a projection refuses these there.
    pub fn per_token(self) -> Coding {
        Coding { rule: Rule { granularity: Granularity::Row, ..self.rule }, ..self }
    }

    /// The same with the estimator `clipped`: gradients stop where a value was saturated, beyond half a
    /// step after the last int8 code, or further than the scale from the centre of signs and ternary
    /// codes. One bit a value is kept for it, but for an input that is kept itself.
    pub fn clipped(self) -> Coding {
        Coding { estimator: Estimator::Clipped, ..self }
    }

    /// Whether each row has a scale.
    pub(crate) fn is_per_token(&self) -> bool {
        self.rule.granularity == Granularity::Row
    }

    /// Signs of values that are never zero.
    pub(crate) fn signs() -> Coding {
        let rule = burn_dragon(SIGN1.levels());
        Coding { format: &SIGN1, rule, estimator: Estimator::Identity }
    }

    /// Any rule with one statistic, and one scale or one a row; straight through everywhere.
    ///
    /// # Errors
    ///
    /// What of the rule no backend knows.
    pub fn new(format: &'static dyn WeightFormat, rule: Rule) -> Result<Coding, Invalid> {
        let refused = |field: &str, found: &dyn std::fmt::Debug, allowed: &str| {
            Err(Invalid::new(field, format!("{found:?}"), allowed))
        };
        if !matches!(rule.granularity, Granularity::Tensor | Granularity::Row) {
            return refused("rule.granularity", &rule.granularity, "tensor, row");
        }
        if !matches!(rule.range, Range::Absmax | Range::Absmean) {
            return refused("rule.range", &rule.range, "absmax, absmean");
        }
        if rule.epsilon_use == EpsilonUse::Unit || rule.kept_mean || rule.rotated {
            return refused("rule", &rule, "no unit scale, no mean of those kept, no rotation");
        }
        match FORMATS.contains(&format.name()) {
            true => Ok(Coding { format, rule, estimator: Estimator::Identity }),
            false => Err(Invalid::new("format", format.name(), FORMATS.join(", "))),
        }
    }
}
