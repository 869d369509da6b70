//! What an instruction set supplies to attention: lanes of floats, an exponential, dots of codes.
//!
//! The loops over tiles are written once around them (`tile.rs`) and inlined into
//! [`Simd::enter`], the one function compiled for the set. Hence no closure on that way: a closure
//! is a function of its own, compiled without the set.
//!
//! `2^x = 2^n 2^f` with `n` the nearest integer to `x` and `|f| <= 1/2`, and
//! `2^f = 1 + f (c_1 + f (c_2 + ... f c_6))`, a minimax polynomial of relative error 5.1e-9, or
//! 0.085 u (u is half an ulp of 1), which is 1 for `f = 0`. The last step rounds once, those before
//! it are smaller by `|f| ln 2 < 0.35`: with the coefficients' own roundings the result is within
//! 1 ulp with FMA and within 2 without, held over every float of the range by a test.
use crate::buffer::Element;
use crate::hardware::Need;
use std::f32::consts::LN_2;

/// `2^x` below this exponent is 0: `2^-200` is no float.
pub(super) const LEAST: f32 = -200.0;
/// Coefficients of f, f^2, ..., f^6.
const POWERS: [f32; 6] =
    [LN_2, 0.240_226_5, 0.055_503_57, 0.009_618_083, 0.001_339_086_3, 0.000_154_531_63];

/// An instruction set whose vectors hold `L` floats. A value of it is proof that the machine has
/// the instructions.
pub(crate) trait Simd<const L: usize>: Copy + Send + Sync + 'static {
    /// Name of the row.
    const NAME: &'static str;
    /// What the row needs.
    const NEED: Need;
    /// Longest query of int8 codes whose sum is exact.
    const MAX_CODES: usize;
    /// A vector of floats.
    type Floats: Copy;
    /// A vector of sums of codes.
    type Sums: Copy;
    /// Neighbouring codes of one token that a dot takes at once.
    type Word: Element + Default;
    /// How many there are.
    const CODES: usize;

    /// The proof, where the machine has the instructions.
    fn detect() -> Option<Self>;
    /// Run a task in a function compiled for the set.
    fn enter(self, work: impl Work<Self>);

    /// `x` in every lane.
    fn splat(self, x: f32) -> Self::Floats;
    /// A vector from memory.
    fn load(self, x: &[f32; L]) -> Self::Floats;
    /// A vector to memory.
    fn store(self, x: Self::Floats, to: &mut [f32; L]);
    /// `a + b`.
    fn add(self, a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// `a - b`.
    fn sub(self, a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// `a b`.
    fn mul(self, a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// `a / b`.
    fn div(self, a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// The larger of two numbers.
    fn max(self, a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// The largest of all lanes.
    fn largest(self, x: Self::Floats) -> f32;
    /// `a b + c`, rounded once where the set has FMA.
    fn fma(self, a: Self::Floats, b: Self::Floats, c: Self::Floats) -> Self::Floats;
    /// The nearest integer to a number from [`LEAST`] to 0.
    fn round(self, x: Self::Floats) -> Self::Floats;
    /// `p 2^n` for `p` from 0.7 to 1.42 and an integer `n` from [`LEAST`] to 0; may be 0 where `n`
    /// is below -125.
    fn scale(self, p: Self::Floats, n: Self::Floats) -> Self::Floats;

    /// Codes of a key as a word; missing ones are 0.
    fn key_word(codes: &[i8]) -> Self::Word;
    /// Codes of a query as a word; missing ones are 0.
    fn query_word(codes: &[i8]) -> Self::Word;
    /// What the sum of a key begins with, from the sum of its codes: undoes what `query_word`
    /// adds.
    fn start(sum: i32) -> i32;
    /// Sums from their beginnings.
    fn begin(self, start: &[i32; L]) -> Self::Sums;
    /// Products of one query's word and the words of `L` keys, added.
    fn dot(self, sums: Self::Sums, q: Self::Word, k: &[Self::Word; L]) -> Self::Sums;
    /// Sums as floats.
    fn floats(self, sums: Self::Sums) -> Self::Floats;

    /// `2^x` for `x` up to 0; 0 below `2^-126`.
    #[inline(always)]
    fn exp2(self, x: Self::Floats) -> Self::Floats {
        let x = self.max(x, self.splat(LEAST));
        let n = self.round(x);
        let f = self.sub(x, n);
        let mut p = self.splat(POWERS[5]);
        for c in [POWERS[4], POWERS[3], POWERS[2], POWERS[1], POWERS[0], 1.0] {
            p = self.fma(p, f, self.splat(c));
        }
        self.scale(p, n)
    }
}

/// A task; `run` is `inline(always)`.
pub(crate) trait Work<I> {
    /// Do it.
    fn run(self, isa: I);
}
