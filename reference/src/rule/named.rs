//! Rules with names: the published ones and the source's own.
//!
//! | name | source |
//! |---|---|
//! | `burn_dragon` | seed 002: twice the mean over the whole tensor, ties away from zero |
//! | `b1` | BitNet, arXiv 2310.11453, eq. 1-6 |
//! | `b158` | BitNet b1.58, arXiv 2402.17764, and its "Training Tips, Code, FAQ" |
//! | `a48` | BitNet a4.8, arXiv 2411.04965, eq. 1-9 |
//! | `b2_hadamard` | BitNet v2, arXiv 2504.18415: `a48` of rows rotated by a Hadamard transform |
//! | `absmax` | symmetric, narrow range, a scale per row |
//! | `onnx` | ONNX QuantizeLinear (signed) and DynamicQuantizeLinear (unsigned), per tensor |
//! | `bnb` | LLM.int8, arXiv 2208.07339: absmax per row |
//! | `llm_awq` | AWQ, arXiv 2306.00978, `pseudo_quantize_tensor`: groups of 128 |
//! | `twn` | Ternary Weight Networks, arXiv 1605.04711: threshold 0.7 mean, mean of the kept |
use super::{EpsilonUse, Granularity, Range, Rounding, Rule};
use crate::case::Word;
use crate::format::Levels;

/// Scale floor of the source (seed 002, `QUANT_EPSILON`).
const SOURCE_EPSILON: f32 = 1e-8;
/// Values that share a scale under `llm_awq`.
const AWQ_GROUP: usize = 128;

/// Every name, in the order of the table.
const NAMES: [&str; 10] =
    ["burn_dragon", "b1", "b158", "a48", "b2_hadamard", "absmax", "onnx", "bnb", "llm_awq", "twn"];

const fn word(name: &'static str) -> Word {
    Word { name, aliases: &[] }
}

/// The names that mean something for weights.
pub fn weight_rule_words() -> Vec<Word> {
    NAMES.into_iter().filter(|name| *name != "b2_hadamard").map(word).collect()
}

/// The names that mean something for activations, and `none` for activations that stay f32.
pub fn activation_rule_words() -> Vec<Word> {
    let named = NAMES.into_iter().filter(|name| !["llm_awq", "twn"].contains(name));
    ["none"].into_iter().chain(named).map(word).collect()
}

/// Every name.
pub fn rule_words() -> Vec<Word> {
    NAMES.into_iter().map(word).collect()
}

/// Steps of the largest code: what the range is divided into.
pub fn steps(levels: Levels) -> f32 {
    match levels {
        Levels::Sign | Levels::Ternary => 1.0,
        _ => f32::from(levels.range().1),
    }
}

/// Symmetric absmax per row in the format's own steps.
pub fn absmax(levels: Levels) -> Rule {
    let steps = steps(levels);
    // Exact: at most 127 where codes are signed; unsigned codes have no use for it.
    let min_code = if levels.unsigned() { 0 } else { -steps as i8 };
    Rule { steps, min_code, ..Rule::default() }
}

/// The source's rule for `levels`: twice the mean for integers, the mean for ternary and sign.
pub fn burn_dragon(levels: Levels) -> Rule {
    let integer = !matches!(levels, Levels::Sign | Levels::Ternary);
    Rule {
        granularity: Granularity::Tensor,
        range: Range::Absmean,
        times: if integer { 2.0 } else { 1.0 },
        rounding: Rounding::HalfAway,
        threshold: 1.0,
        inclusive: true,
        zero_is_positive: true,
        epsilon: SOURCE_EPSILON,
        ..absmax(levels)
    }
}

/// ONNX: the whole tensor; the full range of signed codes, minmax with zero for unsigned ones.
pub fn onnx(levels: Levels) -> Rule {
    let rule = Rule { granularity: Granularity::Tensor, ..absmax(levels) };
    match levels.unsigned() {
        true => {
            Rule { range: Range::Minmax, with_zero: true, epsilon_use: EpsilonUse::Unit, ..rule }
        }
        false => Rule { min_code: full(levels), ..rule },
    }
}

/// Smallest code of a signed format: one more step than the largest.
fn full(levels: Levels) -> i8 {
    i8::try_from(levels.range().0).unwrap_or(i8::MIN)
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
    let awq = Rule {
        granularity: Granularity::Group,
        group_size: AWQ_GROUP,
        epsilon: 1e-5,
        epsilon_use: EpsilonUse::FloorStatistic,
        ..absmax(levels)
    };
    let integer = !matches!(levels, Levels::Sign | Levels::Ternary);
    match (name, levels) {
        // A weight has both signs: an unsigned code needs a zero point.
        ("burn_dragon" | "absmax", Levels::Uint4 | Levels::Uint8) => None,
        ("burn_dragon", _) => Some(burn_dragon(levels)),
        ("b1", Levels::Sign) => Some(Rule { centred: true, ..absmean }),
        ("b158", Levels::Ternary) => Some(absmean),
        ("a48", Levels::Ternary) => Some(Rule { epsilon_use: EpsilonUse::Add, ..absmean }),
        ("twn", Levels::Ternary) => Some(Rule { threshold: 0.7, kept_mean: true, ..absmean }),
        ("absmax", _) if integer => Some(absmax(levels)),
        ("bnb", Levels::Int8) => Some(absmax(levels)),
        ("onnx", _) if integer => Some(onnx(levels)),
        ("llm_awq", Levels::Uint4) => Some(Rule { range: Range::Minmax, ..awq }),
        ("llm_awq", Levels::Int4) => Some(Rule { min_code: full(levels), ..awq }),
        _ => None,
    }
}

/// The activation rule of that name for a format's levels, if there is one.
pub fn activation_rule(name: &str, levels: Levels) -> Option<Rule> {
    let per_token = Rule {
        epsilon: 1e-5,
        epsilon_use: EpsilonUse::FloorStatistic,
        min_code: full(levels),
        ..absmax(levels)
    };
    let a48 = Rule { epsilon_use: EpsilonUse::Add, ..per_token };
    match (name, levels) {
        ("burn_dragon", _) => Some(burn_dragon(levels)),
        ("b1", Levels::Int8) => Some(Rule { steps: 128.0, min_code: -127, ..per_token }),
        ("b158", Levels::Int8) => Some(per_token),
        ("a48", Levels::Int8) => Some(a48),
        // Q_INT4(x) = beta / sqrt(7) RoundClip(sqrt(7) x / (beta + eps), -8, 7), beta = mean |x|.
        ("a48", Levels::Int4) => Some(Rule { range: Range::Absmean, steps: 7.0f32.sqrt(), ..a48 }),
        ("b2_hadamard", _) => Some(Rule { rotated: true, ..activation_rule("a48", levels)? }),
        ("absmax", _) => Some(absmax(levels)),
        ("bnb", Levels::Int8) => Some(absmax(levels)),
        ("onnx", _) => Some(onnx(levels)),
        _ => None,
    }
}
