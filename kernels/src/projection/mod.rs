//! What the rows of `lowrank_projection` and `decoder_tail` share.
//!
//! ```text
//! forward    y = relu(X W - threshold)       the tiles of `linear`: codes stay packed
//! backward   G' = G where y > threshold      the forward product again, where there is a relu
//!            grad_input  = G' W^T            the tiles of `linear` for floats, codes stay packed
//!            grad_weight = X^T G'            floats, `outer`
//! ```
//!
//! Bounds: those of `linear`; the reference refuses sums over more codes than an i32 holds. A
//! gradient's sums are floats, the codes' scale is taken once at the end of `grad_input` and with
//! each input of `grad_weight`. Latents that are packed and not used get a gradient of zero.
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(feature = "cube")]
pub(crate) mod cube;
mod matrices;
mod outer;
mod scalar;
use crate::buffer::Buffer;
use crate::context::Context;
use crate::linear::batched::{self, Multiply};
use crate::linear::rows::Dot;
use crate::linear::{self};
use crate::pool::Pool;
use crate::{Failure, Prepared};
use lowbit_reference::op::projection::ProjectionProblem;
use lowbit_reference::op::{Arithmetic, Outputs, Tensor};
pub(crate) use matrices::Arranged;
pub(crate) use matrices::Matrices;
use outer::{Outer, Product, Tile};

/// Values of a task that masks a gradient.
const MASKED: usize = 1 << 14;

/// A problem ready to run.
type Ready<'p> = Result<Box<dyn Prepared + 'p>, Failure>;

/// Integer sums for int8 inputs, f32 sums for floats.
pub(crate) fn arithmetic<S>(problem: &ProjectionProblem<S>) -> Arithmetic {
    match problem.input.codes.is_empty() {
        true => Arithmetic::FLOAT,
        false => Arithmetic::INTEGER,
    }
}

/// Bind a problem to plain code.
pub(crate) fn scalar<'p, S: Arranged>(
    problem: &'p ProjectionProblem<S>,
    context: &mut Context,
) -> Ready<'p> {
    const LANES: usize = linear::scalar::LANES;
    const BYTES: usize = linear::scalar::BYTES;
    bind::<_, _, _, LANES, BYTES, 4, 8>((linear::scalar::Scalar, scalar::Plain), problem, context)
}

/// Bind a problem to AVX2.
#[cfg(target_arch = "x86_64")]
pub(crate) fn avx2<'p, S: Arranged>(
    problem: &'p ProjectionProblem<S>,
    context: &mut Context,
) -> Ready<'p> {
    use linear::avx2::{BYTES, Found, LANES};
    let dot = Found::new(context)?;
    bind::<_, _, _, LANES, BYTES, 6, 16>((dot, avx2::Found::from(dot)), problem, context)
}

/// Bind a problem to AVX-512 with VNNI.
#[cfg(target_arch = "x86_64")]
pub(crate) fn avx512vnni<'p, S: Arranged>(
    problem: &'p ProjectionProblem<S>,
    context: &mut Context,
) -> Ready<'p> {
    use linear::avx512vnni::{BYTES, Found, LANES};
    let dot = Found::new(context)?;
    bind::<_, _, _, LANES, BYTES, 12, 32>((dot, avx512::Found::from(dot)), problem, context)
}

fn bind<
    'p,
    S: Arranged,
    D: Dot<i8, LANES, BYTES> + Dot<f32, LANES, BYTES> + 'static,
    C: Tile<MR, NR>,
    const LANES: usize,
    const BYTES: usize,
    const MR: usize,
    const NR: usize,
>(
    (dot, tile): (D, C),
    problem: &'p ProjectionProblem<S>,
    context: &mut Context,
) -> Ready<'p> {
    let (matrices, outputs) = (problem.shape.matrices(), problem.shape.output_shape());
    let forward = matrices.forward;
    let inputs = 0..forward.inputs;
    let tokens = inputs.flat_map(|i| (0..forward.tokens()).map(move |token| (i, token)));
    let scale = |(i, token)| problem.input_scale(forward.place(i, 0, token));
    let scales: Vec<f32> = tokens.map(scale).collect();
    let weights = matrices.forward_weights(&problem.weight);
    let given = (&weights, &scales[..]);
    let input = match problem.input.codes.is_empty() {
        false => Input::Codes(
            context.copy("x", &problem.input.codes),
            batched::bind::<D, i8, LANES, BYTES>(dot, forward, given, context)?,
        ),
        true => Input::Floats(
            context.copy("x", &problem.input.values),
            batched::bind::<D, f32, LANES, BYTES>(dot, forward, given, context)?,
        ),
    };
    let y = context.buffer("y", outputs.iter().product());
    let pool = context.pool().clone();
    let gradients = match problem.backward() {
        false => None,
        true => {
            let shape = matrices.backward();
            let weights = matrices.backward_weights(&problem.weight);
            let ones = vec![1.0; shape.inputs * shape.tokens()];
            let given = (&weights, &ones[..]);
            Some(Gradients {
                product: batched::bind::<D, f32, LANES, BYTES>(dot, shape, given, context)?,
                outer: Box::new(Product::new(tile, matrices, context)),
                grad_output: context.copy("grad_output", &problem.grad_output),
                masked: context.buffer("masked", problem.grad_output.len()),
                input: context.buffer("grad_input", problem.shape.input_shape().iter().product()),
                weight: context
                    .buffer("grad_weight", problem.shape.weight_shape().iter().product()),
            })
        }
    };
    Ok(Box::new(Run { problem, pool, matrices, input, y, gradients }))
}

/// The input and the matrices that wait for it.
enum Input {
    Codes(Buffer<i8>, Box<dyn Multiply<i8>>),
    Floats(Buffer<f32>, Box<dyn Multiply<f32>>),
}

impl Input {
    fn multiply(&mut self, y: &mut [f32], threshold: Option<f32>) -> Result<(), Failure> {
        match self {
            Input::Codes(x, matrices) => matrices.multiply(x, y, threshold),
            Input::Floats(x, matrices) => matrices.multiply(x, y, threshold),
        }
    }
}

struct Gradients {
    product: Box<dyn Multiply<f32>>,
    outer: Box<dyn Outer>,
    grad_output: Buffer<f32>,
    /// The gradient that passes the relu.
    masked: Buffer<f32>,
    input: Buffer<f32>,
    weight: Buffer<f32>,
}

struct Run<'p, S> {
    problem: &'p ProjectionProblem<S>,
    pool: Pool,
    matrices: Matrices,
    input: Input,
    y: Buffer<f32>,
    gradients: Option<Gradients>,
}

/// The gradient where the output is above the threshold.
fn mask(pool: &Pool, y: &[f32], threshold: f32, g: &[f32], to: &mut [f32]) {
    let sources = y.chunks(MASKED).zip(g.chunks(MASKED));
    let tasks = to.chunks_mut(MASKED).zip(sources).collect();
    pool.for_each(tasks, |(to, (y, g)): (&mut [f32], (&[f32], &[f32]))| {
        for ((to, y), g) in to.iter_mut().zip(y).zip(g) {
            *to = if y - threshold > 0.0 { *g } else { 0.0 };
        }
    });
}

impl<S: Arranged> Run<'_, S> {
    fn backward(&mut self) -> Result<(), Failure> {
        let Some(to) = &mut self.gradients else { return Ok(()) };
        let mut g: &[f32] = &to.grad_output;
        if let Some(threshold) = self.problem.relu_threshold {
            self.input.multiply(&mut self.y, None)?;
            mask(&self.pool, &self.y, threshold, g, &mut to.masked);
            g = &to.masked;
        }
        to.product.multiply(g, &mut to.input, None)?;
        let (problem, row) = (self.problem, self.matrices.forward.piece());
        match &self.input {
            Input::Floats(x, _) => {
                let read = |at: usize, to: &mut [f32]| to.copy_from_slice(&x[at..][..to.len()]);
                to.outer.multiply(&read, g, &mut to.weight);
            }
            Input::Codes(x, _) => {
                let scales = &problem.input.scales[..];
                let read = |at: usize, to: &mut [f32]| {
                    let scale = if scales.len() == 1 { scales[0] } else { scales[at / row] };
                    to.iter_mut().zip(&x[at..]).for_each(|(to, x)| *to = f32::from(*x) * scale);
                };
                to.outer.multiply(&read, g, &mut to.weight);
            }
        }
        Ok(())
    }
}

impl<S: Arranged> Prepared for Run<'_, S> {
    fn launch(&mut self) -> Result<(), Failure> {
        match self.gradients {
            Some(_) => self.backward(),
            None => self.input.multiply(&mut self.y, self.problem.relu_threshold),
        }
    }

    fn forget(&mut self) -> Result<(), Failure> {
        self.y.fill(f32::NAN);
        if let Some(gradients) = &mut self.gradients {
            gradients.input.fill(f32::NAN);
            gradients.weight.fill(f32::NAN);
        }
        Ok(())
    }

    fn read(&mut self) -> Result<Outputs, Failure> {
        let tensor = |values: &[f32]| Tensor::F32(values.to_vec());
        Ok(Outputs(match &self.gradients {
            None => vec![("y", tensor(&self.y))],
            Some(gradients) => vec![
                ("grad_input", tensor(&gradients.input)),
                ("grad_weight", tensor(&gradients.weight)),
            ],
        }))
    }
}
