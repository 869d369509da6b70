//! Everything that reads text.
use crate::input::Input;
use crate::targets;
use lowbit_reference::case::Case;
use lowbit_reference::config::block::{
    AttentionConfig, BlockConfig, BlockOrDict, Dataclass, FFNConfig, from_legacy,
    maybe_cast_block_configs,
};
use lowbit_reference::config::lowbit::{LowBitQuantizationConfig, LowBitRhoConfig};
use lowbit_reference::config::viva;
use lowbit_reference::rho::RhoStream;
use lowbit_reference::rule::Rule;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

targets! {
    quantization_config rho_config block_config legacy_blocks layer_configs spelled_rule case_id
}

/// Any JSON, of few values.
fn json(input: &mut Input, keys: &[&str], depth: usize) -> Value {
    match input.below(if depth == 0 { 5 } else { 8 }) {
        0 => Value::Null,
        1 => input.flip().into(),
        2 => input.word().cast_signed().into(),
        3 => input.double().into(),
        4 => input.text(keys).into(),
        5 => (0..input.below(4)).map(|_| json(input, keys, depth - 1)).collect(),
        _ => {
            let count = input.below(5);
            let mut entry = |_| (input.pick(keys).to_owned(), json(input, keys, depth - 1));
            Value::Object((0..count).map(&mut entry).collect())
        }
    }
}

fn quantization_config(input: &mut Input) {
    let text = serde_json::to_string(&LowBitQuantizationConfig::default()).unwrap();
    let text = input.text(&[&text, "{}", "{\"act_group_size\":64,\"act_grouping\":\"per_group\"}"]);
    let Ok(config) = LowBitQuantizationConfig::from_json(&text) else { return };
    let _ = (config.compat(), config.validate(), config.to_string());
    let again = serde_json::to_string(&config).unwrap();
    assert_eq!(LowBitQuantizationConfig::from_json(again), Ok(config));
}

fn rho_config(input: &mut Input) {
    let text = serde_json::to_string(&LowBitRhoConfig::default()).unwrap();
    let Ok(config) = LowBitRhoConfig::from_json(input.text(&[&text, "{}"])) else { return };
    let _ = (config.compat(), config.validate(), config.to_string());
    let _ = RhoStream::of_config(&config, input.flip(), (input.size(), input.size()));
    let again = serde_json::to_string(&config).unwrap();
    assert_eq!(LowBitRhoConfig::from_json(again), Ok(config));
}

const BLOCK_KEYS: [&str; 16] = [
    "attention",
    "ffn",
    "parallel_blocks",
    "no_op",
    "replace_with_linear",
    "num_key_value_heads",
    "llama4",
    "mamba",
    "moe",
    "intermediate_size",
    "state_dim",
    "num_heads",
    "sparsify",
    "n_heads_in_group",
    "ffn_mult",
    "weights_precision",
];

fn block_config(input: &mut Input) {
    let block = BlockConfig::new(AttentionConfig::new(8), FFNConfig::new(512));
    let text = BlockConfig::parallel(vec![block.clone(), block.clone()]).to_dict().to_string();
    let text = input.text(&[&text, &block.to_dict().to_string(), "{}"]);
    let value = json(input, &BLOCK_KEYS, 4);
    for parsed in [BlockConfig::from_json(&text), BlockConfig::parse(&value)] {
        let Ok(parsed) = parsed else { continue };
        let _ = (parsed.value.validate(), parsed.value.to_string());
        assert_eq!(parsed.value.clone().compat().as_ref(), Ok(&parsed.value));
    }
    let block = BlockOrDict::Block(Box::new(block));
    let mixed = [BlockOrDict::Dict(value), block];
    let _ = maybe_cast_block_configs(Some(mixed[usize::from(input.flip())..].to_vec()));
}

fn legacy_blocks(input: &mut Input) {
    let text = r#"[{"attention":{"n_heads_in_group":4,"no_op":false,"window_length":null},
                   "ffn":{"ffn_mult":5.25,"no_op":false,"sparsify":null}},
                  {"attention":{"no_op":true},"ffn":{"replace_with_linear":true},
                   "parallel_blocks":null}]"#;
    let parsed = serde_json::from_str(&input.text(&[text])).unwrap_or(Value::Null);
    let any = json(input, &BLOCK_KEYS, 4);
    let sizes: [i64; 2] = match input.flip() {
        true => [8192, 64],
        false => [0; 2].map(|_| input.word().cast_signed()),
    };
    for layers in [parsed, any.clone(), Value::Array(vec![any])] {
        let _ = from_legacy(&layers, sizes[0], sizes[1]);
    }
}

/// A config that serde reads, and what it is written as again.
fn reread<T: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug>(text: &str) -> Option<T> {
    let config: T = serde_json::from_str(text).ok()?;
    let again = serde_json::to_string(&config).unwrap();
    // NaN and infinities cannot be read, so nothing is lost.
    assert_eq!(serde_json::from_str(&again).ok().as_ref(), Some(&config), "{again}");
    Some(config)
}

fn layer_configs(input: &mut Input) {
    let conv = serde_json::to_string(&viva::Conv2dConfig::new(3, 3, 1, 1)).unwrap();
    let pool = serde_json::to_string(&viva::PoolConfig::new(2, 2)).unwrap();
    let attention = serde_json::to_string(&viva::AttentionConfig::new(4, 8)).unwrap();
    let int8 = serde_json::to_string(&viva::Int8Config::default()).unwrap();
    let nf4 = serde_json::to_string(&viva::Nf4Config::default()).unwrap();
    let awq = serde_json::to_string(&viva::AwqConfig::default()).unwrap();
    let text = input.text(&[&conv, &pool, &attention, &int8, &nf4, &awq, "{}"]);
    let size = input.sizes();
    if let Some(config) = reread::<viva::Conv2dConfig>(&text) {
        let _ = (config.validate(), config.output(size), config.to_string());
    }
    if let Some(config) = reread::<viva::PoolConfig>(&text) {
        let _ = (config.validate(), config.output(size, input.flip()), config.to_string());
    }
    if let Some(config) = reread::<viva::AttentionConfig>(&text) {
        let _ = (config.validate(), config.softmax_scale(), config.to_string());
    }
    if let Some(config) = reread::<viva::Int8Config>(&text) {
        let _ = (config.validate(), config.to_string());
    }
    if let Some(config) = reread::<viva::Nf4Config>(&text) {
        let _ = (config.validate(), config.bits_per_weight(), config.to_string());
    }
    if let Some(config) = reread::<viva::AwqConfig>(&text) {
        let _ = (config.validate(), config.to_string());
    }
}

fn spelled_rule(input: &mut Input) {
    let text = input.text(&[
        r#"{"range":"absmean","steps":1.0,"threshold":0.7,"kept_mean":true}"#,
        r#"{"granularity":"group","group_size":32,"min_code":-8,"steps":7}"#,
        r#"{"range":"minmax","with_zero":true,"epsilon":1e-5,"epsilon_use":"unit"}"#,
    ]);
    if let Ok(canonical) = Rule::canonical(&text) {
        assert_eq!(Rule::canonical(&canonical).as_ref(), Ok(&canonical));
    }
}

fn case_id(input: &mut Input) {
    let id = input.text(&[
        "linear/weight=ternary2/activation=int8/weight_rule=b158/activation_rule=absmax/m=1/k=64/\
         n=512/data=exact/seed=7",
        "quantize_weight/weight=int8/weight_rule=absmax/k=384/n=384/data=file/\
         file=a/b.safetensors/tensor=encoder/query.weight/seed=7",
        "quantize_weight/weight=int4/weight_rule={\"granularity\":\"group\",\"group_size\":8}/k=8/\
         n=2/data=realistic/distribution=relu/seed=0",
        "quantize_activation/activation=int4/activation_rule=a48/m=3/k=128/data=exact",
        "rho_pack/format=int8/elements=64/data=realistic/distribution=normal/sigma=1/seed=7",
        "rho_unpack/format=binary/elements=268435456/data=exact",
    ]);
    let Ok(case) = id.parse::<Case>() else { return };
    (case.spec().work)(&case);
    assert_eq!(case.to_string().parse::<Case>().as_ref(), Ok(&case));
}
