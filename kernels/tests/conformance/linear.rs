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
    ids
}
