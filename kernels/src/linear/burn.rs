//! `burn`: the float baseline, Burn's `matmul` on dequantized weights on NdArray.
//!
//! `Y = X W^T` with `W[j, k] = code * scale` and, for int8 activations, `X[i, k] = code * scale`,
//! both made f32 beforehand. The weights lie `[K, N]`, the layout of Burn's own `Linear`: a
//! transposed view would be copied at every `matmul`, slowly.
//!
//! Timed: the `matmul` and nothing else; it reads 4 bytes a weight whatever the format. Burn
//! allocates its result for itself, within the timed part and without guard bands; NdArray also
//! copies both operands in every call.
use super::decode;
use crate::burn_quantize::{Cpu, floats, tensor};
use crate::context::Context;
use crate::rules::{classic_activation, classic_weight, contiguous};
use crate::{Failure, Kernel, Prepared, Threads};
use burn::tensor::Tensor;
use lowbit_reference::op::linear::{Activation, Linear, LinearProblem, PackedWeight};
use lowbit_reference::op::{self, Arithmetic, Outputs};

/// See the module.
#[derive(Debug)]
pub(super) struct Burn;

struct Matmul {
    x: Tensor<Cpu, 2>,
    w: Tensor<Cpu, 2>,
    y: Option<Tensor<Cpu, 2>>,
}

/// The weights as f32, `[K, N]`.
fn dequantized(weight: &PackedWeight) -> Result<Tensor<Cpu, 2>, String> {
    let code = decode::code(weight.format.name())?;
    let row = |k| (0..weight.n).map(move |j| code(weight.row(j), k) * weight.scale(j));
    let values: Vec<f32> = (0..weight.k).flat_map(row).collect();
    Ok(tensor(&values, [weight.k, weight.n]))
}

/// The activations as f32, `[M, K]`.
fn activations(problem: &LinearProblem) -> Tensor<Cpu, 2> {
    let shape = [problem.m, problem.k];
    match &problem.activation {
        Activation::F32(_) | Activation::U8(_) => tensor(&problem.activation_f32, shape),
        Activation::I8(x) => {
            let scale = |i: usize| problem.activation_scale(i / problem.k);
            let value = |(i, code): (usize, &i8)| f32::from(*code) * scale(i);
            tensor(&x.codes.iter().enumerate().map(value).collect::<Vec<_>>(), shape)
        }
    }
}

impl Kernel<Linear> for Burn {
    fn name(&self) -> &'static str {
        "burn"
    }
    fn threads(&self) -> Threads {
        Threads::One
    }
    fn arithmetic(&self, _: &LinearProblem) -> Arithmetic {
        Arithmetic::FLOAT
    }
    fn accepts(&self, problem: &LinearProblem) -> Result<(), String> {
        contiguous(problem)?;
        classic_activation(problem)?;
        classic_weight(problem).map(drop)
    }
    fn prepare<'p>(
        &self,
        problem: &'p LinearProblem,
        _: &mut Context,
    ) -> Result<Box<dyn Prepared + 'p>, Failure> {
        let (x, w) = (activations(problem), dequantized(classic_weight(problem)?)?);
        Ok(Box::new(Matmul { x, w, y: None }))
    }
}

impl Prepared for Matmul {
    fn launch(&mut self) -> Result<(), Failure> {
        self.y = Some(self.x.clone().matmul(self.w.clone()));
        Ok(())
    }

    fn forget(&mut self) -> Result<(), Failure> {
        self.y = None;
        Ok(())
    }

    fn read(&mut self) -> Result<Outputs, Failure> {
        let y = self.y.as_ref().ok_or_else(|| Failure("read before a launch".into()))?;
        Ok(Outputs(vec![("y", op::Tensor::F32(floats(y)?))]))
    }
}
