//! Cases of the ops on blocks that carry a scale: block formats, NF4 and INT8 per tensor and block.
use crate::{Count, LENGTHS, awq, rows};
use libtest_mimic::Trial;
use lowbit_kernels as kernels;
use lowbit_kernels::hardware::Hardware;
use std::sync::mpsc::Sender;

/// Every row of these ops, and of the search that quantizes blocks.
pub(crate) fn trials(hardware: &Hardware, sender: &Sender<Count>) -> Vec<Trial> {
    let mut trials = Vec::new();
    trials.extend(rows(
        kernels::quantize_blocks::KERNELS,
        block_cases("quantize_blocks"),
        hardware,
        sender,
    ));
    trials.extend(rows(
        kernels::dequantize_blocks::KERNELS,
        block_cases("dequantize_blocks"),
        hardware,
        sender,
    ));
    trials.extend(rows(
        kernels::quantize_nf4::KERNELS,
        nf4_cases("quantize_nf4"),
        hardware,
        sender,
    ));
    trials.extend(rows(
        kernels::dequantize_nf4::KERNELS,
        nf4_cases("dequantize_nf4"),
        hardware,
        sender,
    ));
    trials.extend(rows(
        kernels::quantize_int8::KERNELS,
        int8_cases("quantize_int8"),
        hardware,
        sender,
    ));
    trials.extend(rows(
        kernels::dequantize_int8::KERNELS,
        int8_cases("dequantize_int8"),
        hardware,
        sender,
    ));
    trials.extend(rows(kernels::awq_search::KERNELS, awq::cases(), hardware, sender));
    trials
}

const DATA: [&str; 3] = ["exact", "realistic", "realistic/distribution=lognormal"];

/// Around a batch of sixteen blocks, a stage of 64, a task and a piece of the way back.
const BLOCKS: [usize; 12] = [0, 1, 2, 3, 15, 16, 17, 40, 41, 63, 64, 131];

fn block_cases(op: &str) -> Vec<String> {
    let mut ids = Vec::new();
    for (format, len) in [("q8_0", 32), ("q4_0", 32), ("q5_0", 32), ("tq2_0", 256), ("mxfp4", 32)] {
        for (i, blocks) in BLOCKS.into_iter().enumerate() {
            for n in [1, 3, 17] {
                let k = blocks * len;
                ids.extend(
                    DATA.map(|data| {
                        format!("{op}/format={format}/k={k}/n={n}/data={data}/seed={i}")
                    }),
                );
            }
        }
        ids.push(format!("{op}/format={format}/k={len}/n=0/data=exact"));
        // More than a task; the second is past the caches.
        for (n, data) in [(260, "exact"), (1600, "realistic")] {
            ids.push(format!("{op}/format={format}/k=4096/n={n}/data={data}"));
        }
        ids.extend(
            (100..120)
                .map(|seed| format!("{op}/format={format}/k=4096/n=3/data=exact/seed={seed}")),
        );
    }
    ids
}

fn nf4_cases(op: &str) -> Vec<String> {
    let mut ids = Vec::new();
    for double_quant in ["none", "dynamic8", "int8_mean", "fp8_e4m3"] {
        let form = |block: usize, (n, k): (usize, usize), data: &str, seed: usize| {
            format!(
                "{op}/block_size={block}/double_quant={double_quant}/k={k}/n={n}/data={data}\
                 /seed={seed}"
            )
        };
        for (i, k) in LENGTHS.into_iter().enumerate() {
            let block = [32, 64, 128, 256, 512, 1024, 2048, 4096][i % 8];
            for n in [1, 3, 16] {
                ids.extend(DATA.map(|data| form(block, (n, k), data, i)));
                ids.extend(DATA.map(|data| form(64, (n, k), data, i)));
            }
        }
        ids.extend([(0, 5), (5, 0)].map(|shape| form(64, shape, "realistic", 1)));
        // 256 and more absmax, tasks and what goes past the caches.
        for (shape, data) in
            [((64, 256), "exact"), ((65, 259), "realistic"), ((512, 1030), "exact")]
        {
            ids.push(form(64, shape, data, 3));
        }
        ids.push(form(64, (1500, 4099), "realistic", 4));
    }
    ids
}

fn int8_cases(op: &str) -> Vec<String> {
    let mut ids = Vec::new();
    for symmetry in ["symmetric", "asymmetric"] {
        let form = |block: usize, (n, k): (usize, usize), data: &str, seed: usize| {
            format!(
                "{op}/symmetry={symmetry}/block_size={block}/k={k}/n={n}/data={data}/seed={seed}"
            )
        };
        for (i, k) in LENGTHS.into_iter().enumerate() {
            let n = [1, 3, 8, 17][i % 4];
            for block in [0, 1, 7, 32, 64, 100, 4096, 5000] {
                ids.extend(DATA.map(|data| form(block, (n, k), data, i)));
            }
        }
        ids.extend([(0, 5), (5, 0)].map(|shape| form(64, shape, "realistic", 1)));
        ids.extend([0, 64].map(|block| form(block, (1500, 4099), "realistic", 4)));
    }
    ids
}
