//! Values of a group to packed codes: whole steps, then a padded one, for any instruction set.
//!
//! Where results go past the caches, bytes do so a line at a time as they are made. Smaller codes
//! are made in a stage of 2.5 KiB first, which stays in L1, and leave it as whole lines: a store
//! past the caches that fills no line costs a read as well. (Bytes would lose 5 % by a stage.)
use super::isa::{Ahead, FIVES, Integer, Isa, LINE, STEP, Sign, Ternary, lines};
use super::plan::{Plan, Shared};

/// Values coded before their codes leave the stage: whole steps, and whole lines, of every packing.
const STAGED: usize = 16 * FIVES;

/// Codes on their way past the caches.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Stage([u8; STAGED]);

impl Stage {
    pub(crate) fn new() -> Stage {
        Stage([0; STAGED])
    }

    /// Room for some codes, at most [`STAGED`].
    #[inline(always)]
    pub(crate) fn room(&mut self, len: usize) -> &mut [u8] {
        &mut self.0[..len]
    }
}

/// How values become packed codes: types, since closures would not be compiled for the instruction
/// set. takes `VALUES` to `BYTES`.
pub(crate) trait Encode<const VALUES: usize, const BYTES: usize> {
    /// For the values of a group.
    fn new(plan: &Plan, shared: &Shared) -> Self;
    /// One step.
    fn step<I: Isa>(&self, isa: I, x: &[f32; VALUES], bytes: &mut [u8; BYTES]);

    /// The last step, of fewer values: padded, cut, and the bits beyond the last code zero.
    #[inline(always)]
    fn tail<I: Isa>(&self, isa: I, tail: &[f32], rest: &mut [u8]) {
        let (mut x, mut bytes) = ([0.0; VALUES], [0; BYTES]);
        x[..tail.len()].copy_from_slice(tail);
        self.step(isa, &x, &mut bytes);
        rest.copy_from_slice(&bytes[..rest.len()]);
        let used = 8 * tail.len() * BYTES / VALUES % 8;
        if let (Some(last), 1..) = (rest.last_mut(), used) {
            *last &= (1 << used) - 1;
        }
    }

    /// Codes of a run, or of a part of one that starts on a byte, past the caches.
    #[inline(always)]
    fn past<I: Isa>(
        &self,
        isa: I,
        (x, packed): (&[f32], &mut [u8]),
        (stage, ahead): (&mut Stage, Ahead),
    ) where
        Self: Sized,
    {
        for (x, packed) in x.chunks(STAGED).zip(packed.chunks_mut(STAGED / VALUES * BYTES)) {
            let bytes = stage.room(packed.len());
            encode(isa, self, (x, &mut *bytes), ahead);
            isa.stream(bytes, packed);
        }
    }
}

impl Encode<STEP, { STEP / 8 }> for Sign {
    #[inline(always)]
    fn new(plan: &Plan, shared: &Shared) -> Sign {
        plan.sign(shared)
    }

    #[inline(always)]
    fn step<I: Isa>(&self, isa: I, x: &[f32; STEP], bytes: &mut [u8; STEP / 8]) {
        *bytes = isa.sign1(self, x).to_le_bytes();
    }
}

impl Encode<STEP, { STEP / 4 }> for Ternary {
    #[inline(always)]
    fn new(plan: &Plan, shared: &Shared) -> Ternary {
        plan.ternary(shared)
    }

    #[inline(always)]
    fn step<I: Isa>(&self, isa: I, x: &[f32; STEP], bytes: &mut [u8; STEP / 4]) {
        let mut digits = [0; STEP];
        isa.digits(self, x, &mut digits);
        *bytes = isa.ternary2(&digits).to_le_bytes();
    }
}

impl Encode<FIVES, STEP> for Ternary {
    #[inline(always)]
    fn new(plan: &Plan, shared: &Shared) -> Ternary {
        plan.ternary(shared)
    }

    #[inline(always)]
    fn step<I: Isa>(&self, isa: I, x: &[f32; FIVES], bytes: &mut [u8; STEP]) {
        let mut digits = [0; FIVES];
        for (x, digits) in x.as_chunks().0.iter().zip(digits.as_chunks_mut().0) {
            isa.digits(self, x, digits);
        }
        isa.ternary3(&digits, bytes);
    }

    /// Digits that are missing are those of code 0.
    #[inline(always)]
    fn tail<I: Isa>(&self, isa: I, tail: &[f32], rest: &mut [u8]) {
        let (mut x, mut digits, mut bytes) = ([0.0; FIVES], [0; FIVES], [0; STEP]);
        x[..tail.len()].copy_from_slice(tail);
        for (x, digits) in x.as_chunks().0.iter().zip(digits.as_chunks_mut().0) {
            isa.digits(self, x, digits);
        }
        digits[tail.len()..].fill(1);
        isa.ternary3(&digits, &mut bytes);
        rest.copy_from_slice(&bytes[..rest.len()]);
    }
}

impl Encode<STEP, STEP> for Integer {
    #[inline(always)]
    fn new(plan: &Plan, shared: &Shared) -> Integer {
        plan.integer(shared)
    }

    #[inline(always)]
    fn step<I: Isa>(&self, isa: I, x: &[f32; STEP], bytes: &mut [u8; STEP]) {
        isa.integers(self, x, bytes);
    }
}

impl Encode<LINE, LINE> for Integer {
    #[inline(always)]
    fn new(plan: &Plan, shared: &Shared) -> Integer {
        plan.integer(shared)
    }

    #[inline(always)]
    fn step<I: Isa>(&self, isa: I, x: &[f32; LINE], bytes: &mut [u8; LINE]) {
        isa.line(self, x, bytes);
    }

    #[inline(always)]
    fn past<I: Isa>(
        &self,
        isa: I,
        (x, packed): (&[f32], &mut [u8]),
        (_, ahead): (&mut Stage, Ahead),
    ) {
        let (head, lines, tail) = lines(packed);
        let (first, x) = x.split_at(head.len());
        let (body, last) = x.split_at(LINE * lines.len());
        encode::<I, LINE, LINE>(isa, self, (first, head), ahead);
        for (x, line) in body.as_chunks::<LINE>().0.iter().zip(lines) {
            ahead.ask(isa, x);
            isa.line_past(self, x, line);
        }
        encode::<I, LINE, LINE>(isa, self, (last, tail), ahead);
    }
}

impl Encode<STEP, { STEP / 2 }> for Integer {
    #[inline(always)]
    fn new(plan: &Plan, shared: &Shared) -> Integer {
        plan.integer(shared)
    }

    #[inline(always)]
    fn step<I: Isa>(&self, isa: I, x: &[f32; STEP], bytes: &mut [u8; STEP / 2]) {
        let mut codes = [0; STEP];
        isa.integers(self, x, &mut codes);
        isa.nibbles(&codes, bytes);
    }
}

/// Codes of whole runs of a group, or of a part of one run that starts on a byte, past the caches
/// if there is a stage.
#[inline(always)]
pub(crate) fn runs<I: Isa, E: Encode<VALUES, BYTES>, const VALUES: usize, const BYTES: usize>(
    isa: I,
    plan: &Plan,
    shared: &Shared,
    (mut x, mut packed): (&[f32], &mut [u8]),
    (mut stage, ahead): (Option<&mut Stage>, Ahead),
) {
    let coder = E::new(plan, shared);
    // Split by hand: zipped chunks divide to find their number, once a rho block.
    while x.len() > plan.run_len {
        let (run, later) = x.split_at(plan.run_len);
        let (bytes, rest) = packed.split_at_mut(plan.run_bytes());
        match stage.as_deref_mut() {
            Some(stage) => coder.past(isa, (run, bytes), (stage, ahead)),
            None => encode(isa, &coder, (run, bytes), Ahead::Nothing),
        }
        (x, packed) = (later, rest);
    }
    match stage {
        Some(stage) => coder.past(isa, (x, packed), (stage, ahead)),
        None => encode(isa, &coder, (x, packed), Ahead::Nothing),
    }
}

/// Codes of a run, or of a part of one that starts on a byte.
#[inline(always)]
pub(crate) fn encode<I: Isa, const VALUES: usize, const BYTES: usize>(
    isa: I,
    coder: &impl Encode<VALUES, BYTES>,
    (x, packed): (&[f32], &mut [u8]),
    ahead: Ahead,
) {
    let (steps, tail) = x.as_chunks::<VALUES>();
    let (body, rest) = packed.split_at_mut(steps.len() * BYTES);
    for (x, bytes) in steps.iter().zip(body.as_chunks_mut::<BYTES>().0) {
        ahead.ask(isa, x);
        coder.step(isa, x, bytes);
    }
    if !tail.is_empty() {
        coder.tail(isa, tail, rest);
    }
}
