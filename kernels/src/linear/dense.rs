//! Weights as signed bytes or f32, for rows whose library knows no packed weights.
//!
//! Everything here happens once, in `prepare`.
use lowbit_reference::op::linear::{Activation, LinearProblem, PackedWeight};

/// Reads code `i` of a packed row.
type Code = fn(&[u8], usize) -> i8;

fn decoder(weight: &PackedWeight) -> Result<Code, String> {
    match weight.format.name() {
        "sign1" => Ok(|row, i| if (row[i / 8] >> (i % 8)) & 1 == 1 { 1 } else { -1 }),
        "ternary2" => Ok(|row, i| ((row[i / 4] >> (2 * (i % 4))) & 3).cast_signed() - 1),
        "int8" => Ok(|row, i| row[i].cast_signed()),
        other => Err(format!("unpacks sign1, ternary2 and int8, not {other}")),
    }
}

/// Whether the weights can be unpacked here.
pub(super) fn accepts(problem: &LinearProblem) -> Result<(), String> {
    decoder(&problem.weight).map(drop)
}

/// The codes of the weights, `[N, K]`.
#[cfg(feature = "peers")]
pub(super) fn codes(weight: &PackedWeight) -> Result<Vec<i8>, String> {
    let code = decoder(weight)?;
    let row = |j| (0..weight.k).map(move |k| code(weight.row(j), k));
    Ok((0..weight.n).flat_map(row).collect())
}

/// `code * scale` of row `j`, column `k` of the weights.
pub(super) fn value(
    weight: &PackedWeight,
) -> Result<impl Fn(usize, usize) -> f32 + Copy + '_, String> {
    let code = decoder(weight)?;
    Ok(move |j: usize, k: usize| f32::from(code(weight.row(j), k)) * weight.scale(j))
}

/// The activations as f32, `[M, K]`: `code * scale`, or as they are.
pub(super) fn activations(problem: &LinearProblem) -> Vec<f32> {
    match &problem.activation {
        Activation::F32 => problem.activation_f32.clone(),
        Activation::Int8 { codes, .. } => {
            let scale = |i: usize| problem.activation_scale(i / problem.k);
            let value = |(i, code): (usize, &i8)| f32::from(*code) * scale(i);
            codes.iter().enumerate().map(value).collect()
        }
    }
}
