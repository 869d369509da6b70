//! Cases of `linear`.
use crate::LENGTHS;

pub(crate) fn cases() -> Vec<String> {
    let weights = [
        ("ternary2", "burn_dragon"),
        ("ternary2", "b158"),
        ("ternary2", "a48"),
        ("ternary3", "b158"),
        ("ternary3", "burn_dragon"),
        ("sign1", "burn_dragon"),
        ("sign1", "b1"),
        ("int8", "absmax"),
        ("int8", "burn_dragon"),
    ];
    let activations =
        [("f32", "none"), ("int8", "absmax"), ("int8", "burn_dragon"), ("int8", "a48")];
    let mut ids = Vec::new();
    for (weight, weight_rule) in weights {
        for (activation, activation_rule) in activations {
            for (i, k) in LENGTHS.into_iter().enumerate() {
                let m = [1, 2, 5, 13, 70, 12, 1][i % 7];
                let n = [1, 3, 16, 17, 33, 80, 63, 64, 65, 150, 7][i % 11];
                for data in ["exact", "realistic"] {
                    ids.push(format!(
                        "linear/weight={weight}/activation={activation}/weight_rule={weight_rule}\
                         /activation_rule={activation_rule}/m={m}/k={k}/n={n}/data={data}/seed={i}"
                    ));
                }
            }
        }
    }
    ids.extend(other_weights());
    ids.extend(whole_tiles());
    ids.extend(layouts());
    ids.extend(several_passes());
    ids.extend(offsets());
    ids.extend(crate::linear_blocks::cases());
    ids
}

/// Output features in whole tiles of 16, which libraries have paths of their own for.
fn whole_tiles() -> Vec<String> {
    let id = |(m, k, n): (usize, usize, usize), weight: &str, data: &str| {
        format!(
            "linear/weight={weight}/activation=f32/weight_rule=none/activation_rule=none\
             /m={m}/k={k}/n={n}/data={data}/seed=3"
        )
    };
    let shapes = [(1, 256, 16), (5, 512, 48), (9, 768, 32)];
    let pairs = ["q8_0", "q4_0"].into_iter().flat_map(|w| ["exact", "realistic"].map(|d| (w, d)));
    pairs.flat_map(|(w, d)| shapes.map(|shape| id(shape, w, d))).collect()
}

/// Every weight format that the rules above do not reach, against every activation.
fn other_weights() -> Vec<String> {
    let group = r#"{"granularity":"group","group_size":32}"#;
    let minmax = r#"{"granularity":"group","group_size":32,"range":"minmax"}"#;
    let weights = [
        ("ternary3", "b158"),
        ("ternary2", "twn"),
        ("int4", "absmax"),
        ("int4", group),
        ("int8", group),
        ("ternary2", group),
        ("uint4", "onnx"),
        ("uint4", "llm_awq"),
        ("uint4", minmax),
        ("nf4", "none"),
        ("nf4_i8", "none"),
        ("q8_0", "none"),
        ("q4_0", "none"),
        ("tq2_0", "none"),
        ("mxfp4", "none"),
    ];
    let activations = [
        ("f32", "none"),
        ("int8", "absmax"),
        ("int4", "absmax"),
        ("int4", "a48"),
        ("uint8", "absmax"),
        ("uint8", "onnx"),
        ("uint8", "burn_dragon"),
    ];
    let classic = [("ternary2", "b158"), ("sign1", "burn_dragon"), ("int8", "onnx")];
    let mut ids = Vec::new();
    for (weight, weight_rule) in weights.into_iter().chain(classic) {
        for (activation, activation_rule) in activations {
            for (seed, k) in [256, 512, 1024, 4352].into_iter().enumerate() {
                let (m, n) = ([1, 5, 2, 9][seed], [3, 17, 33, 8][seed]);
                for data in ["exact", "realistic"] {
                    ids.push(format!(
                        "linear/weight={weight}/activation={activation}/weight_rule={weight_rule}\
                         /activation_rule={activation_rule}/m={m}/k={k}/n={n}/data={data}\
                         /seed={seed}"
                    ));
                }
            }
        }
    }
    ids
}

/// Blocks with an offset, which have no exact data.
fn offsets() -> Vec<String> {
    let shapes = [(1, 256, 1), (2, 512, 5), (5, 768, 17), (3, 2304, 33)];
    let activations = [("f32", "none"), ("int8", "absmax"), ("int4", "absmax"), ("uint8", "onnx")];
    let id = |(activation, rule): (&str, &str), (m, k, n): (usize, usize, usize)| {
        format!(
            "linear/weight=q4_k/activation={activation}/weight_rule=none/activation_rule={rule}\
             /m={m}/k={k}/n={n}/data=realistic/seed=11"
        )
    };
    activations.into_iter().flat_map(|a| shapes.map(|shape| id(a, shape))).collect()
}

/// Rows of activations with something between them, and matrices without values.
fn layouts() -> Vec<String> {
    let weights = [
        ("ternary2", "b158"),
        ("sign1", "b1"),
        ("int8", "absmax"),
        ("int4", "absmax"),
        ("uint4", "onnx"),
        ("nf4", "none"),
        ("nf4_i8", "none"),
        ("q8_0", "none"),
        ("tq2_0", "none"),
    ];
    let activations = [("f32", "none"), ("int8", "absmax"), ("uint8", "onnx")];
    let sizes = [(5, 256, 9), (3, 512, 17), (0, 256, 3), (2, 256, 0), (3, 0, 5), (0, 0, 0)];
    let layouts = ["", "/x_stride=519", "/x_offset=3", "/x_stride=1024/x_offset=64"];
    let mut ids = Vec::new();
    for (weight, weight_rule) in weights {
        for (activation, activation_rule) in activations {
            for ((m, k, n), layout) in
                sizes.into_iter().flat_map(|size| layouts.map(|layout| (size, layout)))
            {
                ids.push(format!(
                    "linear/weight={weight}/activation={activation}/weight_rule={weight_rule}\
                     /activation_rule={activation_rule}/m={m}/k={k}/n={n}{layout}\
                     /data=realistic/seed=5"
                ));
            }
        }
    }
    ids
}

/// More tokens than pass by a panel in one block, more of K than one sum may hold before it is
/// shifted down, and more columns of blocks than stay in a cache.
fn several_passes() -> Vec<String> {
    let group = r#"{"granularity":"group","group_size":128}"#;
    let shapes = [
        ("ternary2", "b158", "f32", [1100, 1000, 5]),
        ("int8", "absmax", "int8", [1100, 4000, 3]),
        ("ternary3", "b158", "int8", [1, 41_003, 17]),
        ("ternary2", "b158", "int8", [1, 262_403, 3]),
        ("sign1", "b1", "int8", [1, 524_803, 3]),
        ("int8", group, "int8", [5, 4096, 130]),
        ("int8", group, "f32", [5, 4096, 130]),
    ];
    let id = |(weight, weight_rule, activation, [m, k, n]): (_, _, &str, [usize; 3])| {
        let activation_rule = if activation == "f32" { "none" } else { "absmax" };
        format!(
            "linear/weight={weight}/activation={activation}/weight_rule={weight_rule}\
             /activation_rule={activation_rule}/m={m}/k={k}/n={n}/data=realistic/seed=11"
        )
    };
    shapes.map(id).to_vec()
}
