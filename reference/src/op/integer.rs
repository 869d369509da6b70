//! Matrix products of 8-bit codes with zero points (ONNX MatMulInteger, QLinearMatMul).
//!
//! `C[i, j] = sum_k (A[i, k] - z_a) (B[k, j] - z_b)`, exact in i32; A `[M, K]`, B `[K, N]` and C
//! `[M, N]` are row-major. No partial sum can leave i32 either: a depth is refused unless
//! `K max|A - z_a| max|B - z_b|` fits.
use super::quantize_linear::saturated_code;
use super::shape;
use crate::invalid::Invalid;

/// Eight-bit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codes<'a> {
    /// 0 to 255.
    U8(&'a [u8]),
    /// -128 to 127.
    I8(&'a [i8]),
}

impl Codes<'_> {
    /// Their number.
    pub fn len(&self) -> usize {
        match self {
            Codes::U8(codes) => codes.len(),
            Codes::I8(codes) => codes.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Smallest and largest code of the type.
    pub fn range(&self) -> (i32, i32) {
        match self {
            Codes::U8(_) => (0, 255),
            Codes::I8(_) => (-128, 127),
        }
    }

    fn at(&self, index: usize) -> i32 {
        match self {
            Codes::U8(codes) => i32::from(codes[index]),
            Codes::I8(codes) => i32::from(codes[index]),
        }
    }
}

/// Codes and the code that stands for zero: one for all, or one per channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Affine<'a> {
    /// The codes.
    pub codes: Codes<'a>,
    /// Zero points, codes of the same type.
    pub zero_points: &'a [i32],
}

impl Affine<'_> {
    /// Whether there is one zero point, or one for each of the channels, all codes of the type.
    pub(super) fn check(&self, field: &str, channels: usize) -> Result<(), Invalid> {
        let field = format!("{field}.zero_points");
        if self.zero_points.len() != 1 {
            Invalid::check_len(&field, self.zero_points.len(), &[channels])?;
        }
        let (least, most) = self.codes.range();
        match self.zero_points.iter().find(|zero| !(least..=most).contains(*zero)) {
            Some(zero) => Err(Invalid::new(field, zero, format!("from {least} to {most}"))),
            None => Ok(()),
        }
    }

    /// A code less the zero point of its channel.
    pub(super) fn at(&self, index: usize, channel: usize) -> i32 {
        let shared = self.zero_points.len() == 1;
        self.codes.at(index) - self.zero_points[if shared { 0 } else { channel }]
    }

    /// Largest magnitude that a code of the type has after its zero point is taken off.
    fn reach(&self) -> u64 {
        let (least, most) = self.codes.range();
        let reach = |zero: &i32| (most - zero).max(zero - least).unsigned_abs().into();
        self.zero_points.iter().map(reach).max().unwrap_or(0)
    }
}

/// Whether sums of `depth` products stay within i32 for every code of the two types.
pub(super) fn check_depth(
    field: &str,
    depth: usize,
    a: &Affine,
    b: &Affine,
) -> Result<(), Invalid> {
    let most = i32::MAX.unsigned_abs() / (a.reach() * b.reach()).max(1) as u32;
    Invalid::check_range(field, depth, (0, most as usize))
}

/// Sizes of a matrix product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MatMulShape {
    /// Rows of A.
    pub m: usize,
    /// Depth.
    pub k: usize,
    /// Columns of the product.
    pub n: usize,
}

impl MatMulShape {
    /// Whether A and B have `M K` and `K N` values, and how many the product has.
    pub(super) fn check(&self, a_len: usize, b_len: usize) -> Result<usize, Invalid> {
        Invalid::check_len("a", a_len, &[self.m, self.k])?;
        Invalid::check_len("b", b_len, &[self.k, self.n])?;
        shape::values("y", &[self.m, self.n])
    }
}

/// MatMulInteger: the exact product. A has one zero point or one per row, B one or one per column.
pub fn matmul_integer(shape: MatMulShape, a: &Affine, b: &Affine) -> Result<Vec<i32>, Invalid> {
    let MatMulShape { m, k, n } = shape;
    a.check("a", m)?;
    b.check("b", n)?;
    check_depth("k", k, a, b)?;
    let len = shape.check(a.codes.len(), b.codes.len())?;
    let product = |index: usize| {
        let (i, j) = (index / n, index % n);
        (0..k).map(|p| a.at(i * k + p, i) * b.at(p * n + j, j)).sum()
    };
    Ok((0..len).map(product).collect())
}

/// How an i32 sum becomes an 8-bit code.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Requantize<'a> {
    /// Scale of A.
    pub a_scale: f32,
    /// Scale of B, one or one per column.
    pub b_scales: &'a [f32],
    /// Scale of the result.
    pub y_scale: f32,
    /// Zero point of the result.
    pub y_zero_point: i32,
    /// Smallest and largest code of the result: `(0, 255)` or `(-128, 127)`.
    pub y_range: (i16, i16),
}

impl Requantize<'_> {
    fn check(&self, n: usize) -> Result<(), Invalid> {
        if self.b_scales.len() != 1 {
            Invalid::check_len("b_scales", self.b_scales.len(), &[n])?;
        }
        let (least, most) = self.y_range;
        if !(i32::from(least)..=i32::from(most)).contains(&self.y_zero_point) {
            let allowed = format!("from {least} to {most}");
            return Err(Invalid::new("y_zero_point", self.y_zero_point, allowed));
        }
        (0..self.b_scales.len()).map(|j| self.multiplier(j)).try_for_each(|multiplier| {
            match multiplier.is_finite() && multiplier > 0.0 {
                true => Ok(()),
                false => Err(Invalid::new(
                    "a_scale * b_scale / y_scale",
                    multiplier,
                    "finite and above 0",
                )),
            }
        })
    }

    /// `(a_scale * b_scale) / y_scale`, two f32 roundings in this order.
    fn multiplier(&self, column: usize) -> f32 {
        let b_scale = self.b_scales[if self.b_scales.len() == 1 { 0 } else { column }];
        self.a_scale * b_scale / self.y_scale
    }
}

/// QLinearMatMul: `y = saturate(round(f32(C) * multiplier) + z_y)`, where C is the exact product,
/// its conversion to f32 rounds (above 2^24), the product rounds, and ties go to even.
pub fn qlinear_matmul(
    shape: MatMulShape,
    a: &Affine,
    b: &Affine,
    requantize: &Requantize,
) -> Result<Vec<i16>, Invalid> {
    requantize.check(shape.n)?;
    let sums = matmul_integer(shape, a, b)?;
    let code = |(index, sum): (usize, &i32)| {
        let quotient = *sum as f32 * requantize.multiplier(index % shape.n);
        saturated_code(quotient, requantize.y_zero_point, requantize.y_range)
    };
    Ok(sums.iter().enumerate().map(code).collect())
}
