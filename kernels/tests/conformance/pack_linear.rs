//! Cases of `pack_linear`: every layout around its tiles.
use crate::LENGTHS;

pub(crate) fn cases() -> Vec<String> {
    let mut ids = Vec::new();
    for weight in ["sign1", "ternary2", "ternary3", "int8"] {
        for layout in ["lanes16", "lanes8", "blocks16"] {
            for (i, k) in LENGTHS.into_iter().enumerate() {
                for n in [1, 3, 4, 5, 15, 16, 17, 31, 33, 63, 64, 65, 80, 131] {
                    ids.push(format!(
                        "pack_linear/weight={weight}/layout={layout}/k={k}/n={n}/seed={i}"
                    ));
                }
            }
        }
    }
    ids
}
