//! Blocks of values and the bytes that carry their scale: what `quantize_blocks` and
//! `dequantize_blocks` share.
//!
//! A format is one file: how a block under its largest magnitude becomes bytes, and back. Sixteen
//! blocks at a time take their largest magnitudes, so that what follows from those, a division, a
//! reciprocal and an f16, is a vector ([`Shared`]). Values are coded 32 at a time by what the
//! instruction set supplies ([`Blocks`]): plain loops, or its own vectors.
//!
//! A block with an infinity or a NaN, or so small that `1 / d` is infinite, takes the way of the
//! single value ([`Shared::usual`] says which): such quotients saturate, or are no numbers.
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512;
pub(crate) mod dequantize;
mod mxfp4;
mod plain;
mod q4_0;
mod q8_0;
pub(crate) mod quantize;
mod tq2_0;
use crate::codes::Codes;
use crate::codes::half::to_f16;
use crate::quantize::isa::{BATCH, STEP};
use crate::quantize::scalar::Scalar;
pub(crate) use mxfp4::Mxfp4;
pub(crate) use q4_0::{Q4_0, Q5_0};
pub(crate) use q8_0::Q8_0;
pub(crate) use tq2_0::Tq2_0;

/// How an instruction set codes 32 values of a usual block. `inverse` is that of the block's scale.
pub(crate) trait Blocks: Codes {
    /// `x inverse` rounded, ties away from zero, as signed bytes; at most 127.5 in magnitude.
    #[inline(always)]
    fn nearest(self, x: &[f32; STEP], inverse: f32, codes: &mut [u8; STEP]) {
        plain::nearest(x, inverse, codes);
    }
    /// `trunc(x inverse + half + 0.5)`, the sum rounded to f64 and to f32, at most `2 half - 1`.
    #[inline(always)]
    fn halves(self, x: &[f32; STEP], (inverse, half): (f32, u8), codes: &mut [u8; STEP]) {
        plain::halves(x, (inverse, half), codes);
    }
    /// Bit `i` for value `i`: whether it is of this magnitude, and whether it is negative.
    #[inline(always)]
    fn largest(self, x: &[f32; STEP], absmax: f32) -> (u32, u32) {
        plain::largest(x, absmax)
    }
    /// 1, and 2 or 0 where `x inverse` is at least 1/2 or at most -1/2.
    #[inline(always)]
    fn digits_of(self, x: &[f32; STEP], inverse: f32, digits: &mut [u8; STEP]) {
        plain::digits(x, inverse, digits);
    }
    /// The code of E2M1 nearest to `x inverse`, ties toward zero; 0 for NaN.
    #[inline(always)]
    fn e2m1(self, x: &[f32; STEP], inverse: f32, codes: &mut [u8; STEP]) {
        plain::e2m1(x, inverse, codes);
    }
}

impl Blocks for Scalar {}

/// What the values of a block share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shared {
    /// The largest magnitude; NaN if there is one.
    pub(crate) absmax: f32,
    /// `1 / d` for the scale `d = absmax / DIVISOR`, 0 for zero.
    pub(crate) inverse: f32,
    /// `d` as f16.
    pub(crate) half: u16,
}

impl Shared {
    /// Whether quotients `x / d` are within the range of codes.
    #[inline(always)]
    pub(crate) fn usual(&self) -> bool {
        self.absmax < f32::INFINITY && self.inverse < f32::INFINITY
    }

    #[inline(always)]
    fn batch<F: Format<LEN, BYTES>, const LEN: usize, const BYTES: usize>(
        absmax: [f32; BATCH],
    ) -> [Shared; BATCH] {
        let d = absmax.map(|absmax| absmax / F::DIVISOR);
        let inverse = d.map(|d| if d == 0.0 { 0.0 } else { 1.0 / d });
        let half = d.map(to_f16);
        let mut shared = [Shared { absmax: 0.0, inverse: 0.0, half: 0 }; BATCH];
        for (i, shared) in shared.iter_mut().enumerate() {
            *shared = Shared { absmax: absmax[i], inverse: inverse[i], half: half[i] };
        }
        shared
    }
}

/// A block format of `LEN` values, whole steps, in `BYTES` bytes.
pub(crate) trait Format<const LEN: usize, const BYTES: usize>:
    Send + Sync + 'static
{
    /// What the largest magnitude is divided by for the scale.
    const DIVISOR: f32;
    /// A block to bytes.
    fn encode<I: Blocks>(isa: I, x: &[f32; LEN], shared: &Shared, bytes: &mut [u8; BYTES]);
    /// Bytes to a block.
    fn decode<I: Codes>(isa: I, bytes: &[u8; BYTES], x: &mut [f32; LEN]);
}

/// Name the type of a format and its sizes to an expression: `with_format!(name, F => expression)`.
macro_rules! with_format {
    ($name:expr, $call:ident!($($args:tt)*)) => {
        match $name {
            "q8_0" => Ok($call!(Q8_0, 32, 34, $($args)*)),
            "q4_0" => Ok($call!(Q4_0, 32, 18, $($args)*)),
            "q5_0" => Ok($call!(Q5_0, 32, 22, $($args)*)),
            "tq2_0" => Ok($call!(Tq2_0, 256, 66, $($args)*)),
            "mxfp4" => Ok($call!(Mxfp4, 32, 17, $($args)*)),
            name => Err(format!("no code for {name}")),
        }
    };
}
pub(crate) use with_format;
