//! Rules: how a group of values becomes a scale and codes.
//!
//! A rule is a handful of independent choices (statistic, multiple, rounding, threshold,
//! granularity, epsilon). The published rules and the source's own are *named* sets of choices
//! ([`named`]); a scenario may also spell one out ([`spelled`]). Formulas and sources:
//! `METHODOLOGY.md`, "Rules".
//!
//! Statistics are summed in f64: the source's f32 sums drift (2^22 times 0.02 has a mean of
//! 0.02037 there, which makes every ternary code zero).
//!
//! *Non-finite values.* A NaN or an infinity in a group makes the statistic, and so the scale,
//! NaN or infinite; every integer code of the group is then 0 (the zero point's, where there is
//! one) and every value dequantizes to NaN; ternary and sign codes, which have a sign where an
//! integer has none, dequantize to NaN or an infinity. A poisoned group is seen, and it stays one
//! group. (Unsigned codes without a zero point take minus infinity for a zero, as any negative
//! value.) The source instead floors the NaN to 1e-8 and saturates the whole tensor.
mod grouping;
pub mod named;
pub mod spelled;
use crate::format::Levels;
pub use grouping::{Groups, dequantize_groups, quantize_groups};
pub use named::{activation_rule, burn_dragon, rule_words, weight_rule};
use serde::{Deserialize, Serialize};

/// One code of any format: wide enough for signed and unsigned bytes, so that neither is ever
/// read as the other.
pub type Code = i16;

/// Which values share one scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Granularity {
    /// The whole tensor.
    Tensor,
    /// Each row: an output channel of a weight, a token of an activation.
    #[serde(alias = "token", alias = "channel")]
    Row,
    /// Runs of `group_size` values of a row; the last run of a row may be short.
    Group,
    /// `group_size` heads together: of one token of an activation, of the whole of a weight.
    HeadGroup,
}

/// The statistic a scale is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Range {
    /// `max |x|`; `max(x, 0)` for unsigned codes.
    Absmax,
    /// `mean |x|`; the mean of `max(x, 0)` for unsigned codes.
    Absmean,
    /// `max x - min x`, with a zero point.
    Minmax,
    /// None: the scale is known beforehand, from calibration, and is [`Rule::fixed_scale`]. Values
    /// are read once. A NaN then leaves its group's scale alone and has the code of zero.
    Fixed,
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

impl Rounding {
    /// The nearest integer.
    pub fn round(self, quotient: f32) -> f32 {
        match self {
            Rounding::HalfEven => quotient.round_ties_even(),
            Rounding::HalfAway => quotient.round(),
        }
    }
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
    /// A scale of 0 becomes 1.
    Unit,
}

/// A quantization rule, spelled out.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rule {
    /// Which values share one scale.
    pub granularity: Granularity,
    /// Values (or heads) of a group; 0 where the granularity needs none.
    pub group_size: usize,
    /// The statistic.
    pub range: Range,
    /// The range is `times` the statistic.
    pub times: f32,
    /// The scale of a fixed range; 0 for every other range.
    #[serde(rename = "scale")]
    pub fixed_scale: f32,
    /// Steps the range is divided into: `scale = range / steps`. Sign and ternary take 1.
    pub steps: f32,
    /// Ties of integer codes.
    pub rounding: Rounding,
    /// Smallest signed code; the largest, and both of unsigned codes, are the format's.
    pub min_code: i8,
    /// Ternary codes are nonzero above `threshold * scale`.
    pub threshold: f32,
    /// Whether the ternary scale is then the mean magnitude of the values kept nonzero.
    pub kept_mean: bool,
    /// Whether a value exactly at the threshold is nonzero.
    pub inclusive: bool,
    /// Whether the mean is subtracted before the sign is taken.
    pub centred: bool,
    /// Whether the sign of zero is +1.
    pub zero_is_positive: bool,
    /// Whether a minmax range is widened to hold zero.
    pub with_zero: bool,
    /// Whether rows are rotated by an orthonormal Hadamard transform beforehand.
    pub rotated: bool,
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
            group_size: 0,
            range: Range::Absmax,
            times: 1.0,
            fixed_scale: 0.0,
            steps: 127.0,
            rounding: Rounding::HalfEven,
            min_code: -127,
            threshold: 0.5,
            kept_mean: false,
            inclusive: false,
            centred: false,
            zero_is_positive: false,
            with_zero: false,
            rotated: false,
            epsilon: f32::MIN_POSITIVE,
            epsilon_use: EpsilonUse::FloorScale,
        }
    }
}

/// What the values of one group share.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Shared {
    /// Distance between neighbouring codes.
    pub scale: f32,
    /// What is subtracted before the sign is taken; 0 unless the rule is centred.
    pub centre: f32,
    /// The code of zero; 0 unless the range is minmax.
    pub zero_point: Code,
    /// Magnitude above which a ternary code is nonzero.
    pub limit: f32,
}

impl Rule {
    /// How many values share a scale in rows of `row_len`, of `len` in all; what a head is, only
    /// [`Groups`] knows.
    pub fn group_len(&self, len: usize, row_len: usize) -> usize {
        match self.granularity {
            Granularity::Tensor => len.max(1),
            Granularity::Row => row_len.max(1),
            Granularity::Group | Granularity::HeadGroup => self.group_size.max(1),
        }
    }

    /// The statistic of a group, summed in f64. Unsigned codes have no use for negative values,
    /// which count as zeros.
    pub fn statistic(&self, levels: Levels, group: &[f32]) -> f32 {
        let magnitude = |x: f32| if levels.unsigned() { clip_negative(x) } else { x.abs() };
        match self.range {
            Range::Absmax => group.iter().fold(0.0, |max, x| larger(max, magnitude(*x))),
            Range::Absmean => mean(group, magnitude),
            Range::Minmax => {
                let (min, max) = self.extremes(group);
                max - min
            }
            Range::Fixed => 0.0,
        }
    }

    /// Smallest and largest value of a group, zero among them if the rule says so.
    pub(crate) fn extremes(&self, group: &[f32]) -> (f32, f32) {
        let first = if self.with_zero { 0.0 } else { group.first().copied().unwrap_or(0.0) };
        let min = group.iter().fold(first, |min, x| -larger(-min, -x));
        (min, group.iter().fold(first, |max, x| larger(max, *x)))
    }

    /// The scale for a statistic; a fixed one whatever the statistic.
    pub fn scale(&self, statistic: f32) -> f32 {
        match self.epsilon_use {
            _ if self.range == Range::Fixed => self.fixed_scale,
            EpsilonUse::FloorScale => floor(self.times * statistic / self.steps, self.epsilon),
            EpsilonUse::FloorStatistic => self.times * floor(statistic, self.epsilon) / self.steps,
            EpsilonUse::Add => self.times * statistic / self.steps,
            EpsilonUse::Unit => {
                let scale = self.times * statistic / self.steps;
                if scale == 0.0 { 1.0 } else { scale }
            }
        }
    }

    /// The divisor of the quotient: the scale, unless the rule adds an epsilon to it.
    pub fn step(&self, scale: f32) -> f32 {
        match self.epsilon_use {
            EpsilonUse::Add => scale + self.epsilon / self.steps,
            _ => scale,
        }
    }

    /// What a group shares under this scale: symmetric, centred on zero.
    pub fn under(&self, scale: f32) -> Shared {
        Shared { scale, limit: self.threshold * self.step(scale), ..Shared::default() }
    }

    /// What a group shares.
    pub fn shared(&self, levels: Levels, group: &[f32]) -> Shared {
        let mut shared = self.under(self.scale(self.statistic(levels, group)));
        if self.centred {
            shared.centre = mean(group, |x| x);
        }
        if self.range == Range::Minmax {
            let (least, most) = levels.range();
            // A saturating cast, exact within the limits; NaN becomes 0.
            let zero = -self.rounding.round(self.extremes(group).0 / shared.scale);
            shared.zero_point = zero.clamp(f32::from(least), f32::from(most)) as Code;
        }
        if self.kept_mean && levels == Levels::Ternary {
            let kept: Vec<f32> =
                group.iter().copied().filter(|x| self.active(*x, shared.limit)).collect();
            // Nothing is kept of zeros, which have the scale they had.
            if !kept.is_empty() {
                shared.scale = mean(&kept, f32::abs);
            }
        }
        shared
    }

    fn active(&self, x: f32, limit: f32) -> bool {
        x.abs() > limit || (self.inclusive && x.abs() >= limit)
    }

    /// The code of one value.
    pub fn code(&self, levels: Levels, x: f32, shared: &Shared) -> Code {
        match levels {
            Levels::Sign => {
                let x = if self.centred { x - shared.centre } else { x };
                if x > 0.0 || (self.zero_is_positive && x == 0.0) { 1 } else { -1 }
            }
            Levels::Ternary => {
                Code::from(self.active(x, shared.limit)) * if x < 0.0 { -1 } else { 1 }
            }
            Levels::Int4 | Levels::Int8 | Levels::Uint4 | Levels::Uint8 => {
                let (least, most) = levels.range();
                let least = if levels.unsigned() { least } else { least.max(self.min_code.into()) };
                let rounded = self.rounding.round(x / self.step(shared.scale));
                Levels::saturated(rounded, shared.zero_point.into(), (least, most))
            }
        }
    }

    /// Whether a value is so small that its code is that of zero, a tie with it included.
    pub fn near_zero(&self, levels: Levels, x: f32, shared: &Shared) -> bool {
        let half = 0.5 * self.step(shared.scale);
        match levels {
            Levels::Sign => false,
            Levels::Ternary => x.abs() <= shared.limit,
            Levels::Int4 | Levels::Int8 => x.abs() <= half,
            Levels::Uint4 | Levels::Uint8 => {
                x <= half - f32::from(shared.zero_point) * shared.scale
            }
        }
    }

    /// The value a code stands for. The difference is exact, whatever the zero point.
    pub fn value(&self, code: Code, shared: &Shared) -> f32 {
        (f32::from(code) - f32::from(shared.zero_point)) * shared.scale
    }

    /// Whether the value lies within 4 ulp of the border between two codes, so that a division
    /// rounded another way may give the neighbour. A limit that is itself a mean of `group_len`
    /// values may be off by that mean's bound.
    pub fn near_tie(&self, levels: Levels, x: f32, shared: &Shared, group_len: usize) -> bool {
        let near = |value: f32, border: f32| (value - border).abs() <= 4.0 * ulp(border);
        match levels {
            Levels::Sign => self.centred && near(x, shared.centre),
            Levels::Ternary if self.kept_mean => {
                let off = f64::from((x.abs() - shared.limit).abs());
                off <= crate::bound::mean(group_len) * f64::from(shared.limit)
            }
            Levels::Ternary => near(x.abs(), shared.limit),
            Levels::Int4 | Levels::Int8 | Levels::Uint4 | Levels::Uint8 => {
                let quotient = (x / self.step(shared.scale)).abs();
                near(quotient, quotient.floor() + 0.5)
            }
        }
    }
}

/// The larger of two values; NaN if either is one, where `f32::max` would lose it.
fn larger(a: f32, b: f32) -> f32 {
    if a.is_nan() || a >= b { a } else { b }
}

/// At least `least`, but NaN stays NaN.
fn floor(x: f32, least: f32) -> f32 {
    if x < least { least } else { x }
}

/// `max(x, 0)`, but NaN stays NaN.
fn clip_negative(x: f32) -> f32 {
    floor(x, 0.0)
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

/// What the groups of a tensor share, and its codes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Quantized {
    /// Group by group.
    pub shared: Vec<Shared>,
    /// One code per value.
    pub codes: Vec<Code>,
}

impl Quantized {
    /// The scale of each group.
    pub fn scales(&self) -> Vec<f32> {
        self.shared.iter().map(|group| group.scale).collect()
    }
    /// The centre of each group.
    pub fn centres(&self) -> Vec<f32> {
        self.shared.iter().map(|group| group.centre).collect()
    }
    /// The zero point of each group.
    pub fn zero_points(&self) -> Vec<Code> {
        self.shared.iter().map(|group| group.zero_point).collect()
    }
}

/// Quantize `x` in consecutive groups of `group_len` values (the last may be short).
pub fn quantize(rule: &Rule, levels: Levels, x: &[f32], group_len: usize) -> Quantized {
    quantize_groups(rule, levels, x, &Groups::runs(x.len(), group_len))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fixed_scale_is_the_scale_whatever_the_values() {
        let uses = [EpsilonUse::FloorScale, EpsilonUse::FloorStatistic, EpsilonUse::Unit];
        for epsilon_use in uses {
            let rule =
                Rule { range: Range::Fixed, fixed_scale: 0.25, epsilon: 0.5, ..Rule::default() };
            let rule = Rule { epsilon_use, times: 3.0, ..rule };
            // Ties to even, saturation on both sides, and what is no number.
            let x = [0.125, 0.375, -0.6, 1e9, -1e9, f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
            let q = quantize(&rule, Levels::Int8, &x, 4);
            assert_eq!(q.scales(), [0.25, 0.25]);
            assert_eq!(q.codes, [0, 2, -2, 127, -127, 0, 127, -127]);
        }
    }

    #[test]
    fn any_code_has_a_value_and_any_rule_a_code() {
        let shared = |zero_point| Shared { scale: 2.0, zero_point, ..Shared::default() };
        let rule = Rule::default();
        assert_eq!(rule.value(Code::MIN, &shared(Code::MAX)), -131_070.0);
        assert_eq!(rule.value(255, &shared(Code::MIN)), 66_046.0);
        // The formats refuse such a code.
        let upside_down = Rule { min_code: 100, ..rule };
        assert_eq!(upside_down.code(Levels::Int4, 1.0, &shared(0)), 100);
    }
}
