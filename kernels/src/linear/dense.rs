//! Weights as signed bytes or f32, for rows whose library knows no packed weights.
//!
//! Everything here happens once, in `prepare`.
use super::decode;
use crate::rules::{classic_weight, contiguous};
use lowbit_reference::op::linear::{Activation, LinearProblem};

/// Whether the problem's weights can be unpacked here, and its activations lie as a library takes
/// them.
pub(super) fn accepts(problem: &LinearProblem) -> Result<(), String> {
    contiguous(problem)?;
    decode::code(classic_weight(problem)?.format.name()).map(drop)
}

/// The codes of the weights, `[N, K]`.
#[cfg(feature = "peers")]
pub(super) fn codes(problem: &LinearProblem) -> Result<Vec<i8>, String> {
    let weight = classic_weight(problem)?;
    let code = decode::code(weight.format.name())?;
    let row = |j| (0..weight.k).map(move |k| code(weight.row(j), k) as i8);
    Ok((0..weight.n).flat_map(row).collect())
}

/// The scales of the weights, `[N]`.
#[cfg(feature = "peers")]
pub(super) fn scales(problem: &LinearProblem) -> Result<Vec<f32>, String> {
    let weight = classic_weight(problem)?;
    Ok((0..weight.n).map(|j| weight.scale(j)).collect())
}

/// The weights as f32, `code * scale`, `[N, K]`.
#[cfg(feature = "peers")]
pub(super) fn weights(problem: &LinearProblem) -> Result<Vec<f32>, String> {
    let value = value(problem)?;
    Ok((0..problem.n).flat_map(|j| (0..problem.k).map(move |k| value(j, k))).collect())
}

/// `code * scale` of row `j`, column `k` of the weights.
pub(super) fn value(
    problem: &LinearProblem,
) -> Result<impl Fn(usize, usize) -> f32 + Copy + '_, String> {
    let weight = classic_weight(problem)?;
    let code = decode::code(weight.format.name())?;
    Ok(move |j: usize, k: usize| code(weight.row(j), k) * weight.scale(j))
}

/// The activations as f32, `[M, K]`: `(code - zero_point) * scale`, or as they are. Rows lie one
/// after another.
pub(super) fn activations(problem: &LinearProblem) -> Vec<f32> {
    fn values<T: Copy + Into<i32>>(p: &LinearProblem, codes: &[T]) -> Vec<f32> {
        let value = |(at, code): (usize, &T)| {
            let i = at / p.k;
            ((*code).into() - p.activation_zero_point(i)) as f32 * p.activation_scale(i)
        };
        codes.iter().enumerate().map(value).collect()
    }
    match &problem.activation {
        Activation::F32(_) => problem.activation_f32.clone(),
        Activation::I8(x) => values(problem, &x.codes),
        Activation::U8(x) => values(problem, &x.codes),
    }
}
