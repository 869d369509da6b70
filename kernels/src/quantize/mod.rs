//! What the rows of `quantize_weight`, `quantize_activation` and `rho_pack` share.
//!
//! Groups up to [`FUSED`] values take their statistic and their codes while in cache: one read of
//! memory. Larger ones take the statistics of all blocks first, then all codes: two reads.
//! Blocks are counted from the start of their group and combined in order, so an answer depends
//! neither on the number of threads nor on which of the two ways was taken.
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512;
pub(crate) mod isa;
pub(crate) mod plain;
pub(crate) mod scalar;
mod tasks;
#[cfg(test)]
mod tests;
use crate::buffer::Buffer;
use crate::context::Context;
use crate::hardware::Need;
use crate::pool::Pool;
use crate::rules::classic;
use crate::{Failure, Kernel, Prepared};
use isa::{Fold, Isa};
use lowbit_reference::op::quantize::QuantizeProblem;
use lowbit_reference::op::{Arithmetic, Op, Outputs, Tensor};
use std::marker::PhantomData;
pub(crate) use tasks::Packing;
use tasks::{BLOCK, Codes, Combine, Groups, Plan, Statistics};

/// Largest group done in one go: 128 KiB, which leaves room in an L2 of 256 KiB.
const FUSED: usize = 32_768;
/// Values of a task: whole blocks, whole bytes, and some ten microseconds.
const TASK: usize = 8 * BLOCK;

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
        plan(problem).map(drop)
    }

    fn prepare<'p>(
        &self,
        problem: &'p QuantizeProblem,
        context: &mut Context,
    ) -> Result<Box<dyn Prepared + 'p>, Failure> {
        let isa = I::detect().ok_or_else(|| Failure(format!("no {}", I::NAME)))?;
        Ok(Box::new(Quantize::new(isa, plan(problem)?, problem, context)))
    }
}

/// How these packed bytes are laid out, if it is one of the layouts written here.
pub(crate) fn packing(name: &str) -> Result<Packing, String> {
    match name {
        "sign1" => Ok(Packing::Sign1),
        "ternary2" => Ok(Packing::Ternary2),
        "int8" => Ok(Packing::Int8),
        _ => Err(format!("no packing to {name}")),
    }
}

fn plan(problem: &QuantizeProblem) -> Result<Plan, String> {
    classic(problem)?;
    let packing = packing(problem.format.name())?;
    let (group_len, run_len) = (problem.group_len.max(1), problem.packed_len.max(1));
    if !group_len.is_multiple_of(run_len) {
        return Err(format!("groups of {group_len} values are no whole runs of {run_len}"));
    }
    Ok(Plan { rule: problem.rule, packing, group_len, run_len })
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
    packed: Buffer<u8>,
    /// Statistics of the blocks of large groups; empty where groups are done in one go.
    statistics: Buffer<f32>,
    /// Their sums, for centres.
    sums: Buffer<f32>,
}

impl<I: Isa> Quantize<I> {
    fn new(isa: I, plan: Plan, problem: &QuantizeProblem, context: &mut Context) -> Quantize<I> {
        let groups = problem.x.len().div_ceil(plan.group_len);
        let large = plan.group_len > FUSED;
        let blocks = if large { groups * plan.group_len.div_ceil(BLOCK) } else { 0 };
        let per_byte = plan.packing.per_byte();
        let runs = problem.x.chunks(plan.run_len);
        let bytes = runs.map(|run| run.len().div_ceil(per_byte)).sum();
        let centred = usize::from(plan.rule.centred);
        Quantize {
            isa,
            plan,
            pool: context.pool().clone(),
            x: context.copy("x", &problem.x),
            scales: context.buffer("scales", groups),
            centres: context.buffer("centres", groups * centred),
            packed: context.buffer("packed", bytes),
            statistics: context.buffer("statistics", blocks),
            sums: context.buffer("sums", blocks * centred),
        }
    }

    /// Statistic, scale and codes of each group before the next.
    fn fused(&mut self) {
        let Quantize { isa, plan, .. } = *self;
        let each = (TASK / plan.group_len).max(1);
        let mut centres = self.centres.chunks_mut(each);
        let groups = self.x.chunks(each * plan.group_len).zip(self.scales.chunks_mut(each));
        let tasks = groups.zip(self.packed.chunks_mut(each * plan.group_bytes()));
        let tasks = tasks.map(|((x, scales), packed)| {
            let centres = centres.next().unwrap_or_default();
            Groups { plan: &plan, x, scales, centres, packed }
        });
        self.pool.for_each(tasks.collect(), |task| isa.enter(task));
    }

    /// The scale, and centre, of every group, from the statistics of its blocks.
    fn scales(&mut self) {
        let Quantize { isa, plan, .. } = *self;
        let blocks = plan.group_len.div_ceil(BLOCK);
        let mut tasks = Vec::new();
        let mut sums = self.sums.chunks_mut(blocks);
        for (x, slots) in self.x.chunks(plan.group_len).zip(self.statistics.chunks_mut(blocks)) {
            let mut sums = sums.next().unwrap_or_default().chunks_mut(TASK / BLOCK);
            for (x, statistics) in x.chunks(TASK).zip(slots.chunks_mut(TASK / BLOCK)) {
                let sums = sums.next().unwrap_or_default();
                tasks.push(Statistics { plan: &plan, x, statistics, sums });
            }
        }
        self.pool.for_each(tasks, |task| isa.enter(task));
        let combine = |fold, blocks: &[f32], len| {
            let mut combined = Combine::new(fold);
            blocks.iter().for_each(|block| combined.push(*block));
            combined.finish(len)
        };
        for (g, x) in self.x.chunks(plan.group_len).enumerate() {
            let own = g * blocks..g * blocks + x.len().div_ceil(BLOCK);
            let statistic = combine(plan.fold(), &self.statistics[own.clone()], x.len());
            self.scales[g] = plan.scale(statistic);
            if plan.rule.centred {
                self.centres[g] = combine(Fold::Values, &self.sums[own], x.len());
            }
        }
    }

    /// Every code.
    fn codes(&mut self) {
        let Quantize { isa, plan, .. } = *self;
        let (scales, centres) = (&self.scales, &self.centres);
        let whole = (TASK / plan.run_len).max(1);
        let mut tasks = Vec::new();
        let groups = self.x.chunks(plan.group_len);
        let groups = groups.zip(self.packed.chunks_mut(plan.group_bytes())).enumerate();
        for (g, (x, packed)) in groups {
            let (scale, centre) = (scales[g], centres.get(g).copied().unwrap_or(0.0));
            let runs = x.chunks(whole * plan.run_len);
            let runs = runs.zip(packed.chunks_mut(whole * plan.run_bytes()));
            // Runs that fit a task stay whole: such a chunk is at most `TASK` values.
            for (x, packed) in runs {
                let bytes =
                    if plan.run_len > TASK { TASK / plan.packing.per_byte() } else { packed.len() };
                let parts = x.chunks(TASK).zip(packed.chunks_mut(bytes));
                tasks.extend(parts.map(|(x, packed)| Codes {
                    plan: &plan,
                    scale,
                    centre,
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
        } else {
            self.scales();
            self.codes();
        }
        Ok(())
    }

    fn forget(&mut self) -> Result<(), Failure> {
        self.scales.fill(f32::NAN);
        self.centres.fill(f32::NAN);
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
        Ok(Outputs(outputs))
    }
}
