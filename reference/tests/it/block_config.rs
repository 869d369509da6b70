//! Block configs: what validation refuses beyond the upstream, builders, text, and the older
//! schema. The upstream's own answers are replayed in `golden/blocks.rs`.
use lowbit_reference::config::block::{
    AttentionConfig, BlockConfig, BlockOrDict, Dataclass, Exception, FFNConfig,
    Llama4AttentionConfig, MambaConfig, MoEConfig, SubblockConfig, from_legacy,
    maybe_cast_block_configs,
};
use serde_json::{Value, json};

fn mamba() -> MambaConfig {
    MambaConfig::new(128, 64, 64, 8)
}

/// The field that validation refuses.
fn refused<T: Dataclass>(config: &T) -> String {
    config.validate().unwrap_err().field
}

#[test]
fn what_runs_is_valid() {
    let block = BlockConfig::new(AttentionConfig::new(8), FFNConfig::new(14336));
    let experts = FFNConfig::default().with_moe(MoEConfig::default());
    let chunked = AttentionConfig::new(8).with_llama4(
        Llama4AttentionConfig::default()
            .with_attention_chunk_size(8192)
            .with_attn_scale(0.1)
            .with_floor_scale(8192.0)
            .with_attention_dropout(0.0),
    );
    let blocks = [
        block.clone(),
        AttentionConfig::default().with_mamba(mamba()).to_blockconfig(),
        BlockConfig::new(chunked, experts),
        BlockConfig::default().with_ffn(FFNConfig::new(1)),
        BlockConfig::parallel(vec![block.clone(), FFNConfig::new(64).to_blockconfig()]),
        AttentionConfig::new(1).with_weights_precision("nope".to_owned()).to_blockconfig(),
    ];
    let (wrong, right) = blocks.split_last().unwrap();
    for block in right {
        assert_eq!(block.validate(), Ok(()), "{block}");
        assert_eq!(block.clone().compat().as_ref(), Ok(block));
    }
    assert_eq!(refused(wrong), "attention.weights_precision");
    assert!(wrong.clone().compat().is_ok());
}

#[test]
fn ranges_that_the_upstream_ignores_are_refused() {
    let attention = AttentionConfig::new;
    let llama4 = |config| refused(&attention(8).with_llama4(config));
    let empty = Llama4AttentionConfig::default;
    assert_eq!(refused(&attention(-3)), "num_key_value_heads");
    assert_eq!(refused(&attention(0)), "num_key_value_heads");
    assert_eq!(refused(&attention(8).with_sparsify(vec![String::new()])), "sparsify");
    assert_eq!(llama4(empty().with_attention_chunk_size(0)), "llama4.attention_chunk_size");
    assert_eq!(llama4(empty().with_attn_scale(f64::NAN)), "llama4.attn_scale");
    assert_eq!(llama4(empty().with_floor_scale(0.0)), "llama4.floor_scale");
    assert_eq!(llama4(empty().with_attention_dropout(1.0)), "llama4.attention_dropout");
    let both = AttentionConfig::default().with_mamba(mamba()).with_llama4(empty());
    assert_eq!(refused(&both), "llama4");
    let hybrid = |mamba| refused(&AttentionConfig::default().with_mamba(mamba));
    assert_eq!(hybrid(MambaConfig::new(0, 1, 1, 1)), "mamba.state_dim");
    assert_eq!(hybrid(MambaConfig::new(1, 0, 1, 1)), "mamba.num_heads");
    assert_eq!(hybrid(MambaConfig::new(1, 1, 0, 1)), "mamba.head_dim");
    assert_eq!(hybrid(MambaConfig::new(1, 1, 1, 0)), "mamba.num_groups");
    assert_eq!(hybrid(MambaConfig::new(1, 6, 1, 4)), "mamba.num_groups");
    assert_eq!(refused(&FFNConfig::new(0)), "intermediate_size");
    let moe = |moe| refused(&FFNConfig::default().with_moe(moe));
    let eight = MoEConfig::default;
    assert_eq!(moe(eight().with_num_experts_per_tok(9)), "moe.num_experts_per_tok");
    assert_eq!(moe(eight().with_num_local_experts(0)), "moe.num_local_experts");
    assert_eq!(moe(eight().with_expert_intermediate_dim(0)), "moe.expert_intermediate_dim");
    let shared = eight().with_shared_expert_intermediate_dim(-1);
    assert_eq!(moe(shared), "moe.shared_expert_intermediate_dim");
    let none = eight().with_shared_expert_intermediate_dim(0);
    assert_eq!(FFNConfig::default().with_moe(none).validate(), Ok(()));
    let all = eight().with_num_experts_per_tok(8);
    assert_eq!(FFNConfig::default().with_moe(all).validate(), Ok(()));
}

#[test]
fn blocks_hold_something_and_one_kind_of_thing() {
    assert_eq!(refused(&BlockConfig::default()), "attention");
    assert_eq!(refused(&BlockConfig::parallel(vec![])), "parallel_blocks");
    let block = || FFNConfig::new(64).to_blockconfig();
    assert_eq!(refused(&block().with_parallel_blocks(vec![block()])), "parallel_blocks");
    let deep = BlockConfig::parallel(vec![block(), FFNConfig::new(-1).to_blockconfig()]);
    assert_eq!(refused(&deep), "parallel_blocks[1].ffn.intermediate_size");
}

#[test]
fn what_a_kind_clears_must_not_be_set() {
    let off = || AttentionConfig::no_op().with_num_key_value_heads(8);
    assert_eq!(refused(&off()), "num_key_value_heads");
    assert_eq!(off().compat().unwrap(), AttentionConfig::no_op());
    assert_eq!(refused(&AttentionConfig::new(8).with_mamba(mamba())), "num_key_value_heads");
    assert_eq!(refused(&FFNConfig::no_op().with_moe(MoEConfig::default())), "moe");
    assert_eq!(refused(&FFNConfig::no_op().with_sparsify(vec!["up".to_owned()])), "sparsify");
    let linear = AttentionConfig::no_op().with_replace_with_linear(true);
    assert_eq!(refused(&linear), "replace_with_linear");
    assert_eq!(linear.compat().unwrap_err().exception, Some(Exception::AssertionError));
    let block = BlockConfig::new(off(), FFNConfig::new(1).with_moe(MoEConfig::default()));
    let parallel = BlockConfig::parallel(vec![block]).compat().unwrap().parallel_blocks.unwrap();
    assert_eq!(parallel[0].attention, Some(AttentionConfig::no_op()));
    assert_eq!(parallel[0].ffn.as_ref().unwrap().intermediate_size, None);
    let missing = BlockConfig::parallel(vec![FFNConfig::default().to_blockconfig()]);
    let error = missing.compat().unwrap_err().invalid;
    assert_eq!(error.field, "parallel_blocks[0].ffn.intermediate_size");
}

#[test]
fn text_keeps_the_order_of_keys_and_says_it_in_one_line() {
    let block = BlockConfig::new(
        AttentionConfig::new(8).with_llama4(Llama4AttentionConfig::default().with_attn_scale(0.5)),
        FFNConfig::default().with_moe(MoEConfig::default()).with_sparsify(vec!["up".to_owned()]),
    );
    let expected = concat!(
        r#"{"attention":{"no_op":false,"replace_with_linear":false,"sparsify":null,"#,
        r#""weights_precision":"bf16","num_key_value_heads":8,"llama4":{"#,
        r#""attention_chunk_size":null,"use_rope":null,"use_qk_norm":null,"attn_scale":0.5,"#,
        r#""floor_scale":null,"attn_temperature_tuning":null,"attention_dropout":null},"#,
        r#""mamba":null},"ffn":{"no_op":false,"replace_with_linear":false,"sparsify":["up"],"#,
        r#""weights_precision":"bf16","moe":{"num_local_experts":8,"num_experts_per_tok":1,"#,
        r#""expert_intermediate_dim":8192,"shared_expert_intermediate_dim":8192},"#,
        r#""intermediate_size":null},"parallel_blocks":null}"#
    );
    assert_eq!(serde_json::to_string(&block).unwrap(), expected);
    let expected = "BlockConfig(attention=AttentionConfig(no_op=False, replace_with_linear=False, \
        sparsify=None, weights_precision='bf16', num_key_value_heads=8, \
        llama4=Llama4AttentionConfig(attention_chunk_size=None, use_rope=None, use_qk_norm=None, \
        attn_scale=0.5, floor_scale=None, attn_temperature_tuning=None, attention_dropout=None), \
        mamba=None), ffn=FFNConfig(no_op=False, replace_with_linear=False, sparsify=['up'], \
        weights_precision='bf16', moe=MoEConfig(num_local_experts=8, num_experts_per_tok=1, \
        expert_intermediate_dim=8192, shared_expert_intermediate_dim=8192), \
        intermediate_size=None), parallel_blocks=None)";
    assert_eq!(block.to_string(), expected);
    let parallel = BlockConfig::parallel(vec![BlockConfig::default(); 2]).to_string();
    let empty = "BlockConfig(attention=None, ffn=None, parallel_blocks=None)";
    assert!(parallel.ends_with(&format!("parallel_blocks=[{empty}, {empty}])")));
    let odd = SubblockConfig::default().with_no_op(true).with_weights_precision("a'\n".to_owned());
    assert_eq!(
        odd.to_string(),
        "SubblockConfig(no_op=True, replace_with_linear=False, sparsify=None, \
         weights_precision='a\\'\\n')"
    );
}

#[test]
fn calls_that_lack_arguments_are_refused_in_pythons_words() {
    for (given, expected) in [
        (3, "1 required keyword-only argument: 'num_groups'"),
        (2, "2 required keyword-only arguments: 'head_dim' and 'num_groups'"),
        (1, "3 required keyword-only arguments: 'num_heads', 'head_dim', and 'num_groups'"),
    ] {
        let kwargs: serde_json::Map<String, Value> =
            MambaConfig::CLASS.fields[..given].iter().map(|f| (f.to_string(), 1.into())).collect();
        let refused = MambaConfig::parse(&kwargs.into()).unwrap_err();
        assert_eq!(refused.exception, Some(Exception::TypeError));
        assert_eq!(*refused.message, format!("MambaConfig.__init__() missing {expected}"));
    }
}

/// The fields of a class are written down twice: in its table and in its struct.
#[test]
fn tables_of_fields_are_the_fields() {
    fn check<T: Dataclass>(config: &T) {
        let text = serde_json::to_string(config).unwrap();
        let places: Vec<_> =
            T::CLASS.fields.iter().map(|field| text.find(&format!("\"{field}\":"))).collect();
        assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{text}");
        assert_eq!(config.to_dict().as_object().unwrap().len(), T::CLASS.fields.len());
    }
    check(&SubblockConfig::default());
    check(&MoEConfig::default());
    check(&mamba());
    check(&Llama4AttentionConfig::default());
    check(&AttentionConfig::default());
    check(&FFNConfig::default());
    check(&BlockConfig::default());
}

#[test]
fn values_of_other_types_are_refused_by_us_alone() {
    for (kwargs, field) in [
        (json!({"attention": {"num_key_value_heads": "8"}}), "attention.num_key_value_heads"),
        (json!({"attention": {"no_op": null}}), "attention.no_op"),
        (json!({"attention": 8}), "attention.AttentionConfig"),
        (json!({"parallel_blocks": 1}), "parallel_blocks"),
        (
            json!({"parallel_blocks": [{"ffn": {"intermediate_size": 1.5}}]}),
            "parallel_blocks[0].ffn.intermediate_size",
        ),
        (json!([]), "BlockConfig"),
    ] {
        let refused = BlockConfig::parse(&kwargs).unwrap_err();
        assert_eq!((refused.invalid.field.as_str(), refused.exception), (field, None));
    }
    let refused = BlockConfig::from_json("{").unwrap_err();
    assert_eq!(refused.invalid.field, "BlockConfig");
    let mut nested = json!({"ffn": {"intermediate_size": 1}});
    for _ in 0..64 {
        nested = json!({"parallel_blocks": [nested]});
    }
    assert!(BlockConfig::parse(&nested).is_ok());
    assert!(BlockConfig::parse(&json!({"parallel_blocks": [nested]})).is_err());
}

#[test]
fn casting_takes_lists_of_one_kind() {
    let block = || BlockOrDict::Block(Box::new(FFNConfig::new(64).to_blockconfig()));
    let dict = |value: Value| BlockOrDict::Dict(value);
    let cast = maybe_cast_block_configs(Some(vec![block(), block()])).unwrap();
    assert_eq!(cast.value.unwrap(), vec![FFNConfig::new(64).to_blockconfig(); 2]);
    let mixed = maybe_cast_block_configs(Some(vec![block(), dict(json!({}))])).unwrap_err();
    assert_eq!((mixed.invalid.field.as_str(), mixed.exception), ("block_configs[1]", None));
    let old = json!({"ffn": {"intermediate_size": 1, "ffn_mult": 1}});
    let unknown = json!({"fnn": null});
    let refused =
        maybe_cast_block_configs(Some(vec![dict(old.clone()), dict(unknown)])).unwrap_err();
    assert_eq!(refused.invalid.field, "block_configs[1].fnn");
    assert_eq!(refused.warnings.len(), 1);
    assert_eq!(maybe_cast_block_configs(Some(vec![dict(old)])).unwrap().warnings.len(), 1);
}

/// The width of a layer with so many times two thirds of the hidden size.
fn width(ffn_mult: f64, hidden_size: i64) -> i64 {
    let layers = json!([{"attention": {"no_op": true}, "ffn": {"ffn_mult": ffn_mult}}]);
    from_legacy(&layers, hidden_size, 64).unwrap().value[0]
        .ffn
        .as_ref()
        .unwrap()
        .intermediate_size
        .unwrap()
}

#[test]
fn older_widths_are_those_of_the_published_models() {
    // Llama-3.3-Nemotron-Super-49B: hidden size 8192.
    for (ffn_mult, size) in
        [(5.25, 28672), (2.625, 14336), (1.3125, 7168), (1.0, 5632), (0.5, 2816), (3.28125, 17920)]
    {
        assert_eq!(width(ffn_mult, 8192), size, "{ffn_mult}");
    }
    // Llama-3.1-Nemotron-Ultra-253B: hidden size 16384, fused giants included.
    for size in
        [53248, 26624, 21504, 16128, 37376, 32000, 5376, 10752, 301_056, 343_040, 399_360, 425_984]
    {
        let exact = f64::from(size) * 3.0 / 2.0 / 16384.0;
        assert_eq!(width(exact, 16384), i64::from(size));
    }
    assert_eq!(width(4.875, 16384), 53248);
    // Truncated first, then rounded up.
    assert_eq!((width(1.5, 256), width(1.51, 256), width(0.01, 256)), (256, 512, 256));
}

#[test]
fn older_layers_become_blocks() {
    let layers = json!([
        {
            "attention": {"n_heads_in_group": 8, "no_op": false, "replace_with_linear": false,
                "sparsify": null, "num_sink_tokens": null, "unshifted_sink": false,
                "use_prefill_window_in_sink_attention": false, "window_length": null},
            "ffn": {"ffn_mult": 5.25, "no_op": false, "replace_with_linear": false,
                "sparsify": ["up_proj"]},
        },
        {
            "attention": {"n_heads_in_group": null, "no_op": true, "window_length": null},
            "ffn": {"ffn_mult": null, "no_op": true},
        },
        {"attention": {"n_heads_in_group": 16, "num_sink_tokens": 4, "window_length": 512},
         "ffn": {"moe": {"bogus": 1}, "ffn_mult": 5.25}, "note": "kept"},
        {"parallel_blocks": [{"ffn": {"ffn_mult": 1.0}}], "attention": null},
    ]);
    let parsed = from_legacy(&layers, 8192, 64).unwrap();
    let ffn = FFNConfig::new(28672);
    let expected = vec![
        BlockConfig::new(
            AttentionConfig::new(8),
            ffn.clone().with_sparsify(vec!["up_proj".to_owned()]),
        ),
        BlockConfig::new(AttentionConfig::no_op(), FFNConfig::no_op()),
        BlockConfig::new(
            AttentionConfig::new(4),
            FFNConfig::default().with_moe(MoEConfig::default()),
        ),
        BlockConfig::parallel(vec![BlockConfig::default().with_ffn(FFNConfig::new(5632))]),
    ];
    assert_eq!(parsed.value, expected);
    let places = [
        "attention.num_sink_tokens` is 4 ",
        "attention.window_length` is 512 ",
        "note` is \"kept\" ",
    ];
    let (nested, dropped) = parsed.warnings.split_last().unwrap();
    assert_eq!(
        nested,
        "Removed unsupported fields ['bogus'] from <class 'block_config.MoEConfig'>"
    );
    assert_eq!(dropped.len(), places.len(), "{dropped:?}");
    for (warning, place) in dropped.iter().zip(places) {
        assert!(warning.starts_with(&format!("`block_configs[2].{place}")), "{warning}");
    }
}

#[test]
fn older_layers_that_cannot_be_converted_name_the_field() {
    let attention = |fields: Value| json!([{"attention": fields}]);
    let ffn = |fields: Value| json!([{"ffn": fields}]);
    let inside = "block_configs[0].";
    for (layers, field) in [
        (attention(json!({"n_heads_in_group": 7})), "attention.n_heads_in_group"),
        (attention(json!({"n_heads_in_group": 0})), "attention.n_heads_in_group"),
        (attention(json!({"n_heads_in_group": 8.0})), "attention.n_heads_in_group"),
        (
            attention(json!({"n_heads_in_group": 8, "num_key_value_heads": 4})),
            "attention.num_key_value_heads",
        ),
        (attention(json!({"no_op": false})), "attention.num_key_value_heads"),
        (attention(json!({"replace_with_linear": true})), "attention.num_key_value_heads"),
        (ffn(json!({})), "ffn.intermediate_size"),
        (ffn(json!({"ffn_mult": 0})), "ffn.ffn_mult"),
        (ffn(json!({"ffn_mult": -1.0})), "ffn.ffn_mult"),
        (ffn(json!({"ffn_mult": 1e300})), "ffn.ffn_mult"),
        (ffn(json!({"ffn_mult": "5"})), "ffn.ffn_mult"),
        (json!([{"parallel_blocks": [{"ffn": 1}]}]), "parallel_blocks[0].ffn"),
    ] {
        let error = from_legacy(&layers, 8192, 64).unwrap_err();
        assert_eq!(error.field, format!("{inside}{field}"), "{layers}");
    }
    assert_eq!(from_legacy(&json!({}), 8192, 64).unwrap_err().field, "block_configs");
    assert_eq!(from_legacy(&json!([]), 0, 64).unwrap_err().field, "hidden_size");
    assert_eq!(from_legacy(&json!([]), 1, -1).unwrap_err().field, "num_attention_heads");
    let mut nested = json!([{"ffn": {"ffn_mult": 1.0}}]);
    for _ in 0..64 {
        nested = json!([{"parallel_blocks": nested}]);
    }
    assert!(from_legacy(&nested, 8192, 64).is_ok());
    let error = from_legacy(&json!([{"parallel_blocks": nested}]), 8192, 64).unwrap_err();
    assert!(error.field.ends_with("parallel_blocks") && error.value == "deeper");
    // A width given twice must be the same.
    let twice = |size: i64| ffn(json!({"intermediate_size": size, "ffn_mult": 5.25}));
    assert!(from_legacy(&twice(28672), 8192, 64).is_ok());
    let error = from_legacy(&twice(28673), 8192, 64).unwrap_err();
    assert_eq!(error.field, format!("{inside}ffn.intermediate_size"));
}
