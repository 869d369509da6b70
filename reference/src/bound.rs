//! Error bounds derived from arithmetic, never tuned.

/// Unit roundoff of f32: half the distance from 1 to the next float.
pub const UNIT: f64 = 1.0 / (1u64 << 24) as f64;

/// Longest chain of f32 additions a row may use for a mean before it must widen or split:
/// the bound of a scale is derived from it.
pub const MAX_CHAIN: usize = 16_384;

/// `n u / (1 - n u)`: relative error of `n` roundings in sequence (Higham, *Accuracy and
/// Stability of Numerical Algorithms*, lemma 3.1). Infinite once `n u` reaches 1.
pub fn gamma(n: usize) -> f64 {
    let nu = n as f64 * UNIT;
    if nu < 1.0 { nu / (1.0 - nu) } else { f64::INFINITY }
}

/// Bound on a dot product of `depth` terms whose absolute products sum to `magnitude`, computed
/// in f32 in any order, plus the roundings of an epilogue. Each operand may itself be a product
/// of a code and a scale (one rounding), each product rounds once, each of `depth` sums once.
pub fn dot(depth: usize, magnitude: f64) -> f64 {
    gamma(depth + 5) * magnitude + f64::from(f32::MIN_POSITIVE)
}

/// Relative bound on a mean of `count` magnitudes: chains of at most [`MAX_CHAIN`] additions, a
/// division and the rule's own two roundings.
pub fn mean(count: usize) -> f64 {
    gamma(count.min(MAX_CHAIN) + 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gamma_is_what_it_says() {
        assert_eq!(gamma(0), 0.0);
        assert!((gamma(1) * 16_777_215.0 - 1.0).abs() < 1e-12);
        assert!(gamma(1 << 24).is_infinite());
    }
}
