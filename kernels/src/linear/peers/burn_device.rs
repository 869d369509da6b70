//! `burn-wgpu-f16`, `burn-wgpu-quantized` and the same of CUDA: Burn's own `matmul` on a device, by its own
//! choice of kernels (autotuned, in the launches before the clock runs).
//!
//! `Y = X W^T` with `W[j, k] = code * scale` and `X[i, k] = (code - zero_point) * scale`, made beforehand,
//! the weights as `[K, N]`, the layout of Burn's own `Linear`:
//!
//! * f16: both sides rounded to f16, and so the answer: 11 bits of a significand;
//! * quantized: `X` in f32, `W` as a quantized tensor (`Q8S`, four in a word, one scale) of our codes. On
//!   tensor cores Burn multiplies f32 as TF32, of 11 bits too.
//!
//! Bounds: f16 holds what is at least 2^-14 and at most 65,504, which values must keep to, and by their
//! norms the sums: `|y| <= |x_i| |w_j|`.
//!
//! Timed: the `matmul` and nothing else. Burn allocates its result for itself, within the timed part,
//! without guard bands and without poison, through a client that counts no copies.
use super::super::burn::{floating, peer};
use super::super::dense;
use crate::context::Context;
use crate::cube::{Device, guarded};
use crate::hardware::Need;
use crate::rules::classic_activation;
use crate::{Determinism, Failure, Kernel, Prepared, Threads};
use burn::tensor::backend::Backend;
use burn::tensor::quantization::QuantStore;
use burn::tensor::{Tensor, TensorData};
use half::f16;
use lowbit_reference::op::linear::{Linear, LinearProblem};
use lowbit_reference::op::{self, Arithmetic, Operands, Outputs};
use std::marker::PhantomData;
use std::sync::{Mutex, PoisonError};

/// Bits of a significand of f16, and of TF32.
const BITS: u32 = 11;
/// The least and the most that f16 holds with all of them.
const F16: (f32, f32) = (1.0 / 16384.0, 65504.0);

/// What the weights are.
#[derive(Clone, Copy, Debug)]
enum Weights {
    Half,
    Quantized,
}

/// See the module.
#[derive(Debug)]
pub(in super::super) struct BurnDevice<B, R> {
    name: &'static str,
    weights: Weights,
    backend: PhantomData<fn() -> (B, R)>,
}

impl<B, R> BurnDevice<B, R> {
    const fn new(name: &'static str, weights: Weights) -> Self {
        BurnDevice { name, weights, backend: PhantomData }
    }
}

#[cfg(feature = "wgpu")]
mod wgpu {
    use super::{BurnDevice, Weights, f16};
    use cubecl::wgpu::WgpuRuntime;
    pub(in super::super::super) static HALF: BurnDevice<burn_wgpu::Wgpu<f16>, WgpuRuntime> =
        BurnDevice::new("burn-wgpu-f16", Weights::Half);
    pub(in super::super::super) static QUANTIZED: BurnDevice<burn_wgpu::Wgpu, WgpuRuntime> =
        BurnDevice::new("burn-wgpu-quantized", Weights::Quantized);
}
#[cfg(feature = "wgpu")]
pub(in super::super) use wgpu::{HALF as WGPU_HALF, QUANTIZED as WGPU_QUANTIZED};

#[cfg(feature = "cuda")]
mod cuda {
    use super::{BurnDevice, Weights, f16};
    use cubecl::cuda::CudaRuntime;
    pub(in super::super::super) static HALF: BurnDevice<burn_cuda::Cuda<f16>, CudaRuntime> =
        BurnDevice::new("burn-cuda-f16", Weights::Half);
    pub(in super::super::super) static QUANTIZED: BurnDevice<burn_cuda::Cuda, CudaRuntime> =
        BurnDevice::new("burn-cuda-quantized", Weights::Quantized);
}
#[cfg(feature = "cuda")]
pub(in super::super) use cuda::{HALF as CUDA_HALF, QUANTIZED as CUDA_QUANTIZED};

impl Weights {
    fn accepts(self, p: &LinearProblem) -> Result<(), String> {
        match self {
            Weights::Half => dense::accepts(p).and_then(|()| fits(p)),
            Weights::Quantized if p.n.is_multiple_of(4) => peer::accepts(p),
            Weights::Quantized => Err("takes N that is a multiple of 4".into()),
        }
    }

    /// The weights, `[K, N]`.
    fn tensor<B: Backend>(self, p: &LinearProblem) -> Result<Tensor<B, 2>, String> {
        match self {
            Weights::Half => floating(p),
            Weights::Quantized => peer::quantized(p, QuantStore::PackedU32(0)),
        }
    }
}

/// Whether both sides and all sums are within f16.
fn fits(p: &LinearProblem) -> Result<(), String> {
    let value = dense::value(p)?;
    let weights: Vec<f32> = (0..p.n * p.k).map(|at| value(at / p.k, at % p.k)).collect();
    let (least, most) = F16;
    let (mut norms, mut outside) = ([0.0f64; 2], false);
    for (values, norm) in [dense::activations(p), weights].iter().zip(&mut norms) {
        outside |= values.iter().any(|v| *v != 0.0 && !(least..=most).contains(&v.abs()));
        let rows = values.chunks(p.k.max(1));
        let squares = rows.map(|row| row.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>());
        *norm = squares.fold(0.0, f64::max).sqrt();
    }
    match outside || norms[0] * norms[1] > f64::from(most) {
        true => Err("has values or sums that f16 does not hold".into()),
        false => Ok(()),
    }
}

impl<B, R> Kernel<Linear> for BurnDevice<B, R>
where
    B: Backend,
    R: Device,
{
    fn name(&self) -> &'static str {
        self.name
    }
    fn is_peer(&self) -> bool {
        true
    }
    fn need(&self) -> Need {
        R::NEED
    }
    fn threads(&self) -> Threads {
        Threads::Own
    }
    fn determinism(&self) -> Determinism {
        Determinism { runs: false, ..Determinism::REPEATABLE }
    }
    fn arithmetic(&self, _: &LinearProblem) -> Arithmetic {
        Arithmetic { operands: Operands::Short { bits: BITS }, ..Arithmetic::FLOAT_GPU }
    }
    fn accepts(&self, p: &LinearProblem) -> Result<(), String> {
        classic_activation(p)?;
        if [p.m, p.n, p.k].contains(&0) {
            return Err("takes no size of 0".into());
        }
        self.weights.accepts(p)
    }
    fn prepare<'p>(
        &self,
        p: &'p LinearProblem,
        context: &mut Context,
    ) -> Result<Box<dyn Prepared + 'p>, Failure> {
        let client = crate::cube::Client::<R>::open(context)?;
        let caches = R::has_caches(context.hardware());
        let x = TensorData::new(dense::activations(p), [p.m, p.k]);
        let made = guarded("upload", || {
            let x = Tensor::<B, 2>::from_data(x, &Default::default());
            self.weights.tensor::<B>(p).map(|w| (x, w))
        });
        let (x, w) = made??;
        Ok(Box::new(Matmul { client, caches, x, w, y: None }))
    }
}

struct Matmul<B: Backend, R: Device> {
    client: crate::cube::Client<R>,
    caches: bool,
    x: Tensor<B, 2>,
    w: Tensor<B, 2>,
    y: Option<Tensor<B, 2>>,
}

impl<B: Backend, R: Device> Prepared for Matmul<B, R> {
    fn launch(&mut self) -> Result<(), Failure> {
        let (x, w) = (self.x.clone(), self.w.clone());
        self.y = Some(guarded("matmul", || x.matmul(w))?);
        Ok(())
    }
    fn sync(&mut self) -> Result<(), Failure> {
        guarded("sync", || B::sync(&B::Device::default()))?
            .map_err(|e| Failure(format!("sync: {e:?}")))
    }
    fn forget(&mut self) -> Result<(), Failure> {
        self.y = None;
        Ok(())
    }
    fn read(&mut self) -> Result<Outputs, Failure> {
        let y = self.y.clone().ok_or_else(|| Failure("read before a launch".into()))?;
        self.sync()?;
        let y = guarded("read", || y.into_data().convert::<f32>().into_vec())?;
        let y = y.map_err(|e| Failure(format!("read a tensor: {e:?}")))?;
        Ok(Outputs(vec![("y", op::Tensor::F32(y))]))
    }
    fn device_clock(&self) -> bool {
        R::has_clock(self.client.launcher())
    }
    fn device_time(&mut self) -> Result<f64, Failure> {
        let (x, w, made) = (self.x.clone(), self.w.clone(), Mutex::new(None));
        let keep = |y| *made.lock().unwrap_or_else(PoisonError::into_inner) = Some(y);
        let time = R::timed(&self.client, &|_| keep(x.clone().matmul(w.clone())))?;
        self.y = made.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(time)
    }
    fn device_caches(&self) -> bool {
        self.caches
    }
    fn evict(&mut self) -> Result<(), Failure> {
        crate::cube::evict(&self.client)
    }
    fn device_bytes(&self) -> Option<u64> {
        self.client.bytes_in_use()
    }
}
