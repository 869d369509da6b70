//! Pieces of quantization that one thread does at a time, for any instruction set.
use super::encode::{Encode, Stage, encode, runs};
use super::isa::{AHEAD, BATCH, FIVES, Fold, Integer, Isa, LINE, STEP, Sign, Ternary, Work, join};
use super::plan::{Packing, Plan, Shared};

/// Values whose statistic is taken in f32 lanes. Even one lane would chain 4096 additions, below
/// the 16384 that the bound of a scale allows; blocks are added in f64.
pub(crate) const BLOCK: usize = 4096;
/// Largest group of a batch: all of its values are 8 KiB, their codes 2 KiB, which stay in L1.
const SHORT: usize = 128;

/// The statistic of a group, from those of its blocks in order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Combine {
    fold: Fold,
    /// The extreme so far, if there is one.
    end: Option<f32>,
    sum: f64,
}

impl Combine {
    #[inline(always)]
    pub(crate) fn new(fold: Fold) -> Combine {
        Combine { fold, end: None, sum: 0.0 }
    }

    /// The next block.
    #[inline(always)]
    pub(crate) fn push(&mut self, block: f32) {
        match self.fold {
            Fold::Magnitudes | Fold::Positives | Fold::Values => self.sum += f64::from(block),
            fold => self.end = Some(self.end.map_or(block, |end| join(fold, end, block))),
        }
    }

    /// The extreme or mean of the group's `len` values.
    #[inline(always)]
    pub(crate) fn finish(self, len: usize) -> f32 {
        match self.fold {
            Fold::Magnitudes | Fold::Positives | Fold::Values => {
                (self.sum / len.max(1) as f64) as f32
            }
            _ => self.end.unwrap_or(0.0),
        }
    }
}

/// What lanes begin with, and what stands for the values that the last step lacks.
#[inline(always)]
fn neutral(fold: Fold, block: &[f32]) -> f32 {
    match fold {
        Fold::Least | Fold::Most => block.first().copied().unwrap_or(0.0),
        _ => 0.0,
    }
}

/// The lanes of a block, for each of some folds: one read. With `AHEAD` other than 0, values that
/// far on are asked for.
#[inline(always)]
fn lanes<I: Isa, const FOLDS: usize, const AHEAD: usize>(
    isa: I,
    folds: [Fold; FOLDS],
    block: &[f32],
) -> [I::Lanes; FOLDS] {
    let (steps, tail) = block.as_chunks::<STEP>();
    let neutrals = folds.map(|fold| neutral(fold, block));
    let mut lanes = [isa.splat(0.0); FOLDS];
    for (lanes, neutral) in lanes.iter_mut().zip(neutrals) {
        *lanes = isa.splat(neutral);
    }
    for x in steps {
        if AHEAD > 0 {
            isa.prefetch(x, AHEAD);
        }
        for (lanes, fold) in lanes.iter_mut().zip(folds) {
            *lanes = isa.take(fold, *lanes, x);
        }
    }
    if !tail.is_empty() {
        for ((lanes, fold), neutral) in lanes.iter_mut().zip(folds).zip(neutrals) {
            let mut x = [neutral; STEP];
            x[..tail.len()].copy_from_slice(tail);
            *lanes = isa.take(fold, *lanes, &x);
        }
    }
    lanes
}

/// The answers of a plan's folds for a block, 0 where there is none.
#[inline(always)]
fn ends<I: Isa, const AHEAD: usize>(isa: I, plan: &Plan, block: &[f32]) -> (f32, f32) {
    match (plan.first, plan.second) {
        (None, None) => (0.0, 0.0),
        // The folds named here are known to the compiler in their loops.
        (Some(Fold::Absmax), None) => (one::<I, AHEAD>(isa, Fold::Absmax, block), 0.0),
        (Some(Fold::Most), Some(Fold::Least)) => {
            let folds = [Fold::Most, Fold::Least];
            let [most, least] = lanes::<I, 2, AHEAD>(isa, folds, block);
            (isa.finish(Fold::Most, most), isa.finish(Fold::Least, least))
        }
        (Some(first), None) => (one::<I, AHEAD>(isa, first, block), 0.0),
        (None, Some(second)) => (0.0, one::<I, AHEAD>(isa, second, block)),
        (Some(first), Some(second)) => {
            let [a, b] = lanes::<I, 2, AHEAD>(isa, [first, second], block);
            (isa.finish(first, a), isa.finish(second, b))
        }
    }
}

#[inline(always)]
fn one<I: Isa, const AHEAD: usize>(isa: I, fold: Fold, block: &[f32]) -> f32 {
    let [lanes] = lanes::<I, 1, AHEAD>(isa, [fold], block);
    match fold {
        // As in a batch: which groups are in one depends on how many there are, no bit may.
        Fold::Magnitudes | Fold::Positives | Fold::Values if block.len() <= SHORT => {
            isa.finish_batch(fold, &[lanes; BATCH])[0]
        }
        _ => isa.finish(fold, lanes),
    }
}

/// The statistics of a group, block by block.
#[inline(always)]
fn statistics<I: Isa>(isa: I, plan: &Plan, group: &[f32]) -> (f32, f32) {
    let mut combined = [plan.first, plan.second].map(|fold| fold.map(Combine::new));
    for block in group.chunks(BLOCK) {
        let (first, second) = ends::<I, 0>(isa, plan, block);
        for (combined, answer) in combined.iter_mut().zip([first, second]) {
            if let Some(combined) = combined {
                combined.push(answer);
            }
        }
    }
    let [first, second] = combined.map(|fold| fold.map_or(0.0, |fold| fold.finish(group.len())));
    (first, second)
}

/// Magnitudes above a limit, in f64: sums of the same values in another order round to the same
/// f32 but for one in a hundred million, so that no value near the limit changes sides.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sum {
    pub(crate) sum: f64,
    pub(crate) count: u64,
}

impl Sum {
    /// Of all values, or of those that reach the limit.
    #[inline(always)]
    fn of(plan: &Plan, x: &[f32], limit: Option<f32>) -> Sum {
        let (mut sums, mut counts) = ([0.0f64; 8], [0u32; 8]);
        let (steps, tail) = x.as_chunks::<8>();
        for x in steps.iter().map(|x| &x[..]).chain([tail]) {
            for ((x, sum), count) in x.iter().zip(&mut sums).zip(&mut counts) {
                let x = x.abs();
                let kept = match limit {
                    None => true,
                    Some(limit) if plan.rule.inclusive => x >= limit,
                    Some(limit) => x > limit,
                };
                *sum += if kept { f64::from(x) } else { 0.0 };
                *count += u32::from(kept);
            }
        }
        Sum { sum: sums.iter().sum(), count: counts.iter().map(|count| u64::from(*count)).sum() }
    }

    /// With those of the next block.
    pub(crate) fn and(self, next: Sum) -> Sum {
        Sum { sum: self.sum + next.sum, count: self.count + next.count }
    }

    /// The mean, if there is a value.
    pub(crate) fn mean(self) -> Option<f32> {
        (self.count > 0).then(|| (self.sum / self.count as f64) as f32)
    }
}

/// The means of groups from their sums, as [`Combine`] has them.
#[inline(always)]
pub(super) fn means(sums: &[f32; BATCH], len: usize) -> [f32; BATCH] {
    let mut means = [0.0; BATCH];
    for (mean, sum) in means.iter_mut().zip(sums) {
        *mean = (f64::from(*sum) / len as f64) as f32;
    }
    means
}

/// What a group shares.
#[inline(always)]
fn shared<I: Isa>(isa: I, plan: &Plan, x: &[f32]) -> Shared {
    if !plan.kept() {
        let (first, second) = statistics(isa, plan, x);
        return plan.share(first, second);
    }
    let mean = Sum::of(plan, x, None).mean().unwrap_or(0.0);
    let shared = plan.share(mean, 0.0);
    match Sum::of(plan, x, Some(shared.limit)).mean() {
        Some(scale) => Shared { scale, ..shared },
        None => shared,
    }
}

/// Whole groups, start to end: their values are still in cache when the codes are taken.
#[derive(Debug)]
pub(crate) struct Groups<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) x: &'a [f32],
    pub(crate) scales: &'a mut [f32],
    /// Empty unless the rule is centred.
    pub(crate) centres: &'a mut [f32],
    /// Empty unless the rule has zero points.
    pub(crate) zero_points: &'a mut [i32],
    pub(crate) packed: &'a mut [u8],
}

/// Run `$self.$each::<I, coder, its values, its bytes>($args)` for the coder of a packing, which is
/// not asked for again within.
macro_rules! by_packing {
    ($self:ident.$each:ident($isa:ident)) => {
        match $self.plan.packing {
            Packing::Sign1 => $self.$each::<I, Sign, STEP, { STEP / 8 }>($isa),
            Packing::Ternary2 => $self.$each::<I, Ternary, STEP, { STEP / 4 }>($isa),
            Packing::Ternary3 => $self.$each::<I, Ternary, FIVES, STEP>($isa),
            Packing::Nibble => $self.$each::<I, Integer, STEP, { STEP / 2 }>($isa),
            // A block of rho is a step, half a line.
            Packing::Byte if $self.plan.run_len == STEP => {
                $self.$each::<I, Integer, STEP, STEP>($isa)
            }
            Packing::Byte => $self.$each::<I, Integer, LINE, LINE>($isa),
        }
    };
}

impl<I: Isa> Work<I> for Groups<'_> {
    #[inline(always)]
    fn run(self, isa: I) {
        by_packing!(self.each(isa));
    }
}

impl Groups<'_> {
    #[inline(always)]
    fn each<I: Isa, E: Encode<VALUES, BYTES>, const VALUES: usize, const BYTES: usize>(
        mut self,
        isa: I,
    ) {
        let plan = *self.plan;
        let mut stage = plan.stream.then(Stage::new);
        let short = plan.group_len <= SHORT && plan.group_len.is_multiple_of(STEP);
        let short = short && plan.run_len == plan.group_len && plan.second.is_none();
        let len = (plan.group_len, plan.group_bytes());
        let from = match plan.first {
            Some(fold) if short && plan.group_len == STEP => {
                self.blocks::<I, E, VALUES, BYTES>(isa, fold, stage.as_mut())
            }
            Some(Fold::Absmax) if short => {
                self.batches::<I, E, VALUES, BYTES>(isa, (Fold::Absmax, len), stage.as_mut())
            }
            Some(fold) if short => {
                self.batches::<I, E, VALUES, BYTES>(isa, (fold, len), stage.as_mut())
            }
            _ => 0,
        };
        let groups = self.x.chunks(plan.group_len).zip(self.packed.chunks_mut(plan.group_bytes()));
        for (i, (x, packed)) in groups.enumerate().skip(from) {
            let shared = shared(isa, &plan, x);
            self.scales[i] = shared.scale;
            if let Some(centre) = self.centres.get_mut(i) {
                *centre = shared.centre;
            }
            if let Some(zero_point) = self.zero_points.get_mut(i) {
                *zero_point = shared.zero_point.into();
            }
            runs::<I, E, VALUES, BYTES>(isa, &plan, &shared, (x, packed), stage.as_mut());
        }
        isa.fence();
    }

    /// Sixteen short groups at a time, whose scales are one vector; answers how many were done.
    #[inline(always)]
    fn batches<I: Isa, E: Encode<VALUES, BYTES>, const VALUES: usize, const BYTES: usize>(
        &mut self,
        isa: I,
        (fold, (len, bytes)): (Fold, (usize, usize)),
        mut stage: Option<&mut Stage>,
    ) -> usize {
        let plan = *self.plan;
        let scales = self.scales.as_chunks_mut::<BATCH>().0;
        let done = BATCH * scales.len().min(self.x.len() / (BATCH * len));
        let batches = self.x.chunks_exact(BATCH * len);
        let batches = batches.zip(self.packed.chunks_exact_mut(BATCH * bytes));
        for ((x, packed), scales) in batches.zip(scales) {
            let mut all = [isa.splat(0.0); BATCH];
            for (i, group) in all.iter_mut().enumerate() {
                [*group] = lanes::<I, 1, 0>(isa, [fold], &x[i * len..][..len]);
            }
            let answers = isa.finish_batch(fold, &all);
            let statistics = match fold {
                Fold::Absmax | Fold::PositiveMax => answers,
                _ => means(&answers, len),
            };
            *scales = plan.scales(statistics);
            let reciprocals = plan.reciprocals(*scales);
            let to = match stage.as_deref_mut() {
                Some(stage) => stage.room(BATCH * bytes),
                None => &mut *packed,
            };
            for i in 0..BATCH {
                let shared = Shared { reciprocal: reciprocals[i], ..plan.symmetric(scales[i]) };
                let group = (&x[i * len..][..len], &mut to[i * bytes..][..bytes]);
                encode(isa, &E::new(&plan, &shared), group, plan.stream);
            }
            if let Some(stage) = stage.as_deref_mut() {
                isa.stream(stage.room(BATCH * bytes), packed);
            }
        }
        done
    }
}

/// Statistics of whole blocks of one group.
#[derive(Debug)]
pub(crate) struct Statistics<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) x: &'a [f32],
    pub(crate) firsts: &'a mut [f32],
    /// Empty unless the rule has a second fold.
    pub(crate) seconds: &'a mut [f32],
}

impl<I: Isa> Work<I> for Statistics<'_> {
    #[inline(always)]
    fn run(self, isa: I) {
        for (i, x) in self.x.chunks(BLOCK).enumerate() {
            let (first, second) = match self.plan.stream {
                true => ends::<I, AHEAD>(isa, self.plan, x),
                false => ends::<I, 0>(isa, self.plan, x),
            };
            if let Some(slot) = self.firsts.get_mut(i) {
                *slot = first;
            }
            if let Some(slot) = self.seconds.get_mut(i) {
                *slot = second;
            }
        }
    }
}

/// Sums in f64 of whole blocks of one group.
#[derive(Debug)]
pub(crate) struct Sums<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) x: &'a [f32],
    /// Only magnitudes above it, where there is one.
    pub(crate) limit: Option<f32>,
    pub(crate) sums: &'a mut [Sum],
}

impl<I: Isa> Work<I> for Sums<'_> {
    #[inline(always)]
    fn run(self, _: I) {
        for (x, sum) in self.x.chunks(BLOCK).zip(self.sums) {
            *sum = Sum::of(self.plan, x, self.limit);
        }
    }
}

/// Codes of whole runs of one group, or of a part of one run that starts on a byte.
#[derive(Debug)]
pub(crate) struct Codes<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) shared: Shared,
    pub(crate) x: &'a [f32],
    pub(crate) packed: &'a mut [u8],
}

impl<I: Isa> Work<I> for Codes<'_> {
    #[inline(always)]
    fn run(self, isa: I) {
        by_packing!(self.each(isa));
    }
}

impl Codes<'_> {
    #[inline(always)]
    fn each<I: Isa, E: Encode<VALUES, BYTES>, const VALUES: usize, const BYTES: usize>(
        self,
        isa: I,
    ) {
        let mut stage = self.plan.stream.then(Stage::new);
        let to = (self.x, self.packed);
        runs::<I, E, VALUES, BYTES>(isa, self.plan, &self.shared, to, stage.as_mut());
        isa.fence();
    }
}
