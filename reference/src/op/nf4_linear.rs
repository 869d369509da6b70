//! `Y[M, N] = X[M, K] dequant(W)[N, K]^T` with an NF4 weight.
//!
//! The weight is one run of blocks over its row-major values, as in bitsandbytes: where `K` is no
//! multiple of the block size a block goes on in the next row. (viva_tensor quantizes so, too, but
//! multiplies by absmax `[k / B][n]`.) Weights are dequantized to f32, `table[code] * absmax`; sums
//! are f64, rounded once.
use super::exact::f64_dot;
use super::shape;
use crate::format::nf4::Nf4Tensor;
use crate::invalid::Invalid;

/// A complete product.
#[derive(Clone, Copy, Debug)]
pub struct Nf4Linear<'a> {
    /// Tokens.
    pub m: usize,
    /// Output features.
    pub n: usize,
    /// Depth.
    pub k: usize,
    /// `[M, K]`, row-major.
    pub x: &'a [f32],
    /// `[N, K]`, row-major.
    pub weight: &'a Nf4Tensor,
}

impl Nf4Linear<'_> {
    /// `Y`, `[M, N]`. NaN and infinities go through as IEEE has it.
    pub fn forward(&self) -> Result<Vec<f32>, Invalid> {
        Invalid::check_range("k", self.k, (1, usize::MAX))?;
        Invalid::check_len("x", self.x.len(), &[self.m, self.k])?;
        Invalid::check_len("weight", self.weight.len(), &[self.n, self.k])?;
        shape::values("y", &[self.m, self.n])?;
        let weight = self.weight.dequantize();
        let row = |x| weight.chunks(self.k).map(move |w| f64_dot(x, w) as f32);
        Ok(self.x.chunks(self.k).flat_map(row).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::codebook::Table;
    use crate::format::nf4::{Nf4, Nibbles};
    use crate::op::exact::exact_linear;

    fn values(len: usize, seed: usize) -> Vec<f32> {
        (0..len).map(|i| ((i * 7919 + seed * 104_729) % 1009) as f32 / 504.0 - 1.0).collect()
    }

    fn nf4(nibbles: Nibbles) -> Nf4 {
        Nf4::new(Table::Nf4, 32, None, nibbles).unwrap()
    }

    #[test]
    fn it_is_the_exact_product_of_the_dequantized_weight() {
        // Rows of 40 in blocks of 32: blocks go on in the next row.
        let (m, n, k) = (3, 5, 40);
        let (x, w) = (values(m * k, 1), values(n * k, 2));
        for nibbles in [Nibbles::HighFirst, Nibbles::LowFirst] {
            let weight = nf4(nibbles).quantize(&w);
            let y = Nf4Linear { m, n, k, x: &x, weight: &weight }.forward().unwrap();
            let want = exact_linear(&x, &weight.dequantize(), [m, n, k]).unwrap();
            for (y, want) in y.iter().zip(want) {
                // Both are within half an ulp of sums that differ by far less.
                assert!((y - want).abs() <= crate::rule::ulp(want), "{y} {want}");
            }
        }
    }

    #[test]
    fn each_weight_has_the_absmax_of_its_block() {
        // Blocks of magnitudes 1, 2, 4, ...: a token with a single one reads code and absmax.
        let (n, k) = (4, 40);
        let w: Vec<f32> = (0..n * k).map(|i| 2f32.powi(i32::try_from(i / 32).unwrap())).collect();
        let weight = nf4(Nibbles::HighFirst).quantize(&w);
        for at in 0..k {
            let x: Vec<f32> = (0..k).map(|i| f32::from(u8::from(i == at))).collect();
            let y = Nf4Linear { m: 1, n, k, x: &x, weight: &weight }.forward().unwrap();
            let column: Vec<f32> = w.iter().skip(at).step_by(k).copied().collect();
            assert_eq!(y, column, "{at}");
        }
    }

    #[test]
    fn errors_name_the_field() {
        let weight = nf4(Nibbles::HighFirst).quantize(&values(80, 1));
        let field = |m, n, k, len| {
            let x = values(len, 2);
            Nf4Linear { m, n, k, x: &x, weight: &weight }.forward().map_err(|error| error.field)
        };
        assert!(field(1, 2, 40, 40).is_ok());
        assert_eq!(field(1, 2, 40, 41), Err("x".into()));
        assert_eq!(field(1, 3, 40, 40), Err("weight".into()));
        assert_eq!(field(0, 0, 0, 0), Err("k".into()));
        assert_eq!(field(1, usize::MAX, 2, 2), Err("weight".into()));
        // 80 by 2^22 outputs of depth 1.
        assert_eq!(field(1 << 22, 80, 1, 1 << 22), Err("y".into()));
    }
}
