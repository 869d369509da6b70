//! `scalar`: plain Rust for any machine, the fast baseline that speed-ups are quoted against.
//!
//! Layout `blocks16`: 16 bytes of a row in a piece, four rows side by side. `sum x stored` goes
//! lane by lane over arrays of 16, which LLVM turns into the vectors of the baseline target (SSE2
//! on x86-64). Bit formats: `((w >> 8/F j) & mask) x` is at most 2 * 128 a ternary field and 128 a
//! sign field, so a step of 4, 5 or 8 fields adds at most 1280 to an i16 lane, and 25 steps
//! 32000 < 2^15; then lanes are widened to i32. A ternary3 byte `q` drops its digits from the
//! first on: `3 q >> 8`, then `q = 3 q mod 256`. int8 products `(w + 128) x` are i32, sixteen are at
//! most `16 * 255 * 128`, and the sum of all wraps.
//! Floats: stored codes become -1, 0, 1 before the product, so nothing cancels.
use super::arrange::Tokens;
use super::blocks;
use super::panels::Piece;
use super::rows::{self, Dot};
use crate::context::Context;
use crate::{Failure, Kernel, Prepared};
use lowbit_reference::format::layout::{BLOCKS16, Layout};
use lowbit_reference::op::Arithmetic;
use lowbit_reference::op::linear::{Linear, LinearProblem};

/// The row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scalar;

impl Kernel<Linear> for Scalar {
    fn name(&self) -> &'static str {
        "scalar"
    }
    fn arithmetic(&self, problem: &LinearProblem) -> Arithmetic {
        rows::arithmetic(problem)
    }
    fn accepts(&self, problem: &LinearProblem) -> Result<(), String> {
        blocks::accepts(problem)
    }
    fn prepare<'p>(
        &self,
        problem: &'p LinearProblem,
        context: &mut Context,
    ) -> Result<Box<dyn Prepared + 'p>, Failure> {
        if blocks::takes(problem) {
            return blocks::prepare(blocks::scalar::Plain, problem, context);
        }
        rows::bind::<_, LANES, BYTES>(*self, problem, context)
    }
}

/// Rows of a vector.
pub(crate) const LANES: usize = 1;
/// Bytes of a row in a vector.
pub(crate) const BYTES: usize = 16;
/// Steps whose i16 sums cannot overflow.
const SAFE: usize = 25;

impl Dot<i8, LANES, BYTES> for Scalar {
    const LAYOUT: &'static Layout = &BLOCKS16;
    fn tile<const FIELDS: usize, const M: usize>(
        self,
        panel: Piece<'_, LANES, BYTES>,
        x: &[Tokens<i8, BYTES, FIELDS, M>],
        mut keep: impl FnMut(usize, &[[i32; LANES]; M]),
    ) {
        for v in 0..panel.width {
            let row = Piece { v, ..panel };
            let dot = |t| if FIELDS == 1 { bytes(row, x, t) } else { bits(row, x, t) };
            keep(v, &std::array::from_fn(|t| [dot(t)]));
        }
    }
}

fn bytes<const FIELDS: usize, const M: usize>(
    row: Piece<'_, LANES, BYTES>,
    x: &[Tokens<i8, BYTES, FIELDS, M>],
    t: usize,
) -> i32 {
    let mut total = 0i32;
    for ([[w]], x) in row.steps().zip(x) {
        let sum: i32 = (0..BYTES).map(|i| i32::from(w[i]) * i32::from(x[0][t][i])).sum();
        total = total.wrapping_add(sum);
    }
    total
}

fn bits<const FIELDS: usize, const M: usize>(
    row: Piece<'_, LANES, BYTES>,
    x: &[Tokens<i8, BYTES, FIELDS, M>],
    t: usize,
) -> i32 {
    let mut total = 0i32;
    let mut steps = row.steps();
    for x in x.chunks(SAFE) {
        let mut lanes = [0i16; BYTES];
        for (x, [[w]]) in x.iter().zip(&mut steps) {
            let mut w = w.map(i16::from);
            for x in x {
                let x = x[t].map(i16::from);
                for i in 0..BYTES {
                    lanes[i] = lanes[i].wrapping_add(next::<FIELDS>(&mut w[i]).wrapping_mul(x[i]));
                }
            }
        }
        total = lanes.iter().map(|lane| i32::from(*lane)).fold(total, i32::wrapping_add);
    }
    total
}

/// The stored code of the next field of a byte, which it leaves. In 16 bits as the products are: a
/// byte is widened once for all its fields.
#[inline]
fn next<const FIELDS: usize>(w: &mut i16) -> i16 {
    match FIELDS {
        1 => *w,
        5 => {
            let thrice = 3 * *w;
            *w = thrice & 255;
            thrice >> 8
        }
        _ => {
            let code = *w & ((1 << (8 / FIELDS)) - 1);
            *w >>= 8 / FIELDS;
            code
        }
    }
}

impl Dot<f32, LANES, BYTES> for Scalar {
    const LAYOUT: &'static Layout = &BLOCKS16;
    fn tile<const FIELDS: usize, const M: usize>(
        self,
        panel: Piece<'_, LANES, BYTES>,
        x: &[Tokens<f32, BYTES, FIELDS, M>],
        mut keep: impl FnMut(usize, &[[f32; LANES]; M]),
    ) {
        for v in 0..panel.width {
            let mut lanes = [[0f32; BYTES]; M];
            for ([[w]], x) in (Piece { v, ..panel }).steps().zip(x) {
                let mut w = w.map(i16::from);
                for x in x {
                    let mut codes = [0f32; BYTES];
                    for i in 0..BYTES {
                        codes[i] = number::<FIELDS>(next::<FIELDS>(&mut w[i]));
                    }
                    for (lanes, x) in lanes.iter_mut().zip(x) {
                        for i in 0..BYTES {
                            lanes[i] += codes[i] * x[i];
                        }
                    }
                }
            }
            keep(v, &lanes.map(|lanes| [lanes.iter().sum()]));
        }
    }
}

/// What a stored code stands for.
#[inline]
fn number<const FIELDS: usize>(stored: i16) -> f32 {
    match FIELDS {
        1 => f32::from(stored) - 128.0,
        8 => 2.0 * f32::from(stored) - 1.0,
        _ => f32::from(stored) - 1.0,
    }
}
