//! Projections of codes: an exact integer sum, then one float epilogue.
//!
//! `y = float(sum x w) * (sx * sw)`, then the relu. The sum must fit the accumulator whatever the
//! codes are: `depth * |x|max * |w|max` is checked beforehand (i8 by i8: 133,144 products in an
//! i32; u8 by i8: 66,311), where the source wraps on a device and panics in a debug build. Codes
//! keep their own type, so a `u8` above 127 stays positive (the source reads 146 as -110).
//!
//! Gradients are straight-through: rounding counts as the identity, also for values that were
//! clamped (seed 002, lines 3566-3571), so they are those of the product of the dequantized
//! operands, `code * scale`, each once.
use super::float::scatter;
use super::{Contraction, Gradients, activate, check_threshold, passes};
use crate::invalid::Invalid;
use rayon::prelude::*;

/// Codes of a tensor and their scales.
#[derive(Clone, Copy, Debug)]
pub struct Coded<'a, C> {
    /// Row-major codes: `i8`, `u8` or `i16`.
    pub codes: &'a [C],
    /// Largest magnitude a code may have: 127 or 128, 255 for `u8`, 1 for ternary and sign.
    pub limit: u16,
    /// One scale for all, or one for each token (input) or channel (weight).
    pub scales: &'a [f32],
}

/// The integer a kernel sums in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accumulator {
    /// 32 bits.
    I32,
    /// 64 bits.
    I64,
}

/// A complete projection of codes.
#[derive(Clone, Copy, Debug)]
pub struct IntegerProjection<'a, S, X, W> {
    /// The shape.
    pub shape: S,
    /// Activations; scales by [`Contraction::token`].
    pub input: Coded<'a, X>,
    /// Weights; scales by [`Contraction::channel`].
    pub weight: Coded<'a, W>,
    /// What the sums must fit.
    pub accumulator: Accumulator,
    /// `relu(y - threshold)` instead of `y`.
    pub relu_threshold: Option<f32>,
}

impl Accumulator {
    /// The longest sum of products of codes up to `x` and `w` that cannot overflow.
    pub fn max_depth(self, x: u16, w: u16) -> usize {
        let most = match self {
            Accumulator::I32 => u64::from(i32::MAX.unsigned_abs()),
            Accumulator::I64 => i64::MAX.unsigned_abs(),
        };
        let depth = most / (u64::from(x) * u64::from(w)).max(1);
        usize::try_from(depth).unwrap_or(usize::MAX)
    }
}

impl<C: Copy + Into<i64> + Sync> Coded<'_, C> {
    fn check(&self, field: &str, shape: &[usize], groups: usize) -> Result<(), Invalid> {
        Invalid::check_len(field, self.codes.len(), shape)?;
        let limit = i64::from(self.limit);
        if let Some(at) = self.codes.iter().position(|c| !(-limit..=limit).contains(&(*c).into())) {
            let code: i64 = self.codes[at].into();
            return Err(Invalid::new(
                format!("{field}[{at}]"),
                code,
                format!("from {} to {limit}", -limit),
            ));
        }
        if self.scales.len() != 1 && self.scales.len() != groups {
            let (found, allowed) = (self.scales.len(), format!("1 scale or {groups}"));
            return Err(Invalid::new(format!("{field}.scales"), found, allowed));
        }
        match self.scales.iter().position(|scale| !scale.is_finite()) {
            Some(at) => {
                Err(Invalid::new(format!("{field}.scales[{at}]"), self.scales[at], "finite"))
            }
            None => Ok(()),
        }
    }

    fn scale(&self, group: usize) -> f32 {
        self.scales[if self.scales.len() == 1 { 0 } else { group }]
    }

    /// `code * scale`, exact in f64.
    fn value(&self, at: usize, group: usize) -> f64 {
        let code: i64 = self.codes[at].into();
        code as f64 * f64::from(self.scale(group))
    }
}

impl<S: Contraction, X, W> IntegerProjection<'_, S, X, W>
where
    X: Copy + Into<i64> + Sync,
    W: Copy + Into<i64> + Sync,
{
    /// The exact sums, without scales, [`Contraction::output_shape`].
    pub fn sums(&self) -> Result<Vec<i64>, Invalid> {
        let (shape, input, weight) = (&self.shape, &self.input, &self.weight);
        shape.validate()?;
        input.check("input", &shape.input_shape(), shape.tokens())?;
        weight.check("weight", &shape.weight_shape(), shape.channels())?;
        check_threshold(self.relu_threshold)?;
        let most = self.accumulator.max_depth(input.limit, weight.limit);
        if shape.depth() > most {
            let allowed = format!("at most {most}, where {:?} sums overflow", self.accumulator);
            return Err(Invalid::new("depth", shape.depth(), allowed));
        }
        let outputs: usize = shape.output_shape().iter().product();
        let product = |(i, j): (usize, usize)| -> i64 {
            let (x, w): (i64, i64) = (input.codes[i].into(), weight.codes[j].into());
            x * w
        };
        Ok((0..outputs).into_par_iter().map(|o| shape.terms(o).map(product).sum()).collect())
    }

    /// Every output before the relu.
    fn values(&self) -> Result<Vec<f32>, Invalid> {
        let value = |(o, sum): (usize, i64)| {
            // All products of an output are under the same two scales.
            let (i, j) = self.shape.terms(o).next().unwrap_or_default();
            let (token, channel) = (self.shape.token(i), self.shape.channel(j));
            sum as f32 * (self.input.scale(token) * self.weight.scale(channel))
        };
        Ok(self.sums()?.into_iter().enumerate().map(value).collect())
    }

    /// The output, [`Contraction::output_shape`].
    pub fn forward(&self) -> Result<Vec<f32>, Invalid> {
        let activate = |value| activate(f64::from(value), self.relu_threshold) as f32;
        Ok(self.values()?.into_iter().map(activate).collect())
    }

    /// The straight-through gradients for a gradient of the output.
    pub fn gradients(&self, grad_output: &[f32]) -> Result<Gradients, Invalid> {
        let values = self.values()?;
        Invalid::check_len("grad_output", grad_output.len(), &self.shape.output_shape())?;
        let x = |i| self.input.value(i, self.shape.token(i));
        let w = |j| self.weight.value(j, self.shape.channel(j));
        let passes = |o: usize| passes(f64::from(values[o]), self.relu_threshold);
        Ok(scatter(&self.shape, (x, w), grad_output, passes))
    }
}
