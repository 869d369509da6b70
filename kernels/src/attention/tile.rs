//! One task of attention: a tile of queries of one head, with an online softmax over its keys
//! (FlashAttention-2, Dao 2023, algorithm 1).
//!
//! For each tile of [`KEYS`] keys and each group of `R` queries, with `t` scores in powers of two:
//!
//! ```text
//! t = q K^T;  m' = max(m, max t);  a = 2^(m - m');  p = 2^(t - m')
//! l' = a l + sum p;  O' = a O + p V;      at the end y = O / l
//! ```
//!
//! Scores: `C` vectors of keys by `R` queries in registers, word after word of the head. Sums of
//! values: `C` vectors of values by `R` queries, key after key. A tile of keys that no query of the
//! group sees is left out, and within a tile the keys beyond the last one seen; only those that
//! some queries see and others do not get the score [`HIDDEN`], whose power is 0.
//!
//! Memory of a task: `R KEYS` scores, and queries, sums and dropout of its queries.
#![expect(clippy::needless_range_loop, reason = "registers of a tile go by number")]
use super::rows::Run;
use super::score::Score;
use super::simd::{Simd, Work};
use lowbit_reference::op::attention::kept;

/// Keys of a step of the softmax: a multiple of every panel, and no fewer than 16.
pub(super) const KEYS: usize = 512;
/// Queries of a task: a multiple of every group.
pub(super) const QUERIES: usize = 96;
/// The score of a key that a query does not see; finite, so that differences are numbers.
const HIDDEN: f32 = -1e38;

/// A tile of queries of one head.
pub(super) struct Task<
    'a,
    I: Simd<L>,
    S: Score<I, L>,
    const L: usize,
    const R: usize,
    const C: usize,
> {
    /// The row, its shape and its packed keys.
    pub(super) run: &'a Run<I, S, L, R, C>,
    /// Head of the queries, counted over all sequences.
    pub(super) head: usize,
    /// First query.
    pub(super) first: usize,
    /// Results, a row a query.
    pub(super) y: &'a mut [f32],
}

impl<I: Simd<L>, S: Score<I, L>, const L: usize, const R: usize, const C: usize> Work<I>
    for Task<'_, I, S, L, R, C>
{
    #[inline(always)]
    fn run(self, isa: I) {
        const { assert!(R <= L && KEYS.is_multiple_of(C * L) && QUERIES.is_multiple_of(R)) };
        let run = self.run;
        let queries = self.y.len() / run.value_dim;
        let (mut groups, mut rest) = (Vec::new(), Vec::new());
        for at in (0..queries / R * R).step_by(R) {
            groups.push(Group::<S::Word, L, R>::new(run, self.head, self.first + at));
        }
        for at in queries / R * R..queries {
            rest.push(Group::<S::Word, L, 1>::new(run, self.head, self.first + at));
        }
        let most = run.shape.visible(self.first + queries - 1);
        let (mut scores, mut score) = ([[0.0; KEYS]; R], [[0.0; KEYS]; 1]);
        for key in (0..most).step_by(KEYS) {
            for group in &mut groups {
                group.step(isa, run, (self.head, key), &mut scores);
            }
            for group in &mut rest {
                group.step(isa, run, (self.head, key), &mut score);
            }
        }
        let (whole, tail) = self.y.split_at_mut(groups.len() * R * run.value_dim);
        for (group, y) in groups.iter().zip(whole.chunks_exact_mut(R * run.value_dim)) {
            group.finish(isa, run, y);
        }
        for (group, y) in rest.iter().zip(tail.chunks_exact_mut(run.value_dim)) {
            group.finish(isa, run, y);
        }
    }
}

/// `R` neighbouring queries of one head, and what is known of them so far.
struct Group<W, const L: usize, const R: usize> {
    /// Word by word.
    q: Vec<[W; R]>,
    /// What makes a product of a query a score in powers of two.
    factor: [f32; R],
    /// Keys that each query sees: the first so many.
    seen: [usize; R],
    /// Which of them dropout keeps; empty without dropout.
    kept: [Vec<bool>; R],
    /// Largest scores, in the first `R` lanes.
    max: [f32; L],
    /// Sums of weights, lane by lane.
    weights: [[f32; L]; R],
    /// Sums of weighted values, query by query.
    values: Vec<[f32; L]>,
}

impl<W: Copy + Default, const L: usize, const R: usize> Group<W, L, R> {
    /// The queries from `first` on, before any key.
    #[inline(always)]
    fn new<I: Simd<L>, S: Score<I, L, Word = W>, const G: usize, const C: usize>(
        run: &Run<I, S, L, G, C>,
        head: usize,
        first: usize,
    ) -> Group<W, L, R> {
        let mut group = Group {
            q: vec![[W::default(); R]; run.words],
            factor: [0.0; R],
            seen: [0; R],
            kept: [const { Vec::new() }; R],
            max: [HIDDEN; L],
            weights: [[0.0; L]; R],
            values: vec![[0.0; L]; R * run.vectors],
        };
        let heads = run.shape.config.num_heads;
        for r in 0..R {
            let (i, seen) = (first + r, run.shape.visible(first + r));
            let (token, factor) = run.query(head, i);
            for (w, q) in group.q.iter_mut().enumerate() {
                q[r] = S::query_word(token, w, factor);
            }
            (group.factor[r], group.seen[r]) = (factor, seen);
            if run.shape.config.dropout > 0.0 {
                let place = [head / heads, head % heads, i];
                group.kept[r] = kept(run.shape.config.dropout, run.shape.seed, place, seen);
            }
        }
        group
    }

    /// Take the keys from `key` on: at most [`KEYS`], and none that no query sees.
    #[inline(always)]
    fn step<I: Simd<L>, S: Score<I, L, Word = W>, const G: usize, const C: usize>(
        &mut self,
        isa: I,
        run: &Run<I, S, L, G, C>,
        (head, key): (usize, usize),
        scores: &mut [[f32; KEYS]; R],
    ) {
        let most = self.seen.iter().fold(0, |most, seen| most.max(*seen));
        let keys = most.saturating_sub(key).min(KEYS);
        for panel in 0..keys.div_ceil(C * L) {
            let at = run.panel(head, key / (C * L) + panel);
            self.scores::<I, S, G, C>(isa, run, at, (panel * C, scores));
        }
        if keys > 0 {
            let shrink = self.softmax(isa, (key, keys), scores);
            let (values, vectors) = (run.values(head, key, keys), run.vectors);
            let mut c = 0;
            while c < vectors {
                c += match vectors - c {
                    left if left >= C => self.weigh::<I, C>(isa, scores, &shrink, (values, c)),
                    2.. => self.weigh::<I, 2>(isa, scores, &shrink, (values, c)),
                    _ => self.weigh::<I, 1>(isa, scores, &shrink, (values, c)),
                };
            }
        }
    }

    /// Scores of one panel of keys, from vector `at` of every row on.
    #[inline(always)]
    fn scores<I: Simd<L>, S: Score<I, L, Word = W>, const G: usize, const C: usize>(
        &self,
        isa: I,
        run: &Run<I, S, L, G, C>,
        panel: usize,
        (at, scores): (usize, &mut [[f32; KEYS]; R]),
    ) {
        let (words, starts, scales) = run.keys(panel);
        let mut sums = [[S::begin(isa, &starts[0]); C]; R];
        for r in 0..R {
            for c in 0..C {
                sums[r][c] = S::begin(isa, &starts[c]);
            }
        }
        for (q, k) in self.q.iter().zip(words) {
            for r in 0..R {
                for c in 0..C {
                    sums[r][c] = S::step(isa, sums[r][c], q[r], &k[c]);
                }
            }
        }
        for r in 0..R {
            let to = &mut scores[r].as_chunks_mut::<L>().0[at..][..C];
            for c in 0..C {
                isa.store(S::finish(isa, sums[r][c], self.factor[r], &scales[c]), &mut to[c]);
            }
        }
    }

    /// Scores to weights `2^(score - max)`, added up; the answer is what all that was added
    /// before must be multiplied by.
    #[inline(always)]
    fn softmax<I: Simd<L>>(
        &mut self,
        isa: I,
        (key, keys): (usize, usize),
        scores: &mut [[f32; KEYS]; R],
    ) -> [f32; L] {
        let vectors = keys.div_ceil(L);
        let (before, mut shrink) = (isa.load(&self.max), [0.0; L]);
        for r in 0..R {
            let seen = self.seen[r].saturating_sub(key).min(vectors * L);
            scores[r][seen..vectors * L].fill(HIDDEN);
            let mut most = isa.splat(self.max[r]);
            for score in &scores[r].as_chunks::<L>().0[..vectors] {
                most = isa.max(most, isa.load(score));
            }
            self.max[r] = isa.largest(most);
        }
        isa.store(isa.exp2(isa.sub(before, isa.load(&self.max))), &mut shrink);
        for r in 0..R {
            let max = isa.splat(self.max[r]);
            let mut sum = isa.mul(isa.load(&self.weights[r]), isa.splat(shrink[r]));
            for score in &mut scores[r].as_chunks_mut::<L>().0[..vectors] {
                let weight = isa.exp2(isa.sub(isa.load(score), max));
                sum = isa.add(sum, weight);
                isa.store(weight, score);
            }
            isa.store(sum, &mut self.weights[r]);
            if let Some(kept) = self.kept[r].get(key..) {
                for (weight, kept) in scores[r].iter_mut().zip(kept) {
                    *weight = if *kept { *weight } else { 0.0 };
                }
            }
        }
        shrink
    }

    /// Add weighted values to `B` vectors of the sums, from vector `at` of every row on; the answer
    /// is `B`.
    #[inline(always)]
    fn weigh<I: Simd<L>, const B: usize>(
        &mut self,
        isa: I,
        weights: &[[f32; KEYS]; R],
        shrink: &[f32; L],
        (values, at): (&[[f32; L]], usize),
    ) -> usize {
        let vectors = self.values.len() / R;
        let mut sums = [[isa.splat(0.0); B]; R];
        for r in 0..R {
            for b in 0..B {
                let sum = isa.load(&self.values[r * vectors + at + b]);
                sums[r][b] = isa.mul(sum, isa.splat(shrink[r]));
            }
        }
        for (j, row) in values.chunks_exact(vectors).take(KEYS).enumerate() {
            let Some(v) = row[at..].first_chunk::<B>() else { continue };
            for r in 0..R {
                for b in 0..B {
                    sums[r][b] = isa.fma(isa.splat(weights[r][j]), isa.load(&v[b]), sums[r][b]);
                }
            }
        }
        for r in 0..R {
            for b in 0..B {
                isa.store(sums[r][b], &mut self.values[r * vectors + at + b]);
            }
        }
        B
    }

    /// Divide by the sums of weights; a query that sees no key has the result 0.
    #[inline(always)]
    fn finish<I: Simd<L>, S: Score<I, L, Word = W>, const G: usize, const C: usize>(
        &self,
        isa: I,
        run: &Run<I, S, L, G, C>,
        y: &mut [f32],
    ) {
        let kept = isa.splat((1.0 / (1.0 - run.shape.config.dropout)) as f32);
        let rows = y.chunks_exact_mut(run.value_dim).zip(self.values.chunks_exact(run.vectors));
        for (r, (y, sums)) in rows.enumerate() {
            if self.seen[r] == 0 {
                y.fill(0.0);
                continue;
            }
            let total = isa.splat(self.weights[r].iter().sum());
            let mut lanes = [0.0; L];
            for (y, sum) in y.chunks_mut(L).zip(sums) {
                isa.store(isa.mul(isa.div(isa.load(sum), total), kept), &mut lanes);
                y.copy_from_slice(&lanes[..y.len()]);
            }
        }
    }
}
