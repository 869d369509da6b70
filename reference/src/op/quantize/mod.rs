//! Quantization as an operation, and the oracle that weights, activations and rho share.
//!
//! A row answers `scales` (and `centres` for centred rules, `zero_points` for minmax), and its codes either packed
//! (`packed`), or one a byte (`codes`), or as dequantized values (`dequantized`).
//! The scale is judged first, against a bound derived from the statistic; the codes are then
//! judged bit for bit under *the row's own scale*, so that one ulp in a mean is not counted
//! again in every code.
pub mod activation;
mod exported;
pub mod fake;
pub mod weight;
use super::{Arithmetic, Bound, Expectation, Expected, Outputs, Tensor};
use crate::bound;
use crate::data::Distribution;
use crate::format::{Levels, WeightFormat};
use crate::judge::counted_zeros;
use crate::op::part::Part;
use crate::quality::expected::{Drawn, Formula, predicted};
use crate::quality::{PREDICTED_VALUES, Predicted, Quality, quality};
use crate::rule::{Code, Quantized, Range, Rule, Shared, quantize, ulp};
use std::sync::Arc;

/// Values to quantize and how.
#[derive(Debug)]
pub struct QuantizeProblem {
    /// Values, row-major; shared with the closures of the oracle.
    pub x: Arc<Vec<f32>>,
    /// Rows: output channels or tokens.
    pub rows: usize,
    /// Length of a row.
    pub row_len: usize,
    /// Values that share a scale.
    pub group_len: usize,
    /// The rule.
    pub rule: Rule,
    /// How codes are stored.
    pub format: &'static dyn WeightFormat,
    /// Length of the runs that are packed to whole bytes: a row, or a rho block.
    pub packed_len: usize,
    /// Whether every code is exact: tier `exact` tolerates no near ties.
    pub exact: bool,
    /// Distribution, when there is one.
    pub distribution: Option<Distribution>,
    /// Its standard deviation.
    pub sigma: f32,
}

impl QuantizeProblem {
    /// The codes the format may hold.
    pub fn levels(&self) -> Levels {
        self.format.levels()
    }

    /// Number of groups, so of scales.
    pub fn groups(&self) -> usize {
        self.x.len().div_ceil(self.group_len.max(1))
    }

    /// Packed bytes of the whole tensor.
    pub fn packed_bytes(&self) -> usize {
        self.x.chunks(self.packed_len.max(1)).map(|run| self.format.row_bytes(run.len())).sum()
    }

    /// What a row reads.
    pub(super) fn parts(&mut self) -> Vec<Part<'_>> {
        let x = Arc::make_mut(&mut self.x);
        vec![Part::values("x", x, self.row_len), Part::Rule(&mut self.rule)]
    }

    /// The meaning of quantization.
    pub fn reference(&self) -> Quantized {
        quantize(&self.rule, self.levels(), &self.x, self.group_len)
    }

    /// Quality of the reference's reconstruction.
    pub fn quality(&self, q: &Quantized) -> Quality {
        let shared = |i: usize| &q.shared[i / self.group_len.max(1)];
        let value = |(i, code): (usize, &Code)| self.rule.value(*code, shared(i));
        quality(&self.x, q.codes.iter().enumerate().map(value))
    }

    /// The squared error that drawn values must have: [`predicted`] with the rule for a formula. Of a
    /// whole tensor with a mean, a centre or a zero point the data say what it shares.
    ///
    /// Nothing of rotated rows, of means, centres and zero points of groups, whose values make them and
    /// so are not independent of them, nothing where a handful of clipped values carry it all, and nothing
    /// of few values. Nor of small groups of unsigned codes: one without a positive value has no scale,
    /// and all its error.
    pub fn expected_error(&self) -> Option<Predicted> {
        if self.x.len() < PREDICTED_VALUES || self.rule.rotated {
            return None;
        }
        let Rule { centred, kept_mean, range, .. } = self.rule;
        let of_groups = !(centred || kept_mean || range == Range::Minmax);
        let expected = match self.group_len >= self.x.len() && range != Range::Absmax {
            true => self.expected_of_tensor(),
            false => of_groups.then(|| self.expected_of_groups()).flatten(),
        };
        expected.filter(Predicted::is_steady)
    }

    fn drawn(&self) -> Option<Drawn> {
        let (distribution, sigma) = (self.distribution?, f64::from(self.sigma));
        Some(Drawn { distribution, sigma, row_len: self.row_len })
    }

    /// One group: other values could be its own, if they lie between its ends where those are what
    /// it shares.
    fn expected_of_tensor(&self) -> Option<Predicted> {
        let (rule, levels) = (&self.rule, self.levels());
        let shared = rule.shared(levels, &self.x);
        let ends = match rule.range {
            Range::Minmax => rule.extremes(&self.x),
            _ => (f32::NEG_INFINITY, f32::INFINITY),
        };
        let formula = Formula {
            group_len: self.x.len(),
            statistic: &|_| 1.0,
            possible: &|x, _| (f64::from(ends.0)..=f64::from(ends.1)).contains(&x),
            value: &|x, _| f64::from(rule.value(rule.code(levels, x as f32, &shared), &shared)),
        };
        predicted(formula, self.drawn()?, &self.x)
    }

    fn expected_of_groups(&self) -> Option<Predicted> {
        let (rule, levels, range) = (&self.rule, self.levels(), self.rule.range);
        if (range == Range::Absmean && self.group_len < 4096)
            || (range == Range::Absmax && levels.unsigned() && self.group_len < 64)
        {
            return None;
        }
        let fixed = range == Range::Fixed;
        let formula = Formula {
            group_len: self.group_len,
            statistic: &|group| if fixed { 1.0 } else { f64::from(rule.statistic(levels, group)) },
            possible: &|x, most| {
                let magnitude = if levels.unsigned() { x } else { x.abs() };
                range != Range::Absmax || magnitude <= most
            },
            value: &|x, statistic| {
                let shared = rule.under(rule.scale(statistic as f32));
                f64::from(rule.value(rule.code(levels, x as f32, &shared), &shared))
            },
        };
        predicted(formula, self.drawn()?, &self.x)
    }

    /// Share of values within half a step (or the ternary threshold) of zero.
    fn share_below_threshold(&self) -> f64 {
        let groups = self.x.chunks(self.group_len.max(1));
        let below = |group: &[f32]| {
            let shared = self.rule.shared(self.levels(), group);
            let zero = |x: &&f32| self.rule.near_zero(self.levels(), **x, &shared);
            group.iter().filter(zero).count()
        };
        groups.map(below).sum::<usize>() as f64 / self.x.len().max(1) as f64
    }

    /// Expected share of zero codes: in closed form for ternary codes of normal values.
    pub fn predicted_zeros(&self) -> Option<f64> {
        match (self.levels(), self.rule.range, self.distribution) {
            (Levels::Sign, ..) => Some(0.0),
            // |x| < t mean|x| for a normal x: erf(t / sqrt(pi)).
            (Levels::Ternary, Range::Absmean, Some(Distribution::Normal)) => {
                let limit = self.rule.threshold * self.rule.times / self.rule.steps;
                Some(erf(f64::from(limit) / std::f64::consts::PI.sqrt()))
            }
            // Elsewhere the data themselves say how many values lie below the first threshold.
            _ => Some(counted_zeros(self.share_below_threshold(), self.x.len())),
        }
    }
}

/// Abramowitz and Stegun 7.1.26: absolute error below 1.5e-7.
fn erf(x: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.327_591_1 * x);
    let poly = [1.061_405_429, -1.453_152_027, 1.421_413_741, -0.284_496_736, 0.254_829_592];
    1.0 - poly.iter().fold(0.0, |sum, c| (sum + c) * t) * (-x * x).exp()
}

/// What a row must have answered for a quantization problem.
pub fn expect(
    problem: &QuantizeProblem,
    reference: &Quantized,
    arithmetic: Arithmetic,
    got: &Outputs,
) -> Expectation {
    let mut out = Expectation::default();
    out.outputs.push(scales(problem, &reference.scales(), arithmetic));
    if problem.rule.range == Range::Minmax {
        let want: Vec<i32> = reference.zero_points().into_iter().map(i32::from).collect();
        out.outputs.push(Expected::all("zero_points", Tensor::I32(want), Bound::Exact));
    }
    if problem.rule.centred {
        let want = (&reference.centres()[..], problem.group_len);
        out.outputs.push(expect_centres("centres", &problem.x, want));
    }
    let Some(shared) = own_shared(problem, reference, got) else { return out };
    let codes = recode(problem, reference, &shared);
    let want = problem.levels().tensor(&codes);
    let bound = near_ties(problem, arithmetic, shared.clone());
    if let Some(Tensor::U8(bytes)) = got.get("packed") {
        match unpack(problem, bytes) {
            Ok(decoded) => out.outputs.push(Expected {
                decoded: Some(problem.levels().tensor(&decoded)),
                ..Expected::all("packed", want, bound)
            }),
            Err(fault) => out.faults.push(fault),
        }
    } else if got.get("codes").is_some() {
        out.outputs.push(Expected::all("codes", want, bound));
    } else if let Some(values) = got.f32s("dequantized") {
        out.outputs.push(dequantized(problem, &codes, &shared, values));
    } else {
        out.faults.push("the row answered none of `packed`, `codes`, `dequantized`".into());
    }
    out
}

/// What the groups of a row share by its own scales and centres; `None` where one is missing.
/// Zero points are the reference's: no other passes.
pub(super) fn own_shared(
    problem: &QuantizeProblem,
    reference: &Quantized,
    got: &Outputs,
) -> Option<Vec<Shared>> {
    let each = |name: &str| got.f32s(name).filter(|s| s.len() == reference.shared.len());
    let scales = each("scales")?;
    let mut shared: Vec<Shared> = scales.iter().map(|scale| problem.rule.under(*scale)).collect();
    for (own, theirs) in shared.iter_mut().zip(&reference.shared) {
        own.zero_point = theirs.zero_point;
        if problem.rule.kept_mean {
            // The limit is no function of the scale; near ties are wide.
            own.limit = theirs.limit;
        }
    }
    if problem.rule.centred {
        shared.iter_mut().zip(each("centres")?).for_each(|(own, centre)| own.centre = *centre);
    }
    Some(shared)
}

fn scales(problem: &QuantizeProblem, want: &[f32], arithmetic: Arithmetic) -> Expected {
    let group_len = problem.group_len.min(problem.x.len());
    expect_scales("scales", &problem.rule, arithmetic, (want, group_len))
}

/// Scales a row computed for itself: exact for absmax where division is (3 ulp where WGSL's is
/// within 2.5), within the bound of a mean of `group_len` magnitudes else.
pub(in crate::op) fn expect_scales(
    name: &'static str,
    rule: &Rule,
    arithmetic: Arithmetic,
    (want, group_len): (&[f32], usize),
) -> Expected {
    let each = |bound: &dyn Fn(f32) -> f64| {
        Bound::Componentwise(want.iter().map(|scale| bound(*scale)).collect())
    };
    let bound = match (rule.range, arithmetic.exact_division) {
        (Range::Fixed, _) | (Range::Absmax | Range::Minmax, true) => Bound::Exact,
        (Range::Absmax | Range::Minmax, false) => each(&|scale| 3.0 * f64::from(ulp(scale))),
        (Range::Absmean, _) => each(&|scale| bound::mean(group_len) * f64::from(scale)),
    };
    Expected::all(name, Tensor::F32(want.to_vec()), bound)
}

/// Centres a row computed for itself. A mean of signed values cancels: its bound is relative to
/// the mean magnitude.
pub(in crate::op) fn expect_centres(
    name: &'static str,
    x: &[f32],
    (want, group_len): (&[f32], usize),
) -> Expected {
    let relative = bound::mean(group_len.min(x.len()));
    let magnitude = |group: &[f32]| f64::from(crate::rule::mean(group, f32::abs));
    let bounds = x.chunks(group_len.max(1)).map(|group| relative * magnitude(group)).collect();
    Expected::all(name, Tensor::F32(want.to_vec()), Bound::Componentwise(bounds))
}

/// The reference's codes under what the row's own groups share.
fn recode(problem: &QuantizeProblem, reference: &Quantized, shared: &[Shared]) -> Vec<Code> {
    if shared == reference.shared {
        return reference.codes.clone();
    }
    let (rule, levels) = (&problem.rule, problem.levels());
    let groups = problem.x.chunks(problem.group_len.max(1)).zip(shared);
    groups.flat_map(|(group, own)| group.iter().map(|x| rule.code(levels, *x, own))).collect()
}

/// One step near a tie is forgiven, but not in tier `exact` on a machine that divides exactly.
fn near_ties(problem: &QuantizeProblem, arithmetic: Arithmetic, shared: Vec<Shared>) -> Bound {
    if problem.exact && arithmetic.exact_division {
        return Bound::Exact;
    }
    let (rule, levels, group_len) = (problem.rule, problem.levels(), problem.group_len.max(1));
    let x = Arc::clone(&problem.x);
    Bound::Code(Box::new(move |i| {
        let near = rule.near_tie(levels, x[i], &shared[i / group_len], group_len);
        if near { levels.step() } else { 0.0 }
    }))
}

/// Values of a fake-quantized tensor: code times scale, to the bit; a step off near ties. A code
/// counts from its zero point.
fn dequantized(
    problem: &QuantizeProblem,
    codes: &[Code],
    shared: &[Shared],
    got: &[f32],
) -> Expected {
    let group_len = problem.group_len.max(1);
    let (rule, levels) = (&problem.rule, problem.levels());
    let want: Vec<f32> = codes
        .iter()
        .enumerate()
        .map(|(i, code)| f32::from(code - shared[i / group_len].zero_point))
        .collect();
    // The code whose product with the scale is the value answered; NaN where there is none. A
    // group that holds a NaN has no other values than NaN, whatever its codes.
    let decode = |((i, value), want): ((usize, &f32), &f32)| -> f32 {
        let scale = shared[i / group_len].scale;
        let wanted = want * scale;
        if *value == wanted || (value.is_nan() && wanted.is_nan()) {
            return *want;
        }
        let code = (value / scale).round();
        if code * scale == *value { code } else { f32::NAN }
    };
    let bound = |(i, x): (usize, &f32)| {
        let near = rule.near_tie(levels, *x, &shared[i / group_len], group_len);
        if near && !problem.exact { levels.step() } else { 0.0 }
    };
    let bounds = problem.x.iter().enumerate().map(bound).collect();
    let decoded = match got.len() == want.len() {
        true => got.iter().enumerate().zip(&want).map(decode).collect(),
        // The length is what is wrong with it.
        false => got.to_vec(),
    };
    Expected {
        decoded: Some(Tensor::F32(decoded)),
        ..Expected::all("dequantized", Tensor::F32(want), Bound::Componentwise(bounds))
    }
}

/// Packed bytes of the whole tensor to codes, run by run.
pub fn unpack(problem: &QuantizeProblem, bytes: &[u8]) -> Result<Vec<Code>, String> {
    let needed = problem.packed_bytes();
    if bytes.len() != needed {
        return Err(format!("`packed` has {} bytes, the format needs {needed}", bytes.len()));
    }
    let (mut codes, mut at) = (Vec::with_capacity(problem.x.len()), 0);
    for run in problem.x.chunks(problem.packed_len.max(1)) {
        let row = problem.format.row_bytes(run.len());
        let unpacked = problem.format.unpack(&bytes[at..at + row], run.len());
        codes.extend(unpacked.map_err(|e| format!("byte {at} of `packed`: {e}"))?);
        at += row;
    }
    // Bits that hold no code are zero; only packing again shows them.
    let again = pack(problem.format, &codes, problem.packed_len);
    match again.iter().zip(bytes).position(|(a, b)| a != b) {
        Some(at) => Err(format!("byte {at} of `packed` has padding bits that are not zero")),
        None => Ok(codes),
    }
}

/// Codes of the whole tensor to packed bytes, run by run.
pub fn pack(format: &dyn WeightFormat, codes: &[Code], packed_len: usize) -> Vec<u8> {
    let run =
        |run: &[Code]| format.pack(run).unwrap_or_else(|e| unreachable!("a rule's code: {e}"));
    codes.chunks(packed_len.max(1)).flat_map(run).collect()
}
