//! The fields of one JSON object on their way into a config, with the upstream's words for keys
//! that are unknown or missing.
use super::dataclass::{Class, Dataclass};
use super::refused::{Exception, Refused};
use crate::invalid::Invalid;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// Blocks within blocks within blocks, at most.
pub(super) const MAX_DEPTH: usize = 64;

/// How an object becomes a config.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// As the arguments of a call: unknown keys are errors.
    Call,
    /// As the value of a field: unknown keys are dropped with a warning.
    Field,
}

/// The fields of one object.
#[derive(Debug)]
pub struct Fields<'a> {
    object: &'a Map<String, Value>,
    warnings: &'a mut Vec<String>,
    depth: usize,
}

impl Fields<'_> {
    /// An object to a constructed config.
    pub(super) fn construct<T: Dataclass>(
        entry: Entry,
        value: &Value,
        warnings: &mut Vec<String>,
        depth: usize,
    ) -> Result<T, Refused> {
        let Value::Object(object) = value else {
            return Err(Refused::ours(Invalid::new(T::CLASS.name, value, "an object")));
        };
        if depth > MAX_DEPTH {
            let allowed = format!("at most {MAX_DEPTH} blocks deep");
            return Err(Refused::ours(Invalid::new(T::CLASS.name, "deeper", allowed)));
        }
        let known = |key: &&String| T::CLASS.fields.contains(&key.as_str());
        let unknown: Vec<&String> = object.keys().filter(|key| !known(key)).collect();
        match (entry, unknown.first()) {
            (_, None) => {}
            (Entry::Call, Some(first)) => return Err(unexpected(T::CLASS, first)),
            (Entry::Field, Some(_)) => warnings.push(removed(T::CLASS, &unknown)),
        }
        let given = |field: &&&str| object.contains_key(**field);
        let missing: Vec<&str> = T::CLASS.required.iter().filter(|f| !given(f)).copied().collect();
        if !missing.is_empty() {
            return Err(absent(T::CLASS, &missing));
        }
        T::read(&mut Fields { object, warnings, depth })?.compat()
    }

    /// The value of a field, or the default of an absent one.
    ///
    /// A value of another type is refused; the upstream takes it.
    pub(super) fn or<T: DeserializeOwned>(&self, field: &str, default: T) -> Result<T, Refused> {
        match self.object.get(field) {
            None => Ok(default),
            Some(value) => T::deserialize(value).map_err(|error| {
                Refused::ours(Invalid::new(field, value, format!("of its type ({error})")))
            }),
        }
    }

    /// A required number; its presence has been checked.
    pub(super) fn number(&self, field: &str) -> Result<i64, Refused> {
        self.or(field, 0)
    }

    /// A nested config, absent where it is null or not given.
    pub(super) fn config<T: Dataclass>(&mut self, field: &str) -> Result<Option<T>, Refused> {
        match self.object.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => Fields::construct(Entry::Field, value, self.warnings, self.depth)
                .map(Some)
                .map_err(|refused| refused.within(field)),
        }
    }

    /// A list of configs one level deeper, absent where it is null or not given.
    pub(super) fn configs<T: Dataclass>(&mut self, field: &str) -> Result<Option<Vec<T>>, Refused> {
        let Some(items) = self.or::<Option<Vec<Value>>>(field, None)? else { return Ok(None) };
        let mut config = |(i, item)| {
            Fields::construct(Entry::Call, item, self.warnings, self.depth + 1)
                .map_err(|refused: Refused| refused.within(&format!("{field}[{i}]")))
        };
        items.iter().enumerate().map(&mut config).collect::<Result<_, _>>().map(Some)
    }
}

/// `'a'`, `'a' and 'b'`, `'a', 'b', and 'c'`.
fn listed(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("'{name}'")).collect();
    match quoted.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        [first, second] => format!("{first} and {second}"),
        [most @ .., last] => format!("{}, and {last}", most.join(", ")),
    }
}

fn unexpected(class: &Class, key: &str) -> Refused {
    let message = format!("{}.__init__() got an unexpected keyword argument '{key}'", class.name);
    let allowed = format!("one of {}", class.fields.join(", "));
    Refused::raising(Exception::TypeError, message, Invalid::new(key, "unknown", allowed))
}

fn absent(class: &Class, missing: &[&str]) -> Refused {
    let message = format!(
        "{}.__init__() missing {} required keyword-only argument{}: {}",
        class.name,
        missing.len(),
        if missing.len() == 1 { "" } else { "s" },
        listed(missing)
    );
    let invalid = Invalid::new(missing.join(", "), "absent", "given");
    Refused::raising(Exception::TypeError, message, invalid)
}

fn removed(class: &Class, unknown: &[&String]) -> String {
    let names: Vec<String> = unknown.iter().map(|name| format!("'{name}'")).collect();
    format!(
        "Removed unsupported fields [{}] from <class 'block_config.{}'>",
        names.join(", "),
        class.name
    )
}
