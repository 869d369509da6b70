//! Cases of `quantize_weight` and `quantize_activation`.
use crate::LENGTHS;

pub(crate) fn weight_cases() -> Vec<String> {
    let rules = [
        ("ternary2", vec!["burn_dragon", "b158", "a48", "twn"]),
        ("sign1", vec!["burn_dragon", "b1"]),
        (
            "int8",
            vec![
                "burn_dragon",
                "absmax",
                "onnx",
                "bnb",
                r#"{"rounding":"half_away"}"#,
                r#"{"steps":15,"times":0.9}"#,
            ],
        ),
        ("int4", vec!["burn_dragon", "absmax", "onnx", "llm_awq"]),
        (
            "uint4",
            vec!["onnx", "llm_awq", r#"{"granularity":"group","group_size":32,"range":"minmax"}"#],
        ),
    ];
    let mut ids = Vec::new();
    for (weight, rules) in rules {
        for rule in rules {
            for (i, k) in LENGTHS.into_iter().enumerate() {
                let n = [1, 3, 8, 17][i % 4];
                // Groups fill their rows.
                let groups = rule == "llm_awq" || rule.contains("group_size");
                let k = if groups { k.next_multiple_of(128) } else { k };
                // Not every rule spelled out has scales that are powers of two.
                let tiers: &[&str] =
                    if rule.contains("steps") { &["realistic"] } else { &["exact", "realistic"] };
                ids.extend(tiers.iter().map(|data| {
                    format!(
                        "quantize_weight/weight={weight}/weight_rule={rule}/k={k}/n={n}\
                         /data={data}/seed={i}"
                    )
                }));
            }
        }
    }
    ids
}

pub(crate) fn activation_cases() -> Vec<String> {
    let formats = [
        ("int8", vec!["burn_dragon", "b1", "b158", "a48", "absmax", "onnx", "bnb"]),
        ("int4", vec!["burn_dragon", "a48", "absmax", "onnx"]),
        // A rule spelled out keeps the signed `min_code` that unsigned codes have no use for.
        ("uint8", vec!["burn_dragon", "absmax", "onnx", r#"{"granularity":"tensor"}"#]),
    ];
    let mut ids = Vec::new();
    for (format, rules) in formats {
        for (i, k) in LENGTHS.into_iter().enumerate() {
            let m = [1, 2, 7][i % 3];
            for data in ["exact", "realistic/distribution=student_t", "realistic/distribution=relu"]
            {
                ids.extend(rules.iter().map(|rule| {
                    format!(
                        "quantize_activation/activation={format}/activation_rule={rule}/m={m}\
                         /k={k}/data={data}/seed={i}"
                    )
                }));
            }
        }
    }
    ids
}
