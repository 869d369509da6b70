//! Operations on NaN, infinities and tensors that are empty, huge or oddly shaped: each has a
//! stated result or an error that names the field. One row of a table is one such call.
mod layers;
mod quantizers;
mod weights;
use lowbit_reference::invalid::Invalid;

const NAN: f32 = f32::NAN;
const INF: f32 = f32::INFINITY;
const HUGE: usize = usize::MAX;

/// What a call must answer: values, or an error in a field.
type Want<'a> = Result<&'a [f32], &'a str>;

/// A call by name, what it answered and what it must answer.
type Row<'a> = (&'a str, Result<Vec<f32>, Invalid>, Want<'a>);

/// Holds answers against a table: NaN is NaN, and 0 is 0 of either sign.
#[track_caller]
pub(crate) fn check<const N: usize>(rows: [Row; N]) {
    let same = |(x, y): (&f32, &f32)| x == y || (x.is_nan() && y.is_nan());
    for (name, got, want) in rows {
        match (&got, want) {
            (Ok(got), Ok(want)) => {
                let equal = got.len() == want.len() && got.iter().zip(want).all(same);
                assert!(equal, "{name}: {got:?}, not {want:?}");
            }
            (Err(error), Err(field)) => assert_eq!(error.field, field, "{name}: {error}"),
            _ => panic!("{name}: {got:?}, not {want:?}"),
        }
    }
}

/// Integers or codes as floats.
pub(crate) fn floats<T: Into<f64> + Copy>(
    codes: Result<Vec<T>, Invalid>,
) -> Result<Vec<f32>, Invalid> {
    Ok(codes?.into_iter().map(|code| code.into() as f32).collect())
}
