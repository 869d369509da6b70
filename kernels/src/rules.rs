//! Which rules the rows that came first know: sign, ternary and int8 codes, a scale for the whole
//! tensor or for each row, no zero points.
use lowbit_reference::format::{Levels, WeightFormat};
#[cfg(any(feature = "burn", feature = "peers", feature = "cube"))]
use lowbit_reference::op::linear;
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
    if rule.range == Range::Fixed {
        return Err("no scale known beforehand".into());
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

/// The weight of a `linear` problem, if it is codes with one scale for all or one per row and no
/// zero points.
#[cfg(any(feature = "burn", feature = "peers", feature = "cube"))]
pub(crate) fn ungrouped(problem: &linear::LinearProblem) -> Result<&linear::PackedWeight, String> {
    match &problem.weight {
        linear::Weight::Codes(weight) if weight.groups > 1 => {
            Err("no scales for groups of a row".into())
        }
        linear::Weight::Codes(weight) if !weight.zero_points.is_empty() => {
            Err("no zero points".into())
        }
        linear::Weight::Codes(weight) => Ok(weight),
        other => Err(format!("no {} weights", other.name())),
    }
}

/// The same of a classic format.
#[cfg(any(feature = "burn", feature = "peers"))]
pub(crate) fn classic_weight(
    problem: &linear::LinearProblem,
) -> Result<&linear::PackedWeight, String> {
    if let linear::Weight::Codes(weight) = &problem.weight {
        classic_format(weight.format)?;
    }
    ungrouped(problem)
}

/// Whether the activations of a `linear` problem are f32, or signed codes without zero points: an
/// int4 code in a byte is an int8 one.
#[cfg(any(feature = "burn", feature = "peers"))]
pub(crate) fn classic_activation(problem: &linear::LinearProblem) -> Result<(), String> {
    match &problem.activation {
        linear::Activation::F32(_) => Ok(()),
        linear::Activation::I8(x) if x.zero_points.is_empty() => Ok(()),
        other => Err(format!("no {} activations", other.name())),
    }
}

/// What rows in the language of a device multiply: a weight without groups, and the codes of int8
/// activations, one token after another; no tokens or no rows of the weight are nothing to do.
#[cfg(feature = "cube")]
pub(crate) fn dense_codes(
    problem: &linear::LinearProblem,
) -> Result<(&linear::PackedWeight, &linear::ActivationCodes<i8>), String> {
    match &problem.activation {
        _ if !problem.rows.is_contiguous() => Err("no strided activations".into()),
        _ if problem.k == 0 => Err("no sums of nothing (K = 0)".into()),
        linear::Activation::I8(x) if x.zero_points.is_empty() => Ok((ungrouped(problem)?, x)),
        other => Err(format!("no {} activations", other.name())),
    }
}

/// Whether a `linear` problem has values and its activations lie one token after another.
#[cfg(any(feature = "burn", feature = "peers"))]
pub(crate) fn contiguous(problem: &linear::LinearProblem) -> Result<(), String> {
    match (problem.rows.is_contiguous(), [problem.m, problem.n, problem.k].contains(&0)) {
        (false, _) => Err("no strided activations".into()),
        (_, true) => Err("no empty matrices".into()),
        _ => Ok(()),
    }
}
