//! Pieces of quantization that one thread does at a time, for any instruction set.
use super::isa::{Fold, Int8, Isa, STEP, Sign, Ternary, Work, floor, larger};
use lowbit_reference::rule::{EpsilonUse, Range, Rounding, Rule};

/// Values whose statistic is taken in f32 lanes. Even one lane would chain 4096 additions, below
/// the 16384 that the bound of a scale allows; blocks are added in f64.
pub(crate) const BLOCK: usize = 4096;

/// How codes are stored; the low bits of a byte come first, missing codes are zero bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packing {
    Sign1,
    Ternary2,
    Int8,
}

impl Packing {
    /// Codes in a byte.
    pub(crate) fn per_byte(self) -> usize {
        match self {
            Packing::Sign1 => 8,
            Packing::Ternary2 => 4,
            Packing::Int8 => 1,
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
}

impl Plan {
    /// Bytes of a full run.
    pub(crate) fn run_bytes(&self) -> usize {
        self.run_len.div_ceil(self.packing.per_byte())
    }

    /// Bytes of a full group.
    pub(crate) fn group_bytes(&self) -> usize {
        self.group_len / self.run_len * self.run_bytes()
    }

    /// What blocks become for the scale.
    #[inline(always)]
    pub(crate) fn fold(&self) -> Fold {
        match self.rule.range {
            Range::Absmean => Fold::Magnitudes,
            // `accepts` lets nothing else through.
            _ => Fold::Absmax,
        }
    }

    /// The stored scale for a statistic.
    #[inline(always)]
    pub(crate) fn scale(&self, statistic: f32) -> f32 {
        let Rule { times, steps, epsilon, .. } = self.rule;
        match self.rule.epsilon_use {
            EpsilonUse::FloorScale => floor(times * statistic / steps, epsilon),
            EpsilonUse::FloorStatistic => times * floor(statistic, epsilon) / steps,
            _ => times * statistic / steps,
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
}

/// How values become packed codes, a step of `BYTES` at a time.
trait Encode<const BYTES: usize>: Copy {
    /// For a group with that scale and centre.
    fn new(plan: &Plan, scale: f32, centre: f32) -> Self;
    /// One step.
    fn step<I: Isa>(self, isa: I, x: &[f32; STEP], bytes: &mut [u8; BYTES]);
}

impl Encode<{ STEP / 8 }> for Sign {
    #[inline(always)]
    fn new(plan: &Plan, _: f32, centre: f32) -> Sign {
        Sign { centre, zero_is_positive: plan.rule.zero_is_positive }
    }

    #[inline(always)]
    fn step<I: Isa>(self, isa: I, x: &[f32; STEP], bytes: &mut [u8; STEP / 8]) {
        *bytes = isa.sign1(self, x).to_le_bytes();
    }
}

impl Encode<{ STEP / 4 }> for Ternary {
    #[inline(always)]
    fn new(plan: &Plan, scale: f32, _: f32) -> Ternary {
        let limit = plan.rule.threshold * plan.step(scale);
        Ternary { limit, inclusive: plan.rule.inclusive }
    }

    #[inline(always)]
    fn step<I: Isa>(self, isa: I, x: &[f32; STEP], bytes: &mut [u8; STEP / 4]) {
        *bytes = isa.ternary2(self, x).to_le_bytes();
    }
}

impl Encode<STEP> for Int8 {
    #[inline(always)]
    fn new(plan: &Plan, scale: f32, _: f32) -> Int8 {
        let step = plan.step(scale);
        let reciprocal = 1.0 / step;
        Int8 {
            step,
            reciprocal: if reciprocal.is_normal() { reciprocal } else { f32::NAN },
            min: f32::from(plan.rule.min_code),
            half_away: plan.rule.rounding == Rounding::HalfAway,
        }
    }

    #[inline(always)]
    fn step<I: Isa>(self, isa: I, x: &[f32; STEP], bytes: &mut [u8; STEP]) {
        isa.int8(self, x, bytes);
    }
}

/// The statistic of a group, from those of its blocks in order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Combine {
    fold: Fold,
    max: f32,
    sum: f64,
}

impl Combine {
    #[inline(always)]
    pub(crate) fn new(fold: Fold) -> Combine {
        Combine { fold, max: 0.0, sum: 0.0 }
    }

    /// The next block.
    #[inline(always)]
    pub(crate) fn push(&mut self, block: f32) {
        match self.fold {
            Fold::Absmax => self.max = larger(block, self.max),
            Fold::Magnitudes | Fold::Values => self.sum += f64::from(block),
        }
    }

    /// The maximum or mean of the group's `len` values.
    #[inline(always)]
    pub(crate) fn finish(self, len: usize) -> f32 {
        match self.fold {
            Fold::Absmax => self.max,
            Fold::Magnitudes | Fold::Values => (self.sum / len.max(1) as f64) as f32,
        }
    }
}

/// The statistic of a block; zeros stand in for what the last step lacks.
#[inline(always)]
fn fold<I: Isa>(isa: I, fold: Fold, block: &[f32]) -> f32 {
    let (steps, tail) = block.as_chunks::<STEP>();
    let mut lanes = isa.zeros();
    for x in steps {
        lanes = isa.take(fold, lanes, x);
    }
    if !tail.is_empty() {
        lanes = isa.take(fold, lanes, &padded(tail));
    }
    isa.finish(fold, lanes)
}

/// The statistic of a group, block by block.
#[inline(always)]
fn statistic<I: Isa>(isa: I, what: Fold, group: &[f32]) -> f32 {
    let mut combined = Combine::new(what);
    for block in group.chunks(BLOCK) {
        combined.push(fold(isa, what, block));
    }
    combined.finish(group.len())
}

#[inline(always)]
fn padded(tail: &[f32]) -> [f32; STEP] {
    let mut x = [0.0; STEP];
    x[..tail.len()].copy_from_slice(tail);
    x
}

/// Codes of a run, or of a part of one that starts on a byte; the last step is padded and cut.
#[inline(always)]
fn encode<I: Isa, const BYTES: usize>(
    isa: I,
    coder: impl Encode<BYTES>,
    x: &[f32],
    packed: &mut [u8],
) {
    let (steps, tail) = x.as_chunks::<STEP>();
    let (body, rest) = packed.split_at_mut(steps.len() * BYTES);
    for (x, bytes) in steps.iter().zip(body.as_chunks_mut::<BYTES>().0) {
        coder.step(isa, x, bytes);
    }
    if !tail.is_empty() {
        let mut bytes = [0; BYTES];
        coder.step(isa, &padded(tail), &mut bytes);
        rest.copy_from_slice(&bytes[..rest.len()]);
        let used = tail.len() * BYTES / (STEP / 8) % 8;
        if let (Some(last), 1..) = (rest.last_mut(), used) {
            *last &= (1 << used) - 1;
        }
    }
}

/// Codes of whole runs of a group, or of a part of one run.
#[inline(always)]
fn runs<I: Isa, const BYTES: usize>(
    isa: I,
    plan: &Plan,
    coder: impl Encode<BYTES>,
    (mut x, mut packed): (&[f32], &mut [u8]),
) {
    // Split by hand: zipped chunks divide to find their number, once a rho block.
    while x.len() > plan.run_len {
        let (run, later) = x.split_at(plan.run_len);
        let (bytes, rest) = packed.split_at_mut(plan.run_bytes());
        encode(isa, coder, run, bytes);
        (x, packed) = (later, rest);
    }
    encode(isa, coder, x, packed);
}

/// Whole groups, start to end: their values are still in cache when the codes are taken.
#[derive(Debug)]
pub(crate) struct Groups<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) x: &'a [f32],
    pub(crate) scales: &'a mut [f32],
    /// Empty unless the rule is centred.
    pub(crate) centres: &'a mut [f32],
    pub(crate) packed: &'a mut [u8],
}

impl<I: Isa> Work<I> for Groups<'_> {
    #[inline(always)]
    fn run(self, isa: I) {
        // A loop for every packing and statistic: neither is asked again in a group.
        match (self.plan.packing, self.plan.fold()) {
            (Packing::Sign1, fold) => self.each::<I, Sign, { STEP / 8 }>(isa, fold),
            (Packing::Ternary2, fold) => self.each::<I, Ternary, { STEP / 4 }>(isa, fold),
            (Packing::Int8, Fold::Absmax) => self.each::<I, Int8, STEP>(isa, Fold::Absmax),
            (Packing::Int8, fold) => self.each::<I, Int8, STEP>(isa, fold),
        }
    }
}

impl Groups<'_> {
    #[inline(always)]
    fn each<I: Isa, E: Encode<BYTES>, const BYTES: usize>(self, isa: I, fold: Fold) {
        let plan = *self.plan;
        let groups = self.x.chunks(plan.group_len);
        let bytes = self.packed.chunks_mut(plan.group_bytes());
        for (i, ((x, bytes), scale)) in groups.zip(bytes).zip(self.scales).enumerate() {
            *scale = plan.scale(statistic(isa, fold, x));
            let mut centre = 0.0;
            if let Some(slot) = self.centres.get_mut(i) {
                centre = statistic(isa, Fold::Values, x);
                *slot = centre;
            }
            runs(isa, &plan, E::new(&plan, *scale, centre), (x, bytes));
        }
    }
}

/// Statistics of whole blocks of one group.
#[derive(Debug)]
pub(crate) struct Statistics<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) x: &'a [f32],
    pub(crate) statistics: &'a mut [f32],
    /// Empty unless the rule is centred.
    pub(crate) sums: &'a mut [f32],
}

impl<I: Isa> Work<I> for Statistics<'_> {
    #[inline(always)]
    fn run(self, isa: I) {
        for (i, (x, slot)) in self.x.chunks(BLOCK).zip(self.statistics).enumerate() {
            *slot = match self.plan.fold() {
                Fold::Absmax => fold(isa, Fold::Absmax, x),
                what => fold(isa, what, x),
            };
            if let Some(slot) = self.sums.get_mut(i) {
                *slot = fold(isa, Fold::Values, x);
            }
        }
    }
}

/// Codes of whole runs of one group, or of a part of one run that starts on a byte.
#[derive(Debug)]
pub(crate) struct Codes<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) scale: f32,
    pub(crate) centre: f32,
    pub(crate) x: &'a [f32],
    pub(crate) packed: &'a mut [u8],
}

impl<I: Isa> Work<I> for Codes<'_> {
    #[inline(always)]
    fn run(self, isa: I) {
        let Codes { plan, scale, centre, x, packed } = self;
        match plan.packing {
            Packing::Sign1 => runs(isa, plan, Sign::new(plan, scale, centre), (x, packed)),
            Packing::Ternary2 => runs(isa, plan, Ternary::new(plan, scale, centre), (x, packed)),
            Packing::Int8 => runs(isa, plan, Int8::new(plan, scale, centre), (x, packed)),
        }
    }
}
