//! The upstream's `str()` of a config: `FFNConfig(no_op=False, ..., intermediate_size=64)`.
//!
//! It is the `Display` of every config class, and ordering by it is the upstream's `<`. Strings
//! and floats are written as Rust escapes and shortens them, NaN as `None`.
use super::dataclass::Class;
use serde_json::Value;

/// The fields of `config` as Python writes an object of that class.
pub(super) fn object(class: &Class, config: &Value) -> String {
    let field = |name: &&str| {
        let nested = class.nested.iter().find(|(field, _)| field == name).map(|(_, class)| *class);
        format!("{name}={}", literal(nested, &config[*name]))
    };
    let fields: Vec<String> = class.fields.iter().map(field).collect();
    format!("{}({})", class.name, fields.join(", "))
}

/// A value as Python writes it; objects are of the class `nested`.
fn literal(nested: Option<&Class>, value: &Value) -> String {
    match (value, nested) {
        (Value::Null, _) => "None".into(),
        (Value::Bool(true), _) => "True".into(),
        (Value::Bool(false), _) => "False".into(),
        (Value::String(text), _) => format!("'{}'", text.escape_debug()),
        (Value::Array(items), _) => {
            let items: Vec<String> = items.iter().map(|item| literal(nested, item)).collect();
            format!("[{}]", items.join(", "))
        }
        (Value::Object(_), Some(class)) => object(class, value),
        (Value::Number(_) | Value::Object(_), _) => value.to_string(),
    }
}
