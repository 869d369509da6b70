//! `fake_quantize` ste: Burn's automatic differentiation through a straight-through estimator.
//!
//! `y = detach(q) + (x - detach(x))` with `q = code * scale` on `Autodiff<NdArray>`; the gradient
//! of `sum(y * dy)` by `x` is read off the graph. `burn_quantize` holds the formulas.
//!
//! Under `clipped` the graph goes through `x` with 0 for what was saturated, whose gradient stops there.
//! Timed: forward, graph and backward. Burn allocates every intermediate and the result for itself,
//! without guard bands.
use crate::burn_quantize::{Cpu, FakeQuantized, accepts, fake_quantize, floats};
use crate::context::Context;
use crate::{Failure, Kernel, Prepared, Threads};
use burn::backend::Autodiff;
use burn::tensor::{Tensor, TensorData};
use lowbit_reference::estimator::Estimator;
use lowbit_reference::format::Levels;
use lowbit_reference::op::quantize::fake::{FakeQuantize, FakeQuantizeProblem};
use lowbit_reference::op::{self, Arithmetic, Outputs};
use lowbit_reference::rule::{Granularity, Rule};

/// NdArray that remembers what it did.
type Tracked = Autodiff<Cpu>;

/// See the module.
#[derive(Debug)]
pub(super) struct Ste;

impl Kernel<FakeQuantize> for Ste {
    fn name(&self) -> &'static str {
        "ste"
    }
    fn threads(&self) -> Threads {
        Threads::One
    }
    fn arithmetic(&self, _: &FakeQuantizeProblem) -> Arithmetic {
        Arithmetic::FLOAT
    }
    fn accepts(&self, problem: &FakeQuantizeProblem) -> Result<(), String> {
        let quantize = &problem.quantize;
        crate::rules::classic(quantize)?;
        let (len, group_len) = (quantize.x.len(), quantize.group_len.max(1));
        if group_len < len && !len.is_multiple_of(group_len) {
            return Err("the last group is short".into());
        }
        accepts(&quantize.x)
    }
    fn prepare<'p>(
        &self,
        problem: &'p FakeQuantizeProblem,
        _: &mut Context,
    ) -> Result<Box<dyn Prepared + 'p>, Failure> {
        let quantize = &problem.quantize;
        let (len, group_len) = (quantize.x.len(), quantize.group_len.max(1));
        let (granularity, shape) = match group_len >= len {
            true => (Granularity::Tensor, [quantize.rows, quantize.row_len]),
            false => (Granularity::Row, [len / group_len, group_len]),
        };
        Ok(Box::new(Run {
            rule: quantize.rule,
            levels: quantize.levels(),
            granularity,
            estimator: problem.estimator,
            x: tensor(&quantize.x, shape),
            grad_output: tensor(&problem.grad_output, shape),
            answer: None,
        }))
    }
}

fn tensor(values: &[f32], shape: [usize; 2]) -> Tensor<Tracked, 2> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), &Default::default())
}

/// A row bound to its problem.
struct Run {
    rule: Rule,
    levels: Levels,
    granularity: Granularity,
    estimator: Estimator,
    x: Tensor<Tracked, 2>,
    grad_output: Tensor<Tracked, 2>,
    /// Values, and the gradient of the input.
    answer: Option<(FakeQuantized<Tracked>, Tensor<Cpu, 2>)>,
}

impl Prepared for Run {
    fn launch(&mut self) -> Result<(), Failure> {
        let x = self.x.clone().require_grad();
        let by = (&self.rule, self.levels);
        let forward = fake_quantize(by, self.granularity, self.estimator, x.clone());
        let gradients = (forward.values.clone() * self.grad_output.clone()).sum().backward();
        let gradient = x.grad(&gradients).ok_or_else(|| Failure("no gradient".into()))?;
        self.answer = Some((forward, gradient));
        Ok(())
    }

    fn forget(&mut self) -> Result<(), Failure> {
        self.answer = None;
        Ok(())
    }

    fn read(&mut self) -> Result<Outputs, Failure> {
        let answer = self.answer.as_ref().ok_or_else(|| Failure("read before a launch".into()))?;
        let (FakeQuantized { scale, centre, values }, gradient) = answer;
        let mut outputs = vec![
            ("scales", op::Tensor::F32(floats(scale)?)),
            ("dequantized", op::Tensor::F32(floats(values)?)),
            ("grad_input", op::Tensor::F32(floats(gradient)?)),
        ];
        if let Some(centre) = centre {
            outputs.push(("centres", op::Tensor::F32(floats(centre)?)));
        }
        Ok(Outputs(outputs))
    }
}
