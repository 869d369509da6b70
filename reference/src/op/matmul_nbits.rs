//! MatMulNBits of ONNX Runtime with 4-bit weights: `Y[M, N] = A[M, K] W[K, N]`.
//!
//! W is quantized in blocks of `block_size` along K, column by column, so that everything stored
//! is column-major: codes `[N, blocks, block_size / 2]` bytes (`blocks = ceil(K / block_size)`),
//! scales `[N, blocks]`, zero points `[N, ceil(blocks / 2)]` bytes. Two codes a byte, the first in
//! the low four bits; codes past K are 0 and zero points past the last block 8.
//!
//! * symmetric: `s = x_max / -8`, where `x_max` is the value of largest magnitude with its sign
//!   (of two the negative), so that it has code 0 and no zero point is stored (it is 8);
//! * asymmetric: `s = (hi - lo) / 15` with `lo = min(x, 0)`, `hi = max(x, 0)`, and
//!   `z = round(clamp(-lo / s, 0, 15))`;
//! * `q = clamp(round(x (1 / s) + z), 0, 15)` with one f32 rounding per operation and ties away
//!   from zero; `x' = (q - z) s`. A block whose scale is 0, or too small for `1 / s`, has codes z
//!   and values 0.
//!
//! Source: `onnxruntime/core/mlas/lib/q4_dq.cpp`. Weights that are not finite are errors.
use super::shape;
use crate::invalid::Invalid;

/// Weights as MatMulNBits takes them.
#[derive(Clone, Debug, PartialEq)]
pub struct NBitsWeight {
    /// Depth.
    pub k: usize,
    /// Columns.
    pub n: usize,
    /// Values that share a scale: a power of two, at least 16.
    pub block_size: usize,
    /// `[N, blocks, block_size / 2]`.
    pub bytes: Vec<u8>,
    /// `[N, blocks]`.
    pub scales: Vec<f32>,
    /// `[N, ceil(blocks / 2)]`; none is 8 everywhere.
    pub zero_points: Option<Vec<u8>>,
}

/// The zero point of weights that store none.
const MIDDLE: u8 = 8;

/// The code 0 to 15 nearest to a float, ties away from zero; NaN is 0.
fn nearest_code(x: f32) -> u8 {
    (x.round().clamp(0.0, 15.0) as i8).cast_unsigned()
}

/// Scale and zero point of a block.
fn parameters(block: &[f32], symmetric: bool) -> (f32, u8) {
    let least = block.iter().copied().fold(f32::INFINITY, f32::min);
    let most = block.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    if symmetric {
        let largest = if most.abs() > least.abs() { most } else { least };
        return (largest / -8.0, MIDDLE);
    }
    let (least, most) = (least.min(0.0), most.max(0.0));
    let scale = (most - least) / 15.0;
    // Of a scale 0 the quotient is NaN.
    (scale, nearest_code(-least / scale))
}

/// Codes two a byte, low bits first; an odd one is joined by `filler`.
fn pack(codes: &[u8], filler: u8) -> Vec<u8> {
    codes.chunks(2).map(|two| two[0] | two.get(1).copied().unwrap_or(filler) << 4).collect()
}

/// The code at an index.
fn nibble(bytes: &[u8], index: usize) -> u8 {
    bytes[index / 2] >> (4 * (index % 2)) & 15
}

impl NBitsWeight {
    /// Quantize `w` `[K, N]`, row-major.
    pub fn quantize(
        w: &[f32],
        (k, n): (usize, usize),
        block_size: usize,
        symmetric: bool,
    ) -> Result<NBitsWeight, Invalid> {
        check_block_size(block_size)?;
        Invalid::check_len("w", w.len(), &[k, n])?;
        Invalid::check_finite("w", w)?;
        shape::values("w", &[n, k.div_ceil(block_size), block_size])?;
        let (mut bytes, mut scales, mut zero_points) = (Vec::new(), Vec::new(), Vec::new());
        for column in 0..if k == 0 { 0 } else { n } {
            let values: Vec<f32> = (0..k).map(|p| w[p * n + column]).collect();
            let mut zeros = Vec::new();
            for block in values.chunks(block_size) {
                let (scale, zero) = parameters(block, symmetric);
                if !scale.is_finite() {
                    return Err(Invalid::new("w", "a block beyond f32", "a range within f32"));
                }
                let steps = if (1.0 / scale).is_finite() { 1.0 / scale } else { 0.0 };
                let code = |x: &f32| nearest_code(x * steps + f32::from(zero));
                let mut codes: Vec<u8> = block.iter().map(code).collect();
                codes.resize(block_size, 0);
                bytes.extend(pack(&codes, 0));
                scales.push(scale);
                zeros.push(zero);
            }
            zero_points.extend(pack(&zeros, MIDDLE));
        }
        let zero_points = (!symmetric).then_some(zero_points);
        Ok(NBitsWeight { k, n, block_size, bytes, scales, zero_points })
    }

    /// Blocks of a column.
    fn blocks(&self) -> usize {
        self.k.div_ceil(self.block_size)
    }

    /// Whether block size and lengths fit together.
    pub fn validate(&self) -> Result<(), Invalid> {
        check_block_size(self.block_size)?;
        let blocks = self.blocks();
        Invalid::check_len("bytes", self.bytes.len(), &[self.n, blocks, self.block_size / 2])?;
        Invalid::check_len("scales", self.scales.len(), &[self.n, blocks])?;
        self.zero_points.as_ref().map_or(Ok(()), |zero_points| {
            Invalid::check_len("zero_points", zero_points.len(), &[self.n, blocks.div_ceil(2)])
        })
    }

    /// The weight at depth `p` of a column: `(q - z) s`, an f32 product.
    fn value(&self, p: usize, column: usize) -> f32 {
        let (blocks, block) = (self.blocks(), p / self.block_size);
        let row = &self.bytes[column * blocks * self.block_size / 2..];
        let zero = self.zero_points.as_ref().map_or(MIDDLE, |zero_points| {
            nibble(&zero_points[column * blocks.div_ceil(2)..], block)
        });
        let steps = f32::from(nibble(row, p)) - f32::from(zero);
        steps * self.scales[column * blocks + block]
    }

    /// The weights `[K, N]`, row-major.
    pub fn dequantize(&self) -> Result<Vec<f32>, Invalid> {
        self.validate()?;
        let len = shape::values("w", &[self.k, self.n])?;
        Ok((0..len).map(|index| self.value(index / self.n, index % self.n)).collect())
    }

    /// `Y[M, N]` for a `[M, K]`, summed in f64 and rounded to f32 once.
    pub fn linear(&self, a: &[f32], m: usize) -> Result<Vec<f32>, Invalid> {
        Invalid::check_len("a", a.len(), &[m, self.k])?;
        let len = shape::values("y", &[m, self.n])?;
        let w = self.dequantize()?;
        let product = |index: usize| {
            let (i, j) = (index / self.n, index % self.n);
            let products =
                (0..self.k).map(|p| f64::from(a[i * self.k + p]) * f64::from(w[p * self.n + j]));
            products.sum::<f64>() as f32
        };
        Ok((0..len).map(product).collect())
    }
}

fn check_block_size(block_size: usize) -> Result<(), Invalid> {
    match block_size >= 16 && block_size.is_power_of_two() {
        true => Ok(()),
        false => Err(Invalid::new("block_size", block_size, "a power of two, at least 16")),
    }
}
