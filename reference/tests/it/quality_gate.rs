//! The gate on quality: each format under each distribution has the error that its formula
//! predicts, and a quantizer that is a little wrong, better or worse, has not.
//!
//! Formulas are written down once more here, in f64 and with no line of the quantizers; 2^20 values
//! and more, drawn once. What a wrong quantizer is refused for is its quality alone.
use lowbit_reference::data::{Distribution, Stream, realistic};
use lowbit_reference::format::codebook::Table;
use lowbit_reference::format::minifloat::E4M3FN;
use lowbit_reference::format::nf4::{Nf4, Nibbles};
use lowbit_reference::format::{Levels, block_format};
use lowbit_reference::quality::expected::{Drawn, Formula, absmax, absmean, predicted};
use lowbit_reference::quality::quality;
use lowbit_reference::rule::{Granularity, Rule, activation_rule, quantize, weight_rule};

/// Values judged, in rows of [`ROW`].
const VALUES: usize = 1 << 20;
const ROW: usize = 4096;

/// The codebook of NF4 (QLoRA, arXiv 2305.14314, appendix E).
const NF4: [f64; 16] = [
    -1.0,
    -0.696_192_8,
    -0.525_073_05,
    -0.394_917_5,
    -0.284_441_38,
    -0.184_773_43,
    -0.091_050_036,
    0.0,
    0.079_580_3,
    0.160_930_2,
    0.246_112_3,
    0.337_915_24,
    0.440_709_83,
    0.562_617,
    0.722_956_84,
    1.0,
];

fn nearest(table: &[f64], x: f64) -> f64 {
    let distance = |value: &&f64| (**value - x).abs();
    *table.iter().min_by(|a, b| distance(a).total_cmp(&distance(b))).unwrap()
}

/// To a float with so many bits after the leading one.
fn short(x: f64, bits: i32) -> f64 {
    let unit = 2f64.powi(x.abs().log2().floor() as i32 - bits);
    if x == 0.0 { 0.0 } else { (x / unit).round_ties_even() * unit }
}

fn e4m3(x: f64) -> f64 {
    let unit = 2f64.powi((x.abs().max(1e-30).log2().floor() as i32).max(-6) - 3);
    ((x / unit).round_ties_even() * unit).clamp(-448.0, 448.0)
}

/// A format by its formula.
#[derive(Clone, Copy)]
struct Format {
    name: &'static str,
    group_len: usize,
    mean: bool,
    value: fn(f64, f64) -> f64,
}

fn symmetric(x: f64, a: f64, most: f64) -> f64 {
    let s = a / most;
    (x / s).round_ties_even().clamp(-most, most) * s
}

const fn format(
    name: &'static str,
    group_len: usize,
    mean: bool,
    value: fn(f64, f64) -> f64,
) -> Format {
    Format { name, group_len, mean, value }
}

/// Every format whose error a formula of one statistic gives.
const FORMATS: [Format; 14] =
    [
        format("int8 absmax", ROW, false, |x, a| symmetric(x, a, 127.0)),
        format("int4 absmax", ROW, false, |x, a| symmetric(x, a, 7.0)),
        format("int8 group 64", 64, false, |x, a| symmetric(x, a, 127.0)),
        format("int8 burn_dragon", VALUES, true, |x, m| symmetric(x, 2.0 * m, 127.0)),
        format("int4 burn_dragon", VALUES, true, |x, m| symmetric(x, 2.0 * m, 7.0)),
        format(
            "ternary b158",
            VALUES,
            true,
            |x, m| if x.abs() > m / 2.0 { m * x.signum() } else { 0.0 },
        ),
        format("ternary burn_dragon", VALUES, true, |x, m| {
            if x.abs() >= m { m * x.signum() } else { 0.0 }
        }),
        format("sign burn_dragon", VALUES, true, |x, m| if x >= 0.0 { m } else { -m }),
        format("nf4", 64, false, |x, a| nearest(&NF4, x / a) * a),
        format("q8_0", 32, false, |x, a| (x / (a / 127.0)).round() * short(a / 127.0, 10)),
        format("q4_0", 32, false, |x, a| {
            // The largest value is the code -8.
            let d = -a / 8.0;
            ((x / d + 8.5).floor().clamp(0.0, 15.0) - 8.0) * short(d, 10)
        }),
        format("tq2_0", 256, false, |x, a| (x / a).round() * short(a, 10)),
        format("mxfp4", 32, false, |x, a| {
            let scale = 2f64.powi(a.log2().floor() as i32 - 2);
            let table = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0];
            nearest(&table, x.abs() / scale) * scale * x.signum()
        }),
        format("e4m3", ROW, false, |x, _| e4m3(x)),
    ];

/// From values to what is left of them.
type Quantizer = Box<dyn Fn(&[f32]) -> Vec<f32>>;

/// The reference's quantizer of that name.
fn quantizer(name: &str) -> Quantizer {
    let by_rule = |rule: Rule, levels: Levels| -> Quantizer {
        Box::new(move |x| {
            let group_len = rule.group_len(x.len(), ROW);
            let q = quantize(&rule, levels, x, group_len);
            let value = |i: usize| rule.value(q.codes[i], &q.shared[i / group_len]);
            (0..x.len()).map(value).collect()
        })
    };
    let named = |word: &str, levels| by_rule(weight_rule(word, levels).unwrap(), levels);
    match name {
        "int8 absmax" => named("absmax", Levels::Int8),
        "int4 absmax" => named("absmax", Levels::Int4),
        "int8 group 64" => {
            let granularity = Granularity::Group;
            by_rule(Rule { granularity, group_size: 64, ..Rule::default() }, Levels::Int8)
        }
        "int8 burn_dragon" => named("burn_dragon", Levels::Int8),
        "int4 burn_dragon" => {
            by_rule(activation_rule("burn_dragon", Levels::Int4).unwrap(), Levels::Int4)
        }
        "ternary b158" => named("b158", Levels::Ternary),
        "ternary burn_dragon" => named("burn_dragon", Levels::Ternary),
        "sign burn_dragon" => named("burn_dragon", Levels::Sign),
        "nf4" => {
            let nf4 = Nf4::new(Table::Nf4, 64, None, Nibbles::HighFirst).unwrap();
            Box::new(move |x| nf4.quantize(x).dequantize())
        }
        "e4m3" => {
            let e4m3 = E4M3FN.saturating();
            Box::new(move |x| x.iter().map(|x| e4m3.decode(e4m3.encode(*x))).collect())
        }
        block => {
            let format = block_format(block).unwrap();
            Box::new(move |x| format.decode(&format.encode(x).unwrap()).unwrap())
        }
    }
}

/// What is drawn for a format: values that saturate the one without a scale.
fn drawn(format: Format, distribution: Distribution, values: usize) -> (Drawn, Vec<f32>) {
    let sigma = if format.name == "e4m3" { 150.0 } else { 1.0 };
    let x = realistic(distribution, (23, Stream::Weight), (values, ROW), sigma);
    (Drawn { distribution, sigma: sigma.into(), row_len: ROW }, x)
}

/// Why the gate refuses what a quantizer makes of drawn values, if it does; and the standard error.
fn gate(
    format: Format,
    (distribution, values): (Distribution, usize),
    quantizer: &dyn Fn(&[f32]) -> Vec<f32>,
) -> (Option<String>, f64) {
    let (drawn, x) = drawn(format, distribution, values);
    let none = format.name == "e4m3";
    let formula = Formula {
        group_len: format.group_len,
        statistic: &|group| match (none, format.mean) {
            (true, _) => 1.0,
            (_, true) => absmean(group),
            _ => absmax(group),
        },
        possible: &|x, most| none || format.mean || x.abs() <= most,
        value: &format.value,
    };
    let predicted = predicted(formula, drawn, &x).unwrap();
    (quality(&x, quantizer(&x)).unexpected(predicted), predicted.standard_error)
}

#[test]
fn every_format_has_the_error_its_formula_predicts_under_every_distribution() {
    println!("{:<20} {:<10} {:>16}", "format and rule", "data", "standard error");
    let mut refused = Vec::new();
    for format in FORMATS {
        for (word, distribution) in Distribution::WORDS {
            let (why, standard_error) =
                gate(format, (distribution, VALUES), &quantizer(format.name));
            println!("{:<20} {word:<10} {:>14.3} %", format.name, 100.0 * standard_error);
            refused.extend(why.map(|why| format!("{} {word}: {why}", format.name)));
        }
    }
    assert!(refused.is_empty(), "{}", refused.join("\n"));
}

fn find(name: &str) -> Format {
    FORMATS.into_iter().find(|format| format.name == name).unwrap()
}

/// Whether a wrong quantizer is refused on normal values.
fn refuses(name: &str, wrong: &dyn Fn(&[f32]) -> Vec<f32>) {
    refuses_on(VALUES, name, wrong);
}

fn refuses_on(values: usize, name: &str, wrong: &dyn Fn(&[f32]) -> Vec<f32>) {
    let why = gate(find(name), (Distribution::Normal, values), wrong).0;
    println!("{name}: {}", why.clone().unwrap_or_default());
    assert!(why.is_some(), "{name}: the wrong quantizer passes");
}

/// Each group under its own statistic.
fn grouped(x: &[f32], len: usize, value: impl Fn(f64, f64) -> f64) -> Vec<f32> {
    let group = |group: &[f32]| -> Vec<f32> {
        let a = absmax(group);
        group.iter().map(|x| value((*x).into(), a) as f32).collect()
    };
    x.chunks(len).flat_map(group).collect()
}

#[test]
fn ternary_with_the_other_threshold_is_refused() {
    refuses("ternary b158", &|x| {
        let m = absmean(x) as f32;
        x.iter().map(|x| if x.abs() > 0.7 * m { m * x.signum() } else { 0.0 }).collect()
    });
    refuses("ternary b158", &quantizer("ternary burn_dragon"));
    refuses("ternary burn_dragon", &quantizer("ternary b158"));
}

#[test]
fn int8_with_absmax_over_128_is_refused() {
    let wrong = |x: f64, a: f64| {
        let s = a / 128.0;
        (x / s).round_ties_even().clamp(-127.0, 127.0) * s
    };
    refuses("int8 absmax", &|x| grouped(x, ROW, wrong));
    refuses("int8 group 64", &|x| grouped(x, 64, wrong));
}

#[test]
fn nf4_with_two_table_entries_swapped_is_refused() {
    for first in 0..15 {
        let mut swapped = NF4;
        swapped.swap(first, first + 1);
        let value = |x: f64, a: f64| {
            let code = NF4.iter().position(|value| *value == nearest(&NF4, x / a)).unwrap();
            swapped[code] * a
        };
        refuses("nf4", &|x| grouped(x, 64, value));
    }
}

#[test]
fn a_block_size_off_by_two_is_refused() {
    let int8 = |len| move |x: &[f32]| grouped(x, len, |x, a| symmetric(x, a, 127.0));
    let nf4 = |len| move |x: &[f32]| grouped(x, len, |x, a| nearest(&NF4, x / a) * a);
    // Two values more in a block of 64 are 1 % of the error of int8 and 0.4 % of that of NF4, whose
    // uneven steps spread more: so many values see it.
    for len in [32, 62, 66, 128] {
        refuses_on(8 * VALUES, "int8 group 64", &int8(len));
        refuses_on(32 * VALUES, "nf4", &nf4(len));
    }
}

#[test]
fn e4m3_without_saturation_is_refused() {
    refuses("e4m3", &|x| x.iter().map(|x| E4M3FN.decode(E4M3FN.encode(*x))).collect());
    // One binade too many, as with the largest finite value of an IEEE format.
    let wide = |x: f64| short(x, 3).clamp(-480.0, 480.0);
    refuses("e4m3", &|x| x.iter().map(|x| wide((*x).into()) as f32).collect());
}
