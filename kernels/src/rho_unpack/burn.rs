//! `burn`: codes times scales with Burn's tensor operations on NdArray.
//!
//! `value = code * scale` with codes `[blocks, 32]` and scales `[blocks, 1]`, and `[1, rest]`
//! where 32 does not divide the state.
//!
//! Timed: an `i8` tensor of codes to f32, then one product. Burn unpacks no bits, so the codes
//! come one a byte and this row reads up to eight times the bytes of a packed one. Burn allocates
//! the result for itself, within the timed part and without guard bands.
use crate::burn_quantize::{Cpu, floats, tensor};
use crate::context::Context;
use crate::{Failure, Kernel, Prepared, Threads};
use burn::tensor::{FloatDType, Int, IntDType, Tensor, TensorData};
use lowbit_reference::op::rho::unpack::{RhoUnpack, UnpackProblem};
use lowbit_reference::op::{self, Arithmetic, Outputs};

/// See the module.
#[derive(Debug)]
pub(super) struct Burn;

struct Run {
    /// Codes and scales of the full blocks, then of the last, short one.
    inputs: Vec<(Tensor<Cpu, 2, Int>, Tensor<Cpu, 2>)>,
    outputs: Vec<Tensor<Cpu, 2>>,
}

impl Kernel<RhoUnpack> for Burn {
    fn name(&self) -> &'static str {
        "burn"
    }
    fn threads(&self) -> Threads {
        Threads::One
    }
    fn arithmetic(&self, _: &UnpackProblem) -> Arithmetic {
        Arithmetic::FLOAT
    }
    fn accepts(&self, _: &UnpackProblem) -> Result<(), String> {
        Ok(())
    }
    fn prepare<'p>(
        &self,
        problem: &'p UnpackProblem,
        _: &mut Context,
    ) -> Result<Box<dyn Prepared + 'p>, Failure> {
        let (quantized, block) = (&problem.quantized, problem.source.group_len);
        let blocks = quantized.codes.len() / block;
        let (codes, rest) = quantized.codes.split_at(blocks * block);
        let scales = quantized.scales();
        let (scales, rest_scale) = scales.split_at(blocks);
        let parts = [(codes, scales, [blocks, block]), (rest, rest_scale, [1, rest.len()])];
        let inputs = parts.into_iter().filter(|(codes, ..)| !codes.is_empty());
        let inputs = inputs.map(|(codes, scales, shape)| {
            let data = TensorData::new(codes.to_vec(), shape);
            let codes = Tensor::from_data(data, (&Default::default(), IntDType::I8.into()));
            (codes, tensor(scales, [shape[0], 1]))
        });
        Ok(Box::new(Run { inputs: inputs.collect(), outputs: Vec::new() }))
    }
}

impl Prepared for Run {
    fn launch(&mut self) -> Result<(), Failure> {
        let value = |(codes, scales): &(Tensor<Cpu, 2, Int>, Tensor<Cpu, 2>)| {
            codes.clone().cast(FloatDType::F32) * scales.clone()
        };
        self.outputs = self.inputs.iter().map(value).collect();
        Ok(())
    }

    fn forget(&mut self) -> Result<(), Failure> {
        self.outputs.clear();
        Ok(())
    }

    fn read(&mut self) -> Result<Outputs, Failure> {
        let mut values = Vec::new();
        for part in &self.outputs {
            values.extend(floats(part)?);
        }
        Ok(Outputs(vec![("values", op::Tensor::F32(values))]))
    }
}
