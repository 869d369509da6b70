//! Cases of `fake_quantize`: every format and rule of either operand under both estimators.
use crate::LENGTHS;

const FIXED: &str = r#"{"range":"fixed","scale":0.0625}"#;
const GROUPS: &str = r#"{"granularity":"group","group_size":32}"#;

pub(crate) fn cases() -> Vec<String> {
    let kinds = [
        ("weight/format=ternary2", vec!["burn_dragon", "b158", "a48", "twn", GROUPS]),
        ("weight/format=ternary3", vec!["burn_dragon", "b158", "a48", "twn"]),
        ("weight/format=sign1", vec!["burn_dragon", "b1"]),
        ("weight/format=int8", vec!["burn_dragon", "absmax", "onnx", "bnb", FIXED, GROUPS]),
        ("weight/format=int4", vec!["burn_dragon", "absmax", "onnx", "llm_awq", FIXED]),
        ("weight/format=uint4", vec!["onnx", "llm_awq"]),
        (
            "activation/format=int8",
            vec!["burn_dragon", "b1", "b158", "a48", "absmax", "onnx", "bnb", FIXED],
        ),
        ("activation/format=int4", vec!["burn_dragon", "a48", "absmax", "onnx"]),
        ("activation/format=uint8", vec!["burn_dragon", "absmax", "onnx"]),
    ];
    let mut ids = Vec::new();
    for (format, rules) in kinds {
        for rule in rules {
            for (i, k) in LENGTHS.into_iter().enumerate() {
                let m = [1, 3, 8][i % 3];
                let groups = rule == "llm_awq" || rule == GROUPS;
                let k = if groups { k.next_multiple_of(128) } else { k };
                for estimator in ["identity", "clipped"] {
                    for data in ["exact", "realistic/distribution=student_t"] {
                        ids.push(format!(
                            "fake_quantize/operand={format}/rule={rule}/estimator={estimator}\
                             /m={m}/k={k}/data={data}/seed={i}"
                        ));
                    }
                }
            }
        }
    }
    ids
}
