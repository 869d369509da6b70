//! The top-k mask of BitNet a4.8 (arXiv 2411.04965, eq. 9): of each token the `k = ceil(fraction
//! K)` values of the largest magnitude are kept, ties in favour of the lower index.
//!
//! The product `fraction K` is one f64 product. A NaN ranks below every number, so it is kept only
//! when `k` exceeds the count of numbers. The gradient of the mask is the identity, as that of the
//! quantization is.
mod operation;
use crate::invalid::Invalid;
pub use operation::{SPEC, TopK, TopKProblem};

/// Which values are kept, row by row of `row_len`; `fraction` from 0 to 1.
pub fn top_k_mask(x: &[f32], row_len: usize, fraction: f64) -> Result<Vec<bool>, Invalid> {
    Invalid::check_range("row_len", row_len, (1, usize::MAX))?;
    if !(0.0..=1.0).contains(&fraction) {
        return Err(Invalid::new("fraction", fraction, "from 0 to 1"));
    }
    if !x.len().is_multiple_of(row_len) {
        let allowed = format!("whole rows of {row_len} values");
        return Err(Invalid::new("x", format!("{} values", x.len()), allowed));
    }
    let k = kept(row_len, fraction);
    Ok(x.chunks_exact(row_len).flat_map(|row| mask(row, k)).collect())
}

/// `k` of a row of `row_len` values: the least count that is at least `fraction row_len`, and no
/// more than there are.
#[allow(clippy::cast_sign_loss, reason = "the cast saturates")]
pub fn kept(row_len: usize, fraction: f64) -> usize {
    ((row_len as f64 * fraction).ceil() as usize).min(row_len)
}

fn mask(row: &[f32], k: usize) -> Vec<bool> {
    let rank = |i: &usize| if row[*i].is_nan() { -1.0 } else { row[*i].abs() };
    let mut order: Vec<usize> = (0..row.len()).collect();
    // Stable: equal magnitudes stay in the order of their indices.
    order.sort_by(|a, b| rank(b).total_cmp(&rank(a)));
    let mut mask = vec![false; row.len()];
    order.iter().take(k).for_each(|i| mask[*i] = true);
    mask
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept_at(x: &[f32], row_len: usize, fraction: f64) -> Vec<usize> {
        let mask = top_k_mask(x, row_len, fraction).unwrap();
        mask.iter().enumerate().filter_map(|(i, kept)| kept.then_some(i)).collect()
    }

    #[test]
    fn the_largest_magnitudes_are_kept_and_the_first_of_equals() {
        assert_eq!(kept_at(&[1.0, -3.0, 2.0, 0.0], 4, 0.5), [1, 2]);
        assert_eq!(kept_at(&[2.0, -2.0, 2.0, -2.0], 4, 0.5), [0, 1]);
        assert_eq!(kept_at(&[0.0, -0.0, 1.0], 3, 0.5), [0, 2]);
        assert_eq!(kept_at(&[1.0, 2.0, 4.0, 3.0], 2, 0.5), [1, 2]);
        assert!(kept_at(&[1.0, 2.0, 3.0], 3, 0.0).is_empty());
        assert_eq!(kept_at(&[1.0, 2.0, 3.0], 3, 1.0), [0, 1, 2]);
    }

    #[test]
    fn k_is_rounded_up() {
        assert_eq!(kept(5, 0.5), 3);
        assert_eq!(kept(16, 0.5), 8);
        assert_eq!(kept(16, 0.001), 1);
        assert_eq!(kept(usize::MAX, 1.0), usize::MAX);
        assert_eq!(top_k_mask(&[], usize::MAX, 0.5).unwrap(), [false; 0]);
    }

    #[test]
    fn nan_is_last_and_infinity_first() {
        assert_eq!(kept_at(&[f32::NAN, 0.0, f32::NEG_INFINITY, 1.0], 4, 0.75), [1, 2, 3]);
        assert_eq!(kept_at(&[f32::NAN, -f32::NAN, 1.0, f32::NAN], 4, 0.5), [0, 2]);
    }

    #[test]
    fn errors_name_the_field() {
        let field = |len, row_len, fraction| {
            top_k_mask(&vec![0.0; len], row_len, fraction).unwrap_err().field
        };
        assert_eq!(field(4, 0, 0.5), "row_len");
        assert_eq!(field(4, 3, 0.5), "x");
        assert_eq!(field(4, 4, 1.5), "fraction");
        assert_eq!(field(4, 4, f64::NAN), "fraction");
    }
}
