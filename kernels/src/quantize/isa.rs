//! What an instruction set supplies to quantize: folds and packings of a few dozen values.
//!
//! Loops, tails and threads are written once around them (`statistics.rs`, `tasks.rs`,
//! `encode.rs`). They are inlined into [`Isa::enter`], the one function compiled for the set, so a
//! step costs no call; it is compiled for each task.
//! Hence no closure on that way: a closure is a function of its own, compiled without the set, and
//! the intrinsics in it would be calls with vectors passed through memory (measured: 4 times
//! slower).
use crate::hardware::Need;

/// Values a fold takes: a rho block, two AVX-512 vectors, 4 bytes of signs.
pub(crate) const STEP: usize = 32;
/// Values further on that are asked for into the L1, where values are read once.
pub(crate) const AHEAD: usize = 4096;
/// Values further on that are asked for into the L2, where groups are read for their statistic and
/// then for their codes.
const FAR: usize = 8192;

/// What is asked for while codes are made. The first of two readings of a group waits for memory,
/// and hardware does not see a stream that stops at every group. Asked for into the L1, each line
/// holds one of the places that a core has for loads that wait (24 on Zen 4) for as long as memory
/// takes; into the L2 it does not. On Zen 4, 64 MiB of f32 to int8, medians of three runs by turns:
/// blocks of 32 take 4.7 ms asked for into the L1 and 3.2 into the L2, rows of 4096 3.8 and 3.0. One
/// scale for all takes 2.7 asked for into the L1 and 3.0 if nothing is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ahead {
    /// Nothing: values are in a cache.
    Nothing,
    /// What comes [`AHEAD`] values later, into the L1.
    Near,
    /// What comes so many values later, into the L2.
    Far(usize),
}

impl Ahead {
    /// Where groups of this length are read twice: what follows the group.
    #[inline(always)]
    pub(crate) fn of_groups(len: usize) -> Ahead {
        Ahead::Far(FAR.max(len))
    }

    /// Ask.
    #[inline(always)]
    pub(crate) fn ask<I: Isa, const N: usize>(self, isa: I, x: &[f32; N]) {
        match self {
            Ahead::Nothing => {}
            Ahead::Near => isa.prefetch(x, AHEAD),
            Ahead::Far(values) => isa.prefetch_far(x, values),
        }
    }
}

/// Bytes of a cache line; integer codes are made a line at a time.
pub(crate) const LINE: usize = 64;
/// A line of bytes at its place.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(crate) struct Line(pub(crate) [u8; LINE]);

/// Bytes, the lines among them, and the bytes after those.
#[inline(always)]
pub(crate) fn lines(bytes: &mut [u8]) -> (&mut [u8], &mut [Line], &mut [u8]) {
    // SAFETY: any bytes are a `Line`.
    unsafe { bytes.align_to_mut() }
}

/// The bytes of values.
#[inline(always)]
pub(crate) fn bytes_of(x: &mut [f32]) -> &mut [u8] {
    // SAFETY: any bits are bytes, and any bytes an f32; four bytes need no less alignment than one.
    unsafe { std::slice::from_raw_parts_mut(x.as_mut_ptr().cast(), 4 * x.len()) }
}

/// Groups whose lanes are taken together at once: a vector of statistics.
pub(crate) const BATCH: usize = 16;
/// Values of a batch of groups of a step each.
pub(crate) const BLOCKS: usize = BATCH * STEP;
/// Ternary codes that fill whole steps and whole bytes of five.
pub(crate) const FIVES: usize = 5 * STEP;

/// What a block becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fold {
    /// `max |x|`. Here and below a NaN among the values makes the answer NaN.
    Absmax,
    /// `max(x, 0)` over all.
    PositiveMax,
    /// `sum |x|`.
    Magnitudes,
    /// `sum max(x, 0)`.
    Positives,
    /// `sum x`.
    Values,
    /// `min x`.
    Least,
    /// `max x`.
    Most,
}

/// How values become the bits of `sign1`: 1 where `x - centre > 0`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sign {
    /// Subtracted first; 0 changes no comparison.
    pub(crate) centre: f32,
    /// Whether 0, of either sign, is +1.
    pub(crate) zero_is_positive: bool,
}

/// How values become ternary digits: 1 is zero, 0 and 2 are -1 and +1.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ternary {
    /// Codes are nonzero where `|x| > limit`.
    pub(crate) limit: f32,
    /// Whether `|x| = limit` is nonzero as well.
    pub(crate) inclusive: bool,
}

/// How values become integers: `clamp(round(x / step) + zero_point, least, most)`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Integer {
    /// The quotient `x / step` is rounded.
    pub(crate) step: f32,
    /// `1 / step` where that is a normal number, within half an ulp; NaN where it is not.
    pub(crate) reciprocal: f32,
    /// The code of zero, from 0 to 255.
    pub(crate) zero_point: i16,
    /// Smallest code.
    pub(crate) least: i16,
    /// Largest code, at most 255.
    pub(crate) most: i16,
    /// Whether ties go away from zero rather than to even.
    pub(crate) half_away: bool,
}

/// What the halves of a line are divided by where each is a group of its own; otherwise as in
/// [`Integer`], whose limits hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Halves<'a> {
    pub(crate) step: &'a [f32; 2],
    pub(crate) reciprocal: &'a [f32; 2],
}

impl Integer {
    /// Smallest and largest quotient, rounded, that is not cut off: at most 255 in magnitude.
    #[inline(always)]
    pub(crate) fn limits(&self) -> (f32, f32) {
        (f32::from(self.least - self.zero_point), f32::from(self.most - self.zero_point))
    }

    /// Whether codes are unsigned: only they have zero points, and 0 is their least.
    #[inline(always)]
    pub(crate) fn unsigned(&self) -> bool {
        self.least == 0
    }

    /// Smallest and largest code as bytes.
    #[inline(always)]
    pub(crate) fn bytes(&self) -> (i8, i8) {
        (self.least.to_le_bytes()[0].cast_signed(), self.most.to_le_bytes()[0].cast_signed())
    }
}

/// Distance to the nearest integer up to which a product with the reciprocal rounds as the
/// quotient `q` of the rule, itself an f32, does. Only `|q| < 256` matters: the product is off by
/// `256 (2^-24 + 2^-24) < 3.1e-5` and the quotient by half an ulp, `2^-17 < 7.7e-6`. The sum is
/// below the 4e-5 that this is short of a tie.
pub(crate) const CLEAR: f32 = 0.499_96;

/// An instruction set. A value of it is proof that the machine has the instructions.
pub(crate) trait Isa: Copy + Send + Sync + 'static {
    /// Name of the rows.
    const NAME: &'static str;
    /// What the rows need.
    const NEED: Need;
    /// Running extremes or sums of a block, one a lane.
    type Lanes: Copy;

    /// The proof, where the machine has the instructions.
    fn detect() -> Option<Self>;
    /// Run a task in a function compiled for the set.
    fn enter(self, work: impl Work<Self>);

    /// The same value in all lanes.
    fn splat(self, x: f32) -> Self::Lanes;
    /// Every value taken into its lane.
    fn take(self, fold: Fold, lanes: Self::Lanes, x: &[f32; STEP]) -> Self::Lanes;
    /// The lanes taken together.
    fn finish(self, fold: Fold, lanes: Self::Lanes) -> f32;
    /// The same for many groups at once, where the lanes of all meet in one vector.
    fn finish_batch(self, fold: Fold, lanes: &[Self::Lanes; BATCH]) -> [f32; BATCH];
    /// The same for groups of a step each.
    fn fold_steps(self, fold: Fold, x: &[f32; BLOCKS]) -> [f32; BATCH];

    /// One bit a value, low bit first.
    fn sign1(self, to: &Sign, x: &[f32; STEP]) -> u32;
    /// One digit a byte.
    fn digits(self, to: &Ternary, x: &[f32; STEP], digits: &mut [u8; STEP]);
    /// Two bits a digit, low bits first.
    fn ternary2(self, digits: &[u8; STEP]) -> u64;
    /// Five digits a byte, the first the lowest in base 3.
    fn ternary3(self, digits: &[u8; FIVES], bytes: &mut [u8; STEP]);
    /// One byte a value.
    fn integers(self, to: &Integer, x: &[f32; STEP], bytes: &mut [u8; STEP]);
    /// One byte a value, a line of them.
    fn line(self, to: &Integer, x: &[f32; LINE], bytes: &mut [u8; LINE]);
    /// The same past the caches where the set can, as [`stream`](Isa::stream).
    fn line_past(self, to: &Integer, x: &[f32; LINE], line: &mut Line);
    /// A line of two groups.
    fn pair(self, to: &Integer, by: Halves, x: &[f32; LINE], bytes: &mut [u8; LINE]);
    /// The same past the caches.
    fn pair_past(self, to: &Integer, by: Halves, x: &[f32; LINE], line: &mut Line);
    /// The low nibbles of neighbours in a byte, the first the lower.
    fn nibbles(self, codes: &[u8; STEP], bytes: &mut [u8; STEP / 2]);

    /// Ask for the values that lie some way after those of `x`, into the L1.
    fn prefetch<const N: usize>(self, x: &[f32; N], ahead: usize);
    /// The same into the L2.
    fn prefetch_far<const N: usize>(self, x: &[f32; N], ahead: usize);
    /// Copy past the caches where the set can; `to` and `from` are equally long. Every task that
    /// does ends in a [`fence`](Isa::fence).
    fn stream(self, from: &[u8], to: &mut [u8]);
    /// What follows, on any thread, comes after what went past the caches.
    fn fence(self);
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

/// Two answers of a fold taken together.
#[inline(always)]
pub(crate) fn join(fold: Fold, a: f32, b: f32) -> f32 {
    match fold {
        Fold::Absmax | Fold::PositiveMax => larger(a, b),
        Fold::Magnitudes | Fold::Positives | Fold::Values => a + b,
        Fold::Least if a.is_nan() || a < b => a,
        Fold::Most if a.is_nan() || a > b => a,
        Fold::Least | Fold::Most => b,
    }
}
