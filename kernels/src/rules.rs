//! Which rules the rows that came first know: sign, ternary and int8 codes, a scale for the whole
//! tensor or for each row, no zero points.
use lowbit_reference::format::{Levels, WeightFormat};
use lowbit_reference::op::quantize::QuantizeProblem;
use lowbit_reference::rule::{EpsilonUse, Granularity, Range, Rule};

/// Whether these are sign, ternary or int8 codes.
pub(crate) fn classic_levels(levels: Levels) -> Result<(), String> {
    match levels {
        Levels::Sign | Levels::Ternary | Levels::Int8 => Ok(()),
        other => Err(format!("no {}", other.name())),
    }
}

/// Whether the bits are those of `sign1`, `ternary2` or `int8`: other formats store the same codes
/// in other places.
pub(crate) fn classic_format(format: &dyn WeightFormat) -> Result<(), String> {
    match format.name() {
        "sign1" | "ternary2" | "int8" => Ok(()),
        other => Err(format!("no packing of {other}")),
    }
}

/// Whether such codes follow from one statistic and one scale.
pub(crate) fn classic_rule(rule: &Rule, levels: Levels) -> Result<(), String> {
    classic_levels(levels)?;
    if !matches!(rule.granularity, Granularity::Tensor | Granularity::Row) {
        return Err("no groups within rows".into());
    }
    if rule.range == Range::Minmax || rule.epsilon_use == EpsilonUse::Unit {
        return Err("no zero points".into());
    }
    match rule.kept_mean {
        true => Err("no scales from the values kept".into()),
        false => Ok(()),
    }
}

/// Whether a problem has such a rule.
pub(crate) fn classic(problem: &QuantizeProblem) -> Result<(), String> {
    classic_rule(&problem.rule, problem.levels())
}
