//! Pieces of quantization that one thread does at a time, for any instruction set.
use super::encode::{Encode, Stage, encode, runs};
use super::isa::{Ahead, BATCH, FIVES, Fold, Integer, Isa, LINE, STEP, Sign, Ternary, Work};
use super::plan::{Packing, Plan, Shared};
use super::statistics::{Answers, Batch, SHORT, Share};

/// Whole groups, start to end: their values are still in cache when the codes are taken.
#[derive(Debug)]
pub(crate) struct Groups<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) x: &'a [f32],
    pub(crate) scales: &'a mut [f32],
    /// Empty unless the rule is centred.
    pub(crate) centres: &'a mut [f32],
    /// Empty unless the rule has zero points.
    pub(crate) zero_points: &'a mut [i32],
    pub(crate) packed: &'a mut [u8],
}

/// Run `$self.$each::<I, coder, its values, its bytes>($args)` for the coder of a packing, which is
/// not asked for again within.
macro_rules! by_packing {
    ($self:ident.$each:ident($isa:ident)) => {
        match $self.plan.packing {
            Packing::Sign1 => $self.$each::<I, Sign, STEP, { STEP / 8 }>($isa),
            Packing::Ternary2 => $self.$each::<I, Ternary, STEP, { STEP / 4 }>($isa),
            Packing::Ternary3 => $self.$each::<I, Ternary, FIVES, STEP>($isa),
            Packing::Nibble => $self.$each::<I, Integer, STEP, { STEP / 2 }>($isa),
            // A block of rho is a step, half a line.
            Packing::Byte if $self.plan.run_len == STEP => {
                $self.$each::<I, Integer, STEP, STEP>($isa)
            }
            Packing::Byte => $self.$each::<I, Integer, LINE, LINE>($isa),
        }
    };
}

impl<I: Isa> Work<I> for Groups<'_> {
    #[inline(always)]
    fn run(self, isa: I) {
        by_packing!(self.each(isa));
    }
}

impl Groups<'_> {
    #[inline(always)]
    fn each<I: Isa, E: Encode<VALUES, BYTES>, const VALUES: usize, const BYTES: usize>(
        mut self,
        isa: I,
    ) {
        let plan = *self.plan;
        let mut stage = plan.stream.then(Stage::new);
        let short = plan.group_len <= SHORT && plan.group_len.is_multiple_of(STEP);
        let short = short && plan.run_len == plan.group_len && plan.second.is_none();
        let from = match plan.first {
            Some(fold) if short && plan.group_len == STEP => {
                self.blocks::<I, E, VALUES, BYTES>(isa, fold, stage.as_mut())
            }
            Some(fold) if short => self.batches::<I, E, VALUES, BYTES>(isa, fold, stage.as_mut()),
            _ => 0,
        };
        let groups = self.x.chunks(plan.group_len).zip(self.packed.chunks_mut(plan.group_bytes()));
        for (i, (x, packed)) in groups.enumerate().skip(from) {
            let mut shared = Shared::default();
            isa.enter(Share { plan: &plan, x, shared: &mut shared });
            self.scales[i] = shared.scale;
            if let Some(centre) = self.centres.get_mut(i) {
                *centre = shared.centre;
            }
            if let Some(zero_point) = self.zero_points.get_mut(i) {
                *zero_point = shared.zero_point.into();
            }
            let to = (stage.as_mut(), plan.ahead());
            runs::<I, E, VALUES, BYTES>(isa, &plan, &shared, (x, packed), to);
        }
        isa.fence();
    }

    /// Sixteen short groups at a time, whose scales are one vector; answers how many were done.
    #[inline(always)]
    fn batches<I: Isa, E: Encode<VALUES, BYTES>, const VALUES: usize, const BYTES: usize>(
        &mut self,
        isa: I,
        fold: Fold,
        mut stage: Option<&mut Stage>,
    ) -> usize {
        let plan = *self.plan;
        let (len, bytes) = (plan.group_len, plan.group_bytes());
        let scales = self.scales.as_chunks_mut::<BATCH>().0;
        let done = BATCH * scales.len().min(self.x.len() / (BATCH * len));
        let batches = self.x.chunks_exact(BATCH * len);
        let batches = batches.zip(self.packed.chunks_exact_mut(BATCH * bytes));
        for ((x, packed), scales) in batches.zip(scales) {
            let mut batch = Batch::default();
            isa.enter(Answers { plan: &plan, fold, len, x, batch: &mut batch });
            *scales = batch.scales;
            let to = match stage.as_deref_mut() {
                Some(stage) => stage.room(BATCH * bytes),
                None => &mut *packed,
            };
            for i in 0..BATCH {
                let symmetric = plan.symmetric(batch.scales[i]);
                let shared = Shared { reciprocal: batch.reciprocals[i], ..symmetric };
                let group = (&x[i * len..][..len], &mut to[i * bytes..][..bytes]);
                encode(isa, &E::new(&plan, &shared), group, plan.ahead());
            }
            if let Some(stage) = stage.as_deref_mut() {
                isa.stream(stage.room(BATCH * bytes), packed);
            }
        }
        done
    }
}

/// Codes of whole runs of one group, or of a part of one run that starts on a byte.
#[derive(Debug)]
pub(crate) struct Codes<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) shared: Shared,
    pub(crate) x: &'a [f32],
    pub(crate) packed: &'a mut [u8],
}

impl<I: Isa> Work<I> for Codes<'_> {
    #[inline(always)]
    fn run(self, isa: I) {
        by_packing!(self.each(isa));
    }
}

impl Codes<'_> {
    #[inline(always)]
    fn each<I: Isa, E: Encode<VALUES, BYTES>, const VALUES: usize, const BYTES: usize>(
        self,
        isa: I,
    ) {
        let mut stage = self.plan.stream.then(Stage::new);
        let to = (self.x, self.packed);
        runs::<I, E, VALUES, BYTES>(
            isa,
            self.plan,
            &self.shared,
            to,
            (stage.as_mut(), Ahead::Near),
        );
        isa.fence();
    }
}
