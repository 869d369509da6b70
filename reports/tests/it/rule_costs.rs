//! The table of what rules cost.
use crate::gallery::base_record;
use lowbit_reports::record::{Quality, Record};
use lowbit_reports::rule_costs::{rule_costs, rule_costs_markdown};

fn record(case: &str, kernel: &str, sqnr: f64) -> Record {
    let fields: Vec<(&str, &str)> = case.split('/').filter_map(|f| f.split_once('=')).collect();
    Record {
        quality: Some(Quality { sqnr_db: Some(sqnr), ..Quality::default() }),
        bits_per_weight: Some(2.0),
        ..base_record("quantize_weight", case, kernel, &fields)
    }
}

#[test]
fn a_case_counts_once_and_seeds_share_a_cell() {
    let case = |rule: &str, distribution: &str, seed: u32| {
        format!(
            "q/weight=ternary2/weight_rule={rule}/k=512/n=512/distribution={distribution}\
             /seed={seed}"
        )
    };
    let records = [
        record(&case("b158", "normal", 1), "scalar", 5.79),
        record(&case("b158", "normal", 1), "avx2", 5.79),
        record(&case("b158", "laplace", 1), "scalar", 4.06),
        record(&case("twn", "normal", 1), "scalar", 7.0),
        record(&case("twn", "normal", 2), "scalar", 7.5),
        // A smaller tensor beside a larger one, and one too small for any figure.
        record(&case("twn", "normal", 3).replace("n=512", "n=256"), "scalar", 1.0),
        record(&case("twn", "laplace", 1).replace("n=512", "n=1"), "scalar", 1.0),
    ];
    let text = rule_costs_markdown(&records);
    assert!(text.contains("| format | rule | bits/value | normal dB | laplace dB |"), "{text}");
    assert!(text.contains("| ternary2 | b158 | 2.000 | 5.79 | 4.06 |"), "{text}");
    let cell = "7.25 ±0.25";
    assert!(text.contains(&format!("| ternary2 | twn | 2.000 | {cell} |  |")), "{text}");
    assert!(rule_costs(&records).contains("SQNR of quantize_weight:"));
}

#[test]
fn one_rule_makes_no_table() {
    let one =
        record("q/weight=int8/weight_rule=onnx/k=512/n=512/distribution=normal", "scalar", 38.0);
    assert_eq!(rule_costs(&[one]), "");
}
