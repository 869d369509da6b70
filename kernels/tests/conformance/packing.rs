//! Cases of `pack`, `unpack` and `dequantize`: every format, rows that end within a byte, tensors of
//! several tasks.
use crate::LENGTHS;
use crate::quantize::weight_cases;

const FORMATS: [&str; 7] = ["ternary2", "ternary3", "sign1", "int8", "int4", "uint4", "uint8"];

pub(crate) fn cases(op: &str) -> Vec<String> {
    let mut ids = Vec::new();
    for weight in FORMATS {
        for (i, k) in LENGTHS.into_iter().chain([0, 320, 1280, 1281, 30_720, 30_721]).enumerate() {
            for n in [0, 1, 2, 7, 33] {
                ids.push(format!("{op}/weight={weight}/k={k}/n={n}/seed={i}"));
            }
        }
        // Several tasks, long runs that do not fill their bytes, and what goes past the caches.
        for (k, n) in [(1030, 67), (70_003, 3), (4096, 40), (4099, 5300), (4160, 6000)] {
            ids.push(format!("{op}/weight={weight}/k={k}/n={n}"));
        }
    }
    ids
}

/// The cases of the way there, unsigned bytes, and matrices of several tasks.
pub(crate) fn dequantize_cases() -> Vec<String> {
    let there = weight_cases().into_iter().map(|id| id.replace("quantize_weight/", "dequantize/"));
    let mut ids: Vec<String> = there.collect();
    let groups = r#"{"granularity":"group","group_size":3,"range":"minmax"}"#;
    for rule in ["onnx", groups] {
        for (i, k) in LENGTHS.into_iter().enumerate() {
            let k = k.next_multiple_of(3);
            ids.extend(["exact", "realistic"].map(|data| {
                format!("dequantize/weight=uint8/weight_rule={rule}/k={k}/n=5/data={data}/seed={i}")
            }));
        }
    }
    for weight in ["ternary2", "ternary3", "sign1", "int8", "int4", "uint4", "uint8"] {
        let rule = if weight.starts_with('u') { "onnx" } else { "burn_dragon" };
        for (k, n) in [(1283, 70), (70_003, 3), (4099, 1500)] {
            ids.push(format!(
                "dequantize/weight={weight}/weight_rule={rule}/k={k}/n={n}/data=realistic"
            ));
        }
    }
    ids
}
