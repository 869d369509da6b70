//! What the rows of `awq_search` share: panels of rows, and every ratio of the grid for each.
//!
//! The loss of a ratio is that of the error `e = w' - w` itself, `mean((sum_k x e)^2)`: the product of
//! the unquantized weight is never made, and small differences of large products do not cancel. A
//! task is a panel under all ratios; it answers a sum for each, and those are added panel by panel,
//! so an answer does not depend on the number of threads. The first of the least losses wins.
use super::panel::{Codes, Panel, V};
use super::scales::Statistics;
use crate::attention::simd::Simd;
use crate::buffer::Buffer;
use crate::context::Context;
use crate::hardware::Need;
use crate::pool::Pool;
use crate::{Failure, Kernel, Prepared};
use lowbit_reference::format::Levels;
use lowbit_reference::op::awq::{AwqProblem, AwqSearch, AwqSearchConfig};
use lowbit_reference::op::{Arithmetic, Outputs, Tensor};
use lowbit_reference::rule::Range;
use std::marker::PhantomData;

/// The row of an instruction set.
#[derive(Debug)]
pub(super) struct Row<I, const L: usize>(PhantomData<fn() -> I>);

impl<I, const L: usize> Row<I, L> {
    pub(super) const fn new() -> Self {
        Row(PhantomData)
    }
}

impl<I: Simd<L>, const L: usize> Kernel<AwqSearch> for Row<I, L> {
    fn name(&self) -> &'static str {
        I::NAME
    }
    fn need(&self) -> Need {
        I::NEED
    }
    fn arithmetic(&self, _: &AwqProblem) -> Arithmetic {
        Arithmetic::FLOAT
    }
    fn accepts(&self, problem: &AwqProblem) -> Result<(), String> {
        match problem.config.levels {
            Levels::Uint4 | Levels::Int4 => Ok(()),
            levels => Err(format!("no search for {}", levels.name())),
        }
    }
    fn prepare<'p>(
        &self,
        problem: &'p AwqProblem,
        context: &mut Context,
    ) -> Result<Box<dyn Prepared + 'p>, Failure> {
        let AwqProblem { config, n, k, .. } = *problem;
        let threads = context.pool().threads();
        Ok(Box::new(Searching::<I, L> {
            isa: I::detect().ok_or_else(|| Failure(format!("no {}", I::NAME)))?,
            pool: context.pool().clone(),
            config,
            n,
            k,
            weight: context.copy("weight", &problem.weight),
            tokens: context.copy("tokens", &problem.tokens),
            rows: vec![vec![0.0; k]; threads],
            panels: vec![vec![[[0.0; L]; V]; k]; threads],
            scales: context.buffer("scales", config.n_grid * k),
            sums: vec![0.0; config.n_grid * n.div_ceil(V * L)],
            losses: context.buffer("losses", config.n_grid),
            choice: usize::MAX,
        }))
    }
}

struct Searching<I, const L: usize> {
    isa: I,
    pool: Pool,
    config: AwqSearchConfig,
    n: usize,
    k: usize,
    weight: Buffer<f32>,
    tokens: Buffer<f32>,
    /// Room of each thread: a row's errors, and a panel's.
    rows: Vec<Vec<f32>>,
    panels: Vec<Vec<[[f32; L]; V]>>,
    /// Of each ratio.
    scales: Buffer<f32>,
    /// Of each panel, ratio by ratio.
    sums: Vec<f64>,
    losses: Buffer<f32>,
    choice: usize,
}

impl<I: Simd<L>, const L: usize> Prepared for Searching<I, L> {
    fn launch(&mut self) -> Result<(), Failure> {
        let Searching { isa, config, n, k, .. } = *self;
        let AwqSearchConfig { group_size, n_grid, scaling, .. } = config;
        let statistics = Statistics::new(&self.tokens, (&self.weight, group_size), (k, scaling));
        let ratios = self.scales.chunks_mut(k).enumerate().collect();
        self.pool.for_each(ratios, |(i, scales)| {
            statistics.scales(i as f64 / n_grid as f64, scales);
        });
        let (range, least, most) = match config.levels {
            Levels::Uint4 => (Range::Minmax, 0.0, 15.0),
            _ => (Range::Absmax, -8.0, 7.0),
        };
        let codes = Codes { group: group_size, range, least, most };
        let (scales, tokens) = (&self.scales, &*self.tokens);
        // Consecutive panels to each thread, which has room for one.
        let panels = self.weight.chunks(V * L * k).zip(self.sums.chunks_mut(n_grid));
        let mut tasks: Vec<Vec<_>> = self.rows.iter().map(|_| Vec::new()).collect();
        let each = n.div_ceil(V * L).div_ceil(tasks.len()).max(1);
        panels.enumerate().for_each(|(i, panel)| tasks[i / each].push(panel));
        let room = self.rows.iter_mut().zip(&mut self.panels);
        self.pool.for_each(tasks.into_iter().zip(room).collect(), |(panels, (row, errors))| {
            for (weight, sums) in panels {
                for (scales, loss) in scales.chunks(k).zip(sums) {
                    let (row, errors) = (&mut row[..], &mut errors[..]);
                    isa.enter(Panel { codes, k, weight, scales, tokens, row, errors, loss });
                }
            }
        });
        let outputs = (n * (tokens.len() / k)) as f64;
        let mut best = (0, f64::INFINITY);
        for i in 0..n_grid {
            let sum: f64 = self.sums.iter().skip(i).step_by(n_grid).sum();
            let loss = sum / outputs;
            self.losses[i] = loss as f32;
            if loss < best.1 {
                best = (i, loss);
            }
        }
        self.choice = best.0;
        Ok(())
    }
    fn forget(&mut self) -> Result<(), Failure> {
        self.scales.fill(f32::NAN);
        self.losses.fill(f32::NAN);
        self.sums.fill(f64::NAN);
        self.choice = usize::MAX;
        Ok(())
    }
    fn read(&mut self) -> Result<Outputs, Failure> {
        let own = self.scales.chunks(self.k).nth(self.choice).unwrap_or_default();
        Ok(Outputs(vec![
            ("losses", Tensor::F32(self.losses.to_vec())),
            ("scales", Tensor::F32(own.to_vec())),
            ("choice", Tensor::I32(vec![i32::try_from(self.choice).unwrap_or(-1)])),
        ]))
    }
}
