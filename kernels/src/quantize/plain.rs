//! The row `plain`: every rule for every format of codes, one value after the other on one thread.
//!
//! Two reads of a group: its statistics, then
//! `code = clamp(round(x / step) + zero_point, least, most)` (or a comparison with a limit, or a
//! sign), one byte a code. Means are added in f64, as the reference adds them. It is the row that
//! the tables of rules are made with, and the slowest: whoever wants speed writes another.
use super::isa::{floor, larger};
use crate::buffer::Buffer;
use crate::context::Context;
use crate::{Failure, Kernel, Prepared, Threads};
use lowbit_reference::format::Levels;
use lowbit_reference::op::quantize::QuantizeProblem;
use lowbit_reference::op::{Arithmetic, Op, Outputs, Tensor};
use lowbit_reference::rule::{EpsilonUse, Range, Rounding, Rule};

/// See the module.
#[derive(Debug)]
pub(crate) struct Plain;

impl<O: Op<Problem = QuantizeProblem>> Kernel<O> for Plain {
    fn name(&self) -> &'static str {
        "plain"
    }
    fn threads(&self) -> Threads {
        Threads::One
    }
    fn arithmetic(&self, _: &QuantizeProblem) -> Arithmetic {
        Arithmetic::FLOAT
    }
    fn accepts(&self, _: &QuantizeProblem) -> Result<(), String> {
        Ok(())
    }
    fn prepare<'p>(
        &self,
        problem: &'p QuantizeProblem,
        context: &mut Context,
    ) -> Result<Box<dyn Prepared + 'p>, Failure> {
        let groups = problem.x.len().div_ceil(problem.group_len.max(1));
        Ok(Box::new(Quantize {
            rule: problem.rule,
            levels: problem.levels(),
            group_len: problem.group_len.max(1),
            x: context.copy("x", &problem.x),
            scales: context.buffer("scales", groups),
            centres: context.buffer("centres", groups),
            zero_points: context.buffer("zero_points", groups),
            codes: context.buffer("codes", problem.x.len()),
        }))
    }
}

/// A row bound to its problem.
struct Quantize {
    rule: Rule,
    levels: Levels,
    group_len: usize,
    x: Buffer<f32>,
    scales: Buffer<f32>,
    centres: Buffer<f32>,
    zero_points: Buffer<i32>,
    codes: Buffer<u8>,
}

/// What turns values of a group into codes.
pub(crate) struct Coder {
    pub(crate) scale: f32,
    pub(crate) step: f32,
    limit: f32,
    pub(crate) centre: f32,
    pub(crate) zero_point: f32,
}

fn mean(sum: f64, count: usize) -> f32 {
    (sum / count as f64) as f32
}

impl Coder {
    pub(crate) fn new(rule: &Rule, levels: Levels, group: &[f32]) -> Coder {
        let unsigned = levels.unsigned();
        let (mut sum, mut magnitudes, mut largest) = (0.0f64, 0.0f64, 0.0f32);
        let first = if rule.with_zero { 0.0 } else { group[0] };
        let (mut min, mut max) = (first, first);
        for x in group {
            let magnitude = if unsigned { floor(*x, 0.0) } else { x.abs() };
            sum += f64::from(*x);
            magnitudes += f64::from(magnitude);
            largest = larger(largest, magnitude);
            // A NaN stays: nothing is smaller or larger than it.
            min = if x.is_nan() || *x < min { *x } else { min };
            max = if x.is_nan() || *x > max { *x } else { max };
        }
        let statistic = match rule.range {
            Range::Absmax => largest,
            Range::Absmean => mean(magnitudes, group.len()),
            Range::Minmax => max - min,
            Range::Fixed => 0.0,
        };
        let Rule { times, steps, epsilon, .. } = *rule;
        let mut scale = match rule.epsilon_use {
            _ if rule.range == Range::Fixed => rule.fixed_scale,
            EpsilonUse::FloorScale => floor(times * statistic / steps, epsilon),
            EpsilonUse::FloorStatistic => times * floor(statistic, epsilon) / steps,
            EpsilonUse::Unit if times * statistic / steps == 0.0 => 1.0,
            EpsilonUse::Add | EpsilonUse::Unit => times * statistic / steps,
        };
        let added = if rule.epsilon_use == EpsilonUse::Add { epsilon / steps } else { 0.0 };
        let step = scale + added;
        let limit = rule.threshold * step;
        let zero_point = match rule.range {
            Range::Minmax => {
                let (least, most) = levels.range();
                nearest(rule, -min / scale).clamp(f32::from(least), f32::from(most))
            }
            _ => 0.0,
        };
        if rule.kept_mean && levels == Levels::Ternary {
            scale = kept_mean(rule, group, limit).unwrap_or(scale);
        }
        Coder { scale, step, limit, centre: mean(sum, group.len()), zero_point }
    }

    /// The code of a value, a whole number.
    pub(crate) fn whole(&self, rule: &Rule, levels: Levels, x: f32) -> f32 {
        match levels {
            Levels::Sign => {
                let x = if rule.centred { x - self.centre } else { x };
                if x > 0.0 || (rule.zero_is_positive && x == 0.0) { 1.0 } else { -1.0 }
            }
            Levels::Ternary if !reaches(rule, x, self.limit) => 0.0,
            Levels::Ternary if x < 0.0 => -1.0,
            Levels::Ternary => 1.0,
            _ => {
                let (least, most) = limits(rule, levels);
                (nearest(rule, x / self.step) + self.zero_point).clamp(least, most)
            }
        }
    }

    fn encode(&self, rule: &Rule, levels: Levels, x: f32) -> u8 {
        // Integers from -128 to 255: exact, and a byte holds the low bits of either sign.
        (self.whole(rule, levels, x) as i16).to_le_bytes()[0]
    }
}

/// Smallest and largest code of a rule.
pub(crate) fn limits(rule: &Rule, levels: Levels) -> (f32, f32) {
    let (least, most) = levels.range();
    let least = if levels.unsigned() { least } else { rule.min_code.into() };
    (f32::from(least), f32::from(most))
}

/// The nearest integer; 0 for NaN.
pub(crate) fn nearest(rule: &Rule, x: f32) -> f32 {
    match rule.rounding {
        _ if x.is_nan() => 0.0,
        Rounding::HalfEven => x.round_ties_even(),
        Rounding::HalfAway => x.round(),
    }
}

fn reaches(rule: &Rule, x: f32, limit: f32) -> bool {
    if rule.inclusive { x.abs() >= limit } else { x.abs() > limit }
}

/// Mean magnitude of the values that reach the limit, if one does.
fn kept_mean(rule: &Rule, group: &[f32], limit: f32) -> Option<f32> {
    let (mut sum, mut count) = (0.0, 0);
    for x in group.iter().filter(|x| reaches(rule, **x, limit)) {
        sum += f64::from(x.abs());
        count += 1;
    }
    (count > 0).then(|| mean(sum, count))
}

impl Prepared for Quantize {
    fn launch(&mut self) -> Result<(), Failure> {
        let (rule, levels) = (self.rule, self.levels);
        let groups = self.x.chunks(self.group_len).zip(self.codes.chunks_mut(self.group_len));
        for (i, (x, codes)) in groups.enumerate() {
            let coder = Coder::new(&rule, levels, x);
            (self.scales[i], self.centres[i]) = (coder.scale, coder.centre);
            self.zero_points[i] = coder.zero_point as i32;
            for (code, x) in codes.iter_mut().zip(x) {
                *code = coder.encode(&rule, levels, *x);
            }
        }
        Ok(())
    }

    fn forget(&mut self) -> Result<(), Failure> {
        self.scales.fill(f32::NAN);
        self.centres.fill(f32::NAN);
        self.zero_points.fill(i32::MIN);
        self.codes.fill(0x7f);
        Ok(())
    }

    fn read(&mut self) -> Result<Outputs, Failure> {
        let bytes = self.codes.iter().copied();
        let codes = match self.levels.unsigned() {
            true => Tensor::U8(bytes.collect()),
            false => Tensor::I8(bytes.map(u8::cast_signed).collect()),
        };
        let mut outputs = vec![("scales", Tensor::F32(self.scales.to_vec())), ("codes", codes)];
        if self.rule.centred {
            outputs.push(("centres", Tensor::F32(self.centres.to_vec())));
        }
        if self.rule.range == Range::Minmax {
            outputs.push(("zero_points", Tensor::I32(self.zero_points.to_vec())));
        }
        Ok(Outputs(outputs))
    }
}
