//! A kernel of one's own: the Walsh-Hadamard transform by butterflies in place, one task a row.
//!
//! `log2 n` stages; in each, values `d` apart become their sum and their difference, for d = 1, 2,
//! 4, ...; in the end all are multiplied by `n^-1/2`. That is what [`RIGHT`] does. [`WRONG`] leaves
//! out the last stage of rows of 64 values and more: the harness must refuse it.
use lowbit_kernels::buffer::Buffer;
use lowbit_kernels::context::Context;
use lowbit_kernels::pool::Pool;
use lowbit_kernels::{Failure, Kernel, Prepared};
use lowbit_reference::op::hadamard::{HadamardProblem, HadamardTransform};
use lowbit_reference::op::{Arithmetic, Outputs, Tensor};

/// Butterflies, all of them or not.
#[derive(Debug)]
pub struct Butterflies {
    name: &'static str,
    /// Rows of this length and more lose their last stage.
    loses_from: usize,
}

/// The kernel.
pub static RIGHT: Butterflies = Butterflies { name: "butterflies", loses_from: usize::MAX };
/// The kernel with a mistake.
pub static WRONG: Butterflies = Butterflies { name: "wrong-butterflies", loses_from: 64 };

impl Kernel<HadamardTransform> for Butterflies {
    fn name(&self) -> &'static str {
        self.name
    }

    /// How exact it has to be: sums and products in f32.
    fn arithmetic(&self, _: &HadamardProblem) -> Arithmetic {
        Arithmetic::FLOAT
    }

    /// Every problem of the op is within the contract.
    fn accepts(&self, _: &HadamardProblem) -> Result<(), String> {
        Ok(())
    }

    fn prepare<'p>(
        &self,
        problem: &'p HadamardProblem,
        context: &mut Context,
    ) -> Result<Box<dyn Prepared + 'p>, Failure> {
        Ok(Box::new(Run {
            x: context.copy("x", &problem.x),
            y: context.buffer("y", problem.x.len()),
            row_len: problem.row_len,
            lost: problem.row_len >= self.loses_from,
            pool: context.pool().clone(),
        }))
    }
}

/// The kernel with its buffers.
struct Run {
    x: Buffer<f32>,
    y: Buffer<f32>,
    row_len: usize,
    lost: bool,
    pool: Pool,
}

impl Prepared for Run {
    fn launch(&mut self) -> Result<(), Failure> {
        let (n, lost) = (self.row_len, self.lost);
        let rows = self.x.chunks(n).zip(self.y.chunks_mut(n)).collect();
        self.pool.for_each(rows, |(x, y): (&[f32], &mut [f32])| {
            y.copy_from_slice(x);
            transform(y, if lost { n / 2 } else { n });
        });
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

/// The stages at distances below `end`, and the factor.
fn transform(y: &mut [f32], end: usize) {
    let stages = (0..).map(|stage| 1usize << stage).take_while(|distance| *distance < end);
    for distance in stages {
        for block in y.chunks_mut(2 * distance) {
            let (low, high) = block.split_at_mut(distance);
            for (a, b) in low.iter_mut().zip(high) {
                (*a, *b) = (*a + *b, *a - *b);
            }
        }
    }
    let factor = 1.0 / (y.len() as f32).sqrt();
    y.iter_mut().for_each(|y| *y *= factor);
}
