//! The comparison itself under test: one value of a file is changed, and it must be seen.
use super::compare;
use serde_json::Value;

/// Changes tried in each file.
const CHANGES: usize = 48;

/// Changes that nobody saw. Inputs count as well: another input has another answer.
pub(crate) fn survivors(documents: &[(String, Value)]) -> Vec<String> {
    let mut survivors = Vec::new();
    for (file, document) in documents {
        let leaves = paths(document);
        let (mut tried, mut seen) = (0, 0);
        for change in 0..CHANGES {
            // Spread over the file, at a stride that shares no factor with its structure.
            let path = &leaves[change * leaves.len() / CHANGES];
            let mut changed = document.clone();
            let Some(leaf) = changed.pointer_mut(path) else { continue };
            if !alter(leaf) {
                continue;
            }
            tried += 1;
            let run = std::panic::catch_unwind(|| compare(file, &changed));
            match run {
                Ok(replay) if replay.failures.is_empty() => {
                    survivors.push(format!("{file}: {path} was changed and nobody saw it"));
                }
                _ => seen += 1,
            }
        }
        println!("{file:<34} {tried} values changed, {seen} seen");
    }
    survivors
}

/// A plainly different value of the same type; prose stays.
fn alter(leaf: &mut Value) -> bool {
    let changed = match leaf {
        Value::Bool(value) => Value::Bool(!*value),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => (integer + 1).into(),
            (None, Some(float)) => (float * 1.5 + 1.0).into(),
            (None, None) => return false,
        },
        Value::String(text) if text.len() >= 4 && is_hex(text) => {
            let first = if text.starts_with('0') { "1" } else { "0" };
            format!("{first}{}", &text[1..]).into()
        }
        _ => return false,
    };
    *leaf = changed;
    true
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// JSON pointers of all leaves.
fn paths(value: &Value) -> Vec<String> {
    let below = |step: &str, value| {
        paths(value).into_iter().map(|rest| format!("/{step}{rest}")).collect::<Vec<_>>()
    };
    match value {
        Value::Array(items) => {
            items.iter().enumerate().flat_map(|(i, item)| below(&i.to_string(), item)).collect()
        }
        Value::Object(fields) => fields.iter().flat_map(|(key, field)| below(key, field)).collect(),
        _ => vec![String::new()],
    }
}
