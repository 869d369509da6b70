//! Straight-through estimators on Burn tensors, generic over the backend.
//!
//! Forward: what the quantizer leaves of `x`, to the bit. Backward: the gradient of `x` is the
//! gradient of the output, once, for every value: no mask, saturated values included (Bengio et
//! al., arXiv 1308.3432, as the BitNet papers use it).
//!
//! `q.detach() + (x - x.detach())`: the difference is exactly +0, so the sum is `q` (a `-0` of
//! `q` becomes `+0`). The usual `x + (q - x).detach()` rounds twice and misses `q` where `x` is
//! much larger; `q + x - x.detach()` without the first `detach` doubles the gradient where `q`
//! itself depends on `x`. Where `x` is NaN or infinite the output is NaN.
//!
//! Values are quantized on the host: slow, and the same on every backend.
use crate::fake_quantize::FakeQuantize;
use crate::invalid::Invalid;
use burn::tensor::backend::Backend;
use burn::tensor::{Tensor, TensorData};

/// `q` forward, the gradient of `x` backward.
pub fn straight_through<B: Backend, const D: usize>(
    x: Tensor<B, D>,
    q: Tensor<B, D>,
) -> Tensor<B, D> {
    q.detach() + (x.clone() - x.detach())
}

/// What a quantizer leaves of `x`, straight through. Errors: a shape the quantizer cannot take, a
/// tensor that cannot be read back as f32.
pub fn fake_quantize<B: Backend, const D: usize>(
    quantizer: &dyn FakeQuantize,
    x: Tensor<B, D>,
) -> Result<Tensor<B, D>, Invalid> {
    let (shape, device) = (x.dims(), x.device());
    let values: Vec<f32> = x
        .to_data()
        .convert::<f32>()
        .into_vec()
        .map_err(|error| Invalid::new("x", format!("{error:?}"), "a tensor of floats"))?;
    let left = quantizer.fake_quantize(&values, &shape)?;
    let q = Tensor::from_data(TensorData::new(left, shape), &device);
    Ok(straight_through(x, q))
}
