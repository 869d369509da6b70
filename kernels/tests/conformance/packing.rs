//! Cases of `pack`, `unpack` and `dequantize`: every format, rows that end within a byte, tensors of
//! several tasks.
use crate::quantize::weight_cases;
use crate::{Count, LENGTHS, rows};
use libtest_mimic::Trial;
use lowbit_kernels as kernels;
use lowbit_kernels::hardware::Hardware;
use std::sync::mpsc::Sender;

/// Every row of these ops.
pub(crate) fn trials(hardware: &Hardware, sender: &Sender<Count>) -> Vec<Trial> {
    let mut trials = Vec::new();
    trials.extend(rows(kernels::pack::KERNELS, cases("pack"), hardware, sender));
    trials.extend(rows(kernels::unpack::KERNELS, cases("unpack"), hardware, sender));
    trials.extend(rows(kernels::dequantize::KERNELS, dequantize_cases(), hardware, sender));
    trials
}

const FORMATS: [&str; 7] = ["ternary2", "ternary3", "sign1", "int8", "int4", "uint4", "uint8"];

fn cases(op: &str) -> Vec<String> {
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
fn dequantize_cases() -> Vec<String> {
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
