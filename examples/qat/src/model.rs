//! Two layers, a teacher, and a step of training.
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{Distribution, Tensor};
use lowbit_training::{Coding, Processor, Project, Projection, Saved};
use std::sync::Arc;

/// Sequences, tokens, inputs, heads, latents of a head, outputs.
pub(crate) const BATCH: usize = 8;
const TIME: usize = 64;
const EMBD: usize = 96;
const HEADS: usize = 4;
const LATENT: usize = 64;
const DIM: usize = 24;
/// Values of the output.
#[cfg(test)]
pub(crate) const OUTPUTS: usize = BATCH * TIME * DIM;
/// Of plain gradient descent; it falls to nothing over the steps.
const RATE: f64 = 0.5;

/// Which path the values take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Path {
    /// Burn's own operations on fake-quantized floats.
    Fake,
    /// Packed codes, with what is kept between forward and backward.
    Codes(Saved),
}

impl std::fmt::Display for Path {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Path::Fake => "fake-quantized floats",
            Path::Codes(Saved::Values) => "codes, input kept as floats",
            Path::Codes(Saved::Cache) => "codes, kept (cache)",
            Path::Codes(Saved::CacheRecompute) => "codes, kept (cache + recompute)",
        })
    }
}

/// Latent weights, and what is learned from.
#[derive(Clone, Debug)]
pub(crate) struct Model<B: Backend> {
    layers: [Projection; 2],
    /// `[H, E, L]`.
    first: Tensor<B, 3>,
    /// `[H L, D]`.
    second: Tensor<B, 2>,
}

/// Inputs and what a teacher of the same shape, with ternary weights of its own, answers.
#[derive(Clone, Debug)]
pub(crate) struct Lessons<B: Backend> {
    inputs: Tensor<B, 4>,
    answers: Tensor<B, 4>,
}

fn normal<B: Backend, const D: usize>(dims: [usize; D], device: &B::Device) -> Tensor<B, D> {
    Tensor::random(dims, Distribution::Normal(0.0, 1.0), device)
}

/// Of every shape one.
fn layers(saved: Saved, threads: usize) -> Result<[Projection; 2], Box<dyn std::error::Error>> {
    let codings = [Coding::weight("ternary2", "b158")?, Coding::activation("int8", "absmax")?];
    let processor = Arc::new(Processor::new(threads)?);
    let first = Projection::lowrank(LATENT, codings, Arc::clone(&processor)).with_relu(0.0)?;
    let second = Projection::decoder(codings, processor);
    Ok([first.with_saved(saved), second.with_saved(saved)])
}

impl<B: AutodiffBackend + Project> Model<B> {
    /// Drawn weights, the same for a seed.
    pub(crate) fn new(
        saved: Saved,
        threads: usize,
        seed: u64,
        device: &B::Device,
    ) -> Result<Model<B>, Box<dyn std::error::Error>> {
        B::seed(device, seed);
        let first = normal([HEADS, EMBD, LATENT], device) / (EMBD as f64).sqrt();
        let second = normal([HEADS * LATENT, DIM], device) / ((HEADS * LATENT) as f64).sqrt();
        Ok(Model { layers: layers(saved, threads)?, first, second })
    }

    /// The outputs of both layers.
    fn outputs(&self, path: Path, x: Tensor<B, 4>) -> Tensor<B, 4> {
        let [first, second] = &self.layers;
        let (u, v) = (self.first.clone(), self.second.clone());
        let answer = match path {
            Path::Fake => first.fake(x, u).and_then(|h| second.fake(h, v)),
            Path::Codes(_) => first.forward(x, u).and_then(|h| second.forward(h, v)),
        };
        answer.expect("shapes that fit")
    }

    /// The mean squared error.
    pub(crate) fn loss(&self, path: Path, lessons: &Lessons<B>) -> Tensor<B, 1> {
        let errors = self.outputs(path, lessons.inputs.clone()) - lessons.answers.clone();
        (errors.clone() * errors).mean()
    }

    /// What this model, once and for all, teaches.
    pub(crate) fn lessons(&self, device: &B::Device) -> Lessons<B> {
        let inputs = normal([BATCH, 1, TIME, EMBD], device);
        let answers = self.outputs(Path::Fake, inputs.clone());
        Lessons { inputs, answers }
    }

    /// The same model whose weights have gradients.
    pub(crate) fn tracked(&self) -> Model<B> {
        let first = self.first.clone().detach().require_grad();
        Model { first, second: self.second.clone().detach().require_grad(), ..self.clone() }
    }

    /// A step down the gradient of a loss of a tracked model, `left` of all steps before the end.
    pub(crate) fn step(self, loss: Tensor<B, 1>, left: f64) -> Model<B> {
        let gradients = loss.backward();
        let rate = RATE * left;
        let down = |gradient: Option<Tensor<B::InnerBackend, 3>>| gradient.map(|g| g * rate);
        let first = match down(self.first.grad(&gradients)) {
            Some(step) => Tensor::from_inner(self.first.inner() - step),
            None => self.first,
        };
        let second = match self.second.grad(&gradients) {
            Some(gradient) => Tensor::from_inner(self.second.inner() - gradient * rate),
            None => self.second,
        };
        Model { layers: self.layers, first, second }
    }

    /// Bytes that the layers say they keep between forward and backward.
    pub(crate) fn saved_bytes(&self) -> u64 {
        let [first, second] = &self.layers;
        let of_first = first.saved_bytes([BATCH, 1, TIME, EMBD], &[HEADS, EMBD, LATENT]);
        let of_second = second.saved_bytes([BATCH, HEADS, TIME, LATENT], &[HEADS * LATENT, DIM]);
        of_first.unwrap_or(0) + of_second.unwrap_or(0)
    }
}
