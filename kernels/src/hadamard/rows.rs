//! What the rows of `hadamard` share: the fast transform in passes over vectors.
//!
//! The stages at distances 1, 2, 4, ... commute. Those below `L` stay within a vector:
//! `x' = x permuted + s x`, where lane i meets lane `i ^ distance` and `s` is -1 in the upper of the
//! two. Rows shorter than a vector share it. The others go over whole vectors, up to three
//! stages a pass, 8 vectors in registers, so that a row of 4096 is read and written three times,
//! in the first-level cache (16 KiB). The last pass multiplies by `n^-1/2`, the others by 1.
//!
//! Every value is `log2 n` additions and one product; the order differs from row to row, the bound
//! holds for any.
use crate::attention::simd::{Simd, Work};
use crate::buffer::Buffer;
use crate::context::Context;
use crate::hardware::Need;
use crate::pool::Pool;
use crate::{Failure, Kernel, Prepared};
use lowbit_reference::op::hadamard::{HadamardProblem, HadamardTransform};
use lowbit_reference::op::{Arithmetic, Outputs, Tensor};
use std::marker::PhantomData;

/// Values of a task, if a row is not longer: 128 KiB.
const TASK: usize = 1 << 15;

/// An instruction set that pairs the lanes of a vector.
pub(super) trait Within<const L: usize>: Simd<L> {
    /// The stages at distances below `n` and below `L`.
    fn within(self, x: Self::Floats, n: usize) -> Self::Floats;
}

/// The row of an instruction set.
#[derive(Debug)]
pub(super) struct Row<I, const L: usize>(PhantomData<fn() -> I>);

impl<I, const L: usize> Row<I, L> {
    pub(super) const fn new() -> Self {
        Row(PhantomData)
    }
}

impl<I: Within<L>, const L: usize> Kernel<HadamardTransform> for Row<I, L> {
    fn name(&self) -> &'static str {
        I::NAME
    }
    fn need(&self) -> Need {
        I::NEED
    }
    fn arithmetic(&self, _: &HadamardProblem) -> Arithmetic {
        Arithmetic::FLOAT
    }
    fn accepts(&self, problem: &HadamardProblem) -> Result<(), String> {
        let HadamardProblem { x, row_len, .. } = problem;
        match row_len.is_power_of_two() && x.len().is_multiple_of(*row_len) {
            true => Ok(()),
            false => Err(format!("{} values are no whole rows of a power of two", x.len())),
        }
    }
    fn prepare<'p>(
        &self,
        problem: &'p HadamardProblem,
        context: &mut Context,
    ) -> Result<Box<dyn Prepared + 'p>, Failure> {
        Ok(Box::new(Transforming {
            isa: I::detect().ok_or_else(|| Failure(format!("no {}", I::NAME)))?,
            pool: context.pool().clone(),
            row_len: problem.row_len,
            x: context.copy("x", &problem.x),
            y: context.buffer("y", problem.x.len()),
        }))
    }
}

/// A row bound to its problem.
struct Transforming<I, const L: usize> {
    isa: I,
    pool: Pool,
    row_len: usize,
    x: Buffer<f32>,
    y: Buffer<f32>,
}

impl<I: Within<L>, const L: usize> Prepared for Transforming<I, L> {
    fn launch(&mut self) -> Result<(), Failure> {
        let (isa, n) = (self.isa, self.row_len);
        let task = TASK.max(n);
        let tasks = self.x.chunks(task).zip(self.y.chunks_mut(task));
        let tasks = tasks.map(|(x, y)| Rows::<L> { n, x, y });
        self.pool.for_each(tasks.collect(), |rows| isa.enter(rows));
        Ok(())
    }
    fn forget(&mut self) -> Result<(), Failure> {
        self.y.fill(f32::NAN);
        Ok(())
    }
    fn read(&mut self) -> Result<Outputs, Failure> {
        Ok(Outputs(vec![("y", Tensor::F32(self.y.to_vec()))]))
    }
}

/// Whole rows of `n` values.
struct Rows<'a, const L: usize> {
    n: usize,
    x: &'a [f32],
    y: &'a mut [f32],
}

impl<I: Within<L>, const L: usize> Work<I> for Rows<'_, L> {
    #[inline(always)]
    fn run(self, isa: I) {
        let n = self.n;
        let factor = (1.0 / (n as f64).sqrt()) as f32;
        if n < L {
            short::<I, L>(isa, (n, factor), self.x, self.y);
            return;
        }
        for (x, y) in self.x.chunks_exact(n).zip(self.y.chunks_exact_mut(n)) {
            let (x, y) = (x.as_chunks::<L>().0, y.as_chunks_mut::<L>().0);
            let mut distance = match x.len() {
                8.. => first::<I, L, 8>(isa, x, y, factor),
                4.. => first::<I, L, 4>(isa, x, y, factor),
                2.. => first::<I, L, 2>(isa, x, y, factor),
                _ => first::<I, L, 1>(isa, x, y, factor),
            };
            while distance < y.len() {
                distance = match y.len() / distance {
                    8.. => pass::<I, L, 8>(isa, y, distance, factor),
                    4.. => pass::<I, L, 4>(isa, y, distance, factor),
                    _ => pass::<I, L, 2>(isa, y, distance, factor),
                };
            }
        }
    }
}

/// Rows shorter than a vector, `L / n` in one; the last vector may be short.
#[inline(always)]
fn short<I: Within<L>, const L: usize>(
    isa: I,
    (n, factor): (usize, f32),
    x: &[f32],
    y: &mut [f32],
) {
    for (x, y) in x.chunks(L).zip(y.chunks_mut(L)) {
        let mut lanes = [0.0; L];
        lanes[..x.len()].copy_from_slice(x);
        let sums = isa.within(isa.load(&lanes), n);
        isa.store(isa.mul(sums, isa.splat(factor)), &mut lanes);
        y.copy_from_slice(&lanes[..y.len()]);
    }
}

/// The stages within vectors, and those within each `V` neighbours; the answer is the distance of
/// the next stage, in vectors.
#[inline(always)]
fn first<I: Within<L>, const L: usize, const V: usize>(
    isa: I,
    x: &[[f32; L]],
    y: &mut [[f32; L]],
    factor: f32,
) -> usize {
    let factor = isa.splat(if y.len() == V { factor } else { 1.0 });
    for (x, y) in x.as_chunks::<V>().0.iter().zip(y.as_chunks_mut::<V>().0) {
        let mut all = [isa.splat(0.0); V];
        for v in 0..V {
            all[v] = isa.within(isa.load(&x[v]), L);
        }
        stages::<I, L, V>(isa, &mut all);
        for v in 0..V {
            isa.store(isa.mul(all[v], factor), &mut y[v]);
        }
    }
    V
}

/// The stages at `distance`, `2 distance`, ... below `V distance` vectors; the answer is the next.
#[inline(always)]
fn pass<I: Within<L>, const L: usize, const V: usize>(
    isa: I,
    y: &mut [[f32; L]],
    distance: usize,
    factor: f32,
) -> usize {
    let factor = isa.splat(if y.len() == V * distance { factor } else { 1.0 });
    for block in y.chunks_exact_mut(V * distance) {
        for at in 0..distance {
            let mut all = [isa.splat(0.0); V];
            for v in 0..V {
                all[v] = isa.load(&block[at + v * distance]);
            }
            stages::<I, L, V>(isa, &mut all);
            for v in 0..V {
                isa.store(isa.mul(all[v], factor), &mut block[at + v * distance]);
            }
        }
    }
    V * distance
}

/// The stages between `V` vectors.
#[inline(always)]
fn stages<I: Within<L>, const L: usize, const V: usize>(isa: I, all: &mut [I::Floats; V]) {
    let mut distance = 1;
    while distance < V {
        for v in 0..V {
            if v & distance == 0 {
                let (a, b) = (all[v], all[v + distance]);
                (all[v], all[v + distance]) = (isa.add(a, b), isa.sub(a, b));
            }
        }
        distance *= 2;
    }
}
