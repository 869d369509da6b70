//! Cases of the rho ops.
use crate::LENGTHS;

pub(crate) fn cases(op: &str) -> Vec<String> {
    let mut ids = Vec::new();
    for format in ["int8", "ternary", "binary"] {
        for (i, elements) in LENGTHS.into_iter().chain([4096, 20_011]).enumerate() {
            for data in ["exact", "realistic", "realistic/distribution=lognormal/sigma=0.01"] {
                ids.push(format!("{op}/format={format}/elements={elements}/data={data}/seed={i}"));
            }
        }
    }
    ids
}

/// Codecs by their payloads: flat lengths around blocks, and matrices around tiles.
pub(crate) fn codec_cases(op: &str) -> Vec<String> {
    let codecs =
        ["bf16", "fp8", "fp8_block", "blockfp8", "blockfp", "sparse_positive", "sparse_tile"];
    let lengths = LENGTHS.into_iter().chain([0, 4096, 70_001]).map(|columns| [1, 1, columns]);
    let matrices = [[2, 9, 17], [3, 8, 8], [1, 7, 65], [5, 64, 64], [2, 31, 1], [1, 300, 257]];
    let mut ids = Vec::new();
    for codec in codecs {
        for (i, [matrices, rows, columns]) in lengths.clone().chain(matrices).enumerate() {
            for data in ["exact", "realistic", "realistic/distribution=relu/sigma=300"] {
                ids.push(format!(
                    "{op}/codec={codec}/matrices={matrices}/rows={rows}/columns={columns}/data={data}/seed={i}"
                ));
            }
        }
    }
    ids
}
