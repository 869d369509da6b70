//! Buckets of a model small enough to be counted by hand.
use super::*;
use crate::artifact::Artifact;
use crate::config::lowbit::RhoPrecisionConfig;
use crate::config::lowbit::{BitNetLowBitProtocol, LowBitTargetModule, LowBitTrainingMode};
use crate::config::lowbit::{LowBitActivationGrouping, LowBitWeightGrouping};
use crate::op::saved_activation::SavedActivation;
use crate::plan::Formats;
use crate::rho::{RHO_COMPRESSIONS, RHO_PRECISIONS, State};

/// 2 sequences of 5 tokens, 3 layers, 2 heads of 3 latents, embedding 10.
const SHAPE: ModelShape =
    ModelShape { batch_size: 2, time_steps: 5, n_layer: 3, n_head: 2, n_embd: 10, latent_total: 6 };

fn quant() -> LowBitQuantizationConfig {
    LowBitQuantizationConfig {
        enable: true,
        protocol: BitNetLowBitProtocol::BitnetB158,
        training_mode: LowBitTrainingMode::TrainKernelExp,
        weight_format: LowBitWeightFormat::Ternary158,
        decoder_x_mode: LowBitWeightFormat::Sign1,
        encoder_mode: Some(LowBitWeightFormat::Int8),
        act_format: LowBitActivationFormat::Int8,
        target_modules: LowBitTargetModule::ALL.to_vec(),
        ..Default::default()
    }
}

fn buckets(quant: &LowBitQuantizationConfig, rho: &LowBitRhoConfig) -> Buckets {
    count(quant, rho, &SHAPE, Held::default()).unwrap()
}

fn rho(compression: RhoCompressionConfig) -> LowBitRhoConfig {
    LowBitRhoConfig { compression, ..Default::default() }
}

#[test]
fn no_payload_is_longer_than_the_most_there_can_be() {
    let shape = StateShape::new(&[2, 2, 9, 10]).unwrap();
    let x: Vec<f32> = (0..shape.len()).map(|i| (i * 37 % 101) as f32 + 1.0).collect();
    let state = State::new(shape, &x).unwrap();
    let all = RHO_COMPRESSIONS.iter().filter_map(|c| c.codec.map(|codec| (c.word.name, codec)));
    for (name, codec) in all.chain(RHO_PRECISIONS.iter().map(|p| (p.word.name, p.codec))) {
        // Every value is positive and every tile lives: the most is reached.
        assert_eq!(codec.payload_bytes(state), codec.most_bytes(shape), "{name}");
        let zeros = State::new(shape, &[0.0; 360]).map(|zeros| codec.payload_bytes(zeros));
        assert!(zeros.unwrap() <= codec.most_bytes(shape), "{name}");
    }
}

#[test]
fn a_low_rank_difference_needs_what_it_differs_from() {
    let off = LowBitQuantizationConfig::default();
    let lowrank = buckets(&off, &rho(RhoCompressionConfig::LowrankDeltaExp));
    let rank = rho_compression("lowrank_delta").and_then(|c| c.codec).unwrap();
    let payload = rank.most_bytes(StateShape::new(&[2, 2, 3, 10]).unwrap());
    assert_eq!(lowrank.rho_state, 3 * (payload + 240));
}

#[test]
fn buckets_are_those_counted_by_hand() {
    let buckets = buckets(&quant(), &LowBitRhoConfig::default());
    let expected = Buckets {
        master_weights: 3 * 60 * 4,
        // x: 6 rows of 10 signs, 2 bytes; y: 6 rows of 10 ternary codes, 3 bytes; residual: 10
        // rows of 6 bytes; one scale each.
        execution_weights: (6 * 2 + 4) + (6 * 3 + 4) + (10 * 6 + 4),
        // x: 10 rows of 10; y: 20 rows of 10; residual: 20 rows of 3; each row has a scale.
        activations: (100 + 40) + (200 + 80) + (60 + 80),
        saved_activations: 0,
        // 3 states of 2 * 6 * 10 values of 2 bytes.
        rho_state: 3 * 120 * 2,
        // The output of the residual projection, 10 tokens of 10 f32; the others have 6.
        workspace: 400,
    };
    assert_eq!(buckets, expected);
    assert_eq!(buckets.total(), 720 + 102 + 560 + 720 + 400);
    // With more latents than embedding the first outputs are the largest.
    let wide = ModelShape { latent_total: 40, ..SHAPE };
    let wide = count(&quant(), &LowBitRhoConfig::default(), &wide, Held::default());
    assert_eq!(wide.unwrap().workspace, 10 * 40 * 4);
}

#[test]
fn rho_is_counted_without_quantization_and_unpacked_a_layer_at_a_time() {
    let off = LowBitQuantizationConfig::default();
    let int8 = buckets(&off, &rho(RhoCompressionConfig::Int8BlockExp));
    // A state of 120 values is 3 whole blocks and a short one: 120 codes, 4 scales.
    assert_eq!(int8, Buckets { rho_state: 3 * 136, workspace: 240, ..Buckets::default() });
    let state = |compression| buckets(&off, &rho(compression)).rho_state;
    assert_eq!(state(RhoCompressionConfig::TernaryBlockExp), 3 * (30 + 16));
    assert_eq!(state(RhoCompressionConfig::BinaryBlockExp), 3 * (15 + 16));
    let precise = |precision| {
        let rho = LowBitRhoConfig { precision, ..Default::default() };
        buckets(&off, &rho).rho_state
    };
    assert_eq!(precise(RhoPrecisionConfig::Fp32), 3 * 480);
    assert_eq!(precise(RhoPrecisionConfig::Fp8Exp), 3 * 120);
    assert_eq!(precise(RhoPrecisionConfig::Int8BlockExp), 3 * 136);
    // Blocks of 32 and one of 24; a scale of one byte, of four, of none.
    assert_eq!(precise(RhoPrecisionConfig::Blockfp8Exp), 3 * (120 + 4));
    assert_eq!(state(RhoCompressionConfig::Fp8BlockExp), 3 * (120 + 16));
    assert_eq!(state(RhoCompressionConfig::BlockfpExp), 3 * (120 + 4));
    // At most 16 codes of a block beside 8 bytes; 4 matrices of 3 x 10 are 2 tiles each.
    assert_eq!(state(RhoCompressionConfig::SparsePositiveExp), 3 * 4 * (8 + 16));
    assert_eq!(precise(RhoPrecisionConfig::SparseTileExp), 3 * (1 + 8 * 128));
}

#[test]
fn unpacked_copies_are_counted_where_a_runtime_keeps_them() {
    let held = Held { weight_copies: 5, rho_code: Some(4) };
    let config = rho(RhoCompressionConfig::Int8BlockExp);
    let buckets = count(&quant(), &config, &SHAPE, held).unwrap();
    assert_eq!(buckets.execution_weights, 102 + 3 * 60 * 5);
    assert_eq!(buckets.rho_state, 3 * (4 * 120 + 16));
}

#[test]
fn scales_follow_the_grouping() {
    let mut quant = quant();
    quant.act_grouping = LowBitActivationGrouping::PerGroup;
    quant.act_group_size = Some(4);
    quant.weight_grouping = LowBitWeightGrouping::PerGroup;
    quant.weight_group_size = Some(4);
    let grouped = buckets(&quant, &LowBitRhoConfig::default());
    // Rows of 10 have 3 groups, rows of 3 one, rows of 6 two.
    assert_eq!(grouped.activations, (100 + 120) + (200 + 240) + (60 + 80));
    assert_eq!(grouped.execution_weights, (12 + 72) + (18 + 72) + (60 + 80));
    quant.act_grouping = LowBitActivationGrouping::PerHeadGroup;
    quant.act_group_size = None;
    quant.act_heads_per_group = Some(1);
    quant.weight_grouping = LowBitWeightGrouping::PerHeadGroup;
    quant.weight_group_size = None;
    quant.weight_heads_per_group = Some(1);
    let all = std::mem::take(&mut quant.target_modules);
    quant.target_modules = vec![LowBitTargetModule::DecoderX, LowBitTargetModule::DecoderY];
    let by_head = buckets(&quant, &LowBitRhoConfig::default());
    assert_eq!(by_head.activations, (100 + 40) + (200 + 80));
    assert_eq!(by_head.execution_weights, (12 + 8) + (18 + 8));
    let mut fp16 = quant.clone();
    fp16.target_modules = all;
    fp16.encoder_mode = None;
    fp16.decoder_x_mode = LowBitWeightFormat::Fp16;
    fp16.weight_format = LowBitWeightFormat::Fp16;
    fp16.act_format = LowBitActivationFormat::Fp16;
    let plain = buckets(&fp16, &LowBitRhoConfig::default());
    assert_eq!(plain.activations, 2 * (100 + 200 + 60));
    assert_eq!(plain.execution_weights, 3 * 120);
}

#[test]
fn the_saved_bucket_is_the_sum_of_the_inventory() {
    let mut quant = quant();
    quant.saved_activations.format = LowBitActivationFormat::Int4Exp;
    quant.saved_activations.mode = SavedMode::QuantizedCacheExp;
    let inventory = saved(&quant, &LowBitRhoConfig::default(), &SHAPE).unwrap().unwrap();
    let named: Vec<_> = inventory.tensors.iter().map(|t| (t.name, t.bytes, t.elements)).collect();
    let expected = [
        ("x_projection_input", 3 * (10 * 5 + 40), 300),
        ("y_projection_input", 3 * (20 * 5 + 80), 600),
        // Sixty codes of four bits in one run, not twenty rows of two bytes.
        ("residual_tail_input", 3 * (30 + 80), 180),
    ];
    assert_eq!(named, expected);
    assert_eq!(inventory.tensors[1].shape, [3, 2, 2, 5, 10]);
    assert!(!inventory.requires_rho_window_anchor);
    let cached = buckets(&quant, &LowBitRhoConfig::default());
    assert_eq!(cached.saved_activations, 270 + 540 + 330);

    quant.saved_activations.mode = SavedMode::QuantizedCacheRecomputeExp;
    let config = rho(RhoCompressionConfig::BinaryBlockExp);
    let inventory = saved(&quant, &config, &SHAPE).unwrap().unwrap();
    let named: Vec<_> = inventory.tensors.iter().map(|t| (t.name, t.bytes, t.elements)).collect();
    assert_eq!(named, [("layer_input", 270, 300), ("rho_window_anchor", 93, 360)]);
    assert_eq!(inventory.tensors[1].shape, [3, 2, 2, 3, 10]);
    assert!(inventory.requires_rho_window_anchor);
    let again = buckets(&quant, &config);
    assert_eq!(again.saved_activations, 270 + 93);
    // The output, one layer of y and residual inputs, one layer of rho in bf16.
    assert_eq!(again.workspace, 400 + (180 + 110) + 240);
    quant.saved_activations.mode = SavedMode::Disabled;
    assert_eq!(saved(&quant, &config, &SHAPE).unwrap(), None);
}

#[test]
fn what_cannot_be_counted_is_an_error_that_names_it() {
    let off = LowBitQuantizationConfig::default();
    let field = |quant: &LowBitQuantizationConfig, rho: &LowBitRhoConfig, shape| {
        count(quant, rho, &shape, Held::default()).unwrap_err().field
    };
    let bf16 = LowBitRhoConfig::default();
    assert_eq!(field(&off, &bf16, ModelShape { latent_total: 7, ..SHAPE }), "latent_total");
    assert_eq!(field(&off, &bf16, ModelShape { n_head: 0, ..SHAPE }), "n_head");
    let no_protocol = LowBitQuantizationConfig { enable: true, ..off.clone() };
    assert_eq!(field(&no_protocol, &bf16, SHAPE), "model.quant.protocol");
    let huge = |batch_size| ModelShape { batch_size, n_head: 1, ..SHAPE };
    assert_eq!(field(&off, &bf16, huge(usize::MAX)), "shape");
    let mut saving = quant();
    saving.saved_activations.mode = SavedMode::QuantizedCacheExp;
    for mode in [SavedMode::QuantizedCacheExp, SavedMode::QuantizedCacheRecomputeExp] {
        saving.saved_activations.mode = mode;
        assert_eq!(field(&saving, &bf16, huge(usize::MAX / 64)), "shape");
        let wide = ModelShape { n_embd: usize::MAX, ..SHAPE };
        assert_eq!(field(&saving, &bf16, wide), "shape");
    }
}

/// A config of every grouping; head groups leave out what has no such heads.
fn grouped(size: Option<(LowBitActivationGrouping, usize)>) -> LowBitQuantizationConfig {
    let quant = quant();
    match size {
        None => quant,
        Some((LowBitActivationGrouping::PerHeadGroup, size)) => quant
            .with_target_modules(vec![LowBitTargetModule::DecoderY])
            .with_act_grouping(LowBitActivationGrouping::PerHeadGroup)
            .with_act_heads_per_group(Some(size))
            .with_weight_grouping(LowBitWeightGrouping::PerHeadGroup)
            .with_weight_heads_per_group(Some(size)),
        Some((_, size)) => quant
            .with_act_grouping(LowBitActivationGrouping::PerGroup)
            .with_act_group_size(Some(size))
            .with_weight_grouping(LowBitWeightGrouping::PerGroup)
            .with_weight_group_size(Some(size)),
    }
}

fn ramp(shape: &[usize]) -> Vec<f32> {
    (0..shape.iter().product()).map(|i| (i * 37 % 101) as f32 / 64.0 - 0.75).collect()
}

#[test]
fn counted_bytes_are_those_of_what_is_packed() {
    let groups = [
        None,
        Some((LowBitActivationGrouping::PerGroup, 4)),
        Some((LowBitActivationGrouping::PerHeadGroup, 2)),
    ];
    let shapes = [
        SHAPE,
        ModelShape { n_head: 4, n_embd: 7, latent_total: 20, ..SHAPE },
        ModelShape { batch_size: 1, time_steps: 3, n_embd: 33, latent_total: 2, ..SHAPE },
    ];
    for (shape, size) in shapes.iter().flat_map(|shape| groups.map(|size| (shape, size))) {
        for format in [LowBitActivationFormat::Int4Exp, LowBitActivationFormat::Fp16] {
            let mut quant = grouped(size);
            quant.saved_activations.format = format;
            quant.saved_activations.mode = SavedMode::QuantizedCacheExp;
            let rho = LowBitRhoConfig::default();
            let inventory = saved(&quant, &rho, shape).unwrap().unwrap();
            for tensor in &inventory.tensors {
                let dims = &tensor.shape[1..];
                let format = quant.saved_format().unwrap();
                let kept = SavedActivation::pack(&ramp(dims), dims, format).unwrap();
                assert_eq!(tensor.bytes, 3 * kept.byte_len() as u64, "{} {size:?}", tensor.name);
            }
            let artifact = |(projection, formats): (Projection, Formats)| {
                let format = stored_weight(formats.weight).unwrap();
                let latent = shape.latent_total / shape.n_head;
                let dims = match projection {
                    Projection::Residual => vec![shape.n_embd, shape.latent_total],
                    _ => vec![shape.n_head, latent, shape.n_embd],
                };
                let rule = quant.weight_rule(format.levels()).unwrap();
                Artifact::quantize(format, &rule, &ramp(&dims), &dims).unwrap().byte_len() as u64
            };
            let packed: u64 = ProjectionPlan::from_config(&quant).targets().map(artifact).sum();
            let counted = count(&quant, &rho, shape, Held::default()).unwrap();
            assert_eq!(counted.execution_weights, packed, "{shape:?} {size:?}");
        }
    }
}

#[test]
fn head_groups_that_no_tensor_has_are_errors() {
    let field = |quant: &LowBitQuantizationConfig| {
        let rho = LowBitRhoConfig::default();
        count(quant, &rho, &SHAPE, Held::default()).unwrap_err().field
    };
    let by = |size| grouped(Some((LowBitActivationGrouping::PerHeadGroup, size)));
    // Two heads have no groups of three, and x has one head.
    assert_eq!(field(&by(3)), "group_size");
    assert_eq!(field(&by(2).with_target_modules(vec![LowBitTargetModule::DecoderX])), "group_size");
    let encoder = by(2).with_target_modules(vec![LowBitTargetModule::Encoder]);
    assert_eq!(field(&encoder), "granularity");
}
