//! Cases of `linear` with a scale per block, zero points or four-bit codes: every format against
//! every activation, around the sixteen rows of a panel, pairs of panels, groups of four tokens,
//! and groups that fill no unit.

pub(crate) fn cases() -> Vec<String> {
    let activations = [
        ("f32", "none"),
        ("int8", "absmax"),
        ("int8", "a48"),
        ("int4", "absmax"),
        ("uint8", "onnx"),
        ("uint8", "absmax"),
    ];
    let mut ids = Vec::new();
    for (w, (weight, weight_rule, block)) in weights().into_iter().enumerate() {
        for (a, (activation, activation_rule)) in activations.into_iter().enumerate() {
            for (s, blocks) in [1, 2, 3, 5, 7, 1, 2, 4, 11].into_iter().enumerate() {
                let m = [1, 2, 3, 4, 5, 7, 8, 9, 13][(s + a) % 9];
                let n = [1, 15, 16, 17, 31, 32, 33, 47, 65][(s + w) % 9];
                let (k, data) = (block * blocks, ["exact", "realistic"][(s + a + w) % 2]);
                ids.push(format!(
                    "linear/weight={weight}/activation={activation}/weight_rule={weight_rule}\
                     /activation_rule={activation_rule}/m={m}/k={k}/n={n}/data={data}/seed={s}"
                ));
            }
        }
    }
    ids
}

/// Format, rule and block length.
fn weights() -> Vec<(&'static str, String, usize)> {
    let own = [("nf4", 64), ("nf4_i8", 64), ("q8_0", 32), ("q4_0", 32), ("mxfp4", 32)];
    let mut weights: Vec<_> =
        own.into_iter().chain([("tq2_0", 256)]).map(|(w, len)| (w, "none".into(), len)).collect();
    for group_size in [1, 3, 20, 32, 64, 128, 200] {
        let symmetric = format!(r#"{{"granularity":"group","group_size":{group_size}}}"#);
        let minmax =
            format!(r#"{{"granularity":"group","group_size":{group_size},"range":"minmax"}}"#);
        for (weight, rule) in [("int4", &symmetric), ("uint4", &minmax), ("int8", &symmetric)] {
            weights.push((weight, rule.clone(), group_size));
        }
        weights.push(("ternary2", symmetric, group_size));
    }
    // One scale a row: an integer sum is rounded once.
    let rows = [("int4", "absmax"), ("uint4", "onnx"), ("int8", "onnx"), ("sign1", "b1")];
    weights.extend(rows.map(|(weight, rule)| (weight, rule.into(), 77)));
    weights.push(("ternary3", "b158".into(), 77));
    weights
}
