//! How a query meets keys: sums of products of floats, or of int8 codes.
use super::simd::Simd;
use crate::buffer::Element;

/// Products of one query with `L` keys, one a lane.
pub(super) trait Score<I: Simd<L>, const L: usize>: Send + Sync + 'static {
    /// A value of a token.
    type Value: Element;
    /// Neighbouring values that are taken at once.
    type Word: Element + Default;
    /// A vector of sums.
    type Sums: Copy;
    /// Words of a token of `dim` values.
    fn words(dim: usize) -> usize;
    /// Word `w` of a query with this factor.
    fn query_word(token: &[Self::Value], w: usize, factor: f32) -> Self::Word;
    /// Word `w` of a key.
    fn key_word(token: &[Self::Value], w: usize) -> Self::Word;
    /// What the sum of a key begins with.
    fn start(token: &[Self::Value]) -> i32;
    /// Sums of no product, for keys with these beginnings.
    fn begin(isa: I, starts: &[i32; L]) -> Self::Sums;
    /// One word of the query and of every key.
    fn step(isa: I, sums: Self::Sums, q: Self::Word, k: &[Self::Word; L]) -> Self::Sums;
    /// Scores in powers of two, from the factor of the query and those of the keys.
    fn finish(isa: I, sums: Self::Sums, query: f32, keys: &[f32; L]) -> I::Floats;
}

/// Floats; the query holds its factor.
#[derive(Debug)]
pub(super) struct Floats;

impl<I: Simd<L>, const L: usize> Score<I, L> for Floats {
    type Value = f32;
    type Word = f32;
    type Sums = I::Floats;
    fn words(dim: usize) -> usize {
        dim
    }
    #[inline(always)]
    fn query_word(token: &[f32], w: usize, factor: f32) -> f32 {
        token[w] * factor
    }
    #[inline(always)]
    fn key_word(token: &[f32], w: usize) -> f32 {
        token[w]
    }
    fn start(_: &[f32]) -> i32 {
        0
    }
    #[inline(always)]
    fn begin(isa: I, _: &[i32; L]) -> I::Floats {
        isa.splat(0.0)
    }
    #[inline(always)]
    fn step(isa: I, sums: I::Floats, q: f32, k: &[f32; L]) -> I::Floats {
        isa.fma(isa.splat(q), isa.load(k), sums)
    }
    #[inline(always)]
    fn finish(_: I, sums: I::Floats, _: f32, _: &[f32; L]) -> I::Floats {
        sums
    }
}

/// int8 codes with a scale a token.
#[derive(Debug)]
pub(super) struct Codes;

impl<I: Simd<L>, const L: usize> Score<I, L> for Codes {
    type Value = i8;
    type Word = I::Word;
    type Sums = I::Sums;
    fn words(dim: usize) -> usize {
        dim.div_ceil(I::CODES)
    }
    #[inline(always)]
    fn query_word(token: &[i8], w: usize, _: f32) -> I::Word {
        I::query_word(word(token, w, I::CODES))
    }
    #[inline(always)]
    fn key_word(token: &[i8], w: usize) -> I::Word {
        I::key_word(word(token, w, I::CODES))
    }
    fn start(token: &[i8]) -> i32 {
        I::start(token.iter().map(|code| i32::from(*code)).sum())
    }
    #[inline(always)]
    fn begin(isa: I, starts: &[i32; L]) -> I::Sums {
        isa.begin(starts)
    }
    #[inline(always)]
    fn step(isa: I, sums: I::Sums, q: I::Word, k: &[I::Word; L]) -> I::Sums {
        isa.dot(sums, q, k)
    }
    #[inline(always)]
    fn finish(isa: I, sums: I::Sums, query: f32, keys: &[f32; L]) -> I::Floats {
        isa.mul(isa.floats(sums), isa.mul(isa.splat(query), isa.load(keys)))
    }
}

/// The codes of word `w`, fewer in the last.
#[inline(always)]
fn word(token: &[i8], w: usize, codes: usize) -> &[i8] {
    &token[w * codes..token.len().min((w + 1) * codes)]
}
