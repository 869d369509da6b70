//! What the rows of `attention` share: packed keys, tasks, and the row itself.
//!
//! Keys are packed once a launch and head, since they are activations: in panels of `C L` keys,
//! anything behind the last one: no query sees it. A panel holds its words one after another, and of each word
//! (floats: one value, int8: as many codes as a dot takes) all its keys:
//!
//! ```text
//! word 0: key 0 | key 1 | ... | key C L - 1   word 1: key 0 | ...
//! ```
//!
//! Values are read where they lie if a row is a whole number of vectors, else from a copy with
//! zeros behind each row. Both are as long as the keys and values themselves; tasks add to that no
//! more than `tile.rs` says, whatever the length. A task is a tile of queries of one head, so
//! that no sum is split between threads.
use super::score::{Codes, Floats, Score};
use super::simd::Simd;
use super::tile::{QUERIES, Task};
use crate::buffer::Buffer;
use crate::context::Context;
use crate::hardware::Need;
use crate::pool::Pool;
use crate::{Failure, Kernel, Prepared};
use lowbit_reference::op::attention::{
    Attention, AttentionInputs, AttentionProblem, AttentionShape, Scores,
};
use lowbit_reference::op::{Arithmetic, Outputs, Tensor};
use std::marker::PhantomData;

/// The largest score that is accepted: far from where differences leave f32.
const LARGEST: f32 = 1e36;

/// The row of an instruction set with vectors of `L` floats, for `R` queries by `C` vectors.
#[derive(Debug)]
pub(super) struct Row<I, const L: usize, const R: usize, const C: usize>(PhantomData<fn() -> I>);

impl<I, const L: usize, const R: usize, const C: usize> Row<I, L, R, C> {
    pub(super) const fn new() -> Self {
        Row(PhantomData)
    }
}

impl<I: Simd<L>, const L: usize, const R: usize, const C: usize> Kernel<Attention>
    for Row<I, L, R, C>
{
    fn name(&self) -> &'static str {
        I::NAME
    }

    fn need(&self) -> Need {
        I::NEED
    }

    fn arithmetic(&self, problem: &AttentionProblem) -> Arithmetic {
        match problem.scores {
            Scores::F32 => Arithmetic::FLOAT,
            Scores::Int8 { .. } => Arithmetic::INTEGER,
        }
    }

    fn accepts(&self, problem: &AttentionProblem) -> Result<(), String> {
        let AttentionProblem { shape, scores, q, k, v, .. } = problem;
        shape.check(&AttentionInputs { q, k, v }).map_err(|error| error.to_string())?;
        let dim = shape.config.head_dim;
        if matches!(scores, Scores::Int8 { .. }) && dim > I::MAX_CODES {
            return Err(format!("sums of {dim} codes are not exact, at most {}", I::MAX_CODES));
        }
        let most = |x: &[f32]| {
            x.iter()
                .fold(0.0, |most: f32, x| if x.abs() > most || x.is_nan() { x.abs() } else { most })
        };
        let score = most(q) * most(k) * dim as f32 * shape.config.softmax_scale().abs() as f32;
        match score < LARGEST && v.iter().all(|v| v.is_finite()) {
            true => Ok(()),
            false => Err(format!("values that are not finite, or scores beyond {LARGEST:e}")),
        }
    }

    fn prepare<'p>(
        &self,
        problem: &'p AttentionProblem,
        context: &mut Context,
    ) -> Result<Box<dyn Prepared + 'p>, Failure> {
        let isa = I::detect().ok_or_else(|| Failure(format!("no {}", I::NAME)))?;
        let AttentionShape { batch, query_len, value_dim, config, .. } = problem.shape;
        let y = context.buffer("y", batch * config.num_heads * query_len * value_dim);
        Ok(match &problem.scores {
            Scores::F32 => {
                let tokens = [(&problem.q[..], &[][..]), (&problem.k[..], &[][..])];
                let run = Run::<I, Floats, L, R, C>::new(isa, problem, tokens, context);
                Box::new(Attending { run, y })
            }
            Scores::Int8 { q, k } => {
                let tokens = [(&q.codes[..], &q.scales[..]), (&k.codes[..], &k.scales[..])];
                let run = Run::<I, Codes, L, R, C>::new(isa, problem, tokens, context);
                Box::new(Attending { run, y })
            }
        })
    }
}

/// Tokens one after another, with a scale each, or with none.
#[derive(Debug)]
struct Tokens<V> {
    values: Buffer<V>,
    scales: Buffer<f32>,
}

impl<V: crate::buffer::Element> Tokens<V> {
    fn token(&self, at: usize, dim: usize) -> (&[V], f32) {
        (&self.values[at * dim..][..dim], self.scales.get(at).copied().unwrap_or(1.0))
    }
}

/// A row bound to its problem.
pub(super) struct Run<I: Simd<L>, S: Score<I, L>, const L: usize, const R: usize, const C: usize> {
    /// Heads, lengths, mask, dropout.
    pub(super) shape: AttentionShape,
    /// Words of a token.
    pub(super) words: usize,
    /// Length of a value.
    pub(super) value_dim: usize,
    /// Vectors of a value.
    pub(super) vectors: usize,
    isa: I,
    pool: Pool,
    queries: Tokens<S::Value>,
    tokens: Tokens<S::Value>,
    v: Buffer<f32>,
    /// Panels of a head.
    panels: usize,
    /// Words of the keys, panel by panel.
    keys: Buffer<S::Word>,
    /// What the sums of the keys begin with.
    starts: Buffer<i32>,
    /// Scales of the keys.
    scales: Buffer<f32>,
    /// Values in whole vectors; empty where `v` is that.
    padded: Buffer<f32>,
}

impl<I: Simd<L>, S: Score<I, L>, const L: usize, const R: usize, const C: usize>
    Run<I, S, L, R, C>
{
    fn new(
        isa: I,
        problem: &AttentionProblem,
        [q, k]: [(&[S::Value], &[f32]); 2],
        context: &mut Context,
    ) -> Self {
        let AttentionProblem { shape, v, .. } = problem;
        let words = S::words(shape.config.head_dim);
        let (value_dim, heads) = (shape.value_dim, shape.batch * shape.kv_heads);
        let (panels, vectors) = (shape.key_len.div_ceil(C * L), value_dim.div_ceil(L));
        let keys = heads * panels * C * L;
        let whole = value_dim.is_multiple_of(L);
        let padded = if whole { 0 } else { heads * shape.key_len * vectors * L };
        let mut tokens = |values, (codes, scales): (&[S::Value], &[f32])| Tokens {
            values: context.copy(values, codes),
            scales: context.copy("scales", scales),
        };
        let (queries, tokens_in) = (tokens("q", q), tokens("k", k));
        Run {
            shape: *shape,
            words,
            value_dim,
            vectors,
            isa,
            pool: context.pool().clone(),
            queries,
            tokens: tokens_in,
            v: context.copy("v", v),
            panels,
            keys: context.buffer("packed keys", keys * words),
            starts: context.buffer("starts", keys),
            scales: context.buffer("packed scales", keys),
            padded: context.buffer("padded values", padded),
        }
    }

    /// Query `i` of a head counted over all sequences, and what makes its products scores in
    /// powers of two.
    pub(super) fn query(&self, head: usize, i: usize) -> (&[S::Value], f32) {
        let at = head * self.shape.query_len + i;
        let (token, scale) = self.queries.token(at, self.shape.config.head_dim);
        let power = self.shape.config.softmax_scale() * std::f64::consts::LOG2_E;
        (token, scale * power as f32)
    }

    /// The head of keys and values that a head of queries meets.
    fn kv_head(&self, head: usize) -> usize {
        let heads = self.shape.config.num_heads;
        head / heads * self.shape.kv_heads + head % heads / (heads / self.shape.kv_heads)
    }

    /// Where panel `at` of the keys that a head of queries meets is.
    #[inline(always)]
    pub(super) fn panel(&self, head: usize, at: usize) -> usize {
        self.kv_head(head) * self.panels + at
    }

    /// Words, beginnings and scales of a panel.
    #[inline(always)]
    #[expect(clippy::type_complexity, reason = "three slices of arrays of lanes")]
    pub(super) fn keys(&self, panel: usize) -> (&[[[S::Word; L]; C]], &[[i32; L]], &[[f32; L]]) {
        let (words, at) = (self.keys.as_chunks::<L>().0.as_chunks::<C>().0, panel * C);
        let words = &words[panel * self.words..][..self.words];
        let (starts, scales) = (self.starts.as_chunks::<L>().0, self.scales.as_chunks::<L>().0);
        (words, &starts[at..][..C], &scales[at..][..C])
    }

    /// Vectors of some values of the head that a head of queries meets.
    #[inline(always)]
    pub(super) fn values(&self, head: usize, key: usize, keys: usize) -> &[[f32; L]] {
        let values = if self.padded.is_empty() { &self.v } else { &self.padded };
        let at = self.kv_head(head) * self.shape.key_len + key;
        &values.as_chunks::<L>().0[at * self.vectors..][..keys * self.vectors]
    }

    fn pack(&mut self) {
        let (dim, key_len, panels) = (self.shape.config.head_dim, self.shape.key_len, self.panels);
        let (tokens, words) = (&self.tokens, self.words);
        let keys = self.keys.chunks_mut(words * C * L).zip(self.starts.chunks_mut(C * L));
        let tasks = keys.zip(self.scales.chunks_mut(C * L)).enumerate();
        self.pool.for_each(tasks.collect(), |(at, ((packed, starts), scales))| {
            let (head, first) = (at / panels, at % panels * C * L);
            let there = (key_len - first).min(C * L);
            for lane in 0..there {
                let (token, scale) = tokens.token(head * key_len + first + lane, dim);
                for (w, words) in packed.chunks_exact_mut(C * L).enumerate() {
                    words[lane] = S::key_word(token, w);
                }
                (starts[lane], scales[lane]) = (S::start(token), scale);
            }
        });
    }

    fn pad(&mut self) {
        let (value_dim, len) = (self.value_dim, self.vectors * L);
        // As many rows as a panel has: some tens of kilobytes.
        let tasks = self
            .padded
            .chunks_mut((C * L * len).max(1))
            .zip(self.v.chunks((C * L * value_dim).max(1)));
        self.pool.for_each(tasks.collect(), |(padded, v)| {
            for (padded, v) in padded.chunks_exact_mut(len).zip(v.chunks_exact(value_dim)) {
                padded[..value_dim].copy_from_slice(v);
                padded[value_dim..].fill(0.0);
            }
        });
    }
}

/// A row bound to its problem, with room for the result.
struct Attending<I: Simd<L>, S: Score<I, L>, const L: usize, const R: usize, const C: usize> {
    run: Run<I, S, L, R, C>,
    y: Buffer<f32>,
}

impl<I: Simd<L>, S: Score<I, L>, const L: usize, const R: usize, const C: usize> Prepared
    for Attending<I, S, L, R, C>
{
    fn launch(&mut self) -> Result<(), Failure> {
        self.run.pack();
        self.run.pad();
        let (run, value_dim) = (&self.run, self.run.value_dim);
        let heads = self.y.chunks_mut((run.shape.query_len * value_dim).max(1)).enumerate();
        let tasks = heads.flat_map(|(head, y)| {
            let tiles = y.chunks_mut(QUERIES * value_dim).enumerate();
            tiles.map(move |(tile, y)| Task { run, head, first: tile * QUERIES, y })
        });
        run.pool.for_each(tasks.collect(), |task| run.isa.enter(task));
        Ok(())
    }

    fn forget(&mut self) -> Result<(), Failure> {
        self.y.fill(f32::NAN);
        Ok(())
    }

    fn read(&mut self) -> Result<Outputs, Failure> {
        Ok(Outputs(vec![("y", Tensor::F32(self.y.to_vec()))]))
    }
}
