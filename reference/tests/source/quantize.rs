//! Scales and codes (seed 002, lines 3490-3535; `bitnet_reference.rs` of the crate).

/// `QUANT_EPSILON`.
pub(crate) const EPSILON: f32 = 1e-8;

/// One f32 addition after another; 0 for nothing.
pub(crate) fn mean(x: impl ExactSizeIterator<Item = f32>) -> f32 {
    let len = x.len();
    if len == 0 { 0.0 } else { x.sum::<f32>() / len as f32 }
}

fn mean_abs(x: &[f32]) -> f32 {
    mean(x.iter().map(|x| x.abs()))
}

/// Twice the mean in `qmax` steps. `max` takes the epsilon where the mean is NaN.
pub(crate) fn signed_scale(x: &[f32], qmax: f32) -> f32 {
    ((mean_abs(x) * 2.0).max(EPSILON) / qmax).max(EPSILON)
}

/// Codes under a scale; NaN becomes 0.
pub(crate) fn signed_codes(x: &[f32], scale: f32, qmax: f32) -> Vec<i8> {
    x.iter().map(|x| (x / scale).round().clamp(-qmax, qmax) as i8).collect()
}

/// Signed codes of any width, weights and activations alike.
pub(crate) fn signed(x: &[f32], qmax: f32) -> (f32, Vec<i8>) {
    let scale = signed_scale(x, qmax);
    (scale, signed_codes(x, scale, qmax))
}

/// `uint8_pos_exp`.
pub(crate) fn positive(x: &[f32]) -> (f32, Vec<u8>) {
    let clamped: Vec<f32> = x.iter().map(|x| x.max(0.0)).collect();
    let scale = ((mean(clamped.iter().copied()) * 2.0).max(EPSILON) / 255.0).max(EPSILON);
    (
        scale,
        clamped
            .iter()
            .map(|x| ((x / scale).round().clamp(0.0, 255.0) as i16).to_le_bytes()[0])
            .collect(),
    )
}

/// The rule that the crate's "reference" forward has and its runtime has not.
pub(crate) fn absmax(x: &[f32]) -> (f32, Vec<i8>) {
    let max = x.iter().map(|x| x.abs()).fold(0.0, f32::max);
    let scale = (max / 127.0).max(EPSILON);
    (scale, signed_codes(x, scale, 127.0))
}

/// Nonzero from the mean on; NaN becomes -1.
pub(crate) fn ternary(x: &[f32]) -> (f32, Vec<i8>) {
    let scale = mean_abs(x).max(EPSILON);
    let code = |x: &f32| match x.abs() < scale {
        true => 0,
        false => sign(*x),
    };
    (scale, x.iter().map(code).collect())
}

/// Signs; NaN becomes -1.
pub(crate) fn binary(x: &[f32]) -> (f32, Vec<i8>) {
    (mean_abs(x).max(EPSILON), x.iter().map(|x| sign(*x)).collect())
}

fn sign(x: f32) -> i8 {
    if x >= 0.0 { 1 } else { -1 }
}

/// A block of rho by the word of its compression.
pub(crate) fn block(compression: &str, x: &[f32]) -> (f32, Vec<i8>) {
    match compression {
        "int8" => absmax(x),
        "ternary" => ternary(x),
        _ => binary(x),
    }
}
