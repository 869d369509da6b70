//! No instruction set in particular: the portable baseline of every op that quantizes.
//!
//! `q = x / step` is clamped to `min..=127` before it is rounded: both limits are integers, so
//! the order does not matter, and a clamped `q` is rounded by adding `M = 1.5 * 2^23`, where f32
//! has no fraction: `r = (q + M) - M` is the nearest integer, ties to even. `q - r` is exact, so a
//! tie is seen as `|q - r| = 0.5` and goes away from zero as `q + copysign(0.5, q)`. That holds for
//! `|q| < 2^22`; here it is at most 128.
use super::isa::{Fold, Int8, Isa, MAX, STEP, Sign, Ternary, Work, larger};
use crate::hardware::Need;

/// Runs anywhere.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scalar;

/// Lanes: four SSE registers. A lane adds at most 256 values of a block, their tree 4 more.
const LANES: usize = 16;
/// `1.5 * 2^23`: f32 near it are integers, and their low bits those of the integer.
const MAGIC: f32 = 12_582_912.0;

impl Isa for Scalar {
    const NAME: &'static str = "scalar";
    const NEED: Need = Need::Nothing;
    type Lanes = [f32; LANES];

    fn detect() -> Option<Scalar> {
        Some(Scalar)
    }

    fn enter(self, work: impl Work<Self>) {
        work.run(self);
    }

    #[inline(always)]
    fn zeros(self) -> [f32; LANES] {
        [0.0; LANES]
    }

    #[inline(always)]
    fn take(self, fold: Fold, mut lanes: [f32; LANES], x: &[f32; STEP]) -> [f32; LANES] {
        for x in x.as_chunks::<LANES>().0 {
            for (lane, x) in lanes.iter_mut().zip(x) {
                *lane = match fold {
                    Fold::Absmax => larger(x.abs(), *lane),
                    Fold::Magnitudes => *lane + x.abs(),
                    Fold::Values => *lane + x,
                };
            }
        }
        lanes
    }

    #[inline(always)]
    fn finish(self, fold: Fold, mut lanes: [f32; LANES]) -> f32 {
        for half in [8, 4, 2, 1] {
            for i in 0..half {
                let (a, b) = (lanes[i], lanes[i + half]);
                lanes[i] = match fold {
                    Fold::Absmax => larger(a, b),
                    Fold::Magnitudes | Fold::Values => a + b,
                };
            }
        }
        lanes[0]
    }

    #[inline(always)]
    fn sign1(self, to: Sign, x: &[f32; STEP]) -> u32 {
        let mut bits = 0;
        for (i, x) in x.iter().enumerate() {
            let x = x - to.centre;
            let positive = if to.zero_is_positive { x >= 0.0 } else { x > 0.0 };
            bits |= u32::from(positive) << i;
        }
        bits
    }

    #[inline(always)]
    fn ternary2(self, to: Ternary, x: &[f32; STEP]) -> u64 {
        let mut fields = [0; STEP];
        for (field, x) in fields.iter_mut().zip(x) {
            let active = if to.inclusive { x.abs() >= to.limit } else { x.abs() > to.limit };
            let sign = 1 - 2 * i8::from(*x < 0.0);
            *field = (1 + i8::from(active) * sign).cast_unsigned();
        }
        let mut packed = [0; STEP / 4];
        for (byte, fields) in packed.iter_mut().zip(fields.as_chunks::<4>().0) {
            // Field `i` goes to bit `24 + 2 i`; the other products end below or leave the word.
            let product = u32::from_le_bytes(*fields).wrapping_mul(0x0104_1040);
            *byte = product.to_le_bytes()[3];
        }
        u64::from_le_bytes(packed)
    }

    #[inline(always)]
    fn int8(self, to: Int8, x: &[f32; STEP], bytes: &mut [u8; STEP]) {
        for (byte, x) in bytes.iter_mut().zip(x) {
            *byte = if to.half_away { code::<true>(to, *x) } else { code::<false>(to, *x) };
        }
    }
}

#[inline(always)]
fn code<const HALF_AWAY: bool>(to: Int8, x: f32) -> u8 {
    let q = x / to.step;
    // NaN becomes 0.
    let q = if q.is_nan() { 0.0 } else { q };
    let q = if q > to.min { q } else { to.min };
    let q = if q < MAX { q } else { MAX };
    let even = (q + MAGIC) - MAGIC;
    let rounded = if HALF_AWAY && (q - even).abs() == 0.5 { q + 0.5f32.copysign(q) } else { even };
    (rounded + MAGIC).to_bits().to_le_bytes()[0]
}
