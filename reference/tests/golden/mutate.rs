//! The comparison itself under test: one value of a file is changed, and it must be seen.
use super::compare;
use serde_json::Value;

/// Changes tried in each file.
const CHANGES: usize = 48;

/// Changes that nobody saw. Inputs count as well: another input has another answer.
pub(crate) fn survivors(documents: &[(String, Value)]) -> Vec<String> {
    let mut survivors = Vec::new();
    for (file, document) in documents {
        let whole = compare(file, document);
        let shown = |path: &String| document.pointer(path).is_some_and(|v| !whole.is_excluded(v));
        let leaves: Vec<String> = paths(document).into_iter().filter(shown).collect();
        let (mut tried, mut seen) = (0, 0);
        for change in 0..CHANGES {
            // Spread over the file, at a stride that shares no factor with its structure.
            let path = &leaves[change * leaves.len() / CHANGES];
            // What rounding, saturation or a maximum hides of a small change, a large one shows.
            let tries = [alter, raise, sink].map(|change| is_seen(file, document, path, change));
            tried += usize::from(tries[0].is_some());
            match tries {
                [None, ..] => {}
                tries if !tries.contains(&Some(true)) => {
                    survivors.push(format!("{file}: {path} was changed and nobody saw it"));
                }
                _ => seen += 1,
            }
        }
        println!("{file:<34} {tried} values changed, {seen} seen");
    }
    survivors
}

/// Whether a change of one value is seen; nothing where there is no such change.
fn is_seen(
    file: &str,
    document: &Value,
    path: &str,
    change: fn(&mut Value) -> bool,
) -> Option<bool> {
    let mut changed = document.clone();
    if !change(changed.pointer_mut(path)?) {
        return None;
    }
    Some(!compare(file, &changed).failures.is_empty())
}

/// A number made larger than any the files have, infinities aside.
fn raise(leaf: &mut Value) -> bool {
    replace(leaf, |integer| integer ^ 0x7f, |_| 1e37)
}

/// The same below zero.
fn sink(leaf: &mut Value) -> bool {
    replace(leaf, |integer| integer ^ 0x40, |_| -1e37)
}

/// Change a number; nothing else is one.
fn replace(leaf: &mut Value, integer: fn(i64) -> i64, float: fn(f64) -> f64) -> bool {
    let changed = match leaf.as_i64() {
        Some(value) => Some(integer(value).into()),
        None => leaf.as_f64().map(|value| float(value).into()),
    };
    changed.map(|changed| *leaf = changed).is_some()
}

/// A plainly different value of the same type; prose stays.
fn alter(leaf: &mut Value) -> bool {
    let changed = match leaf {
        Value::Bool(value) => Value::Bool(!*value),
        Value::Number(_) => {
            // Away from zero, where no float is its own answer.
            return replace(leaf, |integer| integer + 1, |x| x * 1.5 + 1.0f64.copysign(x));
        }
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
