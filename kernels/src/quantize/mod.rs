//! What the rows of `quantize_weight`, `quantize_activation`, `quantize_int8` and `rho_pack` share.
//!
//! Groups up to [`FUSED`] values take their statistic and their codes while in cache: one read of
//! memory. Larger ones take the statistics of all blocks first, then all codes: two reads.
//! Both go forward: what a task asks for at its end is where the next begins. Blocks are counted
//! from the start of their group and combined in order, so an answer depends neither on the number
//! of threads nor on which of the two ways was taken.
//!
//! Where input and output together are larger than caches, results go past them and values are
//! asked for ahead of use (`encode.rs`, [`STREAMED`]). Groups of a row that are whole steps are
//! done sixteen at a time, so that their scales are one vector (`tasks.rs`).
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512;
mod blocks;
mod encode;
pub(crate) mod isa;
pub(crate) mod plain;
mod plan;
pub(crate) mod scalar;
mod statistics;
mod tasks;
#[cfg(test)]
mod tests;
use crate::buffer::Buffer;
use crate::context::Context;
use crate::hardware::Need;
use crate::pool::Pool;
use crate::{Failure, Kernel, Prepared};
use isa::{Fold, Isa};
use lowbit_reference::op::quantize::QuantizeProblem;
use lowbit_reference::op::{Arithmetic, Op, Outputs, Tensor};
use lowbit_reference::rule::Range;
pub(crate) use plan::{Packing, STREAMED};
use plan::{Plan, Shared};
use statistics::{BLOCK, Combine, Statistics, Sum, Sums};
use std::marker::PhantomData;
use tasks::{Codes, Groups};

/// Largest group done in one go: 128 KiB, which leaves room in an L2 of 256 KiB.
const FUSED: usize = 32_768;
/// Values of a task: whole blocks, whole bytes, and some ten microseconds.
const TASK: usize = 8 * BLOCK;
/// Tasks in one where codes go past the caches: a task ends when they have arrived.
const STREAMED_TASKS: usize = 4;
/// Values of a part of a longer run are a multiple: whole lines of bytes, and whole bytes of five
/// ternary codes.
const PART: usize = 320;

/// The row of an instruction set, for every op that quantizes.
#[derive(Debug)]
pub(crate) struct Row<I>(PhantomData<fn() -> I>);

impl<I> Row<I> {
    pub(crate) const fn new() -> Row<I> {
        Row(PhantomData)
    }
}

impl<I: Isa, O: Op<Problem = QuantizeProblem>> Kernel<O> for Row<I> {
    fn name(&self) -> &'static str {
        I::NAME
    }

    fn need(&self) -> Need {
        I::NEED
    }

    fn arithmetic(&self, _: &QuantizeProblem) -> Arithmetic {
        Arithmetic::FLOAT
    }

    fn accepts(&self, problem: &QuantizeProblem) -> Result<(), String> {
        Plan::new(problem).map(drop)
    }

    fn prepare<'p>(
        &self,
        problem: &'p QuantizeProblem,
        context: &mut Context,
    ) -> Result<Box<dyn Prepared + 'p>, Failure> {
        let isa = I::detect().ok_or_else(|| Failure(format!("no {}", I::NAME)))?;
        Ok(Box::new(Quantize::new(isa, Plan::new(problem)?, problem, context)))
    }
}

/// A row bound to its problem.
struct Quantize<I> {
    isa: I,
    plan: Plan,
    pool: Pool,
    x: Buffer<f32>,
    scales: Buffer<f32>,
    /// Empty unless the rule is centred.
    centres: Buffer<f32>,
    /// Empty unless the rule has zero points.
    zero_points: Buffer<i32>,
    packed: Buffer<u8>,
    /// Answers of the blocks of large groups; empty where groups are done in one go.
    firsts: Buffer<f32>,
    seconds: Buffer<f32>,
    sums: Vec<Sum>,
}

impl<I: Isa> Quantize<I> {
    fn new(isa: I, plan: Plan, problem: &QuantizeProblem, context: &mut Context) -> Quantize<I> {
        let groups = problem.x.len().div_ceil(plan.group_len);
        let large = plan.group_len > FUSED;
        let blocks = if large { groups * plan.group_len.div_ceil(BLOCK) } else { 0 };
        let per_byte = plan.packing.per_byte();
        let runs = problem.x.chunks(plan.run_len);
        let bytes = runs.map(|run| run.len().div_ceil(per_byte)).sum();
        let only = |condition: bool, len: usize| if condition { len } else { 0 };
        Quantize {
            isa,
            plan,
            pool: context.pool().clone(),
            x: context.copy("x", &problem.x),
            scales: context.buffer("scales", groups),
            centres: context.buffer("centres", only(plan.rule.centred, groups)),
            zero_points: context
                .buffer("zero_points", only(plan.rule.range == Range::Minmax, groups)),
            packed: context.buffer("packed", bytes),
            firsts: context.buffer("firsts", only(plan.first.is_some(), blocks)),
            seconds: context.buffer("seconds", only(plan.second.is_some(), blocks)),
            sums: vec![Sum::default(); only(plan.kept(), blocks)],
        }
    }

    /// Values of a task that makes codes.
    fn task(&self) -> usize {
        if self.plan.stream { STREAMED_TASKS * TASK } else { TASK }
    }

    /// Statistic, scale and codes of each group before the next.
    fn fused(&mut self) {
        let Quantize { isa, plan, .. } = *self;
        let each = (self.task() / plan.group_len).max(1);
        let mut centres = self.centres.chunks_mut(each);
        let mut zero_points = self.zero_points.chunks_mut(each);
        let groups = self.x.chunks(each * plan.group_len).zip(self.scales.chunks_mut(each));
        let tasks = groups.zip(self.packed.chunks_mut(each * plan.group_bytes()));
        let tasks = tasks.map(|((x, scales), packed)| {
            let centres = centres.next().unwrap_or_default();
            let zero_points = zero_points.next().unwrap_or_default();
            Groups { plan: &plan, x, scales, centres, zero_points, packed }
        });
        self.pool.for_each(tasks.collect(), |task| isa.enter(task));
    }

    /// What every group shares, from the answers of its blocks.
    fn share(&mut self) -> Vec<Shared> {
        let Quantize { isa, plan, .. } = *self;
        let blocks = plan.group_len.div_ceil(BLOCK);
        if plan.kept() {
            let all = vec![None; self.scales.len()];
            let means = self.means(&all).into_iter();
            let mut shared: Vec<Shared> =
                means.map(|mean| plan.share(mean.unwrap_or(0.0), 0.0)).collect();
            let limits: Vec<Option<f32>> = shared.iter().map(|group| Some(group.limit)).collect();
            for (group, kept) in shared.iter_mut().zip(self.means(&limits)) {
                group.scale = kept.unwrap_or(group.scale);
            }
            return shared;
        }
        let mut tasks = Vec::new();
        let mut firsts = self.firsts.chunks_mut(blocks);
        let mut seconds = self.seconds.chunks_mut(blocks);
        for x in self.x.chunks(plan.group_len) {
            let mut firsts = firsts.next().unwrap_or_default().chunks_mut(TASK / BLOCK);
            let mut seconds = seconds.next().unwrap_or_default().chunks_mut(TASK / BLOCK);
            for x in x.chunks(TASK) {
                let firsts = firsts.next().unwrap_or_default();
                let seconds = seconds.next().unwrap_or_default();
                tasks.push(Statistics { plan: &plan, x, firsts, seconds });
            }
        }
        if plan.first.is_some() || plan.second.is_some() {
            self.pool.for_each(tasks, |task| isa.enter(task));
        }
        let combine = |fold: Option<Fold>, answers: &[f32], g: usize, len: usize| {
            let Some(fold) = fold else { return 0.0 };
            let mut combined = Combine::new(fold);
            let own = &answers[g * blocks..][..len.div_ceil(BLOCK)];
            own.iter().for_each(|block| combined.push(*block));
            combined.finish(len)
        };
        let groups = self.x.chunks(plan.group_len).enumerate();
        let groups = groups.map(|(g, x)| {
            let first = combine(plan.first, &self.firsts, g, x.len());
            plan.share(first, combine(plan.second, &self.seconds, g, x.len()))
        });
        groups.collect()
    }

    /// The mean magnitude of every group above its limit, in f64.
    fn means(&mut self, limits: &[Option<f32>]) -> Vec<Option<f32>> {
        let Quantize { isa, plan, .. } = *self;
        let blocks = plan.group_len.div_ceil(BLOCK);
        let groups = self.x.chunks(plan.group_len).zip(self.sums.chunks_mut(blocks));
        let tasks = groups.zip(limits).flat_map(|((x, sums), limit)| {
            let parts = x.chunks(TASK).zip(sums.chunks_mut(TASK / BLOCK));
            parts.map(|(x, sums)| Sums { plan: &plan, x, limit: *limit, sums })
        });
        self.pool.for_each(tasks.collect(), |task| isa.enter(task));
        let groups = self.x.chunks(plan.group_len).zip(self.sums.chunks(blocks));
        let mean = |(x, sums): (&[f32], &[Sum])| {
            let own = sums[..x.len().div_ceil(BLOCK)].iter();
            own.fold(Sum::default(), |sum, next| sum.and(*next)).mean()
        };
        groups.map(mean).collect()
    }

    /// Every code, in the order in which values are asked for ahead.
    fn codes(&mut self, shared: &[Shared]) {
        let Quantize { isa, plan, .. } = *self;
        let task = self.task();
        let whole = (task / plan.run_len).max(1);
        let mut tasks = Vec::new();
        let groups = self.x.chunks(plan.group_len);
        let groups = groups.zip(self.packed.chunks_mut(plan.group_bytes())).zip(shared);
        for ((x, packed), shared) in groups {
            let runs = x.chunks(whole * plan.run_len);
            let runs = runs.zip(packed.chunks_mut(whole * plan.run_bytes()));
            // Runs that fit a task stay whole: such a chunk is at most a task.
            for (x, packed) in runs {
                let part = task / PART * PART;
                let (values, bytes) = match plan.run_len > task {
                    true => (part, part / plan.packing.per_byte()),
                    false => (x.len(), packed.len()),
                };
                let parts = x.chunks(values.max(1)).zip(packed.chunks_mut(bytes.max(1)));
                tasks.extend(parts.map(|(x, packed)| Codes {
                    plan: &plan,
                    shared: *shared,
                    x,
                    packed,
                }));
            }
        }
        self.pool.for_each(tasks, |task| isa.enter(task));
    }
}

impl<I: Isa> Prepared for Quantize<I> {
    fn launch(&mut self) -> Result<(), Failure> {
        if self.plan.group_len <= FUSED {
            self.fused();
            return Ok(());
        }
        let shared = self.share();
        self.codes(&shared);
        for (g, shared) in shared.iter().enumerate() {
            self.scales[g] = shared.scale;
            if let Some(centre) = self.centres.get_mut(g) {
                *centre = shared.centre;
            }
            if let Some(zero_point) = self.zero_points.get_mut(g) {
                *zero_point = shared.zero_point.into();
            }
        }
        Ok(())
    }

    fn forget(&mut self) -> Result<(), Failure> {
        self.scales.fill(f32::NAN);
        self.centres.fill(f32::NAN);
        self.zero_points.fill(i32::MIN);
        self.packed.fill(0xff);
        Ok(())
    }

    fn read(&mut self) -> Result<Outputs, Failure> {
        let mut outputs = vec![
            ("scales", Tensor::F32(self.scales.to_vec())),
            ("packed", Tensor::U8(self.packed.to_vec())),
        ];
        if self.plan.rule.centred {
            outputs.push(("centres", Tensor::F32(self.centres.to_vec())));
        }
        if self.plan.rule.range == Range::Minmax {
            outputs.push(("zero_points", Tensor::I32(self.zero_points.to_vec())));
        }
        Ok(Outputs(outputs))
    }
}
