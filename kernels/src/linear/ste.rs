//! `ste`: the forward of quantization-aware training, fake quantization of both operands, then
//! `matmul`, on NdArray.
//!
//! `Y = Xq Wq^T`, `Wq = detach(q) + (W - detach(W))`, `q = code * scale`, and the same for int8
//! activations; f32 activations enter as they are. `burn_quantize` holds the formulas.
//!
//! Timed: everything, from raw f32 weights `[N, K]` and activations `[M, K]` to `Y`: weights
//! change with every training step, so nothing can be prepared. Burn allocates every intermediate
//! and the result for itself, within the timed part and without guard bands; NdArray also copies
//! both operands in `matmul`.
use crate::burn_quantize::{Cpu, FakeQuantized, accepts, fake_quantize, floats, tensor};
use crate::context::Context;
use crate::rules::{classic_activation, classic_rule, classic_weight, contiguous};
use crate::{Determinism, Failure, Kernel, Prepared, Threads};
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use lowbit_reference::estimator::Estimator;
use lowbit_reference::format::Levels;
use lowbit_reference::op::linear::{Linear, LinearProblem};
use lowbit_reference::op::{self, Arithmetic, Outputs};
use lowbit_reference::rule::Rule;

/// See the module.
#[derive(Debug)]
pub(super) struct Ste;

/// How weights and activations are quantized; f32 activations are not.
struct Rules {
    weight: (Rule, Levels),
    activation: Option<Rule>,
}

/// Output and what both operands were quantized to.
struct Forward<B: Backend> {
    y: Tensor<B, 2>,
    weight_scale: Tensor<B, 2>,
    weight_centre: Option<Tensor<B, 2>>,
    activation_scale: Option<Tensor<B, 2>>,
}

fn forward<B: Backend>(rules: &Rules, x: Tensor<B, 2>, w: Tensor<B, 2>) -> Forward<B> {
    let (rule, levels) = &rules.weight;
    let w = fake_quantize((rule, *levels), rule.granularity, Estimator::Identity, w);
    let (x, activation_scale) = match &rules.activation {
        None => (x, None),
        Some(rule) => {
            let FakeQuantized { values, scale, .. } =
                fake_quantize((rule, Levels::Int8), rule.granularity, Estimator::Identity, x);
            (values, Some(scale))
        }
    };
    let y = x.matmul(w.values.transpose());
    Forward { y, weight_scale: w.scale, weight_centre: w.centre, activation_scale }
}

struct Run {
    rules: Rules,
    x: Tensor<Cpu, 2>,
    w: Tensor<Cpu, 2>,
    output: Option<Forward<Cpu>>,
}

impl Kernel<Linear> for Ste {
    fn name(&self) -> &'static str {
        "ste"
    }
    fn threads(&self) -> Threads {
        Threads::One
    }
    fn determinism(&self) -> Determinism {
        Determinism::TILED
    }
    fn arithmetic(&self, _: &LinearProblem) -> Arithmetic {
        Arithmetic::FLOAT
    }
    fn accepts(&self, problem: &LinearProblem) -> Result<(), String> {
        contiguous(problem)?;
        let weight = classic_weight(problem)?;
        classic_rule(&weight.rule, weight.format.levels())?;
        classic_activation(problem)?;
        if let Some((levels, rule)) = problem.activation.quantization() {
            classic_rule(&rule, levels)?;
        }
        accepts(&problem.weight_f32).and_then(|()| accepts(&problem.activation_f32))
    }
    fn prepare<'p>(
        &self,
        problem: &'p LinearProblem,
        _: &mut Context,
    ) -> Result<Box<dyn Prepared + 'p>, Failure> {
        let activation = problem.activation.quantization().map(|(_, rule)| rule);
        let weight = classic_weight(problem)?;
        let weight = (weight.rule, weight.format.levels());
        let x = tensor(&problem.activation_f32, [problem.m, problem.k]);
        let w = tensor(&problem.weight_f32, [problem.n, problem.k]);
        Ok(Box::new(Run { rules: Rules { weight, activation }, x, w, output: None }))
    }
}

impl Prepared for Run {
    fn launch(&mut self) -> Result<(), Failure> {
        self.output = Some(forward(&self.rules, self.x.clone(), self.w.clone()));
        Ok(())
    }

    fn forget(&mut self) -> Result<(), Failure> {
        self.output = None;
        Ok(())
    }

    fn read(&mut self) -> Result<Outputs, Failure> {
        let output = self.output.as_ref().ok_or_else(|| Failure("read before a launch".into()))?;
        let parts = [
            ("y", Some(&output.y)),
            ("weight_scales", Some(&output.weight_scale)),
            ("weight_centres", output.weight_centre.as_ref()),
            ("activation_scales", output.activation_scale.as_ref()),
        ];
        let mut outputs = Vec::new();
        for (name, tensor) in parts {
            if let Some(tensor) = tensor {
                outputs.push((name, op::Tensor::F32(floats(tensor)?)));
            }
        }
        Ok(Outputs(outputs))
    }
}
