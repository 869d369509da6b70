//! `burn`: the float baseline, Burn's `matmul` on dequantized weights on NdArray.
//!
//! `Y = X W^T` with `W[j, k] = code * scale` and, for int8 activations, `X[i, k] = code * scale`,
//! both made f32 beforehand. The weights lie `[K, N]`, the layout of Burn's own `Linear`: a
//! transposed view would be copied at every `matmul`, slowly.
//!
//! Timed: the `matmul` and nothing else; it reads 4 bytes a weight whatever the format. Burn
//! allocates its result for itself, within the timed part and without guard bands; NdArray also
//! copies both operands in every call.
use super::dense;
use crate::burn_quantize::{Cpu, floats, tensor};
use crate::context::Context;
use crate::rules::classic_activation;
use crate::{Failure, Kernel, Prepared, Threads};
use burn::tensor::Tensor;
use lowbit_reference::op::linear::{Linear, LinearProblem};
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
fn dequantized(problem: &LinearProblem) -> Result<Tensor<Cpu, 2>, String> {
    let value = dense::value(problem)?;
    let row = |k| (0..problem.n).map(move |j| value(j, k));
    let values: Vec<f32> = (0..problem.k).flat_map(row).collect();
    Ok(tensor(&values, [problem.k, problem.n]))
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
        classic_activation(problem)?;
        dense::accepts(problem)
    }
    fn prepare<'p>(
        &self,
        problem: &'p LinearProblem,
        _: &mut Context,
    ) -> Result<Box<dyn Prepared + 'p>, Failure> {
        let x = tensor(&dense::activations(problem), [problem.m, problem.k]);
        let w = dequantized(problem)?;
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
