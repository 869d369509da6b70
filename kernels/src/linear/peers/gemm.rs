//! `gemm`: the f32 product of the crate `gemm`, which faer, candle and Burn's Flex build on.
//!
//! `Y = X W^T` with `W[j, k] = code * scale` and, for integer activations,
//! `X[i, k] = (code - zero_point) * scale`, both made f32 beforehand: it reads 4 bytes a weight whatever the format. The weights lie
//! `[N, K]`, as they do in checkpoints; the crate has a path of its own for one token.
use crate::buffer::Buffer;
use crate::context::Context;
use crate::linear::dense;
use crate::pool::Pool;
use crate::{Determinism, Failure, Kernel, Prepared};
use ::gemm::Parallelism;
use lowbit_reference::op::linear::{Linear, LinearProblem};
use lowbit_reference::op::{Arithmetic, Outputs, Tensor};

/// See the module.
#[derive(Debug)]
pub(in crate::linear) struct Gemm;

struct Run {
    pool: Pool,
    /// Tokens, depth, output features.
    shape: (usize, usize, usize),
    x: Buffer<f32>,
    w: Buffer<f32>,
    y: Buffer<f32>,
}

impl Kernel<Linear> for Gemm {
    fn name(&self) -> &'static str {
        "gemm"
    }
    fn is_peer(&self) -> bool {
        true
    }
    fn determinism(&self) -> Determinism {
        Determinism::REPEATABLE
    }
    fn arithmetic(&self, _: &LinearProblem) -> Arithmetic {
        Arithmetic::FLOAT
    }
    fn accepts(&self, problem: &LinearProblem) -> Result<(), String> {
        dense::accepts(problem)
    }
    fn prepare<'p>(
        &self,
        problem: &'p LinearProblem,
        context: &mut Context,
    ) -> Result<Box<dyn Prepared + 'p>, Failure> {
        let (m, k, n) = (problem.m, problem.k, problem.n);
        Ok(Box::new(Run {
            pool: context.pool().clone(),
            shape: (m, k, n),
            x: context.copy("x", &dense::activations(problem)),
            w: context.copy("w", &dense::weights(problem)?),
            y: context.buffer("y", m * n),
        }))
    }
}

/// `y[M, N] = x[M, K] w[N, K]^T`, all row-major.
fn product(
    (m, k, n): (usize, usize, usize),
    (x, w): (&[f32], &[f32]),
    y: &mut [f32],
    parallelism: Parallelism,
) {
    assert!(x.len() == m * k && w.len() == n * k && y.len() == m * n, "{m} {k} {n}");
    let (row, out) = (k.cast_signed(), n.cast_signed());
    // SAFETY: the strides describe row-major [M, K] and [M, N] and the transpose of a row-major
    // [N, K]; the lengths, asserted above, are theirs. `y` is borrowed mutably, so no one else's.
    unsafe {
        ::gemm::gemm(
            m,
            n,
            k,
            y.as_mut_ptr(),
            1,
            out,
            false,
            x.as_ptr(),
            1,
            row,
            w.as_ptr(),
            row,
            1,
            0.0,
            1.0,
            false,
            false,
            false,
            parallelism,
        );
    }
}

impl Prepared for Run {
    fn launch(&mut self) -> Result<(), Failure> {
        let Run { pool, shape, x, w, y } = self;
        let parallelism = match pool.threads() {
            1 => Parallelism::None,
            threads => Parallelism::Rayon(threads),
        };
        pool.install(|| product(*shape, (x, w), y, parallelism));
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
