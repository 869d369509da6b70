//! f32 convolution: products and sums in f64, rounded to f32 once. NaN and infinities follow IEEE.
use super::Conv2dShape;
use crate::invalid::Invalid;

/// `y` of f32 tensors; `bias`, where there is one, has a value per output channel.
pub fn conv2d(
    shape: &Conv2dShape,
    x: &[f32],
    w: &[f32],
    bias: Option<&[f32]>,
) -> Result<Vec<f32>, Invalid> {
    if let Some(bias) = bias {
        Invalid::check_len("bias", bias.len(), &[shape.outputs])?;
    }
    shape.outputs((x.len(), w.len()), |channel, taps| {
        let product = |(x_at, w_at): &(usize, usize)| f64::from(x[*x_at]) * f64::from(w[*w_at]);
        let sum: f64 = taps.iter().map(product).sum();
        (sum + bias.map_or(0.0, |bias| f64::from(bias[channel]))) as f32
    })
}
