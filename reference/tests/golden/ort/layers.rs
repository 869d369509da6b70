//! Convolution, pooling and attention.
use super::super::replay::{Replay, float, integers};
use super::Case;
use super::quantized::affine;
use lowbit_reference::bound::{self, UNIT, gamma};
use lowbit_reference::config::viva::AttentionConfig;
use lowbit_reference::invalid::Invalid;
use lowbit_reference::op::attention::{
    AttentionInputs, AttentionShape, CausalAlignment, attention as attend,
};
use lowbit_reference::op::conv2d::{Conv2dShape, conv2d, conv2d_integer};
use lowbit_reference::op::pool2d::{
    Divisor, Pool2dShape, average_pool2d, global_average_pool2d, max_pool2d,
};

fn magnitudes(x: &[f32]) -> Vec<f32> {
    x.iter().map(|x| x.abs()).collect()
}

fn conv_shape(
    case: &Case,
    replay: &mut Replay,
    [batch, channels, height, width]: [usize; 4],
    [outputs, depth, kernel_h, kernel_w]: [usize; 4],
) -> Result<Conv2dShape, Invalid> {
    let groups = case.attribute(replay, "group").map_or(1, super::size);
    Invalid::check_range("w.shape[1]", depth, (channels / groups, channels / groups))?;
    let window = case.window(replay, [kernel_h, kernel_w]);
    Ok(Conv2dShape { batch, channels, input: [height, width], outputs, groups, window })
}

pub(crate) fn conv(case: &Case, replay: &mut Replay) -> Result<(), Invalid> {
    let (x, w) = (case.input(replay, "x")?, case.input(replay, "w")?);
    let shape = conv_shape(case, replay, x.dims(), w.dims())?;
    let (x, w) = (x.floats(), w.floats());
    let y = conv2d(&shape, &x, &w, None)?;
    // The products' magnitudes sum to the convolution of the magnitudes.
    let magnitude = conv2d(&shape, &magnitudes(&x), &magnitudes(&w), None)?;
    let depth = shape.depth()?;
    let bounds: Vec<f64> = magnitude.iter().map(|m| bound::dot(depth, f64::from(*m))).collect();
    case.floats(replay, 0, &shape.output_shape()?, &y, Some(&bounds));
    Ok(())
}

pub(crate) fn conv_integer(case: &Case, replay: &mut Replay) -> Result<(), Invalid> {
    affine(case, replay, ("x", "xzp"), |x_input, x, replay| {
        affine(case, replay, ("w", "wzp"), |w_input, w, replay| {
            let shape = conv_shape(case, replay, x_input.dims(), w_input.dims())?;
            let y = conv2d_integer(&shape, x, w)?;
            case.integers(replay, (0, "int32"), &shape.output_shape()?, y);
            Ok(())
        })
    })
}

fn pool_shape(
    case: &Case,
    replay: &mut Replay,
    [batch, channels, height, width]: [usize; 4],
) -> Result<Pool2dShape, Invalid> {
    let kernel: Vec<usize> = case.attribute(replay, "kernel_shape").map_or(vec![1; 2], integers);
    let window = case.window(replay, [kernel[0], kernel[1]]);
    let ceil_mode = case.flag(replay, "ceil_mode")?;
    Ok(Pool2dShape { batch, channels, input: [height, width], window, ceil_mode })
}

pub(crate) fn max_pool(case: &Case, replay: &mut Replay) -> Result<(), Invalid> {
    let x = case.input(replay, "x")?;
    let shape = pool_shape(case, replay, x.dims())?;
    let y = max_pool2d(&shape, &x.floats())?;
    case.floats(replay, 0, &shape.output_shape()?, &y, None);
    Ok(())
}

/// A mean of `count` values rounds in every sum and in the division.
fn mean_bounds(count: usize, magnitudes: &[f32]) -> Vec<f64> {
    magnitudes.iter().map(|m| gamma(count + 1) * f64::from(*m)).collect()
}

pub(crate) fn average_pool(case: &Case, replay: &mut Replay) -> Result<(), Invalid> {
    let x = case.input(replay, "x")?;
    let shape = pool_shape(case, replay, x.dims())?;
    let padded = case.flag(replay, "count_include_pad")?;
    let divisor = if padded { Divisor::Padded } else { Divisor::Valid };
    let y = average_pool2d(&shape, divisor, &x.floats())?;
    let magnitude = average_pool2d(&shape, divisor, &magnitudes(&x.floats()))?;
    let bounds = mean_bounds(shape.window.kernel.iter().product(), &magnitude);
    case.floats(replay, 0, &shape.output_shape()?, &y, Some(&bounds));
    Ok(())
}

pub(crate) fn global_average_pool(case: &Case, replay: &mut Replay) -> Result<(), Invalid> {
    let x = case.input(replay, "x")?;
    let input @ [batch, channels, height, width] = x.dims();
    let y = global_average_pool2d(input, &x.floats())?;
    let magnitude = global_average_pool2d(input, &magnitudes(&x.floats()))?;
    let bounds = mean_bounds(height * width, &magnitude);
    case.floats(replay, 0, &[batch, channels, 1, 1], &y, Some(&bounds));
    Ok(())
}

pub(crate) fn attention(case: &Case, replay: &mut Replay) -> Result<(), Invalid> {
    let [q, k, v] = ["Q", "K", "V"].map(|name| case.input(replay, name));
    let (q, k, v) = (q?, k?, v?);
    let [batch, heads, query_len, head_dim] = q.dims();
    let key_dims @ [.., kv_heads, key_len, _] = k.dims::<4>();
    let [.., value_dim] = v.dims::<4>();
    if key_dims != [batch, kv_heads, key_len, head_dim]
        || v.dims() != [batch, kv_heads, key_len, value_dim]
    {
        return Err(Invalid::new("K, V", format!("{key_dims:?}"), "shapes that fit"));
    }
    let mut config = AttentionConfig::new(heads, head_dim);
    config.causal = case.flag(replay, "is_causal")?;
    config.scale = case.attribute(replay, "scale").map(|scale| f64::from(float(scale)));
    let alignment = CausalAlignment::TopLeft;
    let shape = AttentionShape {
        config,
        batch,
        kv_heads,
        query_len,
        key_len,
        value_dim,
        alignment,
        seed: 0,
    };
    let (q, k, v) = (q.floats(), k.floats(), v.floats());
    let y = attend(&shape, &AttentionInputs { q: &q, k: &k, v: &v })?;
    let magnitude = attend(&shape, &AttentionInputs { q: &q, k: &k, v: &magnitudes(&v) })?;
    let relative = relative_bound(&shape, &q, &k);
    let bounds: Vec<f64> = magnitude.iter().map(|m| relative * f64::from(*m)).collect();
    case.floats(replay, 0, &[batch, heads, query_len, value_dim], &y, Some(&bounds));
    Ok(())
}

/// Bound of an f32 attention relative to `sum p |v|`.
///
/// A score is at most `m = |scale| max |q| max |k|` (Cauchy-Schwarz). Its error is at most
/// `gamma(D + 8) m`: D products and sums, and q and k each multiplied by a rounded root of the
/// scale. Less the maximum it is at most 2 m and rounds once more, and `exp` is taken to be right
/// to 4 units in the last place. If the logarithms of all weights are off by at most e, a
/// normalized weight is off by at most `exp(2 e) - 1`; its sum, the division and the product with
/// V round `2 L + 4` times in all.
fn relative_bound(shape: &AttentionShape, q: &[f32], k: &[f32]) -> f64 {
    let norm = |row: &[f32]| row.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
    let longest = |x: &[f32]| x.chunks(shape.config.head_dim).map(norm).fold(0.0, f64::max);
    let most = shape.config.softmax_scale().abs() * longest(q) * longest(k);
    let score = gamma(shape.config.head_dim + 8) * most;
    let weight = (2.0 * (score + 2.0 * UNIT * most + 8.0 * UNIT)).exp_m1();
    let sums = gamma(2 * shape.key_len + 4);
    weight * (1.0 + sums) + sums
}
