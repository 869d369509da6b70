//! CubeCL projections, forward and back, by the products of [`crate::cube::product`].
//!
//! ```text
//! forward    y = relu(X W - threshold)
//! backward   G' = G where y > threshold      the forward product again, where there is a relu
//!            grad_input  = s G' W^T          codes stay packed
//!            grad_weight = X^T G'            floats: 16 x 16 units make a tile of 64 x 64 values
//! ```
//!
//! All between the upload and the answer stays on the device. Weights are laid out once, when the
//! problem is prepared: rows along what is summed over, one way for each direction.
//!
//! Bounds: those of `product`. A gradient's sums are floats of at most `B T` products.
mod kernels;
use super::matrices::{Arranged, Matrices};
use crate::context::Context;
use crate::cube::product::{Product, Rows, Sizes, Tokens};
use crate::cube::tile::SIDE;
use crate::cube::{
    Cube, Device, Output, Packing, Ready, Session, Words, floats, padded, spread, step, word,
};
use crate::hardware::Need;
use crate::linear::batched::{Shape, Weights};
use crate::{Failure, Kernel, Prepared, Threads};
use cubecl::prelude::*;
use kernels::{OuterShapeLaunch, TILE, UNITS, mask, outer};
use lowbit_reference::op::projection::{Named, ProjectionOp, ProjectionProblem};
use lowbit_reference::op::{Arithmetic, Outputs, Tensor};

/// Rows of words of the packed matrices, those of a piece together.
fn rows<R: Device>(
    session: &Session<R>,
    weights: &Weights,
    sizes: &Sizes,
) -> Result<Rows, Failure> {
    let packing = Packing::named(weights.format.name())?;
    let row = |j: usize, piece: usize| {
        let bytes = &weights.bytes[j * weights.row_bytes..][..weights.row_bytes];
        let bits = packing.bits() as usize;
        // A piece may begin within a byte.
        let field = |k: usize| {
            let bit = (piece * sizes.piece + k) * bits;
            (bytes[bit / 8] >> (bit % 8)) & (0xffu32 >> (8 - bits)) as u8
        };
        let mut words = vec![0u32; packing.words(sizes.piece)];
        for k in 0..sizes.piece {
            words[k * bits / 32] |= u32::from(field(k)) << (k * bits % 32);
        }
        words
    };
    let pieces = (0..sizes.weights).flat_map(|w| (0..sizes.pieces).map(move |piece| (w, piece)));
    let all = pieces.flat_map(|(w, piece)| (0..sizes.n).map(move |j| (w * sizes.n + j, piece)));
    let words: Vec<u32> = all.flat_map(|(j, piece)| row(j, piece)).collect();
    Ok(Rows {
        words: session.upload(&words)?,
        packing,
        scales: vec![weights.scale],
        zero_points: Vec::new(),
        sums: Vec::new(),
        table: [0.0; 16],
        integer: true,
    })
}

pub(crate) fn sizes(shape: &Shape) -> Sizes {
    let &Shape { batch, time, inputs, pieces, weights, n, .. } = shape;
    Sizes { batch, time, inputs, pieces, weights, n, piece: shape.piece(), group: None }
}

impl<S: Arranged + Named, R: Device> Kernel<ProjectionOp<S>> for Cube<R> {
    fn name(&self) -> &'static str {
        R::NAME
    }
    fn need(&self) -> Need {
        R::NEED
    }
    fn threads(&self) -> Threads {
        Threads::Own
    }
    fn arithmetic(&self, problem: &ProjectionProblem<S>) -> Arithmetic {
        Arithmetic { exact_division: false, ..super::arithmetic(problem) }
    }
    fn accepts(&self, problem: &ProjectionProblem<S>) -> Result<(), String> {
        let count = |dims: &[usize]| dims.iter().product::<usize>();
        let [input, output] = [problem.shape.input_shape(), problem.shape.output_shape()];
        let weight = count(&problem.shape.weight_shape());
        self.binds(4 * [count(&input), count(&output), weight].into_iter().fold(0, usize::max))
    }
    fn prepare<'p>(
        &self,
        problem: &'p ProjectionProblem<S>,
        context: &mut Context,
    ) -> Result<Box<dyn Prepared + 'p>, Failure> {
        prepare::<S, R>(problem, context)
    }
}

/// The input on the device, in rows of whole words.
fn tokens<S: Arranged, R: Device>(
    session: &Session<R>,
    problem: &ProjectionProblem<S>,
    shape: &Shape,
) -> Result<Tokens, Failure> {
    let (input, piece) = (&problem.input, shape.piece());
    let (packing, words) = match input.codes.is_empty() {
        true => (Packing::Float, padded(f32::as_bytes(&input.values), 4 * piece, piece)),
        false => {
            let words = Packing::Int8.words(piece);
            (Packing::Int8, padded(i8::as_bytes(&input.codes), piece, words))
        }
    };
    let of_tokens = (0..shape.batch)
        .flat_map(|b| (0..shape.inputs).map(move |i| (b, i)))
        .flat_map(|(b, i)| (0..shape.time).map(move |t| (i, b * shape.time + t)));
    let scales = match input.scales.len() {
        0 | 1 => vec![problem.input_scale(0)],
        _ => of_tokens.map(|(i, token)| problem.input_scale(shape.place(i, 0, token))).collect(),
    };
    Ok(Tokens { words: session.upload(&words)?, packing, scales, zero_points: Vec::new() })
}

/// Which gradients pass a relu: those of outputs above the threshold.
struct Relu {
    threshold: f32,
    forward: Product,
    y: Output,
    masked: Output,
}

/// Everything a backward pass needs.
struct Gradients {
    relu: Option<Relu>,
    grad_output: Words,
    /// From the gradient as it passes.
    input: Product,
    x: Tokens,
    x_scales: Words,
    grad_input: Output,
    grad_weight: Output,
}

impl Gradients {
    fn new<S: Arranged, R: Device>(
        (session, context): (&mut Session<R>, &mut Context),
        problem: &ProjectionProblem<S>,
        x: Tokens,
        relu: Option<Relu>,
    ) -> Result<Gradients, Failure> {
        let matrices = problem.shape.matrices();
        let back = sizes(&matrices.backward());
        let count = |dims: &[usize]| dims.iter().product::<usize>();
        let grad_output = session.upload(&problem.grad_output)?;
        let passing = relu.as_ref().map_or_else(|| grad_output.clone(), |relu| relu.masked.words());
        let g = Tokens {
            words: passing,
            packing: Packing::Float,
            scales: vec![1.0],
            zero_points: Vec::new(),
        };
        let weights = rows(session, &matrices.backward_weights(&problem.weight), &back)?;
        let inputs = count(&problem.shape.input_shape());
        let packed = count(&problem.shape.weight_shape());
        Ok(Gradients {
            relu,
            grad_output,
            input: Product::new(session, back, (g, weights), None)?,
            x_scales: session.upload(&x.scales)?,
            x,
            grad_input: session.output(context, "grad_input", inputs)?,
            grad_weight: session.output(context, "grad_weight", packed)?,
        })
    }

    fn enqueue<R: Device>(&self, client: &ComputeClient<R>, all: &Matrices) {
        let mut g = self.grad_output.arg();
        if let Some(Relu { threshold, forward, y, masked }) = &self.relu {
            forward.enqueue(client, y);
            let len = all.forward.tokens() * all.forward.weights * all.forward.n;
            let (cubes, dim) = (spread(len.div_ceil(UNITS as usize)), CubeDim::new_1d(UNITS));
            let (y, to) = (y.arg(), masked.arg());
            mask::launch::<R>(client, cubes, dim, y, g, to, *threshold, word(len));
            g = masked.arg();
        }
        self.input.enqueue(client, &self.grad_input);
        let x = (&self.x.words, self.x.packing, &self.x_scales);
        enqueue_outer(client, all, x, step(&self.x.scales), (g, self.grad_weight.arg()));
    }
}

/// The gradient of the weight: codes with their scales, `step` as [`step`] has it, and the gradient.
pub(crate) fn enqueue_outer<R: Runtime>(
    client: &ComputeClient<R>,
    all: &Matrices,
    (x, packing, scales): (&Words, Packing, &Words),
    step: u32,
    (g, to): (ArrayArg<R>, ArrayArg<R>),
) {
    let shape = &all.forward;
    let tile = TILE as usize;
    let tiles = all.columns.div_ceil(tile) * all.rows.div_ceil(tile);
    let [batch, time, inputs] = [shape.batch, shape.time, shape.inputs].map(word);
    let [pieces, weights, piece] = [shape.pieces, shape.weights, shape.piece()].map(word);
    let [n, rows, columns] = [shape.n, all.rows, all.columns].map(word);
    let x_words = word(packing.words(shape.piece()));
    outer::launch::<R>(
        client,
        spread(tiles * shape.pieces * shape.weights),
        CubeDim::new_2d(SIDE, SIDE),
        x.arg(),
        scales.arg(),
        g,
        to,
        OuterShapeLaunch::new(
            batch, time, inputs, pieces, weights, piece, n, rows, columns, x_words, step,
        ),
        packing,
    );
}

/// Bind a problem to the device.
fn prepare<'p, S: Arranged, R: Device>(
    problem: &'p ProjectionProblem<S>,
    context: &mut Context,
) -> Result<Box<dyn Prepared + 'p>, Failure> {
    let mut session = Session::<R>::open(context)?;
    let all = problem.shape.matrices();
    let sizes = sizes(&all.forward);
    let x = tokens(&session, problem, &all.forward)?;
    let weights = rows(&session, &all.forward_weights(&problem.weight), &sizes)?;
    let product = |threshold| Product::new(&session, sizes, (x.clone(), weights), threshold);
    let relu = problem.relu_threshold;
    if !problem.backward() {
        let forward = product(relu)?;
        let y = session.output(context, "y", sizes.outputs())?;
        let out = y.clone();
        let enqueue = move |client: &ComputeClient<R>| forward.enqueue(client, &out);
        return Ok(Box::new(Ready::new(session, enqueue, floats("y", y))));
    }
    let forward =
        relu.map(|threshold| Ok::<_, Failure>((threshold, product(None)?))).transpose()?;
    let relu = match forward {
        None => None,
        Some((threshold, forward)) => Some(Relu {
            threshold,
            forward,
            y: session.output(context, "y", sizes.outputs())?,
            masked: session.output(context, "masked", sizes.outputs())?,
        }),
    };
    let gradients = Gradients::new((&mut session, context), problem, x, relu)?;
    let (input, weight) = (gradients.grad_input.clone(), gradients.grad_weight.clone());
    let enqueue = move |client: &ComputeClient<R>| gradients.enqueue(client, &all);
    let answer = move |session: &Session<R>| {
        let [input, weight] = [session.read(&input)?, session.read(&weight)?].map(Tensor::F32);
        Ok(Outputs(vec![("grad_input", input), ("grad_weight", weight)]))
    };
    Ok(Box::new(Ready::new(session, enqueue, answer)))
}
