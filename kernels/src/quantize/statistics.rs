//! What groups share: extremes, sums and means of their values, for any instruction set.
//!
//! The larger pieces are tasks: a loop over groups enters them (`Isa::enter`), so that they are
//! compiled once and not again for each packing; a call a group, or a batch of groups, costs nothing.
use super::isa::{BATCH, BLOCKS, Fold, Isa, STEP, Work, join};
use super::plan::{Plan, Shared};

/// Values whose statistic is taken in f32 lanes. Even one lane would chain 4096 additions, below
/// the 16384 that the bound of a scale allows; blocks are added in f64.
pub(crate) const BLOCK: usize = 4096;
/// Largest group of a batch: all of its values are 8 KiB, their codes 2 KiB, which stay in L1.
pub(super) const SHORT: usize = 128;

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

/// The lanes of a block, for each of some folds: one read.
#[inline(always)]
fn lanes<I: Isa, const FOLDS: usize>(
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
fn ends<I: Isa>(isa: I, plan: &Plan, block: &[f32]) -> (f32, f32) {
    match (plan.first, plan.second) {
        (None, None) => (0.0, 0.0),
        // The folds named here are known to the compiler in their loops.
        (Some(Fold::Absmax), None) => (one(isa, Fold::Absmax, block), 0.0),
        (Some(Fold::Most), Some(Fold::Least)) => {
            let folds = [Fold::Most, Fold::Least];
            let [most, least] = lanes(isa, folds, block);
            (isa.finish(Fold::Most, most), isa.finish(Fold::Least, least))
        }
        (Some(first), None) => (one(isa, first, block), 0.0),
        (None, Some(second)) => (0.0, one(isa, second, block)),
        (Some(first), Some(second)) => {
            let [a, b] = lanes(isa, [first, second], block);
            (isa.finish(first, a), isa.finish(second, b))
        }
    }
}

#[inline(always)]
fn one<I: Isa>(isa: I, fold: Fold, block: &[f32]) -> f32 {
    let [lanes] = lanes(isa, [fold], block);
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
        let (first, second) = ends(isa, plan, block);
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
fn means(sums: &[f32; BATCH], len: usize) -> [f32; BATCH] {
    let mut means = [0.0; BATCH];
    for (mean, sum) in means.iter_mut().zip(sums) {
        *mean = (f64::from(*sum) / len as f64) as f32;
    }
    means
}

/// What a group shares.
#[derive(Debug)]
pub(super) struct Share<'a> {
    pub(super) plan: &'a Plan,
    pub(super) x: &'a [f32],
    pub(super) shared: &'a mut Shared,
}

impl<I: Isa> Work<I> for Share<'_> {
    #[inline(always)]
    fn run(self, isa: I) {
        let Share { plan, x, shared } = self;
        if !plan.kept() {
            let (first, second) = statistics(isa, plan, x);
            *shared = plan.share(first, second);
            return;
        }
        *shared = plan.share(Sum::of(plan, x, None).mean().unwrap_or(0.0), 0.0);
        if let Some(scale) = Sum::of(plan, x, Some(shared.limit)).mean() {
            shared.scale = scale;
        }
    }
}

/// What sixteen groups share, a vector each.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Batch {
    pub(super) scales: [f32; BATCH],
    pub(super) steps: [f32; BATCH],
    pub(super) reciprocals: [f32; BATCH],
}

/// What a batch of groups of `len` values each shares. It is left in memory: taken apart by its
/// caller, a vector would be stored in pieces, and loads of the whole would wait for them.
#[derive(Debug)]
pub(super) struct Answers<'a> {
    pub(super) plan: &'a Plan,
    pub(super) fold: Fold,
    pub(super) len: usize,
    pub(super) x: &'a [f32],
    pub(super) batch: &'a mut Batch,
}

impl<I: Isa> Work<I> for Answers<'_> {
    #[inline(always)]
    fn run(self, isa: I) {
        // The fold named here is known to the compiler in its loop.
        let answers = match (self.fold, self.x.as_chunks::<BLOCKS>().0) {
            (Fold::Absmax, [x]) if self.len == STEP => isa.fold_steps(Fold::Absmax, x),
            (fold, [x]) if self.len == STEP => isa.fold_steps(fold, x),
            (Fold::Absmax, _) => batch(isa, Fold::Absmax, self.len, self.x),
            (fold, _) => batch(isa, fold, self.len, self.x),
        };
        let answers = match self.fold {
            Fold::Absmax | Fold::PositiveMax => answers,
            _ => means(&answers, self.len),
        };
        let scales = self.plan.scales(answers);
        let (steps, reciprocals) = (self.plan.steps(scales), self.plan.reciprocals(scales));
        *self.batch = Batch { scales, steps, reciprocals };
    }
}

#[inline(always)]
fn batch<I: Isa>(isa: I, fold: Fold, len: usize, x: &[f32]) -> [f32; BATCH] {
    let mut all = [isa.splat(0.0); BATCH];
    for (i, group) in all.iter_mut().enumerate() {
        [*group] = lanes(isa, [fold], &x[i * len..][..len]);
    }
    isa.finish_batch(fold, &all)
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
            let (first, second) = ends(isa, self.plan, x);
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
