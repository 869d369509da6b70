//! The tables of formats that no rule of integers makes: floats, NF4 and FP4. Their estimator is
//! `identity`: the gradient is `g` in every cell, and what can be wrong is the value.
use lowbit_reference::fake_quantize::{ByBlocks, FakeQuantize};
use lowbit_reference::format::block_format;
use lowbit_reference::format::codebook::Table;

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../METHODOLOGY.md");

/// A float: bits of its mantissa, the largest finite value, and the exponent of the least.
struct Float {
    name: &'static str,
    mantissa: i32,
    most: f32,
    least: i32,
}

const FLOATS: [Float; 4] = [
    Float { name: "fp16", mantissa: 10, most: 65504.0, least: -24 },
    Float { name: "bf16", mantissa: 7, most: f32::from_bits(0x7f7f_0000), least: -133 },
    Float { name: "fp8_e4m3", mantissa: 3, most: 448.0, least: -9 },
    Float { name: "fp8_e5m2", mantissa: 2, most: 57344.0, least: -16 },
];

fn power(exponent: i32) -> f32 {
    2f64.powi(exponent) as f32
}

/// `u` is the step after 1, `T` the largest value, `v` the step before it, `d` the least value.
fn places(float: &Float) -> Vec<(&'static str, f32)> {
    let (u, d, most) = (power(-float.mantissa), power(float.least), float.most);
    let v = power(most.log2().floor() as i32 - float.mantissa);
    let edge = (f64::from(most) + f64::from(v) / 2.0) as f32;
    vec![
        ("0", 0.0),
        ("-0", -0.0),
        ("d / 2", d / 2.0),
        ("d / 2 and an ulp", (d / 2.0).next_up()),
        ("1 1/2 d", 1.5 * d),
        ("1 + u / 2", 1.0 + u / 2.0),
        ("1 + 1 1/2 u", 1.0 + 1.5 * u),
        ("T", most),
        ("T + v / 2 less an ulp", edge.next_down()),
        ("T + v / 2", edge),
        ("1000 T", 1000.0 * most),
        ("-1000 T", -1000.0 * most),
    ]
}

/// A value in the words of the places.
fn said(float: &Float, value: f32) -> String {
    let (u, d) = (power(-float.mantissa), power(float.least));
    match value {
        _ if value == 0.0 => format!("{value}"),
        _ if value.abs() == float.most => if value < 0.0 { "-T" } else { "T" }.into(),
        _ if value.is_infinite() => if value < 0.0 { "-inf" } else { "inf" }.into(),
        _ if value == 1.0 => "1".into(),
        _ if (1.0..2.0).contains(&value) => format!("1 + {} u", (value - 1.0) / u),
        _ => format!("{} d", value / d),
    }
}

fn line(cells: &[String]) -> String {
    format!("| {} |\n", cells.join(" | "))
}

fn head(cells: &[&str]) -> String {
    let cells: Vec<String> = cells.iter().map(|cell| (*cell).to_owned()).collect();
    format!("{}|---|{}\n", line(&cells), "--:|".repeat(cells.len() - 1))
}

/// The value of each place, which comes back to the bit when it is quantized again.
fn floats() -> String {
    let names: Vec<&str> = ["x"].into_iter().chain(FLOATS.iter().map(|f| f.name)).collect();
    let mut text = head(&names);
    for (i, (place, _)) in places(&FLOATS[0]).iter().enumerate() {
        let cell = |float: &Float| {
            let by = ByBlocks(block_format(float.name).expect("a format"));
            let value = by.fake_quantize(&[places(float)[i].1], &[1, 1]).expect("one value")[0];
            let again = by.fake_quantize(&[value], &[1, 1]).expect("one value")[0];
            assert_eq!(again.to_bits(), value.to_bits(), "{} {place}", float.name);
            said(float, value)
        };
        let cells: Vec<String> =
            [(*place).to_owned()].into_iter().chain(FLOATS.iter().map(cell)).collect();
        text.push_str(&line(&cells));
    }
    text
}

/// The value below, at and above the middle between two neighbours of a table.
fn codebooks() -> String {
    let mut text = head(&[
        "x / absmax",
        "less an ulp",
        "nf4",
        "and an ulp",
        "less an ulp",
        "fp4",
        "and an ulp",
    ]);
    let tables = [Table::Nf4, Table::Fp4];
    for i in 0..15 {
        let mut cells = vec![format!("middle {}", i + 1)];
        for table in tables {
            let middle = table.thresholds()[i];
            for x in [middle.next_down(), middle, middle.next_up()] {
                cells.push(format!("{:.4}", table.values()[usize::from(table.code(x))]));
            }
        }
        text.push_str(&line(&cells));
    }
    text
}

#[test]
fn the_document_holds_the_tables_of_floats_and_codebooks() {
    let document = std::fs::read_to_string(DOCUMENT).unwrap();
    let tables = [floats(), codebooks()];
    println!("{}", tables.join("\n"));
    for table in tables {
        assert!(document.contains(&table), "METHODOLOGY.md lacks the table above");
    }
}
