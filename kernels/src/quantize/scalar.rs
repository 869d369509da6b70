//! No instruction set in particular: the portable baseline of every op that quantizes.
//!
//! `q = x * (1 / step)` is clamped to the limits before it is rounded: both are integers, so the
//! order does not matter, and a clamped `q` is rounded by adding `M = 1.5 * 2^23`, where f32 has
//! no fraction: `r = (q + M) - M` is the nearest integer, ties to even. Where `|q - r| <= 0.49996`
//! for all values of a step the code is that of the true quotient (`isa::CLEAR` has the bound);
//! other steps divide. There `q - r` is exact, so a tie is seen as `|q - r| = 0.5` and goes away
//! from zero as `q + copysign(0.5, q)`. That holds for `|q| < 2^22`; here it is at most 255.
use super::isa::{
    BATCH, BLOCKS, CLEAR, FIVES, Fold, Halves, Integer, Isa, LINE, Line, STEP, Sign, Ternary, Work,
    floor, join, larger,
};
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
    fn splat(self, x: f32) -> [f32; LANES] {
        [x; LANES]
    }

    #[inline(always)]
    fn take(self, fold: Fold, mut lanes: [f32; LANES], x: &[f32; STEP]) -> [f32; LANES] {
        for x in x.as_chunks::<LANES>().0 {
            for (lane, x) in lanes.iter_mut().zip(x) {
                *lane = match fold {
                    Fold::Absmax => larger(x.abs(), *lane),
                    Fold::PositiveMax => larger(floor(*x, 0.0), *lane),
                    Fold::Magnitudes => *lane + x.abs(),
                    Fold::Positives => *lane + floor(*x, 0.0),
                    Fold::Values => *lane + x,
                    Fold::Least | Fold::Most => join(fold, *lane, *x),
                };
            }
        }
        lanes
    }

    #[inline(always)]
    fn finish(self, fold: Fold, mut lanes: [f32; LANES]) -> f32 {
        for half in [8, 4, 2, 1] {
            for i in 0..half {
                lanes[i] = join(fold, lanes[i], lanes[i + half]);
            }
        }
        lanes[0]
    }

    #[inline(always)]
    fn finish_batch(self, fold: Fold, lanes: &[[f32; LANES]; BATCH]) -> [f32; BATCH] {
        let mut all = [0.0; BATCH];
        for (one, lanes) in all.iter_mut().zip(lanes) {
            *one = self.finish(fold, *lanes);
        }
        all
    }

    #[inline(always)]
    fn fold_steps(self, fold: Fold, x: &[f32; BLOCKS]) -> [f32; BATCH] {
        let mut all = [0.0; BATCH];
        for (one, x) in all.iter_mut().zip(x.as_chunks().0) {
            *one = self.finish(fold, self.take(fold, [0.0; LANES], x));
        }
        all
    }

    #[inline(always)]
    fn sign1(self, to: &Sign, x: &[f32; STEP]) -> u32 {
        let mut bits = 0;
        for (i, x) in x.iter().enumerate() {
            let x = x - to.centre;
            let positive = if to.zero_is_positive { x >= 0.0 } else { x > 0.0 };
            bits |= u32::from(positive) << i;
        }
        bits
    }

    #[inline(always)]
    fn digits(self, to: &Ternary, x: &[f32; STEP], digits: &mut [u8; STEP]) {
        for (digit, x) in digits.iter_mut().zip(x) {
            let active = if to.inclusive { x.abs() >= to.limit } else { x.abs() > to.limit };
            let sign = 1 - 2 * i8::from(*x < 0.0);
            *digit = (1 + i8::from(active) * sign).cast_unsigned();
        }
    }

    #[inline(always)]
    fn ternary2(self, digits: &[u8; STEP]) -> u64 {
        let mut packed = [0; STEP / 4];
        for (byte, digits) in packed.iter_mut().zip(digits.as_chunks::<4>().0) {
            // Digit `i` goes to bit `24 + 2 i`; the other products end below or leave the word.
            let product = u32::from_le_bytes(*digits).wrapping_mul(0x0104_1040);
            *byte = product.to_le_bytes()[3];
        }
        u64::from_le_bytes(packed)
    }

    #[inline(always)]
    fn ternary3(self, digits: &[u8; FIVES], bytes: &mut [u8; STEP]) {
        for (byte, five) in bytes.iter_mut().zip(digits.as_chunks::<5>().0) {
            let [a, b, c, d, e] = *five;
            *byte = a + 3 * (b + 3 * (c + 3 * (d + 3 * e)));
        }
    }

    #[inline(always)]
    fn integers(self, to: &Integer, x: &[f32; STEP], bytes: &mut [u8; STEP]) {
        codes(to, x, bytes);
    }

    #[inline(always)]
    fn line(self, to: &Integer, x: &[f32; LINE], bytes: &mut [u8; LINE]) {
        codes(to, x, bytes);
    }

    #[inline(always)]
    fn line_past(self, to: &Integer, x: &[f32; LINE], line: &mut Line) {
        codes(to, x, &mut line.0);
    }

    #[inline(always)]
    fn pair(self, to: &Integer, by: Halves, x: &[f32; LINE], bytes: &mut [u8; LINE]) {
        let halves = x.as_chunks::<STEP>().0.iter().zip(bytes.as_chunks_mut::<STEP>().0);
        for ((x, bytes), (step, reciprocal)) in halves.zip(by.step.iter().zip(by.reciprocal)) {
            codes(&Integer { step: *step, reciprocal: *reciprocal, ..*to }, x, bytes);
        }
    }

    #[inline(always)]
    fn pair_past(self, to: &Integer, by: Halves, x: &[f32; LINE], line: &mut Line) {
        self.pair(to, by, x, &mut line.0);
    }

    #[inline(always)]
    fn nibbles(self, codes: &[u8; STEP], bytes: &mut [u8; STEP / 2]) {
        for (byte, two) in bytes.iter_mut().zip(codes.as_chunks::<2>().0) {
            *byte = two[0] & 15 | two[1] << 4;
        }
    }

    #[inline(always)]
    fn prefetch<const N: usize>(self, _: &[f32; N], _: usize) {}

    #[inline(always)]
    fn prefetch_far<const N: usize>(self, _: &[f32; N], _: usize) {}

    #[inline(always)]
    fn fence(self) {}

    #[inline(always)]
    fn stream(self, from: &[u8], to: &mut [u8]) {
        to.copy_from_slice(from);
    }
}

#[inline(always)]
fn codes<const N: usize>(to: &Integer, x: &[f32; N], bytes: &mut [u8; N]) {
    let (least, most) = to.limits();
    // The sum's low byte is the code's: 255 at most on top of an even number.
    let zero = MAGIC + f32::from(to.zero_point);
    let mut near = 0;
    for (byte, x) in bytes.iter_mut().zip(x) {
        let q = x * to.reciprocal;
        let q = if q > least { q } else { least };
        let q = if q < most { q } else { most };
        let whole = (q + MAGIC) - MAGIC;
        let clear = (q - whole).abs() <= CLEAR;
        near |= u32::from(!clear);
        *byte = (whole + zero).to_bits().to_le_bytes()[0];
    }
    // A NaN was clamped to the least; only its product shows it.
    let nan = x.iter().fold(0, |nan, x| nan | u32::from((x * to.reciprocal).is_nan()));
    if near | nan != 0 {
        divided(to, x, bytes);
    }
}

/// The same by division, for steps with a value near a tie, or a NaN.
#[cold]
#[inline(never)]
fn divided(to: &Integer, x: &[f32], bytes: &mut [u8]) {
    let (least, most) = to.limits();
    for (byte, x) in bytes.iter_mut().zip(x) {
        let q = x / to.step;
        // NaN becomes 0.
        let q = if q.is_nan() { 0.0 } else { q.clamp(least, most) };
        let even = (q + MAGIC) - MAGIC;
        let tie = (q - even).abs() == 0.5;
        let whole = if to.half_away && tie { q + 0.5f32.copysign(q) } else { even };
        *byte = (whole + MAGIC + f32::from(to.zero_point)).to_bits().to_le_bytes()[0];
    }
}
