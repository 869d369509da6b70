//! Data of a case: deterministic in the seed, the same on any number of threads.
//!
//! Every block of 4,096 values has a generator of its own, seeded from (seed, stream, block).
//! Tier `exact` plants integers and powers of two so that every scale is a power of two and any
//! order of summation gives the same float; `realistic` draws from a named distribution;
//! `adversarial` plants what wrong kernels get wrong; `file` takes a tensor out of a file, and `kept`
//! all tensors of a failing case.
mod adversarial;
use crate::case::Word;
use crate::format::Levels;
use crate::rule::{Granularity, Range, Rule};
pub use adversarial::{Layout, Pattern, adversarial};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution as _, Exp1, StandardNormal, StudentT};
use rayon::prelude::*;

/// Values that share one generator.
pub const BLOCK: usize = 4096;

/// A matrix read from a file, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix {
    /// Rows: output features of a weight.
    pub rows: usize,
    /// Columns: input features of a weight.
    pub columns: usize,
    /// Row-major values.
    pub values: Vec<f32>,
}

/// Where `data=file` finds its tensors; implemented outside, since this crate reads no files.
pub trait Files: Sync {
    /// The named tensor of a file.
    fn matrix(&self, path: &str, tensor: &str) -> Result<Matrix, String>;
    /// Told the values of a stream, in rows of `row_len`, as a case gets them. Nothing by default;
    /// whoever makes a failing case small remembers them.
    fn keep(&self, _stream: Stream, _values: &[f32], _row_len: usize) {}
}

/// For callers without files: every request is an error.
#[derive(Debug)]
pub struct NoFiles;
impl Files for NoFiles {
    fn matrix(&self, path: &str, _: &str) -> Result<Matrix, String> {
        Err(format!("{path}: files are not available here"))
    }
}

/// Distributions of the tier `realistic`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distribution {
    /// Standard normal.
    Normal,
    /// Student's t with 4 degrees of freedom: heavier tails than any trained weight we know.
    StudentT,
    /// Normal times exp(normal / 2), and one column in 128 twenty times larger (outlier channels).
    Lognormal,
    /// `max(normal, 0)`: half the values are zero.
    Relu,
    /// The square of `max(normal, 0)`: what BitNet a4.8 feeds its down projection.
    Relu2,
    /// Laplace of variance 1: what trained weights resemble more than a normal.
    Laplace,
}

impl Distribution {
    /// Names in scenario files and ids.
    pub const WORDS: [(&'static str, Distribution); 6] = [
        ("normal", Distribution::Normal),
        ("student_t", Distribution::StudentT),
        ("lognormal", Distribution::Lognormal),
        ("relu", Distribution::Relu),
        ("relu2", Distribution::Relu2),
        ("laplace", Distribution::Laplace),
    ];

    /// The words, for parameters.
    pub fn words() -> Vec<Word> {
        Self::WORDS.map(|(name, _)| Word { name, aliases: &[] }).to_vec()
    }

    /// Look a distribution up by name.
    pub fn named(name: &str) -> Option<Distribution> {
        Self::WORDS.iter().find(|(word, _)| *word == name).map(|(_, d)| *d)
    }

    fn draw(self, rng: &mut ChaCha8Rng, column: usize) -> f32 {
        let normal = |rng: &mut ChaCha8Rng| -> f32 { StandardNormal.sample(rng) };
        match self {
            Distribution::Normal => normal(rng),
            Distribution::Relu => normal(rng).max(0.0),
            Distribution::Relu2 => normal(rng).max(0.0).powi(2),
            Distribution::Laplace => {
                // An exponential of either sign has variance 2.
                let magnitude: f32 = Exp1.sample(rng);
                magnitude.copysign(normal(rng)) * std::f32::consts::FRAC_1_SQRT_2
            }
            // 4 degrees of freedom are always valid; 0 never occurs.
            Distribution::StudentT => StudentT::new(4.0f32).map_or(0.0, |t| t.sample(rng)),
            Distribution::Lognormal => {
                let outlier = if outlier_column(column) { 20.0 } else { 1.0 };
                normal(rng) * (0.5 * normal(rng)).exp() * outlier
            }
        }
    }
}

/// Which tensor of a case a stream of values belongs to; keeps them independent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Weights.
    Weight = 1,
    /// Activations.
    Activation = 2,
    /// A recurrent state.
    State = 3,
    /// Sampling of outputs to compare.
    Sample = 4,
    /// Dropout of attention weights.
    Dropout = 5,
    /// Gradients of outputs.
    Gradient = 6,
}

impl Stream {
    /// Name of its tensor in a file of kept data.
    pub fn name(self) -> &'static str {
        match self {
            Stream::Weight => "weight",
            Stream::Activation => "activation",
            Stream::State => "state",
            Stream::Sample => "sample",
            Stream::Dropout => "dropout",
            Stream::Gradient => "gradient",
        }
    }
}

/// Whether a column of log-normal values is an outlier channel: one in 128.
pub fn outlier_column(column: usize) -> bool {
    mix(column as u64).is_multiple_of(128)
}

/// Scrambles a word (the finalizer of SplitMix64).
pub fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// The generator of one block of one stream.
pub fn block_rng(seed: u64, stream: Stream, block: usize) -> ChaCha8Rng {
    let stream = mix(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(stream as u64));
    ChaCha8Rng::seed_from_u64(mix(stream.wrapping_add(block as u64 + 1)))
}

/// `len` values of a distribution in rows of `row_len`, multiplied by `sigma`.
pub fn realistic(
    distribution: Distribution,
    (seed, stream): (u64, Stream),
    (len, row_len): (usize, usize),
    sigma: f32,
) -> Vec<f32> {
    let mut values = vec![0.0f32; len];
    values.par_chunks_mut(BLOCK).enumerate().for_each(|(block, chunk)| {
        let mut rng = block_rng(seed, stream, block);
        for (i, value) in chunk.iter_mut().enumerate() {
            *value = sigma * distribution.draw(&mut rng, (block * BLOCK + i) % row_len.max(1));
        }
    });
    values
}

/// `len` small integers in `[-8, 8]`: exact in any order for f32 activations.
pub fn small_integers((seed, stream): (u64, Stream), len: usize) -> Vec<f32> {
    let mut values = vec![0.0f32; len];
    values.par_chunks_mut(BLOCK).enumerate().for_each(|(block, chunk)| {
        let mut rng = block_rng(seed, stream, block);
        chunk.iter_mut().for_each(|value| *value = f32::from(rng.random_range(-8i8..=8)));
    });
    values
}

/// Whole numbers in `-whole..=whole` times a power of two for each block of `block_len`, the first
/// of which to reach `whole` is anywhere: what formats that carry their scales hold exactly.
pub fn whole_blocks(
    (seed, stream): (u64, Stream),
    len: usize,
    (block_len, whole): (usize, u8),
) -> Vec<f32> {
    let mut values = vec![0.0f32; len];
    let blocks = values.par_chunks_mut(block_len.max(1)).enumerate();
    blocks.for_each(|(block, chunk)| {
        let mut rng = block_rng(seed, stream, block);
        let whole = i16::from(whole);
        let unit = 2.0f32.powi(rng.random_range(-1..=1));
        chunk.iter_mut().for_each(|x| *x = f32::from(rng.random_range(-whole..=whole)) * unit);
        let at = rng.random_range(0..chunk.len());
        let most = f32::from(whole) * unit;
        chunk[at] = if rng.random() { most } else { -most };
    });
    values
}

/// Values whose scale under `rule` is an exact power of two, unless it is fixed. Where the scale is a mean, which a
/// row may get an ulp off, codes are far from ties.
///
/// * absmax: multiples of one half in `[-8, 8]` and within the range, so half of the quotients are
///   exact ties and tell rounding rules apart, and one value at the full range per group;
/// * fixed: the same, in units of the scale;
/// * minmax: the same between both ends of the range, which are there;
/// * twice-mean int8: pairs `(63.5 - d, 63.5 + d)`, so the mean is exactly 63.5;
/// * mean, ternary: one value of each pair is zero, the other twice the scale;
/// * mean, sign: the same zeros, of either sign; without zeros where a centre is subtracted.
///
/// An odd group ends in three values with the same mean. Rows of `row_len`, exponents per group.
pub fn exact(
    rule: &Rule,
    levels: Levels,
    (seed, stream): (u64, Stream),
    (len, row_len): (usize, usize),
) -> Vec<f32> {
    let mut values = vec![0.0f32; len];
    let group_len = rule.group_len(len, row_len);
    values.chunks_mut(group_len).enumerate().for_each(|(group, chunk)| {
        let exponent = match rule.granularity {
            Granularity::Tensor => -1,
            _ => (mix(seed ^ group as u64) % 5) as i32 - 2,
        };
        let fixed = rule.range == Range::Fixed;
        let unit = if fixed { rule.fixed_scale } else { 2.0f32.powi(exponent) };
        match rule.range {
            Range::Absmax | Range::Fixed => {
                plant_absmax(rule, levels, (seed, stream, group), chunk)
            }
            Range::Minmax => plant_minmax(rule, (seed, stream, group), chunk),
            Range::Absmean => plant_absmean(rule, levels, (seed, stream, group), chunk),
        }
        chunk.iter_mut().for_each(|value| *value *= unit);
    });
    values
}

/// Multiples of one half in `[-8, 8]`.
fn plant_halves((seed, stream): (u64, Stream), out: &mut [f32]) {
    let whole = small_integers((seed, stream), out.len());
    let odd = small_integers((mix(seed), stream), out.len());
    let value = |(x, odd): (&f32, &f32)| if *odd > 0.0 { (x - 0.5).max(-8.0) } else { *x };
    out.iter_mut().zip(whole.iter().zip(&odd).map(value)).for_each(|(slot, x)| *slot = x);
}

fn plant_absmax(
    rule: &Rule,
    levels: Levels,
    (seed, stream, group): (u64, Stream, usize),
    out: &mut [f32],
) {
    let seed = mix(seed.wrapping_add(group as u64));
    plant_halves((seed, stream), out);
    let full = rule.steps / rule.times;
    out.iter_mut().for_each(|value| *value = value.clamp(-full, full));
    let at = (mix(seed) % out.len() as u64) as usize;
    let positive = seed & 1 == 0 || levels.unsigned();
    out[at] = if positive { full } else { -full };
}

fn plant_minmax(rule: &Rule, (seed, stream, group): (u64, Stream, usize), out: &mut [f32]) {
    let seed = mix(seed.wrapping_add(group as u64));
    plant_halves((seed, stream), out);
    // Zero is a third of the way up, rounded down to a code.
    let least = -(rule.steps / rule.times / 3.0).floor();
    let most = least + rule.steps / rule.times;
    out.iter_mut().for_each(|value| *value = value.clamp(least, most));
    let at = (mix(seed) % out.len() as u64) as usize;
    let next = (at + 1) % out.len();
    (out[at], out[next]) = (least, most);
}

fn plant_absmean(
    rule: &Rule,
    levels: Levels,
    (seed, stream, group): (u64, Stream, usize),
    out: &mut [f32],
) {
    // Magnitudes with mean `steps / times`, so that the scale is exactly 1.
    let centre = rule.steps / rule.times;
    let most = (0..=127u8).rfind(|d| f32::from(*d) <= centre).unwrap_or(0);
    let pair = |rng: &mut ChaCha8Rng| match levels {
        Levels::Sign if rule.centred => (centre, centre),
        Levels::Sign | Levels::Ternary => (2.0 * centre, 0.0),
        _ => {
            let d = f32::from(rng.random_range(0..=most)) + centre.fract();
            (centre + d, (centre - d).max(0.0))
        }
    };
    let odd: &[f32] = match levels {
        Levels::Sign => &[1.0, 1.0, 1.0],
        Levels::Ternary => &[2.5, 0.25, 0.25],
        _ => &[63.25 / 63.5, 63.25 / 63.5, 64.0 / 63.5],
    };
    let len = out.len();
    out.chunks_mut(BLOCK).enumerate().for_each(|(block, chunk)| {
        let mut rng = block_rng(mix(seed.wrapping_add(group as u64)), stream, block);
        for two in chunk.chunks_mut(2) {
            let (a, b) = pair(&mut rng);
            let (a, b) = if rng.random() { (a, b) } else { (b, a) };
            two.iter_mut().zip([a, b]).for_each(|(slot, value)| *slot = value);
        }
        // Where codes are unsigned, a negative value would not count.
        let sign =
            |rng: &mut ChaCha8Rng| if rng.random() || levels.unsigned() { 1.0 } else { -1.0 };
        chunk.iter_mut().for_each(|value| *value *= sign(&mut rng));
    });
    match len {
        1 => out[0] = centre,
        _ if len % 2 == 1 => {
            let tail = out[len - 3..].iter_mut().zip(odd);
            tail.for_each(|(slot, odd)| *slot = (odd * centre).copysign(*slot));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::{self, quantize};

    #[test]
    fn values_do_not_depend_on_the_number_of_threads() {
        let draw = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                realistic(Distribution::Lognormal, (7, Stream::Weight), (10_000, 100), 1.0)
            })
        };
        assert_eq!(draw(1), draw(3));
    }

    #[test]
    fn first_values_are_pinned() {
        // A new version of a random-number crate must not change the data of old case ids.
        let values = realistic(Distribution::Normal, (7, Stream::Weight), (3, 3), 1.0);
        assert_eq!(values, PINNED);
    }
    const PINNED: [f32; 3] = [0.36000085, 1.7713556, -1.347991];

    #[test]
    fn exact_data_has_power_of_two_scales_and_ties_only_under_absmax() {
        let rules = [("burn_dragon", Levels::Int8), ("burn_dragon", Levels::Ternary)];
        let more = [("b158", Levels::Ternary), ("absmax", Levels::Int8), ("onnx", Levels::Int8)];
        for (name, levels) in rules.into_iter().chain(more).chain([("burn_dragon", Levels::Sign)]) {
            let rule = rule::weight_rule(name, levels).unwrap();
            let mut ties = 0;
            for (rows, row_len) in [(1, 2), (3, 5), (4, 64), (7, 33)] {
                let shape = (rows * row_len, row_len);
                let x = exact(&rule, levels, (3, Stream::Weight), shape);
                let group_len = rule.group_len(x.len(), row_len);
                let q = quantize(&rule, levels, &x, group_len);
                for scale in q.scales() {
                    assert_eq!(scale.log2().fract(), 0.0, "{name} {rows}x{row_len}: {scale}");
                }
                let near = |(i, x): (usize, &f32)| {
                    rule.near_tie(levels, *x, &q.shared[i / group_len], group_len)
                };
                ties += x.iter().enumerate().filter(|at| near(*at)).count();
            }
            assert_eq!(ties > 50, rule.range == Range::Absmax, "{name} {levels:?}: {ties}");
        }
    }
}
