//! Quantization-aware training of two layers, in f32, as a user would write it on the quantizers of
//! this crate; and ways to write it wrong.
use super::near::Meaning;
use lowbit_reference::data::{Distribution, Stream, realistic};
use lowbit_reference::estimator::Estimator;
use lowbit_reference::fake_quantize::{ByRule, FakeQuantize};
use lowbit_reference::format::Levels;
use lowbit_reference::rule::{Granularity, Groups, activation_rule, quantize_groups, weight_rule};

pub(crate) const TOKENS: usize = 8;
pub(crate) const INPUTS: usize = 16;
pub(crate) const HIDDEN: usize = 12;
pub(crate) const OUTPUTS: usize = 4;
/// Learning rate: a power of two, so that its product is exact.
pub(crate) const RATE: f32 = 1.0 / 32.0;

/// What is learned: `y = Q(relu(Q(x) Q(W1)ᵀ)) Q(W2)ᵀ` near a target, by squares.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    pub(crate) x: Vec<f32>,
    pub(crate) target: Vec<f32>,
    pub(crate) first: Vec<f32>,
    pub(crate) second: Vec<f32>,
    /// How the first weight is quantized; all else is int8 by the absolute maximum of a row.
    pub(crate) meaning: Meaning,
    pub(crate) clipped: bool,
}

impl Task {
    pub(crate) fn new(seed: u64, meaning: Meaning, clipped: bool) -> Task {
        let draw =
            |stream, len, sigma| realistic(Distribution::Normal, (seed, stream), (len, len), sigma);
        Task {
            x: draw(Stream::Activation, TOKENS * INPUTS, 1.0),
            target: draw(Stream::State, TOKENS * OUTPUTS, 1.0),
            first: draw(Stream::Weight, HIDDEN * INPUTS, 0.25),
            second: draw(Stream::Gradient, OUTPUTS * HIDDEN, 0.25),
            meaning,
            clipped,
        }
    }

    /// The quantizers of inputs, hidden values and the second weight, and of the first weight.
    pub(crate) fn quantizers(&self) -> (ByRule, ByRule) {
        let absmax = activation_rule("absmax", Levels::Int8).expect("a rule");
        let rows = ByRule { rule: absmax, levels: Levels::Int8 };
        match self.meaning {
            Meaning::Absmax => (rows, rows),
            Meaning::Ternary => {
                let rule = weight_rule("b158", Levels::Ternary).expect("a rule");
                (rows, ByRule { rule, levels: Levels::Ternary })
            }
        }
    }
}

/// What is wrong with a trainer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// Both ways to the hidden values are added up, as the source does (seed 002, line 3335).
    Doubled,
    /// Gradients pass the relu where it is shut.
    NoReluMask,
    /// Gradients of saturated weights are not stopped.
    NoClipMask,
    /// The scales of the first step are kept (seed 002, lines 1996-2017).
    FrozenScale,
    /// The gradient is that of the latent product: the values are not dequantized.
    Latent,
    /// Ties and everything else towards zero.
    Truncated,
}

/// What a step was seen to do: its loss, what was left of both weights and of the hidden values, and
/// which gradients passed. Near a border the scalar trainer looks which side was taken.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) loss: f32,
    pub(crate) first: Vec<f32>,
    pub(crate) second: Vec<f32>,
    pub(crate) hidden: Vec<f32>,
    /// Hidden values that the relu lets through.
    pub(crate) open: Vec<bool>,
    /// Gradients of the first weight that its estimator passes.
    pub(crate) passed: Vec<bool>,
}

/// Whoever learns.
pub(crate) trait Trains {
    /// One step.
    fn step(&mut self) -> Step;
    /// Both latent weights.
    fn weights(&self) -> [Vec<f32>; 2];
}

/// A trainer and its latent weights.
pub(crate) struct Trainer {
    task: Task,
    fault: Fault,
    first: Vec<f32>,
    second: Vec<f32>,
    /// Scales of the first step, of both weights.
    frozen: [Vec<f32>; 2],
}

fn scales(by: &ByRule, w: &[f32], row_len: usize) -> Vec<f32> {
    let groups = match by.rule.granularity {
        Granularity::Tensor => Groups::runs(w.len(), w.len()),
        _ => Groups::runs(w.len(), row_len),
    };
    quantize_groups(&by.rule, by.levels, w, &groups).scales()
}

impl Trainer {
    pub(crate) fn new(task: &Task, fault: Fault) -> Trainer {
        let (rows, weight) = task.quantizers();
        let frozen = [scales(&weight, &task.first, INPUTS), scales(&rows, &task.second, HIDDEN)];
        let (first, second) = (task.first.clone(), task.second.clone());
        Trainer { task: task.clone(), fault, first, second, frozen }
    }

    /// What is left of a weight.
    fn weight(&self, by: &ByRule, (w, row_len): (&[f32], usize), which: usize) -> Vec<f32> {
        match self.fault {
            Fault::FrozenScale => {
                let scales = &self.frozen[which];
                let each = w.len() / scales.len();
                let value = |(i, x): (usize, &f32)| {
                    let shared = by.rule.under(scales[i / each]);
                    by.rule.value(by.rule.code(by.levels, *x, &shared), &shared)
                };
                w.iter().enumerate().map(value).collect()
            }
            Fault::Truncated => {
                let scales = scales(by, w, row_len);
                let each = w.len() / scales.len();
                let value =
                    |(i, x): (usize, &f32)| (x / scales[i / each]).trunc() * scales[i / each];
                w.iter().enumerate().map(value).collect()
            }
            _ => by.fake_quantize(w, &[w.len() / row_len, row_len]).expect("a shape"),
        }
    }

    fn stopped(&self, by: &ByRule, (w, row_len): (&[f32], usize), gradient: &[f32]) -> Vec<f32> {
        let clipped = self.task.clipped && self.fault != Fault::NoClipMask;
        let estimator = if clipped { Estimator::Clipped } else { Estimator::Identity };
        estimator.gradient(by, (w, &[w.len() / row_len, row_len]), gradient).expect("a shape")
    }
}

impl Trains for Trainer {
    fn weights(&self) -> [Vec<f32>; 2] {
        [self.first.clone(), self.second.clone()]
    }

    fn step(&mut self) -> Step {
        let (rows, weight) = self.task.quantizers();
        let x = rows.fake_quantize(&self.task.x, &[TOKENS, INPUTS]).expect("a shape");
        let w = self.weight(&weight, (&self.first, INPUTS), 0);
        let v = self.weight(&rows, (&self.second, HIDDEN), 1);
        let h = by_rows(&x, &w, (TOKENS, INPUTS, HIDDEN));
        let relu: Vec<f32> = h.iter().map(|h| h.max(0.0)).collect();
        let r = rows.fake_quantize(&relu, &[TOKENS, HIDDEN]).expect("a shape");
        let y = by_rows(&r, &v, (TOKENS, HIDDEN, OUTPUTS));
        let error: Vec<f32> = y.iter().zip(&self.task.target).map(|(y, t)| y - t).collect();
        let loss = error.iter().map(|e| e * e).sum::<f32>() * (0.5 / TOKENS as f32);
        let dy: Vec<f32> = error.iter().map(|e| e / TOKENS as f32).collect();
        let dv = by_columns(&dy, &r, (TOKENS, OUTPUTS, HIDDEN));
        let used = if self.fault == Fault::Latent { &self.second } else { &v };
        let columns = transposed(used, (OUTPUTS, HIDDEN));
        let mut dr = by_rows(&dy, &columns, (TOKENS, OUTPUTS, HIDDEN));
        if self.fault == Fault::Doubled {
            dr.iter_mut().for_each(|g| *g *= 2.0);
        }
        let open = |h: &f32| *h > 0.0 || self.fault == Fault::NoReluMask;
        let dh: Vec<f32> = dr.iter().zip(&h).map(|(g, h)| if open(h) { *g } else { 0.0 }).collect();
        let dw = by_columns(&dh, &x, (TOKENS, HIDDEN, INPUTS));
        let ones = vec![1.0; self.first.len()];
        let passed = self.stopped(&weight, (&self.first, INPUTS), &ones);
        let passed = passed.into_iter().map(|one| one == 1.0).collect();
        let dw = self.stopped(&weight, (&self.first, INPUTS), &dw);
        let dv = self.stopped(&rows, (&self.second, HIDDEN), &dv);
        self.first.iter_mut().zip(dw).for_each(|(w, g)| *w -= RATE * g);
        self.second.iter_mut().zip(dv).for_each(|(w, g)| *w -= RATE * g);
        let open = h.iter().map(|h| *h > 0.0).collect();
        Step { loss, first: w, second: v, hidden: r, open, passed }
    }
}

/// `[m, k] [n, k]ᵀ`.
fn by_rows(a: &[f32], b: &[f32], (m, k, n): (usize, usize, usize)) -> Vec<f32> {
    let y = |at: usize| (0..k).map(|i| a[at / n * k + i] * b[at % n * k + i]).sum();
    (0..m * n).map(y).collect()
}

/// `[k, m]ᵀ [k, n]`.
fn by_columns(a: &[f32], b: &[f32], (k, m, n): (usize, usize, usize)) -> Vec<f32> {
    let y = |at: usize| (0..k).map(|i| a[i * m + at / n] * b[i * n + at % n]).sum();
    (0..m * n).map(y).collect()
}

fn transposed(a: &[f32], (rows, columns): (usize, usize)) -> Vec<f32> {
    (0..rows * columns).map(|at| a[at % rows * columns + at / rows]).collect()
}

/// A trainer by Burn's automatic differentiation.
#[cfg(feature = "burn")]
pub(crate) struct ByBurn {
    task: Task,
    latent: [Vec<f32>; 2],
}

#[cfg(feature = "burn")]
impl ByBurn {
    pub(crate) fn new(task: &Task) -> ByBurn {
        ByBurn { task: task.clone(), latent: [task.first.clone(), task.second.clone()] }
    }
}

#[cfg(feature = "burn")]
impl Trains for ByBurn {
    fn weights(&self) -> [Vec<f32>; 2] {
        self.latent.clone()
    }

    fn step(&mut self) -> Step {
        burn_step(&self.task, &mut self.latent)
    }
}

#[cfg(feature = "burn")]
fn burn_step(task: &Task, [first, second]: &mut [Vec<f32>; 2]) -> Step {
    use burn::backend::Autodiff;
    use burn::tensor::{Tensor, TensorData, activation};
    use lowbit_reference::ste::fake_quantize;
    type Tracked = Tensor<Autodiff<burn_ndarray::NdArray<f32>>, 2>;
    let tensor = |values: &[f32], shape: [usize; 2]| -> Tracked {
        Tensor::from_data(TensorData::new(values.to_vec(), shape), &Default::default())
    };
    let (rows, weight) = task.quantizers();
    let first_len = first.len();
    let w = tensor(first, [HIDDEN, INPUTS]).require_grad();
    let v = tensor(second, [OUTPUTS, HIDDEN]).require_grad();
    let x = fake_quantize(&rows, tensor(&task.x, [TOKENS, INPUTS])).expect("a shape");
    let left_w = fake_quantize(&weight, w.clone()).expect("a shape");
    let left_v = fake_quantize(&rows, v.clone()).expect("a shape");
    let h = x.matmul(left_w.clone().transpose());
    let open = h.to_data().into_vec::<f32>().expect("f32").iter().map(|h| *h > 0.0).collect();
    let r = fake_quantize(&rows, activation::relu(h)).expect("a shape");
    let values = |x: &Tracked| -> Vec<f32> { x.to_data().into_vec().expect("f32") };
    let [seen_w, seen_v, hidden] = [&left_w, &left_v, &r].map(values);
    let y = r.matmul(left_v.transpose());
    let error = y - tensor(&task.target, [TOKENS, OUTPUTS]);
    let loss = (error.clone() * error).sum() * (0.5 / TOKENS as f32);
    let gradients = loss.backward();
    for (latent, tracked) in [(first, &w), (second, &v)] {
        let gradient = tracked.grad(&gradients).expect("a gradient").to_data();
        let gradient: Vec<f32> = gradient.into_vec().expect("f32");
        latent.iter_mut().zip(gradient).for_each(|(w, g)| *w -= RATE * g);
    }
    let passed = vec![true; first_len];
    Step { loss: loss.into_scalar(), first: seen_w, second: seen_v, hidden, open, passed }
}
