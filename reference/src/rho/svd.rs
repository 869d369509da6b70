//! Singular value decomposition `A = U diag(s) Vᵀ` by one-sided Jacobi rotations (Hestenes 1958),
//! in f64.
//!
//! Pairs of columns of `A` are rotated until all are orthogonal; their lengths are the singular
//! values, the directions `U`, and the rotations, collected, `V`. Slow, and accurate to a few
//! units of `2^-52 s[0]`.

/// A decomposition into `min(rows, columns)` terms `s[i] u[i] v[i]ᵀ`, largest first.
#[derive(Clone, Debug, PartialEq)]
pub struct Svd {
    /// Left singular vectors, `rows` long; zero where the singular value is.
    pub u: Vec<Vec<f64>>,
    /// Singular values, at least 0, descending.
    pub s: Vec<f64>,
    /// Right singular vectors, `columns` long.
    pub v: Vec<Vec<f64>>,
}

/// Sweeps over all pairs; convergence is quadratic, and 10 suffice for any matrix met.
const SWEEPS: usize = 60;

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Decompose a row-major matrix of finite values; `columns` values are a row.
pub fn svd(matrix: &[f64], columns: usize) -> Svd {
    let columns = columns.max(1);
    let rows = matrix.len() / columns;
    let row = |i: usize| matrix[i * columns..(i + 1) * columns].to_vec();
    if columns > rows {
        // The rows of A are the columns of its transpose, which has the factors swapped.
        let Svd { u, s, v } = of_columns((0..rows).map(row).collect());
        return Svd { u: v, s, v: u };
    }
    let column = |j: usize| (0..rows).map(|i| matrix[i * columns + j]).collect();
    of_columns((0..columns).map(column).collect())
}

/// Decompose a matrix with at least as many rows as columns, given by its columns.
fn of_columns(mut a: Vec<Vec<f64>>) -> Svd {
    let n = a.len();
    let unit = |i: usize| (0..n).map(|j| f64::from(u8::from(i == j))).collect();
    // Column `i` of V belongs to column `i` of A.
    let mut v: Vec<Vec<f64>> = (0..n).map(unit).collect();
    for _ in 0..SWEEPS {
        let mut rotated = false;
        for p in 0..n {
            for q in p + 1..n {
                rotated |= orthogonalize(&mut a, &mut v, p, q);
            }
        }
        if !rotated {
            break;
        }
    }
    let mut terms: Vec<_> = a.into_iter().zip(v).map(|(a, v)| (dot(&a, &a).sqrt(), a, v)).collect();
    terms.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut out = Svd { u: Vec::new(), s: Vec::new(), v: Vec::new() };
    for (s, a, v) in terms {
        out.u.push(a.into_iter().map(|x| if s > 0.0 { x / s } else { 0.0 }).collect());
        out.s.push(s);
        out.v.push(v);
    }
    out
}

/// Rotates columns `p < q` of both until those of `a` are orthogonal; whether they were not.
fn orthogonalize(a: &mut [Vec<f64>], v: &mut [Vec<f64>], p: usize, q: usize) -> bool {
    let (alpha, beta, gamma) = (dot(&a[p], &a[p]), dot(&a[q], &a[q]), dot(&a[p], &a[q]));
    if gamma.abs() <= f64::EPSILON * (alpha * beta).sqrt() {
        return false;
    }
    let zeta = (beta - alpha) / (2.0 * gamma);
    let tangent = zeta.signum() / (zeta.abs() + zeta.hypot(1.0));
    let cosine = 1.0 / tangent.hypot(1.0);
    let sine = cosine * tangent;
    for columns in [a, v] {
        let (low, high) = columns.split_at_mut(q);
        for (x, y) in low[p].iter_mut().zip(&mut high[0]) {
            (*x, *y) = (cosine * *x - sine * *y, sine * *x + cosine * *y);
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Distribution, Stream, realistic};

    fn normal(rows: usize, columns: usize) -> Vec<f64> {
        let shape = (rows * columns, columns);
        let values = realistic(Distribution::Normal, (5, Stream::State), shape, 1.0);
        values.into_iter().map(f64::from).collect()
    }

    fn product(svd: &Svd, rank: usize, rows: usize, columns: usize) -> Vec<f64> {
        let at = |i: usize, j: usize| -> f64 {
            (0..rank).map(|k| svd.s[k] * svd.u[k][i] * svd.v[k][j]).sum()
        };
        (0..rows * columns).map(|ij| at(ij / columns, ij % columns)).collect()
    }

    fn distance(a: &[f64], b: &[f64]) -> f64 {
        a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt()
    }

    #[test]
    fn singular_values_are_those_found_by_hand() {
        // [[3, 0], [4, 5]]: AᵀA has the eigenvalues 45 and 5.
        let found = svd(&[3.0, 0.0, 4.0, 5.0], 2).s;
        assert!((found[0] - 45f64.sqrt()).abs() < 1e-14 && (found[1] - 5f64.sqrt()).abs() < 1e-14);
        assert_eq!(svd(&[0.0, -2.0, 0.0, 0.0, 0.0, 7.0], 3).s, [7.0, 2.0]);
        assert_eq!(svd(&[], 0).s, [0.0; 0]);
        assert_eq!(svd(&[0.0; 6], 2).s, [0.0; 2]);
    }

    #[test]
    fn factors_are_orthonormal_and_give_the_matrix_back() {
        for (rows, columns) in [(1, 1), (7, 7), (12, 5), (5, 12), (1, 9), (33, 32)] {
            let a = normal(rows, columns);
            let svd = svd(&a, columns);
            let rank = rows.min(columns);
            assert_eq!((svd.u.len(), svd.s.len(), svd.v.len()), (rank, rank, rank));
            // A few roundings for each of the terms summed.
            let bound = 64.0 * f64::EPSILON * svd.s[0] * rank as f64;
            let back = product(&svd, rank, rows, columns);
            assert!(distance(&a, &back) < bound, "{rows}x{columns}");
            for side in [&svd.u, &svd.v] {
                for (i, x) in side.iter().enumerate() {
                    for (j, y) in side.iter().enumerate() {
                        let want = f64::from(u8::from(i == j));
                        let off = (dot(x, y) - want).abs();
                        assert!(off < bound / svd.s[rank - 1], "{rows}x{columns} {i} {j}: {off}");
                    }
                }
            }
            assert!(svd.s.is_sorted_by(|a, b| a >= b));
        }
    }

    #[test]
    fn a_truncated_sum_is_off_by_what_it_leaves_out() {
        let a = normal(12, 9);
        let svd = svd(&a, 9);
        for rank in 0..=9 {
            let left = svd.s[rank..].iter().map(|s| s * s).sum::<f64>().sqrt();
            let found = distance(&a, &product(&svd, rank, 12, 9));
            assert!((found - left).abs() < 1e-13 * svd.s[0], "{rank}: {found} {left}");
        }
    }
}
