//! The orthonormal Walsh-Hadamard transform of rows of a power of two:
//! `y[i] = n^-1/2 sum_j (-1)^popcount(i & j) x[j]`, by the fast transform, in f64.
//!
//! It is symmetric and orthogonal, hence its own inverse, and keeps the norm of a row. Used ahead
//! of the quantization of activations by BitNet v2 (arXiv 2504.18415, H-BitLinear). NaN and
//! infinities spread over their row as IEEE has it.
mod operation;
use crate::invalid::Invalid;
pub use operation::{HadamardProblem, HadamardReference, HadamardTransform, SPEC};

/// Transform each row of `row_len` values.
pub fn hadamard(x: &[f64], row_len: usize) -> Result<Vec<f64>, Invalid> {
    if !row_len.is_power_of_two() {
        return Err(Invalid::new("row_len", row_len, "a power of two"));
    }
    if !x.len().is_multiple_of(row_len) {
        let allowed = format!("whole rows of {row_len} values");
        return Err(Invalid::new("x", format!("{} values", x.len()), allowed));
    }
    let mut y = x.to_vec();
    y.chunks_exact_mut(row_len).for_each(transform);
    Ok(y)
}

/// [`hadamard`] of f32 values, rounded once.
pub fn hadamard_f32(x: &[f32], row_len: usize) -> Result<Vec<f32>, Invalid> {
    let wide: Vec<f64> = x.iter().copied().map(f64::from).collect();
    Ok(hadamard(&wide, row_len)?.into_iter().map(|y| y as f32).collect())
}

/// Sums and differences of pairs 1, 2, 4, ... apart, then one division by the square root.
fn transform(row: &mut [f64]) {
    let mut distance = 1;
    while distance < row.len() {
        for pair in row.chunks_exact_mut(2 * distance) {
            let (left, right) = pair.split_at_mut(distance);
            for (a, b) in left.iter_mut().zip(right) {
                (*a, *b) = (*a + *b, *a - *b);
            }
        }
        distance *= 2;
    }
    let root = (row.len() as f64).sqrt();
    row.iter_mut().for_each(|y| *y /= root);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(len: usize) -> Vec<f64> {
        (0..len).map(|i| (i * 7919 % 1009) as f64 / 64.0 - 8.0).collect()
    }

    #[test]
    fn it_is_the_definition() {
        // Multiples of 2^-6 and roots that are powers of two: nothing is rounded.
        for n in [1, 4, 16, 64] {
            let x = values(3 * n);
            let y = hadamard(&x, n).unwrap();
            for (x, y) in x.chunks(n).zip(y.chunks(n)) {
                for (i, y) in y.iter().enumerate() {
                    let sign =
                        |j: usize| if (i & j).count_ones().is_multiple_of(2) { 1.0 } else { -1.0 };
                    let sum: f64 = x.iter().enumerate().map(|(j, x)| sign(j) * x).sum();
                    assert_eq!(*y, sum / (n as f64).sqrt(), "n={n} i={i}");
                }
            }
        }
    }

    #[test]
    fn it_is_its_own_inverse_and_keeps_the_norm() {
        for n in [1usize, 2, 8, 128, 1024] {
            let x = values(2 * n);
            let y = hadamard(&x, n).unwrap();
            // log2(n) additions and two roundings each way, of magnitudes up to sqrt(n) |x|max.
            let bound = 8.0 * n.ilog2().max(1) as f64 * (n as f64).sqrt() * 8.0 * f64::EPSILON;
            for (x, back) in x.iter().zip(hadamard(&y, n).unwrap()) {
                assert!((x - back).abs() <= bound, "n={n}: {x} {back}");
            }
            let norm = |x: &[f64]| x.iter().map(|x| x * x).sum::<f64>();
            assert!((norm(&x) / norm(&y) - 1.0).abs() <= bound, "n={n}");
        }
    }

    #[test]
    fn rows_are_apart_and_errors_name_the_field() {
        let y = hadamard(&[f64::NAN, 1.0, 1.0, 1.0], 2).unwrap();
        assert!(y[0].is_nan() && y[1].is_nan());
        assert_eq!(y[2..], [2.0 / 2f64.sqrt(), 0.0]);
        assert_eq!(hadamard(&[], 8), Ok(Vec::new()));
        for row_len in [0, 3, 12] {
            assert_eq!(hadamard(&[0.0; 12], row_len).unwrap_err().field, "row_len");
        }
        assert_eq!(hadamard(&[0.0; 12], 8).unwrap_err().field, "x");
    }
}
