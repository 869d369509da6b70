//! The low-bit configs against the source's own checks (seed 001, lines 670-736 and 799-838),
//! rewritten here over words: every combination that a check looks at, through JSON.
use lowbit_reference::config::lowbit::{
    BitNetLowBitProtocol, LowBitActivationFormat, LowBitActivationGrouping, LowBitInferenceMode,
    LowBitQuantizationConfig, LowBitRhoConfig, LowBitSavedActivationConfig,
    LowBitSavedActivationMode, LowBitTargetModule, LowBitTrainingMode, LowBitWeightFormat,
    LowBitWeightGrouping, RhoCompressionConfig, RhoCompressionInterval, RhoPrecisionConfig,
};
use lowbit_reference::invalid::Invalid;
use serde_json::{Value, json};

// The source's words, as its `snake_case` makes them of its variants.
const PROTOCOLS: &[&str] = &["none", "bitnet_b1", "bitnet_b158", "bitnet_a48_exp", "bitnet_v2_exp"];
const TRAINING: &[&str] = &["qat_ste", "train_kernel_exp"];
const INFERENCE: &[&str] = &["offline_pack", "runtime_fake_quant"];
const WEIGHTS: &[&str] = &["fp16", "int8", "sign1", "ternary158", "packed2"];
const ACTIVATIONS: &[&str] = &["fp16", "int8", "int4_exp", "uint8_pos_exp"];
const SAVED: &[&str] = &["disabled", "quantized_cache_exp", "quantized_cache_recompute_exp"];
const ACT_GROUPINGS: &[&str] = &["per_token", "per_group", "per_head_group"];
const WEIGHT_GROUPINGS: &[&str] = &["per_tensor", "per_group", "per_head_group"];
const MODULES: &[&str] = &["encoder", "decoder_x", "decoder_y"];
const PRECISIONS: &[&str] =
    &["fp32", "bf16", "fp8_exp", "int8_block_exp", "blockfp8_exp", "sparse_tile_exp"];
const COMPRESSIONS: &[&str] = &[
    "none",
    "fp8_block_exp",
    "int8_block_exp",
    "ternary_block_exp",
    "binary_block_exp",
    "blockfp_exp",
    "sparse_positive_exp",
    "lowrank_delta_exp",
];
const INTERVALS: &[&str] = &["step", "chunk", "eval_only"];

/// What the source answers: the field it complains of, and a word of what it asks for.
type Verdict = Option<(&'static str, &'static str)>;

fn source_quant(quant: &Value) -> Verdict {
    let is = |field: &str, word: &str| quant[field] == word;
    let saved = &quant["saved_activations"];
    if quant["enable"] == false {
        let saves = saved["mode"] != "disabled";
        return saves.then_some(("model.quant.saved_activations.mode", "enable = true"));
    }
    if is("protocol", "none") {
        return Some(("model.quant.protocol", "enable = true"));
    }
    let targets: Vec<&Value> = quant["target_modules"].as_array().unwrap().iter().collect();
    if quant["strict_bitnet_reference"] == true && targets.is_empty() {
        return Some(("model.quant.target_modules", "strict_bitnet_reference"));
    }
    if is("act_grouping", "per_group") || is("act_grouping", "per_head_group") {
        return Some(("model.quant.act_grouping", "per_token"));
    }
    if !["fp16", "int8", "int4_exp"].iter().any(|format| saved["format"] == *format) {
        return Some(("model.quant.saved_activations.format", "int4_exp"));
    }
    if saved["mode"] != "disabled" && !is("training_mode", "train_kernel_exp") {
        return Some(("model.quant.saved_activations.mode", "train_kernel_exp"));
    }
    if is("weight_grouping", "per_group") || is("weight_grouping", "per_head_group") {
        return Some(("model.quant.weight_grouping", "per_tensor"));
    }
    if is("act_format", "uint8_pos_exp") && targets.iter().any(|module| **module != "encoder") {
        return Some(("model.quant.act_format", "encoder"));
    }
    None
}

fn source_rho(rho: &Value) -> Verdict {
    let is = |field: &str, words: &[&str]| words.iter().any(|word| rho[field] == *word);
    if is("precision", &["fp8_exp"]) && is("compression", &["fp8_block_exp"]) {
        return Some(("model.rho.precision", "fp8_block_exp"));
    }
    if !is("precision", &["fp32", "bf16"]) {
        return Some(("model.rho.precision", "fp32 or bf16"));
    }
    let blocks = ["int8_block_exp", "ternary_block_exp", "binary_block_exp"];
    if !is("compression", &["none"]) && !is("compression", &blocks) {
        return Some(("model.rho.compression", "binary_block_exp"));
    }
    if is("compression", &blocks) && !is("compression_interval", &["chunk"]) {
        return Some(("model.rho.compression_interval", "chunk"));
    }
    None
}

/// The same verdict: accepted, or refused for the same field and reason.
fn agree(config: &Value, source: Verdict, ours: &Result<(), Invalid>) {
    let same = match (source, ours) {
        (None, Ok(())) => true,
        (Some((field, reason)), Err(error)) => {
            error.field == field && error.allowed.contains(reason)
        }
        _ => false,
    };
    assert!(same, "{config}: the source says {source:?}, we say {ours:?}");
}

/// Choices drawn one after the other from a counter: every combination once.
struct Choices(usize);

impl Choices {
    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        let chosen = all[self.0 % all.len()];
        self.0 /= all.len();
        chosen
    }
}

fn subset(modules: usize) -> Vec<&'static str> {
    MODULES.iter().enumerate().filter(|(i, _)| modules >> i & 1 == 1).map(|(_, m)| *m).collect()
}

/// Every combination of what a check looks at, the other fields running beside them.
fn quant(case: usize) -> Option<Value> {
    let (mut checked, mut beside) = (Choices(case), Choices(case % 301));
    let modules = checked.of(&[0, 1, 2, 3, 4, 5, 6, 7]);
    let config = json!({
        "enable": checked.of(&[true, false]),
        "protocol": checked.of(PROTOCOLS),
        "training_mode": checked.of(TRAINING),
        "act_format": checked.of(ACTIVATIONS),
        "saved_activations": { "mode": checked.of(SAVED), "format": checked.of(ACTIVATIONS) },
        "act_grouping": checked.of(ACT_GROUPINGS),
        "weight_grouping": checked.of(WEIGHT_GROUPINGS),
        "strict_bitnet_reference": checked.of(&[true, false]),
        "target_modules": subset(modules),
        "inference_mode": beside.of(INFERENCE),
        "weight_format": beside.of(WEIGHTS),
        "decoder_x_mode": beside.of(WEIGHTS),
        "encoder_mode": beside.of(&[None, Some("fp16"), Some("int8"), Some("sign1"),
            Some("ternary158"), Some("packed2")]),
    });
    (checked.0 == 0).then_some(config)
}

#[test]
fn every_quantization_config_is_judged_as_the_source_judges_it() {
    let cases = (0..).map_while(quant);
    let mut refused = 0;
    let total = cases.fold(0, |total, json| {
        let config = LowBitQuantizationConfig::from_json(json.to_string()).unwrap();
        assert_eq!(serde_json::to_value(&config).unwrap(), json);
        let verdict = config.compat();
        refused += usize::from(verdict.is_err());
        agree(&json, source_quant(&json), &verdict);

        // Ours: the same but for the groupings, once their sizes are there.
        let sized = with_sizes(config);
        let mut ungrouped = json.clone();
        ungrouped["act_grouping"] = "per_token".into();
        ungrouped["weight_grouping"] = "per_tensor".into();
        agree(&json, source_quant(&ungrouped), &sized.validate());
        total + 1
    });
    assert_eq!(total, 8 * 2 * 5 * 2 * 4 * 3 * 4 * 3 * 3 * 2);
    assert!(refused > 0 && refused < total);
}

fn with_sizes(config: LowBitQuantizationConfig) -> LowBitQuantizationConfig {
    let (act, weight) = (config.act_grouping, config.weight_grouping);
    let size = |wanted: bool, size: usize| wanted.then_some(size);
    config
        .with_act_group_size(size(act == LowBitActivationGrouping::PerGroup, 64))
        .with_act_heads_per_group(size(act == LowBitActivationGrouping::PerHeadGroup, 2))
        .with_weight_group_size(size(weight == LowBitWeightGrouping::PerGroup, 128))
        .with_weight_heads_per_group(size(weight == LowBitWeightGrouping::PerHeadGroup, 1))
}

#[test]
fn every_rho_config_is_judged_as_the_source_judges_it() {
    let mut total = 0;
    for case in 0.. {
        let mut choices = Choices(case);
        let json = json!({
            "precision": choices.of(PRECISIONS),
            "compression": choices.of(COMPRESSIONS),
            "compression_interval": choices.of(INTERVALS),
            "carry_across_tbptt": choices.of(&[true, false]),
            "detach_between_windows": choices.of(&[true, false]),
            "stats_monitoring": choices.of(&[true, false]),
        });
        if choices.0 != 0 {
            break;
        }
        let config = LowBitRhoConfig::from_json(json.to_string()).unwrap();
        assert_eq!(serde_json::to_value(&config).unwrap(), json);
        agree(&json, source_rho(&json), &config.compat());
        let twice = json["precision"] == "fp8_exp" && json["compression"] == "fp8_block_exp";
        let ours = twice.then_some(("model.rho.precision", "fp8_block_exp"));
        agree(&json, ours, &config.validate());
        total += 1;
    }
    assert_eq!(total, 6 * 8 * 3 * 8);
}

#[test]
fn words_are_those_of_the_source_and_nothing_else() {
    macro_rules! check {
        ($($name:ident: $words:expr;)*) => {$(
            let words: Vec<&str> = $name::ALL.iter().map(|word| word.as_str()).collect();
            assert_eq!(words, $words, stringify!($name));
            for (word, value) in $words.iter().zip($name::ALL) {
                assert_eq!(value.to_string(), *word);
                assert_eq!(serde_json::from_value::<$name>(json!(word)).unwrap(), *value);
            }
            assert!(serde_json::from_value::<$name>(json!("other")).is_err());
        )*};
    }
    check! {
        BitNetLowBitProtocol: PROTOCOLS;
        LowBitTrainingMode: TRAINING;
        LowBitInferenceMode: INFERENCE;
        LowBitWeightFormat: WEIGHTS;
        LowBitActivationFormat: ACTIVATIONS;
        LowBitSavedActivationMode: SAVED;
        LowBitActivationGrouping: ACT_GROUPINGS;
        LowBitWeightGrouping: WEIGHT_GROUPINGS;
        LowBitTargetModule: MODULES;
        RhoPrecisionConfig: PRECISIONS;
        RhoCompressionConfig: COMPRESSIONS;
        RhoCompressionInterval: INTERVALS;
    }
}

#[test]
fn defaults_are_those_of_the_source() {
    let quant = LowBitQuantizationConfig::from_json("{}").unwrap();
    assert_eq!(quant, LowBitQuantizationConfig::default());
    let written = serde_json::to_string(&quant).unwrap();
    let expected = concat!(
        r#"{"enable":false,"protocol":"none","training_mode":"qat_ste","#,
        r#""inference_mode":"offline_pack","weight_format":"fp16","act_format":"fp16","#,
        r#""saved_activations":{"mode":"disabled","format":"int8"},"target_modules":[],"#,
        r#""decoder_x_mode":"fp16","encoder_mode":null,"act_grouping":"per_token","#,
        r#""weight_grouping":"per_tensor","strict_bitnet_reference":false}"#
    );
    assert_eq!(written, expected);
    let rho = LowBitRhoConfig::from_json("{}").unwrap();
    assert_eq!(rho, LowBitRhoConfig::default());
    let expected = concat!(
        r#"{"precision":"bf16","carry_across_tbptt":true,"detach_between_windows":true,"#,
        r#""compression":"none","compression_interval":"chunk","stats_monitoring":true}"#
    );
    assert_eq!(serde_json::to_string(&rho).unwrap(), expected);
    assert_eq!((quant.compat(), quant.validate()), (Ok(()), Ok(())));
    assert_eq!((rho.compat(), rho.validate()), (Ok(()), Ok(())));
}

#[test]
fn unknown_keys_words_and_types_are_errors() {
    for text in [
        r#"{"enabled":true}"#,
        r#"{"protocol":"b158"}"#,
        r#"{"enable":1}"#,
        "[",
        "",
        r#"{"saved_activations":{"kind":"int8"}}"#,
        r#"{"act_group_size":-1}"#,
    ] {
        let error = LowBitQuantizationConfig::from_json(text).unwrap_err();
        assert_eq!(error.field, "model.quant", "{text}");
    }
    let error = LowBitRhoConfig::from_json(r#"{"precision":"fp8"}"#).unwrap_err();
    assert!(error.to_string().starts_with("`model.rho` is unreadable (unknown variant `fp8`"));
}

/// A config that is enabled and complete.
fn enabled() -> LowBitQuantizationConfig {
    LowBitQuantizationConfig::default()
        .with_enable(true)
        .with_protocol(BitNetLowBitProtocol::BitnetB158)
        .with_target_modules(vec![LowBitTargetModule::Encoder, LowBitTargetModule::DecoderX])
}

#[test]
fn group_sizes_belong_to_their_groupings() {
    let act = |grouping| enabled().with_act_grouping(grouping);
    let weight = |grouping| enabled().with_weight_grouping(grouping);
    let by_group = act(LowBitActivationGrouping::PerGroup);
    let by_heads = act(LowBitActivationGrouping::PerHeadGroup);
    let cases = [
        (by_group.clone(), "act_group_size", "absent"),
        (by_group.clone().with_act_group_size(0), "act_group_size", "0"),
        (by_group.with_act_group_size(64).with_act_heads_per_group(2), "act_heads_per_group", "2"),
        (by_heads.clone(), "act_heads_per_group", "absent"),
        (by_heads.with_act_heads_per_group(0), "act_heads_per_group", "0"),
        (enabled().with_act_group_size(64), "act_group_size", "64"),
        (weight(LowBitWeightGrouping::PerGroup), "weight_group_size", "absent"),
        (weight(LowBitWeightGrouping::PerHeadGroup), "weight_heads_per_group", "absent"),
        (enabled().with_weight_group_size(128), "weight_group_size", "128"),
        (enabled().with_weight_heads_per_group(0), "weight_heads_per_group", "0"),
    ];
    for (config, field, value) in cases {
        let error = config.validate().unwrap_err();
        assert_eq!((error.field, error.value.as_str()), (format!("model.quant.{field}"), value));
    }
    // Sizes are read and written under their own names.
    let config = LowBitQuantizationConfig::from_json(
        r#"{"act_group_size":1,"act_heads_per_group":2,"weight_group_size":3,"weight_heads_per_group":4}"#,
    );
    let sizes = LowBitQuantizationConfig::default()
        .with_act_group_size(1)
        .with_act_heads_per_group(2)
        .with_weight_group_size(3)
        .with_weight_heads_per_group(4);
    assert_eq!(config.unwrap(), sizes);
}

#[test]
fn builders_set_the_field_they_name() {
    let saved = LowBitSavedActivationConfig::default()
        .with_mode(LowBitSavedActivationMode::QuantizedCacheExp)
        .with_format(LowBitActivationFormat::Int4Exp);
    let quant = enabled()
        .with_training_mode(LowBitTrainingMode::TrainKernelExp)
        .with_inference_mode(LowBitInferenceMode::RuntimeFakeQuant)
        .with_weight_format(LowBitWeightFormat::Ternary158)
        .with_act_format(LowBitActivationFormat::Int8)
        .with_saved_activations(saved)
        .with_decoder_x_mode(LowBitWeightFormat::Sign1)
        .with_encoder_mode(LowBitWeightFormat::Int8)
        .with_act_grouping(LowBitActivationGrouping::PerGroup)
        .with_act_group_size(32)
        .with_weight_grouping(LowBitWeightGrouping::PerHeadGroup)
        .with_weight_heads_per_group(2)
        .with_strict_bitnet_reference(true);
    assert_eq!(
        quant.to_string(),
        "bitnet_b158, train_kernel_exp, runtime_fake_quant, weights ternary158 (decoder_x sign1, \
         encoder int8) per_head_group of 2, activations int8 per_group of 32, \
         saved quantized_cache_exp int4_exp, targets encoder+decoder_x, strict"
    );
    assert_eq!(quant.validate(), Ok(()));
    assert_eq!(LowBitQuantizationConfig::default().to_string(), "off");
    let rho = LowBitRhoConfig::default()
        .with_precision(RhoPrecisionConfig::Fp32)
        .with_compression(RhoCompressionConfig::LowrankDeltaExp)
        .with_compression_interval(RhoCompressionInterval::EvalOnly)
        .with_detach_between_windows(false);
    let line = "fp32, lowrank_delta_exp by eval_only, carried, not detached, monitored";
    assert_eq!(rho.to_string(), line);
    let rho = rho.with_carry_across_tbptt(false).with_stats_monitoring(false);
    assert!(rho.to_string().ends_with(", not carried, not detached, not monitored"));
}
