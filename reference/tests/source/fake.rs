//! Fake quantization with a straight-through forward (seed 002, lines 3540-3643), on the CPU
//! backend the golden file was made with: eight partial sums, folded in pairs.
use super::quantize::EPSILON;

/// A sum as `ndarray` makes it.
fn sum(x: &[f32]) -> f32 {
    let mut lanes = [0.0f32; 8];
    let whole = x.chunks_exact(8);
    let rest = whole.remainder();
    whole.for_each(|eight| lanes.iter_mut().zip(eight).for_each(|(lane, x)| *lane += x));
    let pairs = (0..4).fold(0.0, |sum, i| sum + (lanes[i] + lanes[i + 4]));
    rest.iter().fold(pairs, |sum, x| sum + x)
}

/// The mean as that backend makes it, NaN for nothing.
pub(crate) fn mean(x: impl Iterator<Item = f32>) -> f32 {
    let x: Vec<f32> = x.collect();
    sum(&x) / x.len() as f32
}

fn at_least(x: f32, least: f32) -> f32 {
    if x < least { least } else { x }
}

/// `sign(x) * floor(|x| + 0.5)`, which rounds 0.49999997 to 1.
pub(crate) fn round_nearest(x: f32) -> f32 {
    let sign = if x > 0.0 {
        1.0
    } else if x < 0.0 {
        -1.0
    } else {
        0.0 * x
    };
    sign * (x.abs() + 0.5).floor()
}

/// `x + (q - x)`, which is not always `q`.
pub(crate) fn straight_through(x: f32, q: f32) -> f32 {
    x + (q - x)
}

/// Mean times `2 / qmax`, not twice the mean by `qmax`: an ulp apart from the codes' own scale.
pub(crate) fn signed_step(x: &[f32], qmax: f32) -> f32 {
    at_least(mean(x.iter().map(|x| x.abs())) * (2.0 / qmax), EPSILON)
}

/// `symmetric_fake_quant_ste`.
pub(crate) fn signed(x: &[f32], qmax: f32) -> Vec<f32> {
    let step = signed_step(x, qmax);
    let value = |x: &f32| straight_through(*x, clamp(round_nearest(x / step), -qmax, qmax) * step);
    x.iter().map(value).collect()
}

fn clamp(x: f32, least: f32, most: f32) -> f32 {
    if x > most { most } else { at_least(x, least) }
}

/// The step of [`positive`].
pub(crate) fn positive_step(x: &[f32]) -> f32 {
    at_least(mean(x.iter().map(|x| at_least(*x, 0.0))) * (2.0 / 255.0), EPSILON)
}

/// `positive_fake_quant_ste`.
pub(crate) fn positive(x: &[f32]) -> Vec<f32> {
    let step = positive_step(x);
    let value = |x: &f32| {
        let code = clamp(round_nearest(at_least(*x, 0.0) / step), 0.0, 255.0);
        straight_through(*x, code * step)
    };
    x.iter().map(value).collect()
}

/// The scale of [`binary`] and [`ternary`].
pub(crate) fn scale(x: &[f32]) -> f32 {
    at_least(mean(x.iter().map(|x| x.abs())), EPSILON)
}

fn sign(x: f32) -> f32 {
    if x >= 0.0 { 1.0 } else { -1.0 }
}

/// `binary_fake_quant_ste`.
pub(crate) fn binary(x: &[f32]) -> Vec<f32> {
    let scale = scale(x);
    x.iter().map(|x| straight_through(*x, sign(*x) * scale)).collect()
}

/// `ternary_absmean_fake_quant_ste`: `|x| / scale >= 1`, where the codes have `|x| >= scale`.
pub(crate) fn ternary(x: &[f32]) -> Vec<f32> {
    let scale = scale(x);
    let active = |x: f32| if x.abs() / scale >= 1.0 { 1.0 } else { 0.0 };
    x.iter().map(|x| straight_through(*x, sign(*x) * active(*x) * scale)).collect()
}
