//! `scalar`: plain Rust for any machine, the fast baseline that speed-ups are quoted against.
//!
//! Layout `blocks16`: 16 bytes of a row in a piece, four rows side by side. `sum x stored` goes
//! lane by lane over arrays of 16, which LLVM turns into the vectors of the baseline target (SSE2
//! on x86-64). Bit formats: `((w >> 8/F j) & mask) x` is at most 2 * 128 a ternary field and 128 a
//! sign field, so a step of 4, 5 or 8 fields adds at most 1280 to an i16 lane, and 25 steps
//! 32000 < 2^15; then lanes are widened to i32. A ternary3 byte `q` drops its digits from the
//! first on: `3 q >> 8`, then `q = 3 q mod 256`. int8 products `(w + 128) x` are i32 and wrap.
//! Floats: stored codes become -1, 0, 1 before the product, so nothing cancels.
use super::arrange::Tokens;
use super::blocks;
use super::panels::Vector;
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
    fn accepts(&self, _: &LinearProblem) -> Result<(), String> {
        Ok(())
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
        (panel, width): (&[Vector<LANES, BYTES>], usize),
        x: &[Tokens<i8, BYTES, FIELDS, M>],
        mut keep: impl FnMut(usize, &[[i32; LANES]; M]),
    ) {
        for v in 0..width {
            let row: Vec<[u8; BYTES]> = panel.iter().skip(v).step_by(width).map(|v| v[0]).collect();
            let dot = |t| if FIELDS == 1 { bytes(&row, x, t) } else { bits(&row, x, t) };
            keep(v, &std::array::from_fn(|t| [dot(t)]));
        }
    }
}

fn bytes<const FIELDS: usize, const M: usize>(
    row: &[[u8; BYTES]],
    x: &[Tokens<i8, BYTES, FIELDS, M>],
    t: usize,
) -> i32 {
    let mut lanes = [0i32; BYTES];
    for (w, x) in row.iter().zip(x) {
        // `w` as a signed code: the product then fits i16 vectors, and 128 x comes back below.
        let (w, x) = (w.map(|w| i16::from((w ^ 0x80).cast_signed())), x[0][t].map(i16::from));
        for i in 0..BYTES {
            let product = i32::from(w[i]) * i32::from(x[i]) + 128 * i32::from(x[i]);
            lanes[i] = lanes[i].wrapping_add(product);
        }
    }
    lanes.into_iter().fold(0, i32::wrapping_add)
}

fn bits<const FIELDS: usize, const M: usize>(
    row: &[[u8; BYTES]],
    x: &[Tokens<i8, BYTES, FIELDS, M>],
    t: usize,
) -> i32 {
    let mut total = 0i32;
    for (row, x) in row.chunks(SAFE).zip(x.chunks(SAFE)) {
        let mut lanes = [0i16; BYTES];
        for (w, x) in row.iter().zip(x) {
            let mut w = *w;
            for x in x {
                let codes = next::<FIELDS>(&mut w);
                for i in 0..BYTES {
                    lanes[i] += i16::from(codes[i]) * i16::from(x[t][i]);
                }
            }
        }
        let lanes: i32 = lanes.iter().map(|lane| i32::from(*lane)).sum();
        total = lanes.wrapping_add(total);
    }
    total
}

/// The stored codes of the next field of each byte, which they leave.
#[inline]
fn next<const FIELDS: usize>(w: &mut [u8; BYTES]) -> [u8; BYTES] {
    match FIELDS {
        5 => {
            let thrice = w.map(|w| 3 * u16::from(w));
            *w = thrice.map(|w| w as u8);
            thrice.map(|w| (w >> 8) as u8)
        }
        _ => {
            let (bits, mask) = (8 / FIELDS, ((1u16 << (8 / FIELDS)) - 1) as u8);
            let codes = w.map(|w| w & mask);
            *w = w.map(|w| w.checked_shr(bits as u32).unwrap_or(0));
            codes
        }
    }
}

impl Dot<f32, LANES, BYTES> for Scalar {
    const LAYOUT: &'static Layout = &BLOCKS16;
    fn tile<const FIELDS: usize, const M: usize>(
        self,
        (panel, width): (&[Vector<LANES, BYTES>], usize),
        x: &[Tokens<f32, BYTES, FIELDS, M>],
        mut keep: impl FnMut(usize, &[[f32; LANES]; M]),
    ) {
        for v in 0..width {
            let mut lanes = [[0f32; BYTES]; M];
            for (w, x) in panel.iter().skip(v).step_by(width).zip(x) {
                let mut w = w[0];
                for x in x {
                    let codes = next::<FIELDS>(&mut w).map(number::<FIELDS>);
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
fn number<const FIELDS: usize>(stored: u8) -> f32 {
    match FIELDS {
        1 => f32::from(stored) - 128.0,
        8 => 2.0 * f32::from(stored) - 1.0,
        _ => f32::from(stored) - 1.0,
    }
}
