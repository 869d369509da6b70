//! `attention` in plain Rust for any machine: 4 queries by 1 vector of 8 keys, or of 8 values, over
//! arrays that LLVM turns into the vectors of the baseline target (SSE2 on x86-64).
//!
//! int8 codes are multiplied and added as floats, which is exact while `127^2 D <= 2^24`: up to a
//! head_dim of 1040, beyond which the row refuses. The nearest integer comes from adding and
//! subtracting `1.5 * 2^23`, right for `|x| < 2^22`; `2^n` goes into the exponent of `p` by an
//! integer addition, which holds for `n >= -126`; below that the lane is cleared.
use super::rows::Row;
use super::simd::{Simd, Work};
use crate::hardware::Need;
use std::array::from_fn;

/// Floats of a vector.
pub(crate) const L: usize = 8;
/// `1.5 * 2^23`: floats from here to `2^24` are the integers.
const SHIFT: f32 = 12_582_912.0;

/// The row.
pub(super) static ROW: Row<Scalar, L, 4, 1> = Row::new();

/// No instruction set: nothing to prove.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scalar;

type Lanes = [f32; L];

impl Simd<L> for Scalar {
    const NAME: &'static str = "scalar";
    const NEED: Need = Need::Nothing;
    const MAX_CODES: usize = (1 << 24) / (127 * 127);
    const CODES: usize = 1;
    type Floats = Lanes;
    type Sums = Lanes;
    type Word = f32;

    fn detect() -> Option<Scalar> {
        Some(Scalar)
    }
    fn enter(self, work: impl Work<Self>) {
        work.run(self);
    }

    #[inline(always)]
    fn splat(self, x: f32) -> Lanes {
        [x; L]
    }
    #[inline(always)]
    fn load(self, x: &Lanes) -> Lanes {
        *x
    }
    #[inline(always)]
    fn store(self, x: Lanes, to: &mut Lanes) {
        *to = x;
    }
    #[inline(always)]
    fn add(self, a: Lanes, b: Lanes) -> Lanes {
        from_fn(|i| a[i] + b[i])
    }
    #[inline(always)]
    fn sub(self, a: Lanes, b: Lanes) -> Lanes {
        from_fn(|i| a[i] - b[i])
    }
    #[inline(always)]
    fn mul(self, a: Lanes, b: Lanes) -> Lanes {
        from_fn(|i| a[i] * b[i])
    }
    #[inline(always)]
    fn div(self, a: Lanes, b: Lanes) -> Lanes {
        from_fn(|i| a[i] / b[i])
    }
    #[inline(always)]
    fn max(self, a: Lanes, b: Lanes) -> Lanes {
        from_fn(|i| if a[i] > b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    fn largest(self, x: Lanes) -> f32 {
        let four: [f32; 4] = from_fn(|i| if x[i] > x[i + 4] { x[i] } else { x[i + 4] });
        four.iter().fold(four[0], |most, lane| if *lane > most { *lane } else { most })
    }
    #[inline(always)]
    fn fma(self, a: Lanes, b: Lanes, c: Lanes) -> Lanes {
        from_fn(|i| a[i] * b[i] + c[i])
    }
    #[inline(always)]
    fn round(self, x: Lanes) -> Lanes {
        from_fn(|i| (x[i] + SHIFT) - SHIFT)
    }
    #[inline(always)]
    fn scale(self, p: Lanes, n: Lanes) -> Lanes {
        from_fn(|i| {
            // The low bits of `n + SHIFT` are those of the integer.
            let exponent = (n[i] + SHIFT).to_bits().wrapping_shl(23);
            let scaled = f32::from_bits(p[i].to_bits().wrapping_add(exponent));
            if n[i] > -126.0 { scaled } else { 0.0 }
        })
    }

    fn key_word(codes: &[i8]) -> f32 {
        codes.iter().copied().map(f32::from).sum()
    }
    fn query_word(codes: &[i8]) -> f32 {
        Self::key_word(codes)
    }
    fn start(_: i32) -> i32 {
        0
    }
    #[inline(always)]
    fn begin(self, _: &[i32; L]) -> Lanes {
        [0.0; L]
    }
    #[inline(always)]
    fn dot(self, sums: Lanes, q: f32, k: &Lanes) -> Lanes {
        self.fma([q; L], *k, sums)
    }
    #[inline(always)]
    fn floats(self, sums: Lanes) -> Lanes {
        sums
    }
}
