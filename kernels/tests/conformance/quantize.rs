//! Cases of `quantize_weight` and `quantize_activation`.
use crate::LENGTHS;

const GROUPS_64: &str = r#"{"granularity":"group","group_size":64}"#;

pub(crate) fn weight_cases() -> Vec<String> {
    let rules = [
        ("ternary2", vec!["burn_dragon", "b158", "a48", "twn", GROUPS_64]),
        ("ternary3", vec!["burn_dragon", "b158", "a48", "twn"]),
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
                r#"{"range":"fixed","scale":0.0625}"#,
                r#"{"granularity":"group","group_size":32}"#,
                GROUPS_64,
                r#"{"granularity":"group","group_size":128,"range":"absmean","times":2}"#,
            ],
        ),
        ("int4", vec!["burn_dragon", "absmax", "onnx", "llm_awq", GROUPS_64]),
        (
            "uint4",
            vec![
                "onnx",
                "llm_awq",
                r#"{"granularity":"group","group_size":32,"range":"minmax"}"#,
                r#"{"range":"minmax","rounding":"half_away"}"#,
            ],
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

const FIXED: &str = r#"{"range":"fixed","scale":0.02}"#;
const MINMAX_ROWS: &str = r#"{"range":"minmax","with_zero":true,"epsilon_use":"unit"}"#;
const MINMAX_GROUPS: &str = r#"{"granularity":"group","group_size":1,"range":"minmax"}"#;

pub(crate) fn activation_cases() -> Vec<String> {
    let formats = [
        ("int8", vec!["burn_dragon", "b1", "b158", "a48", "absmax", "onnx", "bnb", FIXED]),
        ("int4", vec!["burn_dragon", "a48", "absmax", "onnx"]),
        // A rule spelled out keeps the signed `min_code` that unsigned codes have no use for.
        (
            "uint8",
            vec![
                "burn_dragon",
                "absmax",
                "onnx",
                MINMAX_ROWS,
                MINMAX_GROUPS,
                r#"{"granularity":"tensor"}"#,
            ],
        ),
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
