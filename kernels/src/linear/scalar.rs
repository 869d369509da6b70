//! `scalar`: plain Rust for any machine, the fast baseline that speed-ups are quoted against.
//!
//! `sum x stored` goes lane by lane over arrays of 16, which LLVM turns into the vectors of the
//! baseline target (SSE2 on x86-64). Bit formats: `((w >> 8/F j) & mask) x` is at most 2 * 128 a
//! ternary field and 128 a sign field, so a step of 4 or 8 fields adds at most 1024 to an i16
//! lane, and 31 steps 31744 < 2^15; then lanes are widened to i32. int8 products are i32.
//! Floats: stored codes become -1, 0, 1 before the product, so nothing cancels.
use super::blocks;
use super::rows::{self, Dot, ROWS, Step, Unit};
use crate::context::Context;
use crate::{Failure, Kernel, Prepared};
use lowbit_reference::op::Arithmetic;
use lowbit_reference::op::linear::{Activation, Linear, LinearProblem};

/// The row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scalar;

impl Kernel<Linear> for Scalar {
    fn name(&self) -> &'static str {
        "scalar"
    }
    fn arithmetic(&self, problem: &LinearProblem) -> Arithmetic {
        rows::arithmetic(problem)
    }
    fn accepts(&self, problem: &LinearProblem) -> Result<(), String> {
        if blocks::takes(problem) { Ok(()) } else { rows::accepts(problem) }
    }
    fn prepare<'p>(
        &self,
        problem: &'p LinearProblem,
        context: &mut Context,
    ) -> Result<Box<dyn Prepared + 'p>, Failure> {
        if blocks::takes(problem) {
            return blocks::prepare(blocks::scalar::Plain, problem, context);
        }
        match &problem.activation {
            Activation::I8(x) => rows::bind(*self, &x.codes, problem, context),
            Activation::F32(x) => rows::bind(*self, x, problem, context),
            Activation::U8(_) => Err(Failure("no uint8 activations".into())),
        }
    }
}

const LANES: usize = 16;
/// Steps whose i16 sums cannot overflow.
const SAFE: usize = 31;

impl Dot<i8, LANES> for Scalar {
    fn tile<const FIELDS: usize, const M: usize>(
        self,
        panel: &[Unit<LANES>],
        x: [&[Step<i8, LANES, FIELDS>]; M],
    ) -> [[i32; ROWS]; M] {
        let mut sums = [[0; ROWS]; M];
        for (sums, x) in sums.iter_mut().zip(x) {
            for (r, sum) in sums.iter_mut().enumerate() {
                *sum = if FIELDS == 1 { bytes(panel, x, r) } else { bits(panel, x, r) };
            }
        }
        sums
    }
}

fn bytes<const FIELDS: usize>(
    panel: &[Unit<LANES>],
    x: &[Step<i8, LANES, FIELDS>],
    r: usize,
) -> i32 {
    let mut lanes = [0i32; LANES];
    for (w, x) in panel.iter().zip(x) {
        let (w, x) = (w[r].map(|w| i16::from(w.cast_signed())), x[0].map(i16::from));
        for i in 0..LANES {
            lanes[i] += i32::from(w[i]) * i32::from(x[i]);
        }
    }
    lanes.iter().sum()
}

fn bits<const FIELDS: usize>(
    panel: &[Unit<LANES>],
    x: &[Step<i8, LANES, FIELDS>],
    r: usize,
) -> i32 {
    let (bits, mask) = (8 / FIELDS, ((1u16 << (8 / FIELDS)) - 1) as u8);
    let mut total = 0i32;
    for (panel, x) in panel.chunks(SAFE).zip(x.chunks(SAFE)) {
        let mut lanes = [0i16; LANES];
        for (w, x) in panel.iter().zip(x) {
            let mut w = w[r];
            for x in x {
                for i in 0..LANES {
                    lanes[i] += i16::from(w[i] & mask) * i16::from(x[i]);
                }
                w = w.map(|w| w >> bits);
            }
        }
        let lanes: i32 = lanes.iter().map(|lane| i32::from(*lane)).sum();
        total = lanes.wrapping_add(total);
    }
    total
}

impl Dot<f32, LANES> for Scalar {
    fn tile<const FIELDS: usize, const M: usize>(
        self,
        panel: &[Unit<LANES>],
        x: [&[Step<f32, LANES, FIELDS>]; M],
    ) -> [[f32; ROWS]; M] {
        let mut sums = [[0.0; ROWS]; M];
        for r in 0..ROWS {
            let mut lanes = [[0f32; LANES]; M];
            for (s, w) in panel.iter().enumerate() {
                let mut codes = [[0.0; LANES]; FIELDS];
                for (j, codes) in codes.iter_mut().enumerate() {
                    *codes = field::<FIELDS>(&w[r], j);
                }
                for (sum, x) in lanes.iter_mut().zip(x) {
                    let mut lanes = *sum;
                    for (w, x) in codes.iter().zip(&x[s]) {
                        for i in 0..LANES {
                            lanes[i] += w[i] * x[i];
                        }
                    }
                    *sum = lanes;
                }
            }
            for (sums, lanes) in sums.iter_mut().zip(lanes) {
                sums[r] = lanes.iter().sum();
            }
        }
        sums
    }
}

/// Field `j` of each byte, as the number it stands for.
#[inline]
fn field<const FIELDS: usize>(w: &[u8; LANES], j: usize) -> [f32; LANES] {
    let (bits, mask) = (8 / FIELDS, ((1u16 << (8 / FIELDS)) - 1) as u8);
    w.map(|w| match FIELDS {
        1 => f32::from(w.cast_signed()),
        4 => f32::from((w >> (bits * j)) & mask) - 1.0,
        _ => 2.0 * f32::from((w >> (bits * j)) & mask) - 1.0,
    })
}
