//! Block configs against the upstream's own module (NVIDIA Model-Optimizer, `block_config.py`).
//!
//! Each case is a call of a class; its answer is the config as a dictionary or an exception, and
//! the warnings. An input that the answer does not show (cleared, dropped, or of a call that was
//! refused for another reason) could be any other, so it is listed as excluded.
use super::replay::{Replay, text};
use lowbit_reference::config::block::{
    AttentionConfig, BlockConfig, BlockOrDict, Dataclass, FFNConfig, Llama4AttentionConfig,
    MambaConfig, MoEConfig, Refused, SubblockConfig, maybe_cast_block_configs,
};
use serde_json::{Value, json};

/// A class, called with keyword arguments: its dictionary and the warnings.
type Answer = Result<(Value, Vec<String>), Refused>;

fn call<T: Dataclass>(kwargs: &Value) -> Answer {
    let parsed = T::parse(kwargs)?;
    Ok((parsed.value.to_dict(), parsed.warnings))
}

/// A class: its name, how it is called and its defaults.
type Class = (&'static str, fn(&Value) -> Answer, fn() -> Value);

/// Every class of the upstream.
static CLASSES: &[Class] = &[
    ("SubblockConfig", call::<SubblockConfig>, || SubblockConfig::default().to_dict()),
    ("MoEConfig", call::<MoEConfig>, || MoEConfig::default().to_dict()),
    ("MambaConfig", call::<MambaConfig>, mamba_defaults),
    ("Llama4AttentionConfig", call::<Llama4AttentionConfig>, || {
        Llama4AttentionConfig::default().to_dict()
    }),
    ("AttentionConfig", call::<AttentionConfig>, || AttentionConfig::default().to_dict()),
    ("FFNConfig", call::<FFNConfig>, || FFNConfig::default().to_dict()),
    ("BlockConfig", call::<BlockConfig>, || BlockConfig::default().to_dict()),
];

/// What a call that leaves a field out has in its place, or that it is refused.
fn mamba_defaults() -> Value {
    let whole = MambaConfig::new(1, 1, 1, 1).to_dict();
    let mut defaults = whole.clone();
    for field in MambaConfig::CLASS.fields {
        let mut kwargs = whole.clone();
        kwargs.as_object_mut().map(|kwargs| kwargs.remove(*field));
        defaults[*field] = match call::<MambaConfig>(&kwargs) {
            Ok((config, _)) => config[*field].clone(),
            Err(_) => "<required>".into(),
        };
    }
    defaults
}

pub(crate) fn replay(document: &Value, replay: &mut Replay) {
    replay.exclude(&document["source"], "where the file comes from");
    for (class, fields) in document["defaults"].as_object().into_iter().flatten() {
        let Some((name, _, defaults)) = CLASSES.iter().find(|(name, ..)| name == class) else {
            replay.fail(class, "is of no known class");
            continue;
        };
        replay.equal(name, "defaults", fields, &defaults());
    }
    for case in document["cases"].as_array().into_iter().flatten() {
        one(case, replay);
    }
    misc(&document["misc"], replay);
}

fn one(case: &Value, replay: &mut Replay) {
    let name = text(replay.input(&case["name"]));
    replay.input(&case["note"]);
    let class = text(replay.input(&case["class"]));
    let Some((_, call, _)) = CLASSES.iter().find(|(name, ..)| *name == class) else {
        return replay.fail(name, format!("{class} is no known class"));
    };
    inputs(&case["kwargs"], &case["to_dict"], text(&case["message"]), replay);
    let answer = call(&case["kwargs"]);
    replay.equal(name, "ok", &case["ok"], &answer.is_ok().into());
    let warnings = match answer {
        Ok((config, warnings)) => {
            replay.equal(name, "to_dict", &case["to_dict"], &config);
            warnings
        }
        Err(refused) => {
            let exception = refused.exception.map_or("none".into(), |e| e.to_string());
            replay.equal(name, "error", &case["error"], &exception.into());
            replay.equal(name, "message", &case["message"], &(*refused.message).into());
            refused.warnings.into()
        }
    };
    replay.equal(name, "warnings", &case["warnings"], &json!(warnings));
}

/// Takes the inputs that the answer shows: in the same place of the dictionary, or in words in the
/// message. The others are excluded.
fn inputs(kwargs: &Value, to_dict: &Value, message: &str, replay: &mut Replay) {
    let none = Value::Null;
    match kwargs {
        Value::Object(fields) => {
            for (key, value) in fields {
                inputs(value, to_dict.get(key).unwrap_or(&none), message, replay);
            }
        }
        Value::Array(items) => {
            for (i, item) in items.iter().enumerate() {
                inputs(item, to_dict.get(i).unwrap_or(&none), message, replay);
            }
        }
        leaf if leaf == to_dict || message.contains(&format!("({leaf})")) => {
            replay.input(leaf);
        }
        leaf if message.ends_with(&format!(" {leaf}")) => {
            replay.input(leaf);
        }
        leaf => replay.exclude(leaf, "an input that the upstream's answer does not show"),
    }
}

/// What else the upstream was asked.
fn misc(misc: &Value, replay: &mut Replay) {
    let attention = || AttentionConfig::new(8);
    let ffn = FFNConfig::new(64);
    let mut same = |field: &str, got: Value| replay.equal("misc", field, &misc[field], &got);
    same("to_blockconfig_attention", attention().to_blockconfig().to_dict());
    same("to_blockconfig_ffn", ffn.to_blockconfig().to_dict());
    same("eq_same_fields", (attention() == attention()).into());
    same("str", attention().to_string().into());
    let (more, less) = (FFNConfig::new(100).to_string(), FFNConfig::new(99).to_string());
    same("lt_is_string_compare", (more < less).into());
    same("maybe_cast_none", cast(None));
    same("maybe_cast_empty_list", cast(Some(vec![])));
    let whole = json!({"attention": {"num_key_value_heads": 8}, "ffn": {"intermediate_size": 10}});
    same("maybe_cast_dicts", cast(Some(vec![BlockOrDict::Dict(whole)])));
    let off = || BlockConfig::new(AttentionConfig::no_op(), FFNConfig::no_op());
    let block = || BlockOrDict::Block(Box::new(off()));
    let dict = || BlockOrDict::Dict(off().to_dict());
    same("maybe_cast_mixed_dict_first", cast(Some(vec![dict(), block()])));
    // The upstream leaves an object among the blocks; that is refused in its place.
    let refused = cast(Some(vec![block(), dict()])) == json!("none");
    same("maybe_cast_mixed_obj_first_leaves_dict", refused.into());
    let moe = MoEConfig::default().with_num_local_experts(4);
    let config = BlockConfig::new(attention(), FFNConfig::default().with_moe(moe)).to_dict();
    let again = call::<BlockConfig>(&config).map(|(config, _)| config).unwrap_or_default();
    same("round_trip_to_dict", again);
    for (field, reason) in PYTHON {
        replay.exclude(&misc[*field], reason);
    }
}

/// What a Rust struct cannot be asked.
static PYTHON: &[(&str, &str)] = &[
    ("eq_defined_on_subclass_by_dataclass", "which methods Python generates"),
    ("hash_defined_on_subclass", "which methods Python generates"),
    ("hash_with_list_field", "Python's hashing of lists"),
    ("frozen", "Python's frozen objects"),
    ("force_setattr_outside", "Python's frozen objects"),
    ("positional_args", "Python's calling convention"),
    ("maybe_cast_objects_identity", "Python's object identity"),
];

/// The dictionaries of a cast, or the exception.
fn cast(blocks: Option<Vec<BlockOrDict>>) -> Value {
    match maybe_cast_block_configs(blocks) {
        Ok(parsed) => json!(parsed.value),
        Err(refused) => refused.exception.map_or("none".into(), |e| e.to_string()).into(),
    }
}
