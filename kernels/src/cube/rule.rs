//! A rule on the device: from a statistic to a scale, from a value to a code.
//!
//! The choices of a rule are compiled in, its numbers are arguments, so rules that differ in a
//! number share a kernel. The formulas are those of `lowbit_reference::rule`, written again.
//!
//! Bounds: a division may be 2.5 ulp off (WGSL), so a scale is within 3 ulp and a code one step
//! off only near a tie. Ties themselves are exact: `q - trunc(q)` is, and WGSL's `round` is to
//! even. Subnormals may be flushed and NaN is what the device makes of it.
use super::Packing;
use super::tile::Join;
use cubecl::prelude::*;
use lowbit_reference::format::Levels;
use lowbit_reference::rule::{EpsilonUse, Range, Rounding, Rule};

/// How epsilon keeps a rule away from a division by zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Floor {
    Scale,
    Statistic,
    Added,
}

/// The choices of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Choices {
    /// What codes are made, and how they are stored.
    pub(crate) packing: Packing,
    /// Whether the statistic is `max |x|`, not `mean |x|`.
    pub(crate) absmax: bool,
    /// Whether the mean is subtracted before the sign is taken.
    pub(crate) centred: bool,
    floor: Floor,
    half_away: bool,
    inclusive: bool,
    zero_is_positive: bool,
}

impl Choices {
    /// How the magnitudes of a group become its statistic.
    pub(crate) fn join(self) -> Join {
        if self.absmax { Join::Larger } else { Join::Sum }
    }

    /// Those of a rule for a format's levels.
    pub(crate) fn of(rule: &Rule, levels: Levels) -> Choices {
        Choices {
            packing: Packing::of(levels),
            absmax: rule.range == Range::Absmax,
            centred: rule.centred,
            floor: match rule.epsilon_use {
                EpsilonUse::FloorScale => Floor::Scale,
                EpsilonUse::FloorStatistic => Floor::Statistic,
                _ => Floor::Added,
            },
            half_away: rule.rounding == Rounding::HalfAway,
            inclusive: rule.inclusive,
            zero_is_positive: rule.zero_is_positive,
        }
    }
}

/// The numbers of a rule.
#[derive(CubeType, CubeLaunch, Clone, Copy)]
pub(crate) struct Numbers {
    times: f32,
    steps: f32,
    epsilon: f32,
    threshold: f32,
    min_code: f32,
}

/// Those of a rule, as an argument.
pub(crate) fn numbers<R: Runtime>(rule: &Rule) -> NumbersLaunch<R> {
    let min_code = f32::from(rule.min_code);
    NumbersLaunch::new(rule.times, rule.steps, rule.epsilon, rule.threshold, min_code)
}

/// The stored scale for a statistic.
#[cube]
pub(crate) fn scale_of(statistic: f32, numbers: Numbers, #[comptime] choices: Choices) -> f32 {
    if comptime!(choices.floor == Floor::Scale) {
        max(numbers.times * statistic / numbers.steps, numbers.epsilon)
    } else if comptime!(choices.floor == Floor::Statistic) {
        numbers.times * max(statistic, numbers.epsilon) / numbers.steps
    } else {
        numbers.times * statistic / numbers.steps
    }
}

/// The code of a value under a group's scale and centre.
#[cube]
pub(crate) fn code_of(
    x: f32,
    scale: f32,
    centre: f32,
    numbers: Numbers,
    #[comptime] choices: Choices,
) -> i32 {
    let mut step = scale;
    if comptime!(choices.floor == Floor::Added) {
        step = scale + numbers.epsilon / numbers.steps;
    }
    if comptime!(choices.packing == Packing::Sign1) {
        let mut value = x;
        if comptime!(choices.centred) {
            value = x - centre;
        }
        if comptime!(choices.zero_is_positive) {
            select(value >= 0.0, 1, -1)
        } else {
            select(value > 0.0, 1, -1)
        }
    } else if comptime!(choices.packing == Packing::Ternary2) {
        let limit = numbers.threshold * step;
        let sign = select(x < 0.0, -1, 1);
        if comptime!(choices.inclusive) {
            select(x.abs() >= limit, sign, 0)
        } else {
            select(x.abs() > limit, sign, 0)
        }
    } else {
        let quotient = x / step;
        let mut rounded = quotient.round();
        if comptime!(choices.half_away) {
            let whole = quotient.trunc();
            let away = select(quotient < 0.0, -1.0, 1.0);
            rounded = select(quotient.abs() - whole.abs() >= 0.5, whole + away, whole);
        }
        i32::cast_from(clamp(rounded, numbers.min_code, 127.0))
    }
}
