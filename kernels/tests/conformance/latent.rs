//! Cases of the ops on rows of latent values: the Hadamard transform and the top-k mask.
use crate::LENGTHS;

const DISTRIBUTIONS: [&str; 5] = [
    "exact",
    "realistic",
    "realistic/distribution=student_t",
    "realistic/distribution=lognormal",
    "realistic/distribution=relu",
];

/// Every power of two up to 2^14, so every number of passes, and rows that end within a vector.
pub(crate) fn hadamard_cases() -> Vec<String> {
    let mut ids = Vec::new();
    for stages in 0..=14 {
        let k = 1 << stages;
        for m in [1, 2, 7, 33].into_iter().filter(|m| m * k <= 1 << 16) {
            for data in DISTRIBUTIONS {
                ids.push(format!("hadamard/m={m}/k={k}/data={data}/seed={stages}"));
            }
        }
    }
    ids
}

pub(crate) fn top_k_cases() -> Vec<String> {
    let mut ids = Vec::new();
    for (i, k) in LENGTHS.into_iter().enumerate() {
        for fraction in ["0.5", "0.001", "0.1", "0.33", "0.999", "1"] {
            let m = [1, 3, 16][i % 3];
            for data in DISTRIBUTIONS {
                ids.push(format!("top_k/m={m}/k={k}/fraction={fraction}/data={data}/seed={i}"));
            }
        }
    }
    ids
}
