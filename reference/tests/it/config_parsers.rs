//! Config parsers on arbitrary bytes and JSON: they answer, whatever they are given, and what
//! they accept is written and read again unchanged.
use lowbit_reference::config::block::{
    AttentionConfig, BlockConfig, Dataclass, FFNConfig, Llama4AttentionConfig, MambaConfig,
    MoEConfig, SubblockConfig, from_legacy,
};
use lowbit_reference::config::lowbit::{LowBitQuantizationConfig, LowBitRhoConfig};
use proptest::prelude::*;
use serde_json::{Map, Value};

/// Keys of every config, so that arbitrary objects come near to being one.
fn key() -> impl Strategy<Value = String> {
    let classes = [
        BlockConfig::CLASS,
        AttentionConfig::CLASS,
        FFNConfig::CLASS,
        MoEConfig::CLASS,
        MambaConfig::CLASS,
        Llama4AttentionConfig::CLASS,
    ];
    let mut keys: Vec<&str> =
        classes.iter().flat_map(|class| class.fields.iter().copied()).collect();
    keys.extend(["n_heads_in_group", "ffn_mult", "enable", "protocol", "precision", "compression"]);
    keys.extend(["saved_activations", "target_modules", "act_group_size", "mode", "format"]);
    prop_oneof![9 => prop::sample::select(keys).prop_map(str::to_owned), 1 => any::<String>()]
}

fn leaf() -> impl Strategy<Value = Value> {
    let words = ["bf16", "none", "fp8_exp", "bitnet_b158", "encoder", "int8"];
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-2i64..10).prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop::sample::select(words.to_vec()).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    leaf().prop_recursive(5, 48, 6, |inner| {
        let fields = prop::collection::vec((key(), inner.clone()), 0..6);
        let object =
            fields.prop_map(|fields| Value::Object(fields.into_iter().collect::<Map<_, _>>()));
        prop_oneof![1 => prop::collection::vec(inner, 0..4).prop_map(Value::from), 3 => object]
    })
}

/// Answers; what is accepted is constructed, and reads as what it writes.
fn parse<T: Dataclass + PartialEq + std::fmt::Debug>(value: &Value) -> Result<(), TestCaseError> {
    let Ok(parsed) = T::parse(value) else { return Ok(()) };
    let config = parsed.value;
    let again = T::from_json(serde_json::to_string(&config).unwrap()).unwrap();
    prop_assert_eq!(&again.value, &config);
    prop_assert!(again.warnings.is_empty());
    prop_assert_eq!(config.clone().compat(), Ok(config.clone()));
    let _ = config.validate();
    prop_assert!(!config.to_string().contains('\n'));
    Ok(())
}

proptest! {
    #[test]
    fn arbitrary_json_never_panics(value in value(), hidden in any::<i64>(), heads in any::<i64>()) {
        parse::<SubblockConfig>(&value)?;
        parse::<MoEConfig>(&value)?;
        parse::<MambaConfig>(&value)?;
        parse::<Llama4AttentionConfig>(&value)?;
        parse::<AttentionConfig>(&value)?;
        parse::<FFNConfig>(&value)?;
        parse::<BlockConfig>(&value)?;
        let layers = Value::Array(vec![value.clone()]);
        let _ = from_legacy(&value, hidden, heads);
        let _ = from_legacy(&layers, hidden.saturating_abs(), heads.saturating_abs());
        let text = value.to_string();
        if let Ok(config) = LowBitQuantizationConfig::from_json(&text) {
            let _ = (config.compat(), config.validate(), config.to_string());
            let text = serde_json::to_string(&config).unwrap();
            prop_assert_eq!(LowBitQuantizationConfig::from_json(text).unwrap(), config);
        }
        if let Ok(config) = LowBitRhoConfig::from_json(&text) {
            let _ = (config.compat(), config.validate(), config.to_string());
            let text = serde_json::to_string(&config).unwrap();
            prop_assert_eq!(LowBitRhoConfig::from_json(text).unwrap(), config);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = BlockConfig::from_json(&bytes);
        let _ = LowBitQuantizationConfig::from_json(&bytes);
        let _ = LowBitRhoConfig::from_json(&bytes);
    }

    #[test]
    fn every_attention_that_is_built_is_read_again(
        heads in any::<i64>(),
        linear in any::<bool>(),
        sparsify in prop::option::of(prop::collection::vec(any::<String>(), 0..3)),
        precision in prop::option::of(any::<String>()),
        dropout in prop::option::of(-1.0f64..2.0),
    ) {
        let config = AttentionConfig::new(heads)
            .with_replace_with_linear(linear)
            .with_sparsify(sparsify.clone())
            .with_weights_precision(precision.clone())
            .with_llama4(Llama4AttentionConfig::default().with_attention_dropout(dropout));
        let subblock = &config.subblock;
        prop_assert_eq!(config.num_key_value_heads, Some(heads));
        prop_assert_eq!(subblock.replace_with_linear, linear);
        prop_assert_eq!((&subblock.sparsify, &subblock.weights_precision), (&sparsify, &precision));
        prop_assert_eq!(config.llama4.as_ref().unwrap().attention_dropout, dropout);
        let again = AttentionConfig::parse(&config.to_dict()).unwrap();
        prop_assert_eq!(again.value, config);
    }

    #[test]
    fn every_width_is_a_multiple_at_or_above_the_exact_one(mult in 0.01f64..100.0, hidden in 150i64..100_000) {
        let layers = serde_json::json!([{"ffn": {"ffn_mult": mult}}]);
        let blocks = from_legacy(&layers, hidden, 1).unwrap().value;
        let width = blocks[0].ffn.as_ref().unwrap().intermediate_size.unwrap();
        prop_assert_eq!(width % 256, 0);
        let exact = (2.0 * mult * hidden as f64 / 3.0).floor();
        prop_assert!((width as f64) >= exact && (width as f64) < exact + 256.0);
    }
}
