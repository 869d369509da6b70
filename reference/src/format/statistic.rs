//! Statistics of a block in which a NaN is never lost: it is larger and smaller than everything.

/// The first value that no later one beats; the first NaN if there is one, since nothing compares
/// with it; 0 for an empty block.
pub(super) fn extreme(x: &[f32], beats: impl Fn(f32, f32) -> bool) -> f32 {
    let better = |best, x: f32| if beats(x, best) || x.is_nan() { x } else { best };
    x.iter().copied().reduce(better).unwrap_or(0.0)
}

/// The value of largest magnitude, with its sign.
pub(super) fn signed_absmax(x: &[f32]) -> f32 {
    extreme(x, |x, best| x.abs() > best.abs())
}

/// `max |x|`.
pub(crate) fn absmax(x: &[f32]) -> f32 {
    signed_absmax(x).abs()
}

/// `1 / d`, and 0 for zero: a block of zeros has codes of zero.
pub(super) fn inverse(d: f32) -> f32 {
    if d == 0.0 { 0.0 } else { 1.0 / d }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_equals_wins_and_nan_beats_all() {
        assert_eq!(signed_absmax(&[1.0, -3.0, 3.0]), -3.0);
        assert_eq!(absmax(&[1.0, -3.0, 2.0]), 3.0);
        assert_eq!(extreme(&[0.0, -0.0], |x, best| x < best).to_bits(), 0);
        for x in [[f32::NAN, 9.0, -9.0], [9.0, f32::NAN, -9.0], [1.0, 9.0, f32::NAN]] {
            assert!(signed_absmax(&x).is_nan() && absmax(&x).is_nan());
        }
        assert_eq!(absmax(&[]), 0.0);
        assert_eq!([inverse(-0.0), inverse(4.0)], [0.0, 0.25]);
    }
}
