//! Cases of `lowrank_projection` and `decoder_tail`: every format, both passes, and shapes around
//! tiles of 12 tokens, panels of 64 rows and steps of a sum.
use crate::{Count, rows};
use libtest_mimic::Trial;
use lowbit_kernels::hardware::Hardware;
use lowbit_kernels::{decoder_tail, lowrank_projection};
use std::sync::mpsc::Sender;

/// The rows of both tables.
pub(crate) fn trials(hardware: &Hardware, sender: &Sender<Count>) -> Vec<Trial> {
    let mut trials = rows(lowrank_projection::KERNELS, lowrank_cases(), hardware, sender);
    trials.extend(rows(decoder_tail::KERNELS, decoder_cases(), hardware, sender));
    trials
}

/// Weight and its rule.
const WEIGHTS: [(&str, &str); 4] =
    [("ternary2", "b158"), ("sign1", "burn_dragon"), ("int8", "onnx"), ("int4", "onnx")];

/// Pass and relu.
const PASSES: [&str; 6] = [
    "pass=forward/relu=none",
    "pass=forward/relu=zero",
    "pass=forward/relu=above/relu_threshold=1.25",
    "pass=backward/relu=none",
    "pass=backward/relu=zero",
    "pass=backward/relu=above/relu_threshold=1.25",
];

/// Activation and its rule, over every shape; `rules` are those of int8.
fn cases(op: &str, rules: &[&str], shapes: &[String]) -> Vec<String> {
    let mut ids = Vec::new();
    let activations =
        std::iter::once(("f32", "none")).chain(rules.iter().map(|rule| ("int8", *rule)));
    for (activation, rule) in activations {
        for (weight, weight_rule) in WEIGHTS {
            for pass in PASSES {
                for (i, shape) in shapes.iter().enumerate() {
                    let data = ["exact", "realistic"][(i + ids.len()) % 2];
                    ids.push(format!(
                        "{op}/weight={weight}/weight_rule={weight_rule}/activation={activation}\
                         /activation_rule={rule}/{pass}/{shape}/data={data}/seed={i}"
                    ));
                }
            }
        }
    }
    ids
}

fn lowrank_cases() -> Vec<String> {
    // Batch, input heads, heads, time, embd, packed latents, latents.
    let shapes = [
        [1, 1, 1, 1, 1, 1, 1],
        [1, 1, 3, 1, 64, 7, 5],
        [2, 1, 2, 13, 33, 66, 65],
        [3, 3, 3, 5, 17, 9, 9],
        [1, 8, 8, 7, 31, 24, 16],
        [2, 1, 8, 12, 128, 32, 32],
        [1, 2, 2, 47, 65, 40, 33],
        [1, 1, 2, 263, 13, 19, 18],
        [2, 2, 2, 25, 97, 131, 129],
        [1, 1, 1, 521, 11, 13, 12],
    ];
    let shape = |[batch, input_heads, heads, time, embd, packed, latent]: [usize; 7]| {
        format!(
            "batch={batch}/input_heads={input_heads}/heads={heads}/time={time}/embd={embd}\
             /packed_latent={packed}/latent={latent}"
        )
    };
    cases("lowrank_projection", &["onnx", "bnb"], &shapes.map(shape))
}

fn decoder_cases() -> Vec<String> {
    // Batch, heads, time, latents, packed latents of a head, dim.
    let shapes = [
        [1, 1, 1, 1, 1, 1],
        [1, 3, 1, 5, 7, 64],
        [2, 2, 13, 33, 33, 65],
        [3, 3, 5, 17, 19, 9],
        [1, 8, 7, 16, 24, 31],
        [2, 8, 12, 32, 32, 128],
        [1, 2, 47, 65, 66, 33],
        [1, 2, 263, 13, 14, 19],
        [2, 1, 25, 97, 99, 131],
        [1, 3, 521, 7, 8, 5],
    ];
    let shape = |[batch, heads, time, latent, packed, dim]: [usize; 6]| {
        let total = heads * packed;
        format!(
            "batch={batch}/heads={heads}/time={time}/latent={latent}/latent_total={total}/dim={dim}"
        )
    };
    cases("decoder_tail", &["onnx", "burn_dragon"], &shapes.map(shape))
}
