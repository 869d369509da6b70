//! Dot products without any rounding but the last: a second opinion on the f64 loops.
//!
//! Every finite float is an integer times a power of two, `m 2^e` with `|m| < 2^24` and
//! `-149 <= e <= 104`, so a product is an integer times a power from `2^-298` to `2^208`, and a
//! sum of products is one big integer times `2^-298`. It is rounded to the nearest float once,
//! ties to even, subnormals and overflow to infinity as IEEE 754 has them. A sum of zero is +0.
use super::shape;
use crate::format::minifloat::power_of_two;
use crate::invalid::Invalid;
use num_bigint::{BigInt, Sign};

/// The exponent of the least product: `2^-149` squared.
const UNIT_EXPONENT: i32 = -298;

/// `sum x w`, exact: an integer times `2^-298`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExactSum(BigInt);

impl ExactSum {
    /// The f32 nearest to it.
    pub fn to_f32(&self) -> f32 {
        self.nearest(24, -149) as f32
    }

    /// The f64 nearest to it.
    pub fn to_f64(&self) -> f64 {
        self.nearest(53, -1074)
    }

    /// The nearest number of `precision` bits that is a multiple of `2^least`, as an f64, which
    /// holds it exactly; overflow to infinity is left to the cast.
    fn nearest(&self, precision: i32, least: i32) -> f64 {
        let magnitude = self.0.magnitude();
        let bits = i32::try_from(magnitude.bits()).unwrap_or(i32::MAX);
        let exponent = (UNIT_EXPONENT + bits - precision).max(least).max(UNIT_EXPONENT);
        let dropped = exponent - UNIT_EXPONENT;
        let floor = magnitude >> dropped;
        let rest = magnitude - (&floor << dropped);
        let half = num_bigint::BigUint::from(1u8) << (dropped - 1).max(0);
        let up = dropped > 0 && (rest > half || (rest == half && floor.bit(0)));
        let mantissa = (floor + u8::from(up)).iter_u64_digits().next().unwrap_or(0);
        let value = mantissa as f64 * power_of_two(exponent);
        if self.0.sign() == Sign::Minus { -value } else { value }
    }
}

/// A finite float as `(m, e)`, the number `m 2^e`, with `e >= -149`.
fn decompose(x: f32) -> (i64, i32) {
    let bits = x.to_bits();
    let (biased, fraction) = ((bits >> 23) & 0xff, i64::from(bits & 0x7f_ffff));
    let (mantissa, exponent) = match biased {
        0 => (fraction, -149),
        _ => (fraction | 1 << 23, biased.cast_signed() - 150),
    };
    (if x.is_sign_negative() { -mantissa } else { mantissa }, exponent)
}

/// `sum x[k] w[k]`, exact. The floats must be finite and as many on either side.
pub fn exact_dot(x: &[f32], w: &[f32]) -> Result<ExactSum, Invalid> {
    Invalid::check_len("w", w.len(), &[x.len()])?;
    Invalid::check_finite("x", x)?;
    Invalid::check_finite("w", w)?;
    let product = |(x, w): (&f32, &f32)| {
        let ((mx, ex), (mw, ew)) = (decompose(*x), decompose(*w));
        BigInt::from(mx * mw) << (ex + ew - UNIT_EXPONENT)
    };
    Ok(ExactSum(x.iter().zip(w).map(product).sum()))
}

/// The f64 loop that operations use: products are exact in f64, each addition rounds.
pub fn f64_dot(x: &[f32], w: &[f32]) -> f64 {
    x.iter().zip(w).fold(0.0, |sum, (x, w)| sum + f64::from(*x) * f64::from(*w))
}

/// `Y[M, N] = X[M, K] W[N, K]^T`, every element rounded once. `shape` is `[M, N, K]`.
pub fn exact_linear(x: &[f32], w: &[f32], [m, n, k]: [usize; 3]) -> Result<Vec<f32>, Invalid> {
    Invalid::check_range("k", k, (1, usize::MAX))?;
    Invalid::check_len("x", x.len(), &[m, k])?;
    Invalid::check_len("w", w.len(), &[n, k])?;
    shape::values("y", &[m, n])?;
    let outputs = x.chunks(k).flat_map(|x| w.chunks(k).map(move |w| exact_dot(x, w)));
    outputs.map(|sum| sum.map(|sum| sum.to_f32())).collect()
}

/// `sum x[k] w[k]` of integers; an error if it does not fit 128 bits.
pub fn exact_integer_dot<T: Copy + Into<i64>>(x: &[T], w: &[T]) -> Result<i128, Invalid> {
    Invalid::check_len("w", w.len(), &[x.len()])?;
    let product = |(x, w): (&T, &T)| i128::from((*x).into()) * i128::from((*w).into());
    x.iter()
        .zip(w)
        .map(product)
        .try_fold(0i128, i128::checked_add)
        .ok_or_else(|| Invalid::new("sum", "above 2^127", "a sum that fits 128 bits"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bound;

    fn dot(x: &[f32], w: &[f32]) -> ExactSum {
        exact_dot(x, w).unwrap()
    }

    fn magnitude(x: &[f32], w: &[f32]) -> f64 {
        x.iter().zip(w).map(|(x, w)| (f64::from(*x) * f64::from(*w)).abs()).sum()
    }

    /// Deterministic bits, uniform (splitmix64).
    fn bits(state: &mut u64) -> u64 {
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A float of either sign with a full mantissa and an exponent `from..=to` (biased).
    fn float(state: &mut u64, (from, to): (u64, u64)) -> f32 {
        let exponent = from + bits(state) % (to - from + 1);
        let rest = bits(state) & 0x807f_ffff;
        f32::from_bits(u32::try_from(exponent << 23 | rest).unwrap())
    }

    #[test]
    fn one_product_is_ieees() {
        // A product of two floats is exact in f64 unless it is below 2^-1022, which it never is.
        let mut state = 1;
        for exponents in [(0, 0), (0, 1), (1, 254), (100, 150), (254, 254)] {
            for _ in 0..2000 {
                let [x, w] = [0; 2].map(|_| float(&mut state, exponents));
                let want = f64::from(x) * f64::from(w);
                let got = dot(&[x], &[w]);
                assert_eq!(got.to_f64(), want, "{x:e} {w:e}");
                assert_eq!(got.to_f32(), want as f32, "{x:e} {w:e}");
            }
        }
    }

    #[test]
    fn one_addition_is_ieees() {
        // x + y through `x 1 + y 1`: the hardware rounds such a sum once.
        let mut state = 2;
        for exponents in [(0, 3), (1, 254), (120, 130), (250, 254)] {
            for _ in 0..2000 {
                let [x, y] = [0; 2].map(|_| float(&mut state, exponents));
                assert_eq!(dot(&[x, y], &[1.0, 1.0]).to_f32(), x + y, "{x:e} {y:e}");
            }
        }
    }

    #[test]
    fn roundings_are_to_even_and_at_the_limits() {
        let one = |terms: &[f32]| dot(terms, &vec![1.0; terms.len()]).to_f32();
        let ulp = f32::EPSILON;
        // Halfway above an even and above an odd mantissa; a hair more than halfway.
        assert_eq!(one(&[1.0, ulp / 2.0]), 1.0);
        assert_eq!(one(&[1.0 + ulp, ulp / 2.0]), 1.0 + 2.0 * ulp);
        assert_eq!(one(&[1.0, ulp / 2.0, f32::from_bits(1)]), 1.0 + ulp);
        assert_eq!(one(&[-1.0, -ulp / 2.0, -f32::from_bits(1)]), -1.0 - ulp);
        // Half of the smallest subnormal is zero, three quarters is the smallest subnormal.
        let least = f32::from_bits(1);
        assert_eq!(dot(&[least], &[0.5]).to_f32().to_bits(), 0);
        assert_eq!(dot(&[least], &[0.75]).to_f32(), least);
        assert_eq!(dot(&[least], &[least]).to_f64(), 2f64.powi(-298));
        // Overflow is infinity from half an ulp above the largest float.
        let half_ulp = 2f32.powi(103);
        assert_eq!(one(&[f32::MAX, half_ulp]), f32::INFINITY);
        assert_eq!(one(&[f32::MAX, half_ulp, -1.0]), f32::MAX);
        assert_eq!(one(&[-f32::MAX, -f32::MAX]), f32::NEG_INFINITY);
        // Zero is +0, whatever it is made of.
        assert_eq!(one(&[-0.0]).to_bits(), 0);
        assert_eq!(one(&[]).to_bits(), 0);
        assert_eq!(one(&[1.5, -1.5]).to_bits(), 0);
    }

    /// `n` f64 additions of exact products: within `gamma(n)` of the magnitude in f64 (Higham,
    /// lemma 3.1), which is `2^-29` of the f32 one.
    #[test]
    fn the_f64_loop_is_within_its_bound() {
        let mut state = 3;
        let mut inexact = 0;
        for exponents in [(110, 130), (0, 2), (240, 254), (1, 254)] {
            for cancel in [false, true] {
                let mut x: Vec<f32> = (0..500).map(|_| float(&mut state, exponents)).collect();
                let mut w: Vec<f32> = (0..500).map(|_| float(&mut state, exponents)).collect();
                if cancel {
                    // Every term has its opposite, and one of them has moved by an ulp.
                    x.extend(x.clone().iter().map(|x| -x));
                    w.extend(w.clone());
                    x[0] = f32::from_bits(x[0].to_bits() ^ 1);
                }
                let sum = f64_dot(&x, &w);
                let exact = dot(&x, &w).to_f64();
                let bound = bound::gamma(x.len()) * magnitude(&x, &w) / 2f64.powi(29);
                assert!((sum - exact).abs() <= bound, "{exponents:?}: {sum:e} {exact:e}");
                inexact += usize::from(sum != exact);
            }
        }
        // Otherwise nothing was compared.
        assert!(inexact >= 4, "{inexact}");
    }

    #[test]
    fn exact_partial_sums_are_the_f64_loop_bit_for_bit() {
        let mut state = 4;
        let integer = |state: &mut u64| (bits(state) % 2001) as f32 - 1000.0;
        let x: Vec<f32> = (0..4000).map(|_| integer(&mut state)).collect();
        let w: Vec<f32> = (0..4000).map(|_| integer(&mut state) / 1024.0).collect();
        assert_eq!(dot(&x, &w).to_f64(), f64_dot(&x, &w));
        let linear = exact_linear(&x, &w, [4, 2, 1000]);
        assert!(linear.is_err());
        let linear = exact_linear(&x, &w[..2000], [4, 2, 1000]).unwrap();
        assert_eq!(linear.len(), 8);
        assert_eq!(linear[5], f64_dot(&x[2000..3000], &w[1000..2000]) as f32);
    }

    #[test]
    fn integers_are_exact_and_errors_name_the_field() {
        assert_eq!(exact_integer_dot(&[i64::MIN; 1], &[i64::MIN; 1]), Ok(1i128 << 126));
        assert_eq!(exact_integer_dot(&[i8::MIN, 3], &[i8::MAX, -1]), Ok(-16259));
        let error = exact_integer_dot(&[i64::MIN; 2], &[i64::MIN; 2]).unwrap_err();
        assert_eq!(error.field, "sum");
        assert_eq!(exact_integer_dot(&[1i32], &[1, 2]).unwrap_err().field, "w");
        assert_eq!(exact_dot(&[1.0], &[]).unwrap_err().field, "w");
        assert_eq!(exact_dot(&[1.0, f32::NAN], &[1.0; 2]).unwrap_err().field, "x[1]");
        assert_eq!(exact_dot(&[1.0], &[f32::INFINITY]).unwrap_err().field, "w[0]");
        assert_eq!(exact_linear(&[], &[], [0, 0, 0]).unwrap_err().field, "k");
    }
}
