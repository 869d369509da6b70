//! Cases of attention.

/// Around registers, vectors, panels and tiles of every row, and of odd proportions.
const LENGTHS: [(usize, usize); 23] = [
    (1, 1),
    (1, 33),
    (2, 0),
    (3, 7),
    (4, 8),
    (5, 15),
    (6, 16),
    (7, 17),
    (13, 31),
    (23, 64),
    (47, 65),
    (48, 63),
    (49, 49),
    (50, 3),
    (53, 1),
    (97, 101),
    (1, 257),
    (11, 255),
    (67, 256),
    (61, 515),
    (95, 511),
    (97, 513),
    (7, 1030),
];
const DIMS: [usize; 11] = [1, 3, 8, 16, 17, 40, 63, 64, 65, 128, 256];
const HEADS: [(usize, usize, usize); 5] = [(1, 1, 1), (1, 4, 2), (2, 3, 1), (1, 2, 2), (2, 6, 3)];

pub(crate) fn cases() -> Vec<String> {
    let mut ids = Vec::new();
    let mut at = 0;
    for format in ["f32", "int8"] {
        for causal in ["no", "top_left", "bottom_right"] {
            for (query_len, key_len) in LENGTHS {
                let (batch, heads, kv_heads) = HEADS[at % HEADS.len()];
                let shape = format!(
                    "attention/format={format}/batch={batch}/heads={heads}/kv_heads={kv_heads}\
                     /query_len={query_len}/key_len={key_len}/causal={causal}/seed={at}"
                );
                let dims = [0, 3, 7].map(|step| DIMS[(at + step) % DIMS.len()]);
                for (dim, data) in dims.into_iter().zip(DATA) {
                    ids.push(format!("{shape}/head_dim={dim}/{data}"));
                }
                ids.push(format!("{shape}/head_dim={}/data=exact", dims[0]));
                at += 1;
            }
        }
    }
    ids
}

const DATA: [&str; 3] = [
    "data=realistic",
    "data=realistic/distribution=student_t/sigma=3/scaling=given/scale=0.7",
    "data=realistic/distribution=laplace/mode=training/dropout=0.3",
];
