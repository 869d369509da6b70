//! Tier `adversarial`: values that wrong kernels get wrong, one pattern a case.
//!
//! Each pattern aims at one kind of fault: a tie rounded the other way, a subnormal flushed, an
//! accumulator that saturates, a neighbour's scale, a NaN lost on the way. Everything is a function
//! of the seed and the position, as in the other tiers.
use super::{Distribution, Stream, block_rng, exact, mix, realistic};
use crate::case::Word;
use crate::format::Levels;
use crate::rule::{Range, Rule};
use rand::Rng;

/// What a case of the tier holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// Nothing but 0.
    Zeros,
    /// Nothing but -0.
    NegativeZeros,
    /// One value of each group is not zero; the seed says which, the last one of every other group.
    OneHot,
    /// Values halfway between two codes: `(k + 1/2) scale`, and at the thresholds of a rule.
    Ties,
    /// The same, one ulp up or down.
    NearTies,
    /// Every value at the end of the range, rows of either sign; far beyond it where the scale is
    /// fixed. Sums of products reach what an accumulator must hold. Of every third seed (2, 5, ...)
    /// none is negative: sums across rows (channels, heads) reach it too.
    Saturated,
    /// Whole multiples of the smallest subnormal, of all magnitudes below the least normal float.
    Denormals,
    /// Pairs `x, -x` of activations against pairs `w, w` of weights: sums of 0 of large terms.
    Cancelling,
    /// Every value of a row the same.
    ConstantRows,
    /// Normal values; one column 10,000 times larger.
    Outliers,
    /// Normal values; neighbouring groups 2^40 apart.
    HugeRange,
    /// Normal values and one NaN.
    Nan,
    /// Normal values and one infinity.
    Inf,
    /// Normal values and one negative infinity.
    NegativeInf,
    /// Normal values, the largest of each group a power of two, the number before or the one after: where
    /// an exponent that was taken by a logarithm, or rounded, is another.
    Binades,
}

impl Pattern {
    /// Names in scenario files and ids.
    pub const WORDS: [(&'static str, Pattern); 15] = [
        ("zeros", Pattern::Zeros),
        ("negative_zeros", Pattern::NegativeZeros),
        ("one_hot", Pattern::OneHot),
        ("ties", Pattern::Ties),
        ("near_ties", Pattern::NearTies),
        ("saturated", Pattern::Saturated),
        ("denormals", Pattern::Denormals),
        ("cancelling", Pattern::Cancelling),
        ("constant_rows", Pattern::ConstantRows),
        ("outliers", Pattern::Outliers),
        ("huge_range", Pattern::HugeRange),
        ("nan", Pattern::Nan),
        ("inf", Pattern::Inf),
        ("negative_inf", Pattern::NegativeInf),
        ("binades", Pattern::Binades),
    ];

    /// The words, for parameters.
    pub fn words() -> Vec<Word> {
        Self::WORDS.map(|(name, _)| Word { name, aliases: &[] }).to_vec()
    }

    /// Look a pattern up by name.
    pub fn named(name: &str) -> Option<Pattern> {
        Self::WORDS.iter().find(|(word, _)| *word == name).map(|(_, pattern)| *pattern)
    }

    /// The one value that is no number, if the pattern has one.
    pub fn special(self) -> Option<f32> {
        match self {
            Pattern::Nan => Some(f32::NAN),
            Pattern::Inf => Some(f32::INFINITY),
            Pattern::NegativeInf => Some(f32::NEG_INFINITY),
            _ => None,
        }
    }
}

/// Values that share a scale where no rule says how many: the shortest block of the block formats.
const BLOCK: usize = 32;
/// The largest planted value where no rule has a range: that of int8 codes.
const FULL: f32 = 127.0;
/// The largest subnormal, in steps of the least.
const MOST_DENORMAL: f32 = 8_388_607.0;

/// How a tensor is divided, and where its range ends.
#[derive(Clone, Copy, Debug)]
pub struct Layout<'a> {
    /// Values in all.
    pub len: usize,
    /// Length of a row.
    pub row_len: usize,
    /// The rule that will quantize the values, and what codes there are; none where they stay
    /// floats, or meet a format that has no rule.
    pub rule: Option<(&'a Rule, Levels)>,
    /// End of the range where there is no rule.
    pub full: f32,
}

impl Layout<'_> {
    /// The end of the range that saturates: of codes in units of the scale.
    fn full(&self) -> f32 {
        match self.rule {
            Some((rule, _)) if rule.range == Range::Fixed => 1e9 * rule.fixed_scale,
            Some((rule, _)) => rule.steps / rule.times,
            None => self.full,
        }
    }

    /// Values of a group, within a row: a scale of the whole tensor counts as one of each row.
    fn group_len(&self) -> usize {
        let shared = self.rule.map_or(BLOCK, |(rule, _)| rule.group_len(self.len, self.row_len));
        shared.clamp(1, self.row_len.max(1))
    }
}

/// The values of a pattern.
pub fn adversarial(
    pattern: Pattern,
    (seed, stream): (u64, Stream),
    layout: Layout<'_>,
) -> Vec<f32> {
    let (row_len, group_len) = (layout.row_len.max(1), layout.group_len());
    let group = |i: usize| i / row_len * row_len.div_ceil(group_len) + i % row_len / group_len;
    let drawn = match pattern {
        Pattern::Zeros => return vec![0.0; layout.len],
        Pattern::NegativeZeros => return vec![-0.0; layout.len],
        Pattern::Ties => return ties((seed, stream), layout),
        Pattern::NearTies => return near_ties((seed, stream), layout),
        Pattern::Saturated => vec![0.0; layout.len],
        Pattern::Binades => return binades((seed, stream), layout),
        _ => {
            let (seed, shape) = (mix(seed ^ 0xad5e), (layout.len, row_len));
            realistic(Distribution::Normal, (seed, stream), shape, 1.0)
        }
    };
    let mut x = drawn.clone();
    let full = layout.full();
    let salt = mix(seed ^ mix(stream as u64));
    for (i, x) in x.iter_mut().enumerate() {
        let (row, column, group) = (i / row_len, i % row_len, group(i));
        let first = i - column % group_len;
        match pattern {
            Pattern::OneHot => {
                let end = (first + group_len).min((row + 1) * row_len);
                let (drawn, len) = (mix(salt.wrapping_add(group as u64)), (end - first) as u64);
                let hot = if drawn >> 63 == 1 { len - 1 } else { drawn % len };
                *x *= f32::from(u8::from((i - first) as u64 == hot));
            }
            Pattern::Saturated => *x = if row % 2 == 0 || seed % 3 == 2 { full } else { -full },
            Pattern::Denormals => {
                let power = mix(salt ^ mix(i as u64)) % 13;
                let steps = (*x * (300 << power) as f32).round();
                *x = steps.clamp(-MOST_DENORMAL, MOST_DENORMAL) * f32::from_bits(1);
            }
            Pattern::Cancelling => {
                let pair = drawn[i - column % 2];
                let paired = column % 2 == 0 || stream == Stream::Weight;
                *x = if paired { pair } else { -pair };
            }
            Pattern::ConstantRows => *x = drawn[row * row_len],
            Pattern::Outliers if column as u64 == salt % row_len as u64 => *x *= 1e4,
            // No scale of a block overflows the f16 it is stored in.
            Pattern::HugeRange => *x *= if group % 2 == 0 { 2f32.powi(-28) } else { 2f32.powi(12) },
            _ => {}
        }
    }
    if let (Some(special), true) = (pattern.special(), layout.len > 0) {
        x[(salt % layout.len as u64) as usize] = special;
    }
    x
}

/// The least value whose neighbours are normal, too.
const LEAST: f32 = 2.0 * f32::MIN_POSITIVE;

/// Values at every threshold. Under a mean, but of signs, all magnitudes are planted in pairs about it: `(c - d, c + d)`
/// has the mean `c` whatever `d`, and `d` is such that both are halves, or the smaller the ternary
/// threshold. Signs without a centre have theirs at 0: every other value is a zero of either sign or
/// twice the least normal one. Elsewhere tier `exact` has ties, half of its values; here are more.
fn ties((seed, stream): (u64, Stream), layout: Layout<'_>) -> Vec<f32> {
    let Some((rule, levels)) = layout.rule else { return halves((seed, stream), layout) };
    let mut x = exact(rule, levels, (seed, stream), (layout.len, layout.row_len));
    let shared = rule.group_len(layout.len, layout.row_len);
    let mean = rule.range == Range::Absmean && levels != Levels::Sign;
    let centre = rule.steps / rule.times;
    for (group, x) in x.chunks_mut(shared).enumerate() {
        let mut rng = block_rng(mix(seed ^ 0x71e5), stream, group);
        let most = x.iter().fold(0.0f32, |most, x| most.max(x.abs()));
        let scale = rule.scale(rule.statistic(levels, x)); // planted: a power of two, or fixed
        match (mean, rule.range) {
            (true, _) => {
                for pair in x.chunks_exact_mut(2) {
                    let off = match levels {
                        Levels::Ternary => (1.0 - rule.threshold).max(0.0),
                        _ => f32::from(rng.random_range(0..=62u8)),
                    };
                    for (x, value) in pair.iter_mut().zip([centre - off, centre + off]) {
                        *x = (value * scale).copysign(*x);
                    }
                }
            }
            (false, Range::Absmax | Range::Fixed | Range::Minmax) => {
                let least = x.iter().fold(f32::INFINITY, |least, x| least.min(*x));
                let minmax = rule.range == Range::Minmax;
                // `exact` has put both ends of a range with a zero point into the group.
                let low = if minmax { least } else { -most };
                let ends = [low, most].map(|end| (end / scale).clamp(-256.0, 256.0) as i16);
                let high = ends[1].max(ends[0] + 1);
                let end = |x: f32| x.abs() == most || (minmax && x == least);
                for x in x.iter_mut().filter(|x| !end(**x)) {
                    *x = (f32::from(rng.random_range(ends[0]..high)) + 0.5) * scale;
                }
            }
            _ => {}
        }
        if levels == Levels::Sign && !rule.centred {
            let about = [0.0, -0.0, LEAST, -LEAST].iter().cycle();
            x.iter_mut().skip(1).step_by(2).zip(about).for_each(|(x, value)| *x = *value);
        }
    }
    x
}

/// Rows in groups, of each the largest rounded up to a power of two, and then one ulp up or down or left.
fn binades((seed, stream): (u64, Stream), layout: Layout<'_>) -> Vec<f32> {
    let (row_len, group_len) = (layout.row_len.max(1), layout.group_len());
    let shape = (layout.len, row_len);
    let mut x = realistic(Distribution::Normal, (mix(seed ^ 0xb17a), stream), shape, 1.0);
    let groups = x.chunks_mut(row_len).flat_map(|row| row.chunks_mut(group_len));
    for (group, x) in groups.enumerate() {
        let largest = x.iter_mut().max_by(|a, b| a.abs().total_cmp(&b.abs()));
        let Some(largest) = largest.filter(|x| x.is_normal()) else { continue };
        let ulp = [-1, 0, 1][(mix(seed ^ mix(group as u64)) % 3) as usize];
        // Up to the next exponent in its bits: a logarithm is not the same on every machine.
        let power = (largest.abs().to_bits() + 0x007f_ffff) & 0x7f80_0000;
        *largest = f32::from_bits(power.wrapping_add_signed(ulp)).copysign(*largest);
    }
    x
}

/// Halves from -126.5 to 126.5, and one value of each block at an end of the range.
fn halves((seed, stream): (u64, Stream), layout: Layout<'_>) -> Vec<f32> {
    let mut x = vec![0.0f32; layout.len];
    for (block, x) in x.chunks_mut(BLOCK).enumerate() {
        let mut rng = block_rng(mix(seed ^ 0x71e5), stream, block);
        x.iter_mut().for_each(|x| *x = f32::from(rng.random_range(-127i8..=126)) + 0.5);
        let at = rng.random_range(0..x.len());
        x[at] = if rng.random() { FULL } else { -FULL };
    }
    x
}

/// Ties one ulp up or down; where the largest value makes the scale, it stays. Where a mean does,
/// neighbours move in opposite directions.
fn near_ties((seed, stream): (u64, Stream), layout: Layout<'_>) -> Vec<f32> {
    let mut x = ties((seed, stream), layout);
    let shared = layout.rule.map_or(BLOCK, |(rule, _)| rule.group_len(layout.len, layout.row_len));
    let range = layout.rule.map_or(Range::Absmax, |(rule, _)| rule.range);
    let made_by_ends = matches!(range, Range::Absmax | Range::Minmax);
    for (group, x) in x.chunks_mut(shared).enumerate() {
        let mut rng = block_rng(mix(seed ^ 0x0e45), stream, group);
        let most = x.iter().fold(0.0f32, |most, x| most.max(x.abs()));
        let least = x.iter().fold(0.0f32, |least, x| least.min(*x));
        let end = |x: f32| made_by_ends && (x.abs() == most || x == least);
        for (i, x) in x.iter_mut().enumerate().filter(|(_, x)| **x != 0.0 && !end(**x)) {
            let up = if made_by_ends { rng.random() } else { i % 2 == 0 };
            *x = f32::from_bits(x.to_bits().wrapping_add_signed(if up { 1 } else { -1 }));
        }
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::{activation_rule, quantize, weight_rule};

    fn values(pattern: Pattern, rule: Option<(&Rule, Levels)>, stream: Stream) -> Vec<f32> {
        let layout = Layout { len: 6 * 128, row_len: 128, rule, full: 1.0 };
        adversarial(pattern, (7, stream), layout)
    }

    #[test]
    fn patterns_hold_what_they_say() {
        let of = |pattern| values(pattern, None, Stream::Activation);
        assert!(of(Pattern::Zeros).iter().all(|x| x.to_bits() == 0));
        assert!(of(Pattern::NegativeZeros).iter().all(|x| x.to_bits() == 1 << 31));
        let hot = of(Pattern::OneHot);
        assert!(hot.chunks(BLOCK).all(|block| block.iter().filter(|x| **x != 0.0).count() == 1));
        let tiny = of(Pattern::Denormals);
        assert!(tiny.iter().all(|x| x.abs() < f32::MIN_POSITIVE));
        // A sixth of them or more in each third of the range, on a logarithmic scale.
        for powers in [0.0..10.0, 10.0..16.0, 16.0..23.0] {
            let power = |x: &f32| (x.abs() / f32::from_bits(1)).log2().floor();
            let there = tiny.iter().filter(|x| powers.contains(&power(x))).count();
            assert!(6 * there >= tiny.len(), "{powers:?}: {there}");
        }
        let x = of(Pattern::Cancelling);
        let w = values(Pattern::Cancelling, None, Stream::Weight);
        for (x, w) in x.chunks(128).zip(w.chunks(128)) {
            assert_eq!(x.iter().zip(w).map(|(x, w)| f64::from(x * w)).sum::<f64>(), 0.0);
        }
        assert!(of(Pattern::ConstantRows).chunks(128).all(|row| row.iter().all(|x| *x == row[0])));
        let wide = of(Pattern::HugeRange);
        let mean = |x: &[f32]| x.iter().map(|x| x.abs()).sum::<f32>() / x.len() as f32;
        assert!(wide.chunks(64).all(|two| mean(&two[32..]) > 1e10 * mean(&two[..32])));
        let binades = of(Pattern::Binades);
        let offs = binades.chunks(BLOCK).map(|block| {
            let most = block.iter().fold(0.0f32, |most, x| most.max(x.abs()));
            most.to_bits().wrapping_add(1) & 0x007f_ffff
        });
        assert_eq!(offs.collect::<std::collections::BTreeSet<_>>(), (0..3).collect());
        for pattern in [Pattern::Nan, Pattern::Inf, Pattern::NegativeInf] {
            let x = of(pattern);
            assert_eq!(x.iter().filter(|x| !x.is_finite()).count(), 1, "{pattern:?}");
        }
    }

    #[test]
    fn ties_are_ties_and_their_neighbours_are_none() {
        let rules = [
            (activation_rule("absmax", Levels::Int8), Levels::Int8),
            (activation_rule("absmax", Levels::Int4), Levels::Int4),
            (activation_rule("onnx", Levels::Uint8), Levels::Uint8),
            (weight_rule("burn_dragon", Levels::Int8), Levels::Int8),
            (weight_rule("b158", Levels::Ternary), Levels::Ternary),
            (weight_rule("burn_dragon", Levels::Ternary), Levels::Ternary),
        ];
        for (rule, levels) in rules {
            let rule = rule.unwrap();
            let kind = Some((&rule, levels));
            let x = values(Pattern::Ties, kind, Stream::Activation);
            let shared = rule.group_len(x.len(), 128);
            let q = quantize(&rule, levels, &x, shared);
            let near = |i: usize| rule.near_tie(levels, x[i], &q.shared[i / shared], shared);
            let ties = (0..x.len()).filter(|i| near(*i)).count();
            assert!(3 * ties > x.len(), "{rule:?}: {ties}");
            let moved = values(Pattern::NearTies, kind, Stream::Activation);
            let off = x.iter().zip(&moved).filter(|(x, moved)| x != moved).count();
            assert!(3 * off > x.len(), "{rule:?}: {off} moved");
            // The scale is the same, up to the mean's last bit.
            let again = quantize(&rule, levels, &moved, shared);
            for (a, b) in q.scales().iter().zip(again.scales()) {
                assert!((a - b).abs() <= 1e-6 * a, "{a} {b}");
            }
        }
    }

    #[test]
    fn signs_meet_both_zeros_and_what_is_next_to_them() {
        let rule = weight_rule("burn_dragon", Levels::Sign).unwrap();
        let x = values(Pattern::Ties, Some((&rule, Levels::Sign)), Stream::Weight);
        let count = |bits: f32| x.iter().filter(|x| x.to_bits() == bits.to_bits()).count();
        assert!([0.0, -0.0, LEAST, -LEAST].into_iter().all(|bits| count(bits) > 3), "{x:?}");
    }

    /// So that ids keep their meaning: the first of those are pinned.
    #[test]
    fn values_around_a_planted_one_are_normal_values_of_the_seed() {
        let layout = Layout { len: 5000, row_len: 100, rule: None, full: 1.0 };
        let x = adversarial(Pattern::Inf, (3, Stream::Weight), layout);
        let seed = mix(3 ^ 0xad5e);
        let drawn = realistic(Distribution::Normal, (seed, Stream::Weight), (5000, 100), 1.0);
        let other: Vec<usize> = (0..5000).filter(|i| x[*i] != drawn[*i]).collect();
        assert!(other.len() == 1 && x[other[0]] == f32::INFINITY, "{other:?}");
    }

    #[test]
    fn saturated_codes_are_at_both_ends() {
        for (levels, ends) in [(Levels::Int8, [-127, 127]), (Levels::Int4, [-7, 7])] {
            let rule = weight_rule("absmax", levels).unwrap();
            let x = values(Pattern::Saturated, Some((&rule, levels)), Stream::Weight);
            let q = quantize(&rule, levels, &x, rule.group_len(x.len(), 128));
            assert!(ends.iter().all(|end| q.codes.contains(end)), "{levels:?}");
            assert!(q.codes.iter().all(|code| ends.contains(code)));
        }
        let of_seed = |seed| {
            let layout = Layout { len: 12, row_len: 3, rule: None, full: 1.0 };
            adversarial(Pattern::Saturated, (seed, Stream::Weight), layout)
        };
        assert!([2, 5].iter().all(|seed| of_seed(*seed) == [1.0; 12]));
        assert!([0, 1, 7].iter().all(|seed| of_seed(*seed)[3] == -1.0));
        let fixed = Rule { range: Range::Fixed, fixed_scale: 0.02, ..Rule::default() };
        let x = values(Pattern::Saturated, Some((&fixed, Levels::Int8)), Stream::Weight);
        assert!(x.iter().all(|x| x.abs() > 1e6));
    }
}
