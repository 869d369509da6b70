//! What a problem asks of the rows that quantize: how codes are stored, which folds make what a
//! group shares, and where the answer goes.
use super::isa::{Ahead, BATCH, Fold, Integer, Sign, Ternary, floor, join};
use lowbit_reference::format::Levels;
use lowbit_reference::op::quantize::QuantizeProblem;
use lowbit_reference::rule::{EpsilonUse, Granularity, Range, Rounding, Rule};

/// Bytes read and written from which a task's results go past the caches: two thirds of the 32 MiB
/// core complex of a server has. Less is better left where the next reader finds it (8 MiB of f32
/// took 1.7 times as long past the caches as into them).
pub(crate) const STREAMED: usize = 20 << 20;

/// How codes are stored; the low bits of a byte come first, missing codes are zero bits (digits of
/// code 0 for `Ternary3`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packing {
    Sign1,
    Ternary2,
    Ternary3,
    Nibble,
    Byte,
}

impl Packing {
    /// Codes in a byte.
    pub(crate) fn per_byte(self) -> usize {
        match self {
            Packing::Sign1 => 8,
            Packing::Ternary2 => 4,
            Packing::Ternary3 => 5,
            Packing::Nibble => 2,
            Packing::Byte => 1,
        }
    }

    /// How these packed bytes are laid out, if it is one of the layouts written here.
    pub(crate) fn named(name: &str) -> Result<Packing, String> {
        match name {
            "sign1" => Ok(Packing::Sign1),
            "ternary2" => Ok(Packing::Ternary2),
            "ternary3" => Ok(Packing::Ternary3),
            "int4" | "uint4" => Ok(Packing::Nibble),
            "int8" | "uint8" => Ok(Packing::Byte),
            _ => Err(format!("no packing to {name}")),
        }
    }
}

/// What of a problem every task needs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) rule: Rule,
    pub(crate) packing: Packing,
    /// Values that share a scale: whole runs.
    pub(crate) group_len: usize,
    /// Values that are packed to whole bytes.
    pub(crate) run_len: usize,
    /// What makes the scale; none where it is known, or made by sums in f64.
    pub(crate) first: Option<Fold>,
    /// What makes the centre, or with the first the zero point.
    pub(crate) second: Option<Fold>,
    /// Whether codes go past the caches.
    pub(crate) stream: bool,
    limits: (i16, i16),
}

/// What the values of a group share.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Shared {
    pub(crate) scale: f32,
    /// `1 / step` where that is a normal number, NaN where it is not.
    pub(crate) reciprocal: f32,
    pub(crate) centre: f32,
    pub(crate) zero_point: i16,
    /// Magnitude above which a ternary code is nonzero.
    pub(crate) limit: f32,
}

impl Plan {
    /// The plan of a problem; the error says what is not among the folds and packings.
    pub(crate) fn new(problem: &QuantizeProblem) -> Result<Plan, String> {
        let (rule, levels) = (problem.rule, problem.levels());
        let packing = Packing::named(problem.format.name())?;
        if rule.granularity == Granularity::HeadGroup {
            return Err("no groups of heads: a matrix has none".into());
        }
        let limits = limits(&rule, levels)?;
        let (group_len, run_len) = (problem.group_len.max(1), problem.packed_len.max(1));
        let run_len = if group_len.is_multiple_of(run_len) {
            run_len
        } else if run_len.is_multiple_of(group_len) && group_len.is_multiple_of(packing.per_byte())
        {
            // Groups of a row that fill their bytes are packed as if each were a row.
            group_len
        } else {
            let name = problem.format.name();
            return Err(format!("groups of {group_len} {name} codes end within a byte or a row"));
        };
        let unsigned = levels.unsigned();
        let first = match rule.range {
            // Sums in f64 decide which values are kept.
            _ if kept(&rule, packing) => None,
            Range::Absmax if unsigned => Some(Fold::PositiveMax),
            Range::Absmax => Some(Fold::Absmax),
            Range::Absmean if unsigned => Some(Fold::Positives),
            Range::Absmean => Some(Fold::Magnitudes),
            Range::Minmax => Some(Fold::Most),
            Range::Fixed => None,
        };
        let second = match rule.range {
            Range::Minmax => Some(Fold::Least),
            _ => rule.centred.then_some(Fold::Values),
        };
        let bytes = 4 * problem.x.len() + problem.x.len() / packing.per_byte();
        let stream = bytes >= STREAMED;
        Ok(Plan { rule, packing, group_len, run_len, first, second, stream, limits })
    }

    /// Bytes of a full run.
    pub(crate) fn run_bytes(&self) -> usize {
        self.run_len.div_ceil(self.packing.per_byte())
    }

    /// Bytes of a full group.
    pub(crate) fn group_bytes(&self) -> usize {
        self.group_len / self.run_len * self.run_bytes()
    }

    /// What is asked for while the codes of a group are made that fits in a cache.
    #[inline(always)]
    pub(crate) fn ahead(&self) -> Ahead {
        let once = self.first.is_none() && self.second.is_none() && !self.kept();
        match (self.stream, once) {
            (false, _) => Ahead::Nothing,
            (true, true) => Ahead::Near,
            (true, false) => Ahead::of_groups(self.group_len),
        }
    }

    /// Whether the scale is the mean of the values kept.
    pub(crate) fn kept(&self) -> bool {
        kept(&self.rule, self.packing)
    }

    /// The stored scale for a statistic.
    #[inline(always)]
    pub(crate) fn scale(&self, statistic: f32) -> f32 {
        let Rule { times, steps, epsilon, .. } = self.rule;
        match self.rule.epsilon_use {
            _ if self.rule.range == Range::Fixed => self.rule.fixed_scale,
            EpsilonUse::FloorScale => floor(times * statistic / steps, epsilon),
            EpsilonUse::FloorStatistic => times * floor(statistic, epsilon) / steps,
            EpsilonUse::Unit if times * statistic / steps == 0.0 => 1.0,
            EpsilonUse::Add | EpsilonUse::Unit => times * statistic / steps,
        }
    }

    /// The divisor of quotients: the scale, unless the rule adds an epsilon to it.
    #[inline(always)]
    fn step(&self, scale: f32) -> f32 {
        match self.rule.epsilon_use {
            EpsilonUse::Add => scale + self.rule.epsilon / self.rule.steps,
            _ => scale,
        }
    }

    /// What to multiply with in place of a division by the step of a scale.
    #[inline(always)]
    pub(crate) fn reciprocal(&self, scale: f32) -> f32 {
        let reciprocal = 1.0 / self.step(scale);
        // Selects, not branches: `is_normal` is a jump.
        let large = if reciprocal.abs() >= f32::MIN_POSITIVE { reciprocal } else { f32::NAN };
        if large.abs() <= f32::MAX { large } else { f32::NAN }
    }

    /// The stored scales for many statistics: the rule is asked once, the rest is vectors.
    #[inline(always)]
    pub(crate) fn scales(&self, statistics: [f32; BATCH]) -> [f32; BATCH] {
        let Rule { times, steps, epsilon, .. } = self.rule;
        let mut scales = statistics;
        match self.rule.epsilon_use {
            EpsilonUse::FloorScale if self.rule.range != Range::Fixed => {
                for scale in &mut scales {
                    *scale = floor(times * *scale / steps, epsilon);
                }
            }
            _ => scales.iter_mut().for_each(|scale| *scale = self.scale(*scale)),
        }
        scales
    }

    /// The divisors for many scales.
    #[inline(always)]
    pub(crate) fn steps(&self, scales: [f32; BATCH]) -> [f32; BATCH] {
        let mut steps = scales;
        steps.iter_mut().for_each(|step| *step = self.step(*step));
        steps
    }

    /// The reciprocals for many scales.
    #[inline(always)]
    pub(crate) fn reciprocals(&self, scales: [f32; BATCH]) -> [f32; BATCH] {
        let mut reciprocals = [0.0; BATCH];
        for (reciprocal, scale) in reciprocals.iter_mut().zip(&scales) {
            *reciprocal = self.reciprocal(*scale);
        }
        reciprocals
    }

    /// What a symmetric group shares under this scale.
    #[inline(always)]
    pub(crate) fn symmetric(&self, scale: f32) -> Shared {
        let reciprocal = self.reciprocal(scale);
        let limit = self.rule.threshold * self.step(scale);
        Shared { scale, reciprocal, limit, ..Shared::default() }
    }

    /// What a group shares, from the answers of its folds.
    #[inline(always)]
    pub(crate) fn share(&self, first: f32, second: f32) -> Shared {
        if self.rule.range != Range::Minmax {
            return Shared { centre: second, ..self.symmetric(self.scale(first)) };
        }
        let zero = self.rule.with_zero;
        let most = if zero { join(Fold::Most, 0.0, first) } else { first };
        let least = if zero { join(Fold::Least, 0.0, second) } else { second };
        let shared = self.symmetric(self.scale(most - least));
        let quotient = -least / shared.scale;
        let rounded = match self.rule.rounding {
            Rounding::HalfEven => quotient.round_ties_even(),
            Rounding::HalfAway => quotient.round(),
        };
        // A cast of NaN is 0.
        let (low, high) = self.limits;
        let zero_point = rounded.clamp(low.into(), high.into()) as i16;
        Shared { zero_point, ..shared }
    }

    #[inline(always)]
    pub(crate) fn sign(&self, shared: &Shared) -> Sign {
        Sign { centre: shared.centre, zero_is_positive: self.rule.zero_is_positive }
    }

    #[inline(always)]
    pub(crate) fn ternary(&self, shared: &Shared) -> Ternary {
        Ternary { limit: shared.limit, inclusive: self.rule.inclusive }
    }

    #[inline(always)]
    pub(crate) fn integer(&self, shared: &Shared) -> Integer {
        Integer {
            step: self.step(shared.scale),
            reciprocal: shared.reciprocal,
            zero_point: shared.zero_point,
            least: self.limits.0,
            most: self.limits.1,
            half_away: self.rule.rounding == Rounding::HalfAway,
        }
    }
}

/// Whether ternary codes have the mean of the values kept for a scale.
fn kept(rule: &Rule, packing: Packing) -> bool {
    rule.kept_mean && matches!(packing, Packing::Ternary2 | Packing::Ternary3)
}

/// Smallest and largest code under a rule.
fn limits(rule: &Rule, levels: Levels) -> Result<(i16, i16), String> {
    let (least, most) = levels.range();
    let least = if levels.unsigned() { least } else { least.max(rule.min_code.into()) };
    match rule.range {
        _ if least > most => Err(format!("no codes from {least} to {most}")),
        Range::Minmax if !levels.unsigned() => Err("no zero points of signed codes".into()),
        _ => Ok((least, most)),
    }
}
