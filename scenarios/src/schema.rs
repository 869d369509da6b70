//! JSON Schema (draft 2020-12) of scenario files, made from the tables the parser uses.
use crate::axes::spellings;
use crate::gate::{CORRECTNESS, MAX_LIMIT, MODES, gates_rho};
use crate::goal::{LIMITS, MAX_GOAL};
use crate::keys::{self, Field};
use crate::measure::{ALL, CACHE, MAX_INTERVAL, MAX_SECONDS, ROUNDS, SAMPLES, THREADS};
use crate::shapes::SHAPE_SETS;
use lowbit_reference::case::{Kind, Param, condition};
use lowbit_reference::op::{OPS, OpSpec};
use serde_json::{Map, Value, json};

/// The schema. It accepts every file that [`Scenario::parse`](crate::Scenario::parse) accepts;
/// the parser refuses more: lists of unequal length in `zip`, bad conditions, no case at all.
pub fn schema() -> Value {
    let mut definitions = Map::new();
    definitions.insert("sweep".into(), sweep());
    definitions.insert("measure".into(), object(keys::MEASURE, &[], measure));
    for op in OPS {
        definitions.insert(product_name(op), axes(op, one_or_more));
        definitions.insert(zip_name(op), axes(op, list));
    }
    let mut file = object(keys::FILE, &["about", "sweeps"], |key| match key {
        "kernels" | "peers" => kernels(),
        "measure" => json!({ "$ref": "#/$defs/measure" }),
        "sweeps" => list(&json!({ "$ref": "#/$defs/sweep" })),
        _ => text(),
    });
    file["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    file["title"] = "lowbit scenario".into();
    file["$defs"] = definitions.into();
    file
}

fn product_name(op: &OpSpec) -> String {
    format!("{}_product", op.name)
}

fn zip_name(op: &OpSpec) -> String {
    format!("{}_zip", op.name)
}

fn text() -> Value {
    json!({ "type": "string", "minLength": 1 })
}

fn list(item: &Value) -> Value {
    json!({ "type": "array", "minItems": 1, "items": item })
}

fn one_or_more(item: &Value) -> Value {
    json!({ "anyOf": [item, list(item)] })
}

fn kernels() -> Value {
    one_or_more(&text())
}

fn words<T>(words: &[(&str, T)]) -> Value {
    json!({ "enum": words.iter().map(|(word, _)| *word).collect::<Vec<_>>() })
}

fn positive(max: f64) -> Value {
    json!({ "type": "number", "exclusiveMinimum": 0, "maximum": max })
}

fn whole(range: std::ops::RangeInclusive<u32>) -> Value {
    json!({ "type": "integer", "minimum": range.start(), "maximum": range.end() })
}

/// An object with these keys and no others.
fn object(fields: &[Field], required: &[&str], schema_of: impl Fn(&str) -> Value) -> Value {
    let described = |field: &Field| {
        let mut schema = schema_of(field.key);
        schema["description"] = field.about.into();
        (field.key.to_owned(), schema)
    };
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": required,
        "properties": fields.iter().map(described).collect::<Map<_, _>>(),
    })
}

fn sweep() -> Value {
    let ops: Vec<_> = OPS.iter().map(|op| op.name).collect();
    let sets: Vec<_> = SHAPE_SETS.iter().map(|set| set.name).collect();
    let mut schema = object(keys::SWEEP, &["name", "op"], |key| match key {
        "op" => json!({ "enum": ops }),
        "product" => json!({ "type": "object" }),
        "zip" => list(&json!({ "type": "object", "minProperties": 1 })),
        "shapes" => one_or_more(&json!({ "enum": sets })),
        "where" | "kernels" => one_or_more(&text()),
        "measure" => json!({ "$ref": "#/$defs/measure" }),
        "gate" => object(keys::GATE, &[], gate),
        "goals" => list(&object(keys::GOAL, &["row", "of", "at_least"], goal)),
        _ => text(),
    });
    schema["allOf"] = OPS.iter().map(|op| of_op(op)).collect::<Vec<_>>().into();
    schema
}

/// What `op` decides about the rest of its sweep.
fn of_op(op: &OpSpec) -> Value {
    let reference = |name: String| json!({ "$ref": format!("#/$defs/{name}") });
    let mut properties = json!({
        "product": reference(product_name(op)),
        "zip": { "items": reference(zip_name(op)) },
    });
    if !gates_rho(op.name) {
        properties["gate"] = json!({ "properties": { "rho": false, "rho_relative": false } });
    }
    json!({
        "if": { "properties": { "op": { "const": op.name } }, "required": ["op"] },
        "then": { "properties": properties },
    })
}

fn axes(op: &OpSpec, many: fn(&Value) -> Value) -> Value {
    let described = |param: &Param| {
        let mut schema = many(&value(&param.kind));
        let when = param.when.map(|(other, words)| format!(" (when {})", condition(other, words)));
        schema["description"] = format!("{}{}", param.about, when.unwrap_or_default()).into();
        (param.key.to_owned(), schema)
    };
    json!({
        "description": op.about,
        "type": "object",
        "additionalProperties": false,
        "properties": op.params.iter().map(described).collect::<Map<_, _>>(),
    })
}

fn value(kind: &Kind) -> Value {
    match kind {
        Kind::Word(_) => json!({ "enum": spellings(kind) }),
        Kind::Number { min, max } => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Kind::Decimal => json!({ "type": "number", "exclusiveMinimum": 0 }),
        Kind::Text => json!({ "type": "string", "pattern": "^[^=]+$" }),
        Kind::WordOrConfig { schema, .. } => {
            json!({ "anyOf": [{ "enum": spellings(kind) }, schema()] })
        }
    }
}

fn measure(key: &str) -> Value {
    match key {
        "threads" => one_or_more(&threads()),
        "rounds" => whole(ROUNDS),
        "cache" => one_or_more(&words(CACHE)),
        "min_samples" | "max_samples" => whole(SAMPLES),
        "interval" => positive(MAX_INTERVAL),
        _ => positive(MAX_SECONDS),
    }
}

fn threads() -> Value {
    json!({ "anyOf": [{ "const": ALL }, whole(THREADS)] })
}

fn goal(key: &str) -> Value {
    match key {
        "threads" => threads(),
        "cache" => words(CACHE),
        "at_least" => positive(MAX_GOAL),
        "of" => {
            let mut other = object(keys::OTHER, &[], goal);
            other["minProperties"] = 1.into();
            json!({ "anyOf": [{ "enum": LIMITS }, other] })
        }
        "where" => one_or_more(&text()),
        _ => text(),
    }
}

fn gate(key: &str) -> Value {
    match key {
        "correctness" | "codes" => words(CORRECTNESS),
        _ => {
            let keys = if key == "rho" { keys::RHO } else { keys::RHO_RELATIVE };
            object(keys, &[], |key| match key {
                "mode" => words(MODES),
                _ => positive(MAX_LIMIT),
            })
        }
    }
}
