//! Groups of one step, 32 values: blocks of rho, and the smallest groups of a row.
//!
//! Sixteen at a time: their statistics are one vector, their scales one division of it and the
//! reciprocals of these another. That chain is longer than a core looks ahead, so a batch goes
//! through it before the codes of the batch that precedes it are made. Codes of a byte are made a
//! line at a time, each half under the scale of its block, and leave as they are made. Smaller codes
//! are 64 to 256 bytes a batch (112 of `ternary3`, whose blocks end within a byte); past the caches
//! they leave from a stage, as in `encode.rs`.
use super::encode::{Encode, Stage, encode};
use super::isa::{BATCH, BLOCKS, Fold, Halves, Isa, LINE, STEP, lines};
use super::plan::{Packing, Plan, Shared};
use super::statistics::{Answers, Batch};
use super::tasks::Groups;

impl Groups<'_> {
    /// Batches of blocks; answers how many blocks were done.
    #[inline(always)]
    pub(super) fn blocks<
        I: Isa,
        E: Encode<VALUES, BYTES>,
        const VALUES: usize,
        const BYTES: usize,
    >(
        &mut self,
        isa: I,
        fold: Fold,
        mut stage: Option<&mut Stage>,
    ) -> usize {
        let plan = *self.plan;
        let each = plan.group_bytes();
        let bytes = BATCH * each;
        let batches = self.x.as_chunks::<BLOCKS>().0;
        let Some(first) = batches.first() else { return 0 };
        let mut next = Batch::default();
        isa.enter(Answers { plan: &plan, fold, len: STEP, x: first, batch: &mut next });
        let mut packed = &mut *self.packed;
        let mut done = 0;
        for (n, (x, scales)) in batches.iter().zip(self.scales.as_chunks_mut().0).enumerate() {
            // Split by hand: zipped chunks divide to find their number.
            let (batch, rest) = packed.split_at_mut(bytes);
            let shared = next;
            if let Some(x) = batches.get(n + 1) {
                isa.enter(Answers { plan: &plan, fold, len: STEP, x, batch: &mut next });
            }
            *scales = shared.scales;
            match plan.packing {
                Packing::Byte => lines_of_pairs(isa, &plan, x, &shared, batch),
                _ => {
                    let to = match stage.as_deref_mut() {
                        Some(stage) => stage.room(bytes),
                        None => &mut *batch,
                    };
                    for (i, x) in x.as_chunks::<STEP>().0.iter().enumerate() {
                        let group = plan.symmetric(shared.scales[i]);
                        let group = Shared { reciprocal: shared.reciprocals[i], ..group };
                        let to = &mut to[i * each..][..each];
                        encode(isa, &E::new(&plan, &group), (x, to), plan.ahead());
                    }
                    if let Some(stage) = stage.as_deref_mut() {
                        isa.stream(stage.room(bytes), batch);
                    }
                }
            }
            (packed, done) = (rest, done + BATCH);
        }
        done
    }
}

/// Codes of a byte: a line for two blocks.
#[inline(always)]
fn lines_of_pairs<I: Isa>(
    isa: I,
    plan: &Plan,
    x: &[f32; BLOCKS],
    batch: &Batch,
    packed: &mut [u8],
) {
    let to = plan.integer(&Shared::default());
    let pairs = batch.steps.as_chunks().0.iter().zip(batch.reciprocals.as_chunks().0);
    let x = x.as_chunks().0.iter().zip(pairs);
    // Whole lines, and all of them, unless the buffer begins within one.
    if let (true, ([], lines, [])) = (plan.stream, lines(packed)) {
        for ((x, (step, reciprocal)), line) in x.zip(lines) {
            plan.ahead().ask::<I, LINE>(isa, x);
            isa.pair_past(&to, Halves { step, reciprocal }, x, line);
        }
    } else {
        for ((x, (step, reciprocal)), line) in x.zip(packed.as_chunks_mut().0) {
            isa.pair(&to, Halves { step, reciprocal }, x, line);
        }
    }
}
