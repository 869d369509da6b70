//! What an instruction set supplies to quantize: folds and packings of [`STEP`] values.
//!
//! Loops, tails and threads are written once around them (`tasks.rs`). They are inlined into
//! [`Isa::enter`], the one function compiled for the set, so a step costs no call. Hence no
//! closure on that way: a closure is a function of its own, compiled without the set, and the
//! intrinsics in it would be calls with vectors passed through memory (measured: 4 times slower).
use crate::hardware::Need;

/// Values a step takes: a rho block, two AVX-512 vectors, 4 bytes of signs.
pub(crate) const STEP: usize = 32;

/// What a block becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fold {
    /// `max |x|`; a NaN changes nothing.
    Absmax,
    /// `sum |x|`.
    Magnitudes,
    /// `sum x`.
    Values,
}

/// How values become the bits of `sign1`: 1 where `x - centre > 0`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sign {
    /// Subtracted first; 0 changes no comparison.
    pub(crate) centre: f32,
    /// Whether 0, of either sign, is +1.
    pub(crate) zero_is_positive: bool,
}

/// How values become the fields of `ternary2`: 1 is zero, 0 and 2 are -1 and +1.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ternary {
    /// Codes are nonzero where `|x| > limit`.
    pub(crate) limit: f32,
    /// Whether `|x| = limit` is nonzero as well.
    pub(crate) inclusive: bool,
}

/// How values become the bytes of `int8`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Int8 {
    /// The quotient `x / step` is rounded.
    pub(crate) step: f32,
    /// `1 / step` where that is a normal number, within half an ulp; NaN where it is not.
    pub(crate) reciprocal: f32,
    /// Smallest code.
    pub(crate) min: f32,
    /// Whether ties go away from zero rather than to even.
    pub(crate) half_away: bool,
}

/// Largest int8 code.
pub(crate) const MAX: f32 = 127.0;

/// Distance to the nearest integer up to which a product with the reciprocal rounds as the
/// quotient does. The product is `q (1 + d)`, `|d| <= 2^-23 + 2^-48`; clamped to the codes it is
/// off by at most `128 |d| < 1.6e-5`, and these limits are 1e-4 short of a tie.
pub(crate) const CLEAR: f32 = 0.4999;

/// An instruction set. A value of it is proof that the machine has the instructions.
pub(crate) trait Isa: Copy + Send + Sync + 'static {
    /// Name of the rows.
    const NAME: &'static str;
    /// What the rows need.
    const NEED: Need;
    /// Running maxima or sums of a block, one a lane.
    type Lanes: Copy;

    /// The proof, where the machine has the instructions.
    fn detect() -> Option<Self>;
    /// Run a task in a function compiled for the set.
    fn enter(self, work: impl Work<Self>);

    /// Lanes of zeros.
    fn zeros(self) -> Self::Lanes;
    /// Every value taken into its lane.
    fn take(self, fold: Fold, lanes: Self::Lanes, x: &[f32; STEP]) -> Self::Lanes;
    /// The lanes taken together.
    fn finish(self, fold: Fold, lanes: Self::Lanes) -> f32;

    /// One bit a value, low bit first.
    fn sign1(self, to: Sign, x: &[f32; STEP]) -> u32;
    /// Two bits a value, low bits first.
    fn ternary2(self, to: Ternary, x: &[f32; STEP]) -> u64;
    /// One byte a value.
    fn int8(self, to: Int8, x: &[f32; STEP], bytes: &mut [u8; STEP]);
}

/// A task; `run` is `inline(always)`.
pub(crate) trait Work<I> {
    /// Do it.
    fn run(self, isa: I);
}

/// The larger of two magnitudes, NaN if one of them is: whichever way they are compared, one of
/// the two answers is then NaN, and its bits stay NaN whatever is added to them.
#[inline(always)]
pub(crate) fn larger(a: f32, b: f32) -> f32 {
    let (one, other) = (if a > b { a } else { b }, if b > a { b } else { a });
    f32::from_bits(one.to_bits() | other.to_bits())
}

/// At least `least`, but NaN stays NaN.
#[inline(always)]
pub(crate) fn floor(x: f32, least: f32) -> f32 {
    if x < least { least } else { x }
}
