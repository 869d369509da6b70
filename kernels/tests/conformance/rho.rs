//! Cases of the rho ops.
use crate::{Count, LENGTHS, rows};
use libtest_mimic::Trial;
use lowbit_kernels::hardware::Hardware;
use lowbit_kernels::{rho_decode, rho_drift, rho_encode, rho_pack, rho_unpack};
use std::sync::mpsc::Sender;

/// The rows of every op on rho.
pub(crate) fn trials(hardware: &Hardware, sender: &Sender<Count>) -> Vec<Trial> {
    let mut trials = rows(rho_pack::KERNELS, cases("rho_pack"), hardware, sender);
    trials.extend(rows(rho_unpack::KERNELS, cases("rho_unpack"), hardware, sender));
    trials.extend(rows(rho_encode::KERNELS, codec_cases("rho_encode"), hardware, sender));
    trials.extend(rows(rho_decode::KERNELS, codec_cases("rho_decode"), hardware, sender));
    trials.extend(rows(rho_drift::KERNELS, drift_cases(), hardware, sender));
    trials
}

/// Three chunks of every shape, and 64 of the small ones.
fn drift_cases() -> Vec<String> {
    let mut ids = Vec::new();
    for id in codec_cases("rho_drift") {
        let small = !id.contains("columns=70001") && !id.contains("rows=300");
        ids.extend(small.then(|| format!("{id}/chunks=64")));
        ids.push(format!("{id}/chunks=3"));
    }
    ids
}

fn cases(op: &str) -> Vec<String> {
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
fn codec_cases(op: &str) -> Vec<String> {
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
