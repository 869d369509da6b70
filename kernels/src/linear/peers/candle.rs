//! `candle`: the quantized product of the crate `candle-core`, f32 activations against ggml blocks.
//!
//! It takes our `q8_0`, `q4_0` and `q4_k` bytes as they are: they are ggml's. Every call quantizes the
//! activations to 8 bits first, and that is in its time: blocks of 256 with an f32 scale where K
//! is a multiple of 256, N of 16, the weights are q8_0 and the processor has VNNI (it then
//! repacks the weights, once, before the clock), else blocks of 32 with an f16 scale. The row
//! declares that rounding, and is held to the error that follows from it. Activations beside
//! `q4_k` have blocks of 256, whose largest magnitude is code -128: the same magnitude with the
//! other sign saturates at 127, a whole step off.
//!
//! It answers in a tensor of its own, without guard bands. Its threads are its own, too: a pool
//! for the whole process, whose size it reads once from `RAYON_NUM_THREADS`, which every worker
//! of ours is started with.
use crate::context::Context;
use crate::rules::contiguous;
use crate::{Determinism, Failure, Kernel, Prepared};
use candle_core::quantized::{GgmlDType, QMatMul, QStorage, QTensor};
use candle_core::{Device, Error, Module, Tensor};
use lowbit_reference::op::linear::{Activation, BlockWeight, Linear, LinearProblem, Weight};
use lowbit_reference::op::{self, Arithmetic, Operands, Outputs};
use std::borrow::Cow;

/// Depth and output features that its repacked path takes whole.
const REPACKED: (usize, usize) = (256, 16);
/// Depth of a block of q8_0 and q4_0.
const BLOCK: usize = 32;

/// See the module.
#[derive(Debug)]
pub(in crate::linear) struct Candle;

struct Run {
    x: Tensor,
    w: QMatMul,
    y: Option<Tensor>,
}

/// The weights, and what candle calls their format.
fn blocks(problem: &LinearProblem) -> Result<(&BlockWeight, GgmlDType), String> {
    let Weight::Blocks(weight) = &problem.weight else {
        return Err(format!("no {} weights", problem.weight.name()));
    };
    match weight.format.name() {
        "q8_0" => Ok((weight, GgmlDType::Q8_0)),
        "q4_0" => Ok((weight, GgmlDType::Q4_0)),
        "q4_k" => Ok((weight, GgmlDType::Q4K)),
        other => Err(format!("no {other} weights")),
    }
}

impl Kernel<Linear> for Candle {
    fn name(&self) -> &'static str {
        "candle"
    }
    fn is_peer(&self) -> bool {
        true
    }
    fn determinism(&self) -> Determinism {
        Determinism::REPEATABLE
    }
    fn arithmetic(&self, problem: &LinearProblem) -> Arithmetic {
        let whole = problem.k.is_multiple_of(REPACKED.0) && problem.n.is_multiple_of(REPACKED.1);
        let block = if whole { REPACKED.0 } else { BLOCK };
        let operands = match problem.weight.name() {
            "q4_k" => Operands::EightBit { block: 256, scale_bits: 22, asymmetric: true },
            _ => Operands::EightBit { block, scale_bits: 11, asymmetric: false },
        };
        Arithmetic { operands, ..Arithmetic::INTEGER }
    }
    fn accepts(&self, problem: &LinearProblem) -> Result<(), String> {
        contiguous(problem)?;
        match &problem.activation {
            Activation::F32(_) => blocks(problem).map(drop),
            other => Err(format!("no {} activations", other.name())),
        }
    }
    fn prepare<'p>(
        &self,
        problem: &'p LinearProblem,
        _: &mut Context,
    ) -> Result<Box<dyn Prepared + 'p>, Failure> {
        let (weight, format) = blocks(problem)?;
        let bytes = Cow::Borrowed(&weight.bytes[..]);
        let w = QStorage::from_data(bytes, &Device::Cpu, format)
            .and_then(|storage| QTensor::new(storage, (problem.n, problem.k)))
            .and_then(QMatMul::from_qtensor)
            .map_err(failure)?;
        let x = Tensor::from_slice(&problem.activation_f32, (problem.m, problem.k), &Device::Cpu)
            .map_err(failure)?;
        Ok(Box::new(Run { x, w, y: None }))
    }
}

fn failure(error: Error) -> Failure {
    Failure(format!("candle: {error}"))
}

impl Prepared for Run {
    fn launch(&mut self) -> Result<(), Failure> {
        self.y = Some(self.w.forward(&self.x).map_err(failure)?);
        Ok(())
    }

    fn forget(&mut self) -> Result<(), Failure> {
        self.y = None;
        Ok(())
    }

    fn read(&mut self) -> Result<Outputs, Failure> {
        let y = self.y.as_ref().ok_or_else(|| Failure("read before a launch".into()))?;
        let values = y.flatten_all().and_then(|y| y.to_vec1::<f32>()).map_err(failure)?;
        Ok(Outputs(vec![("y", op::Tensor::F32(values))]))
    }
}
