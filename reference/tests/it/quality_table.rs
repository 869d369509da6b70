//! The gate on quality for everything that quantizes: each rule under each format, each block format,
//! NF4 and FP4 with every double quantization, each codec of states, under every distribution.
//!
//! `quality_table.csv` has, from [`TRIALS`] draws of 2^20 values, the mean of the NMSE and how far one
//! draw lies from it; [`print_the_table`] writes it. Here each is quantized once more, from a seed
//! that the table has not seen, and must have the error it had, no more and no less. `quality_gate.rs`
//! calculates what a formula gives and needs no table.
use lowbit_reference::data::{Distribution, Stream, realistic};
use lowbit_reference::fake_quantize::{ByBlocks, ByRule, FakeQuantize};
use lowbit_reference::format::codebook::Table;
use lowbit_reference::format::double_quant::DoubleQuant;
use lowbit_reference::format::nf4::{Nf4, Nibbles};
use lowbit_reference::format::{BLOCK_FORMATS, Levels};
use lowbit_reference::invalid::Invalid;
use lowbit_reference::quality::quality;
use lowbit_reference::rho::{RHO_COMPRESSIONS, RHO_PRECISIONS, RhoCodec, State, StateShape};
use lowbit_reference::rule::{Rule, activation_rule, rule_words, weight_rule};
use rayon::prelude::*;
use std::fmt::Write as _;

/// Values of a draw, rows of [`ROW`]; for states, matrices of 64 x 64.
const VALUES: usize = 1 << 20;
const ROW: usize = 4096;
const STATE: [usize; 3] = [256, 64, 64];
/// Draws behind a line of the table, from the seeds 101, 102, ...
const TRIALS: u64 = 16;
/// A seed that is none of the table's.
const SEED: u64 = 7;
/// Standard deviations that a draw may be off: as five of a normal distribution, where 16 draws
/// say what the deviation is (Student's t of 15 degrees of freedom).
const DEVIATIONS: f64 = 8.0;
/// What a deviation is at least taken for: the last bits of a mean of f64 are not the matter here.
const LEAST: f64 = 1e-6;

const TABLE: &str = include_str!("quality_table.csv");

/// What is judged, by name.
type Quantizer = (String, Box<dyn FakeQuantize>);

/// The rule of a name for levels.
type RuleOf = fn(&str, Levels) -> Option<Rule>;

/// A codec of states, without an anchor.
#[derive(Debug)]
struct ByCodec(&'static dyn RhoCodec);

impl FakeQuantize for ByCodec {
    fn fake_quantize(&self, x: &[f32], _: &[usize]) -> Result<Vec<f32>, Invalid> {
        let shape = StateShape::new(&STATE)?;
        let payload = self.0.encode(State::new(shape, x)?, None)?;
        self.0.decode(&payload, shape, None)
    }
}

/// Every rule that a format has, once.
fn by_rule() -> Vec<Quantizer> {
    use Levels::{Int4, Int8, Sign, Ternary, Uint4, Uint8};
    let mut known: Vec<ByRule> = Vec::new();
    let mut all: Vec<Quantizer> = Vec::new();
    let kinds: [(&str, RuleOf); 2] = [("weights", weight_rule), ("activations", activation_rule)];
    for (kind, rule_of) in kinds {
        for levels in [Sign, Ternary, Int4, Uint4, Int8, Uint8] {
            // No activation is a sign, ternary or an unsigned half byte.
            if kind == "activations" && [Sign, Ternary, Uint4].contains(&levels) {
                continue;
            }
            for word in rule_words() {
                let Some(rule) = rule_of(word.name, levels) else { continue };
                let by = ByRule { rule, levels };
                if !known.contains(&by) {
                    known.push(by);
                    let codes = levels.name().trim_end_matches(" codes");
                    all.push((format!("{kind} {codes} {}", word.name), Box::new(by)));
                }
            }
        }
    }
    all
}

fn quantizers() -> Vec<Quantizer> {
    let mut all = by_rule();
    all.extend(
        BLOCK_FORMATS
            .iter()
            .map(|f| -> Quantizer { (format!("blocks {}", f.name()), Box::new(ByBlocks(*f))) }),
    );
    let doubles = [None].into_iter().chain(DoubleQuant::ALL.map(Some));
    for (word, table) in [("nf4", Table::Nf4), ("fp4", Table::Fp4)] {
        for double in doubles.clone() {
            let name = double.map_or("f32", |double| double.word().name);
            let nf4 = Nf4::new(table, 64, double, Nibbles::HighFirst).unwrap();
            all.push((format!("{word} 64 {name}"), Box::new(nf4)));
        }
    }
    let precisions = RHO_PRECISIONS.iter().map(|p| (p.word.name, Some(p.codec)));
    let compressions = RHO_COMPRESSIONS.iter().map(|c| (c.word.name, c.codec));
    for (word, codec) in precisions.chain(compressions) {
        let name = format!("states {word}");
        // f32 loses nothing, and a compression may be a precision as well.
        let new = word != "fp32" && all.iter().all(|(other, _)| *other != name);
        if let Some(codec) = codec.filter(|_| new) {
            all.push((name, Box::new(ByCodec(codec))));
        }
    }
    all
}

/// A draw of each distribution.
fn drawn(seed: u64) -> Vec<(&'static str, Vec<f32>)> {
    let draw = |distribution| realistic(distribution, (seed, Stream::Weight), (VALUES, ROW), 1.0);
    Distribution::WORDS.map(|(word, distribution)| (word, draw(distribution))).into()
}

/// What a quantizer leaves of a draw.
fn left(by: &dyn FakeQuantize, x: &[f32]) -> Vec<f32> {
    by.fake_quantize(x, &[VALUES / ROW, ROW]).unwrap()
}

fn nmse(x: &[f32], q: &[f32]) -> f64 {
    quality(x, q.iter().copied()).nmse
}

/// What the table says of a quantizer under a distribution.
fn expected(name: &str, distribution: &str) -> Option<(f64, f64)> {
    let mut lines = TABLE.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let line = lines.find(|line| line[..2] == [name, distribution])?;
    Some((line[2].parse().unwrap(), line[3].parse().unwrap()))
}

/// Why an error is not the table's, if it is not.
fn refused(name: &str, distribution: &str, nmse: f64) -> Option<String> {
    let Some((mean, deviation)) = expected(name, distribution) else {
        let why = "no line in quality_table.csv; `print_the_table` prints them";
        return Some(format!("{name} {distribution}: {why}"));
    };
    let slack = DEVIATIONS * deviation.max(LEAST) * (1.0 + 1.0 / TRIALS as f64).sqrt();
    let off = nmse / mean - 1.0;
    (off.is_nan() || off.abs() > slack).then(|| {
        let slack = 100.0 * slack;
        format!("{name} {distribution}: NMSE {nmse:.5e}, not {mean:.5e} within {slack:.2} %")
    })
}

#[test]
fn everything_that_quantizes_has_the_error_it_had_under_every_distribution() {
    let (data, quantizers) = (drawn(SEED), quantizers());
    let judged = quantizers.par_iter().flat_map_iter(|(name, by)| {
        data.iter().filter_map(|(word, x)| refused(name, word, nmse(x, &left(&**by, x))))
    });
    let refused: Vec<String> = judged.collect();
    assert!(refused.is_empty(), "{}", refused.join("\n"));
    assert_eq!(TABLE.lines().count(), 1 + quantizers.len() * data.len(), "lines of nothing");
}

/// One value of 16 lost is too bad, and one of 16 kept is too good, whatever quantizes normal values:
/// but for scales of whole rows and tensors, whose error hangs on the largest value of each. They are
/// what `quality_gate.rs` calculates from that value.
#[test]
fn a_quantizer_that_is_a_little_worse_or_better_is_refused() {
    let data = drawn(SEED);
    let x = &data[0].1;
    let quantizers = quantizers();
    let judged = quantizers.par_iter().flat_map_iter(|(name, by)| {
        let q = left(&**by, x);
        let every_16th = |with: &dyn Fn(usize) -> f32| -> Vec<f32> {
            let value = |i: usize| if i.is_multiple_of(16) { with(i) } else { q[i] };
            (0..q.len()).map(value).collect()
        };
        let wrong = [("worse", every_16th(&|_| 0.0)), ("better", every_16th(&|i| x[i]))];
        let passes = |q: &[f32]| refused(name, "normal", nmse(x, q)).is_none();
        wrong.map(|(how, q)| passes(&q).then(|| format!("{name} {how}"))).into_iter().flatten()
    });
    let passed: Vec<String> = judged.collect();
    let known = [
        "weights int4 absmax",
        "weights int4 onnx",
        "weights uint4 onnx",
        "weights int8 absmax",
        "weights int8 onnx",
        "weights uint8 onnx",
        "activations int8 b1",
        "activations int8 b158",
        "activations int8 a48",
        "activations int8 b2_hadamard",
    ];
    let known = |name: &String| known.contains(&name.trim_end_matches(" better"));
    assert!(passed.iter().all(known), "pass and should not: {passed:?}");
    println!("hang on the largest value of a row or tensor: {passed:?}");
}

/// `cargo test --release -p lowbit-reference --test it print_the_table -- --ignored --nocapture`
#[test]
#[ignore = "writes the table that the other tests read"]
fn print_the_table() {
    let quantizers = quantizers();
    let mut trials: Vec<Vec<f64>> = vec![Vec::new(); quantizers.len() * Distribution::WORDS.len()];
    for seed in 0..TRIALS {
        let data = drawn(101 + seed);
        let all = quantizers.iter().flat_map(|(_, by)| data.iter().map(move |(_, x)| (by, x)));
        for (trials, (by, x)) in trials.iter_mut().zip(all) {
            trials.push(nmse(x, &left(&**by, x)));
        }
    }
    let mut table = "quantizer,distribution,nmse,relative_deviation\n".to_owned();
    let names = quantizers.iter().flat_map(|(name, _)| Distribution::WORDS.map(|(w, _)| (name, w)));
    for ((name, word), trials) in names.zip(trials) {
        let count = trials.len() as f64;
        let mean = trials.iter().sum::<f64>() / count;
        let squares = trials.iter().map(|nmse| (nmse - mean).powi(2)).sum::<f64>();
        let deviation = (squares / (count - 1.0)).sqrt() / mean;
        let _ = writeln!(table, "{name},{word},{mean:.8e},{deviation:.3e}");
    }
    print!("{table}");
}
