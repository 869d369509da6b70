//! `burn`, `burn-flex` and their quantized forms: Burn's own `matmul`, on two of its backends.
//!
//! `Y = X W^T` with `W[j, k] = code * scale` and, for integer activations,
//! `X[i, k] = (code - zero_point) * scale`, both made f32 beforehand. The weights lie `[K, N]`, the
//! layout of Burn's own `Linear`: a transposed view would be copied at every `matmul`, slowly.
//!
//! * `burn`: NdArray on one thread, the float baseline. It copies both operands in every call.
//! * `burn-flex`: Flex, which hands floats to the crate `gemm`, on the threads of the pool.
//! * `burn-quantized`, `burn-flex-quantized`: the weights as a quantized tensor (`Q8S`, one scale)
//!   of our codes. Neither backend multiplies codes: each call dequantizes all the weights first.
//!
//! Timed: the `matmul` and nothing else. Burn allocates its result for itself, within the timed
//! part and without guard bands.
use super::dense;
use crate::burn_quantize::{Cpu, floats};
use crate::context::Context;
use crate::pool::Pool;
use crate::rules::classic_activation;
use crate::{Determinism, Failure, Kernel, Prepared, Threads};
use burn::tensor::backend::Backend;
use burn::tensor::{Tensor, TensorData};
use lowbit_reference::op::linear::{Linear, LinearProblem};
use lowbit_reference::op::{self, Arithmetic, Outputs};
use std::marker::PhantomData;

/// NdArray, f32 weights.
pub(super) static BURN: Burn<Cpu> = Burn::new("burn", Threads::One, (dense::accepts, floating));
/// NdArray, quantized weights.
#[cfg(feature = "peers")]
pub(super) static QUANTIZED: Burn<Cpu> =
    Burn::new("burn-quantized", Threads::One, (peer::accepts, peer::native)).peer();
/// Flex, f32 weights.
#[cfg(feature = "peers")]
pub(super) static FLEX: Burn<peer::Flex> =
    Burn::new("burn-flex", Threads::Pool, (dense::accepts, floating)).peer();
/// Flex, quantized weights.
#[cfg(feature = "peers")]
pub(super) static FLEX_QUANTIZED: Burn<peer::Flex> =
    Burn::new("burn-flex-quantized", Threads::Pool, (peer::accepts, peer::native)).peer();

/// Whether the weights can be made, and the weights, `[K, N]`.
type Weights<B> =
    (fn(&LinearProblem) -> Result<(), String>, fn(&LinearProblem) -> Result<Tensor<B, 2>, String>);

/// See the module.
#[derive(Debug)]
pub(super) struct Burn<B: Backend> {
    name: &'static str,
    threads: Threads,
    weights: Weights<B>,
    is_peer: bool,
    backend: PhantomData<fn() -> B>,
}

impl<B: Backend> Burn<B> {
    const fn new(name: &'static str, threads: Threads, weights: Weights<B>) -> Burn<B> {
        Burn { name, threads, weights, is_peer: false, backend: PhantomData }
    }

    /// The suites are written for the row `burn`, but not for these.
    #[cfg(feature = "peers")]
    const fn peer(self) -> Burn<B> {
        Burn { is_peer: true, ..self }
    }
}

struct Matmul<B: Backend> {
    pool: Pool,
    x: Tensor<B, 2>,
    w: Tensor<B, 2>,
    y: Option<Tensor<B, 2>>,
}

fn tensor<B: Backend>(values: Vec<f32>, shape: [usize; 2]) -> Tensor<B, 2> {
    Tensor::from_data(TensorData::new(values, shape), &Default::default())
}

/// The weights as floats of the backend.
pub(super) fn floating<B: Backend>(problem: &LinearProblem) -> Result<Tensor<B, 2>, String> {
    let value = dense::value(problem)?;
    let row = |k| (0..problem.n).map(move |j| value(j, k));
    Ok(tensor((0..problem.k).flat_map(row).collect(), [problem.k, problem.n]))
}

#[cfg(feature = "peers")]
pub(super) mod peer {
    //! Quantized weights, and the second backend.
    use super::{LinearProblem, Tensor, TensorData, dense};
    use crate::rules::classic_weight;
    use burn::tensor::backend::Backend;
    use burn::tensor::quantization::{QuantLevel, QuantParam, QuantScheme, QuantStore, QuantValue};
    pub(super) use burn_flex::Flex;

    /// The same with a byte for each code.
    pub(super) fn native<B: Backend>(problem: &LinearProblem) -> Result<Tensor<B, 2>, String> {
        quantized(problem, QuantStore::Native)
    }

    /// int8 weights of one scale as Burn's quantized tensor.
    pub(in super::super) fn quantized<B: Backend>(
        problem: &LinearProblem,
        store: QuantStore,
    ) -> Result<Tensor<B, 2>, String> {
        let (k, n) = (problem.k, problem.n);
        let (by_row, scales) = (dense::codes(problem)?, dense::scales(problem)?);
        let codes: Vec<i8> = (0..k * n).map(|at| by_row[at % n * k + at / n]).collect();
        let scheme = QuantScheme::default()
            .with_value(QuantValue::Q8S)
            .with_level(QuantLevel::Tensor)
            .with_store(store)
            .with_param(QuantParam::F32);
        let data = TensorData::quantized(codes, [k, n], scheme, &scales[..1]);
        Ok(Tensor::from_data(data, &Default::default()))
    }

    /// Whether there are int8 weights of one scale.
    pub(in super::super) fn accepts(problem: &LinearProblem) -> Result<(), String> {
        dense::accepts(problem)?;
        let weight = classic_weight(problem)?;
        match (weight.format.name(), weight.scales.len()) {
            ("int8", 1) => Ok(()),
            ("int8", _) => Err("takes one scale for the tensor".into()),
            (other, _) => Err(format!("quantizes int8 weights, not {other}")),
        }
    }
}

impl<B: Backend> Kernel<Linear> for Burn<B> {
    fn name(&self) -> &'static str {
        self.name
    }
    fn is_peer(&self) -> bool {
        self.is_peer
    }
    fn threads(&self) -> Threads {
        self.threads
    }
    fn determinism(&self) -> Determinism {
        Determinism::TILED
    }
    fn arithmetic(&self, _: &LinearProblem) -> Arithmetic {
        Arithmetic::FLOAT
    }
    fn accepts(&self, problem: &LinearProblem) -> Result<(), String> {
        classic_activation(problem)?;
        (self.weights.0)(problem)
    }
    fn prepare<'p>(
        &self,
        problem: &'p LinearProblem,
        context: &mut Context,
    ) -> Result<Box<dyn Prepared + 'p>, Failure> {
        let x = tensor(dense::activations(problem), [problem.m, problem.k]);
        let w = (self.weights.1)(problem)?;
        Ok(Box::new(Matmul::<B> { pool: context.pool().clone(), x, w, y: None }))
    }
}

impl<B: Backend> Prepared for Matmul<B> {
    fn launch(&mut self) -> Result<(), Failure> {
        let (x, w) = (self.x.clone(), self.w.clone());
        self.y = Some(self.pool.install(|| x.matmul(w)));
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
