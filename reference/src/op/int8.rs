//! INT8 quantization of tensors as [`Int8Config`] has it, and the INT8 product of bitsandbytes.
//!
//! Per tensor (`block_size` 0) or per run of `block_size` values, the last of which may be short:
//!
//! * symmetric: `s = max(absmax / 127, 2^-126)`, `q = clamp(round(x / s), -127, 127)`, `x' = q s`;
//! * asymmetric: the scale and zero point of ONNX DynamicQuantizeLinear, codes 0 to 255,
//!   `x' = (q - z) s`.
//!
//! Rounding is to nearest, ties to even. (The source's own quantizer, symmetric per tensor only,
//! takes ties away from zero, and its native one cuts fractions off, for an error of a whole step.)
//! Values that are not finite are errors.
use super::integer::MatMulShape;
use super::shape;
use crate::config::viva::Int8Config;
use crate::format::Levels;
use crate::invalid::Invalid;
use crate::rule::{Code, Rule, Shared, named::onnx, quantize};

/// Codes of a tensor with their scales.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Int8Tensor {
    /// One code per value: -127 to 127, or 0 to 255 with zero points.
    pub codes: Vec<Code>,
    /// One scale per block.
    pub scales: Vec<f32>,
    /// One zero point per block, 0 if symmetric.
    pub zero_points: Vec<Code>,
    /// Values of a block, at least 1.
    pub block_len: usize,
}

/// How a block becomes a scale, a zero point and codes.
pub(super) fn rule(config: &Int8Config) -> (Rule, Levels) {
    match config.symmetric {
        true => (Rule::default(), Levels::Int8),
        false => (onnx(Levels::Uint8), Levels::Uint8),
    }
}

/// Quantize a tensor.
pub fn quantize_int8(config: &Int8Config, x: &[f32]) -> Result<Int8Tensor, Invalid> {
    config.validate()?;
    Invalid::check_finite("x", x)?;
    let block_len = if config.block_size == 0 { x.len().max(1) } else { config.block_size };
    let (rule, levels) = rule(config);
    let q = quantize(&rule, levels, x, block_len);
    if q.shared.iter().any(|block| !block.scale.is_finite()) {
        return Err(Invalid::new("x", "a wider range", "a range within f32"));
    }
    let (scales, zero_points) = (q.scales(), q.zero_points());
    Ok(Int8Tensor { codes: q.codes, scales, zero_points, block_len })
}

impl Int8Tensor {
    /// The values the codes stand for, each an f32 product. The largest may round past f32 if it
    /// lies within an ulp of the end.
    pub fn dequantize(&self) -> Vec<f32> {
        let shared = self.scales.iter().zip(&self.zero_points).map(|(scale, zero_point)| Shared {
            scale: *scale,
            zero_point: *zero_point,
            ..Shared::default()
        });
        let blocks = self.codes.chunks(self.block_len.max(1)).zip(shared);
        let values = |(codes, shared): (&[Code], Shared)| -> Vec<f32> {
            codes.iter().map(|code| Rule::default().value(*code, &shared)).collect()
        };
        blocks.flat_map(values).collect()
    }
}

/// Codes of the rows of a matrix and the largest magnitude of each.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Int8Rows {
    /// Row-major codes.
    pub codes: Vec<i8>,
    /// One per row.
    pub absmax: Vec<f32>,
}

/// Quantize rows as LLM.int8 does (Dettmers et al. 2022; bitsandbytes): `q = round(x (127 /
/// absmax))`, the quotient first, ties to even. A row of zeros has codes 0. Where the quotient
/// would be infinite (absmax below 127 / 2^128) values other than 0 have codes -127 and 127.
pub fn quantize_rows(x: &[f32], row_len: usize) -> Result<Int8Rows, Invalid> {
    Invalid::check_finite("x", x)?;
    let mut rows = Int8Rows::default();
    for row in x.chunks(row_len.max(1)) {
        let absmax = Rule::default().statistic(Levels::Int8, row);
        let steps = 127.0 / absmax;
        // 0 times infinity is NaN, which a saturating cast makes 0.
        let code = |x: &f32| (x * steps).round_ties_even().clamp(-127.0, 127.0) as i8;
        rows.codes.extend(row.iter().map(code));
        rows.absmax.push(absmax);
    }
    Ok(rows)
}

/// Largest depth whose sum of products of codes -127 to 127 cannot leave i32.
pub const MAX_DEPTH: usize = i32::MAX as usize / (127 * 127);

/// INT8 linear of bitsandbytes: `Y[i, j] = C[i, j] absmax_x[i] absmax_w[j] / 127^2` for x `[M, K]`
/// and w `[N, K]` quantized by rows, where C is the exact i32 product. The epilogue is in f64 and
/// rounds once; bitsandbytes multiplies by `6.200124e-05` in place of `1 / 127^2`.
pub fn int8_linear(shape: MatMulShape, x: &[f32], w: &[f32]) -> Result<Vec<f32>, Invalid> {
    let MatMulShape { m, k, n } = shape;
    Invalid::check_len("x", x.len(), &[m, k])?;
    Invalid::check_len("w", w.len(), &[n, k])?;
    let len = shape::values("y", &[m, n])?;
    Invalid::check_range("k", k, (0, MAX_DEPTH))?;
    let (x, w) = (quantize_rows(x, k)?, quantize_rows(w, k)?);
    let product = |index: usize| {
        let (i, j) = (index / n, index % n);
        let codes = x.codes[i * k..][..k].iter().zip(&w.codes[j * k..][..k]);
        let sum: i32 = codes.map(|(x, w)| i32::from(*x) * i32::from(*w)).sum();
        // Without depth there are no rows to have a largest magnitude.
        let absmax = |rows: &[f32], at: usize| f64::from(rows.get(at).copied().unwrap_or(0.0));
        let scale = absmax(&x.absmax, i) * absmax(&w.absmax, j) / (127.0 * 127.0);
        (f64::from(sum) * scale) as f32
    };
    Ok((0..len).map(product).collect())
}
