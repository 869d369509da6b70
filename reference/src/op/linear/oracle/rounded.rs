//! How far an output moves when a row rounds its operands before it multiplies them.
//!
//! With `e(k)` the distance of activation `k` from what the row makes of it,
//! `|sum (x + e) w - sum x w| <= sum |e(k)| |w(k)|`:
//!
//! ```text
//! 8-bit codes    |e(k)| <= (1/2 + 3 * 127 u) step + 2^-bits (|x| + step), step = absmax / 127
//!   asymmetric   |e(k)| <= (1 + 3 * 255 u) step + ...,                    step = 2 absmax / 255
//! short floats   activation, weight, scale and output: ((1 + 2^-bits)^4 - 1) sum |x w|
//! ```
//!
//! The quotient `x / step` carries three roundings of f32, each `u` of at most 127 (or 255). With a
//! zero point it is rounded twice, once for the zero point, and the ends saturate.
use super::super::super::Operands;
use super::super::{Activation, LinearProblem};
use super::LinearReference;
use crate::bound::UNIT;

impl LinearReference {
    /// The most that rounding the operands moves output `(i, j)`, given `sum |x w|` of it.
    pub(super) fn moved(
        &self,
        p: &LinearProblem,
        operands: Operands,
        (i, j): (usize, usize),
        magnitude: f64,
    ) -> f64 {
        match operands {
            Operands::AsGiven => 0.0,
            Operands::Short { bits } => ((1.0 + unit(bits)).powi(4) - 1.0) * magnitude,
            Operands::EightBit { block, scale_bits, asymmetric } => {
                let error = |absmax: f64, x: f64| {
                    let step = if asymmetric { absmax / 127.5 } else { absmax / 127.0 };
                    let steps = match asymmetric {
                        true => 1.0 + 3.0 * 255.0 * UNIT,
                        false => 0.5 + 3.0 * 127.0 * UNIT,
                    };
                    steps * step + unit(scale_bits) * (x + step)
                };
                self.moved_by(p, (block, error), (i, j))
            }
        }
    }

    /// `sum |e(k)| |w(k)|` where `error` answers `|e|` of a block's absmax and `|x|`.
    fn moved_by(
        &self,
        p: &LinearProblem,
        (block, error): (usize, impl Fn(f64, f64) -> f64),
        (i, j): (usize, usize),
    ) -> f64 {
        let absmax = |x: &[f32]| x.iter().fold(0.0f32, |most, x| most.max(x.abs()));
        let scale = f64::from(p.activation_scale(i)).abs();
        let (x, w) = (self.x.row(i, p.k).0, self.w.row(j, p.k).0);
        let len = p.weight.group_len().max(1);
        let blocks = x.chunks(if block == 0 { p.k } else { block }.max(1));
        let mut sum = 0.0;
        for (b, values) in blocks.enumerate() {
            let of_block = match (block, &p.activation) {
                (0, Activation::F32(_)) => absmax(&self.x.units),
                _ => absmax(values),
            };
            for (at, x) in values.iter().enumerate() {
                let k = b * block + at;
                let w = (f64::from(w[k]) * f64::from(p.weight.group_scale(j, k / len))).abs();
                sum += error(f64::from(of_block) * scale, f64::from(x.abs()) * scale) * w;
            }
        }
        sum
    }
}

/// Unit roundoff of a significand of so many bits.
fn unit(bits: u32) -> f64 {
    0.5f64.powi(bits.cast_signed())
}
