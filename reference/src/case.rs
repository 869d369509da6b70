//! A case: one operation with one value for each of its parameters.
//!
//! `Display` and `FromStr` are inverses, so the id is at once the CSV key, the name in a report
//! and the reproducer: `linear/weight=ternary2/activation=int8/weight_rule=b158/...`.
//! Each op declares its parameters in a table ([`Param`]); scenario files, the JSON Schema, the
//! parser of ids and every error message are made from that table and from nothing else.
mod error;
use crate::op::OpSpec;
pub use error::CaseError;
use std::fmt;
use std::str::FromStr;

/// A value of a parameter, already checked against its [`Kind`].
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A word from the parameter's list.
    Word(&'static str),
    /// A whole number.
    Number(u64),
    /// A positive decimal.
    Decimal(f64),
    /// Free text: a path or a tensor's name.
    Text(String),
    /// A whole config, as canonical JSON.
    Config(String),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Word(word) => f.write_str(word),
            Value::Number(number) => write!(f, "{number}"),
            Value::Decimal(decimal) => write!(f, "{decimal}"),
            Value::Text(text) | Value::Config(text) => f.write_str(text),
        }
    }
}

/// A legal word and the other names it is known by (the source's own words).
#[derive(Clone, Copy, Debug)]
pub struct Word {
    /// Canonical name: what ids and records hold.
    pub name: &'static str,
    /// Accepted on input.
    pub aliases: &'static [&'static str],
}

/// What a parameter may hold.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// One of some words.
    Word(fn() -> Vec<Word>),
    /// A whole number in a range, both ends included.
    Number {
        /// Smallest.
        min: u64,
        /// Largest.
        max: u64,
    },
    /// A positive decimal.
    Decimal,
    /// Free text without `=`.
    Text,
    /// One of some words, or a JSON object that `canonical` accepts and rewrites.
    WordOrConfig {
        /// The words.
        words: fn() -> Vec<Word>,
        /// Checks an object and returns its canonical JSON.
        canonical: fn(&str) -> Result<String, String>,
        /// JSON Schema of the object.
        schema: fn() -> serde_json::Value,
    },
}

/// One parameter of an op.
#[derive(Clone, Copy, Debug)]
pub struct Param {
    /// Key in scenario files, ids and records.
    pub key: &'static str,
    /// What it may hold.
    pub kind: Kind,
    /// One line for people.
    pub about: &'static str,
    /// Present only when another parameter has one of these words.
    pub when: Option<(&'static str, &'static [&'static str])>,
    /// Value when it is not given; [`ABSENT`](Param::ABSENT) where it may be left out.
    pub default: Option<&'static str>,
}

/// What a parameter applies to: `data=file`, or `data=file or kept`.
pub fn condition(other: &str, words: &[&str]) -> String {
    format!("{other}={}", words.join(" or "))
}

/// The word of `allowed` nearest to `found`, if one is near enough to be a typo.
pub fn nearest<'a>(found: &str, allowed: impl IntoIterator<Item = &'a str>) -> Option<String> {
    allowed
        .into_iter()
        .map(|word| (strsim::damerau_levenshtein(found, word), word))
        .filter(|(distance, word)| *distance <= 1 + word.len().min(found.len()) / 3)
        .min()
        .map(|(_, word)| word.to_owned())
}

impl Param {
    /// The default of a parameter that may be left out: no value at all.
    pub const ABSENT: &'static str = "";

    /// Whether the parameter applies, where `word` answers another one's word.
    pub fn applies(&self, word: impl Fn(&str) -> &'static str) -> bool {
        self.when.is_none_or(|(other, words)| words.contains(&word(other)))
    }

    /// The value where none is given, if there is one.
    pub fn default_value(&self) -> Result<Option<Value>, CaseError> {
        let text = self.default.filter(|text| *text != Self::ABSENT);
        text.map(|text| self.parse(text)).transpose()
    }

    /// Check `text` (a word, a number, a path, or JSON) against the kind.
    pub fn parse(&self, text: &str) -> Result<Value, CaseError> {
        let wrong = |nearest, allowed| self.wrong(text, nearest, allowed);
        match self.kind {
            Kind::Word(words) => {
                word(text, &words()).map(Value::Word).map_err(|(near, all)| wrong(near, all))
            }
            Kind::WordOrConfig { words, canonical, .. } => {
                if text.trim_start().starts_with('{') {
                    return canonical(text).map(Value::Config).map_err(|why| wrong(None, why));
                }
                word(text, &words())
                    .map(Value::Word)
                    .map_err(|(near, all)| wrong(near, format!("{all}, or a config object")))
            }
            Kind::Number { min, max } => {
                let number = text.parse().map_err(|_| wrong(None, whole_number(min, max)))?;
                self.allows(&Value::Number(number)).map(|()| Value::Number(number))
            }
            Kind::Decimal => match text.parse::<f64>() {
                Ok(decimal) if decimal.is_finite() && decimal > 0.0 => Ok(Value::Decimal(decimal)),
                _ => Err(wrong(None, "a positive decimal".into())),
            },
            Kind::Text if text.is_empty() || text.contains('=') => {
                Err(wrong(None, "text without `=`".into()))
            }
            Kind::Text => Ok(Value::Text(text.to_owned())),
        }
    }

    /// Whether a word is one of the parameter's, or a number within its range.
    fn allows(&self, value: &Value) -> Result<(), CaseError> {
        match (self.kind, value) {
            (Kind::Number { min, max }, Value::Number(number)) if !(min..=max).contains(number) => {
                Err(self.wrong(&number.to_string(), None, whole_number(min, max)))
            }
            (Kind::Word(_) | Kind::WordOrConfig { .. }, Value::Word(word)) => {
                self.parse(word).map(drop)
            }
            _ => Ok(()),
        }
    }

    fn wrong(&self, value: &str, nearest: Option<String>, allowed: String) -> CaseError {
        CaseError::Value { key: self.key, value: value.to_owned(), nearest, allowed }
    }
}

fn whole_number(min: u64, max: u64) -> String {
    format!("a whole number from {min} to {max}")
}

/// Look `text` up among words and aliases; the error is the nearest word and the whole list.
fn word(text: &str, words: &[Word]) -> Result<&'static str, (Option<String>, String)> {
    let found = words.iter().find(|w| w.name == text || w.aliases.contains(&text));
    found.map(|w| w.name).ok_or_else(|| {
        let names = words.iter().flat_map(|w| std::iter::once(w.name).chain(w.aliases.to_vec()));
        let all = words.iter().map(|w| w.name).collect::<Vec<_>>().join(", ");
        (nearest(text, names), all)
    })
}

/// One operation with one value for each of its parameters.
#[derive(Clone)]
pub struct Case {
    spec: &'static OpSpec,
    /// In the order of the spec's table; `None` where the parameter does not apply.
    values: Vec<Option<Value>>,
}

impl Case {
    /// Build and check a case. `given` holds values by key, in any order.
    pub fn new(spec: &'static OpSpec, given: &[(&'static str, Value)]) -> Result<Case, CaseError> {
        let mut values = vec![None; spec.params.len()];
        for (key, value) in given {
            let slot =
                spec.params.iter().position(|p| p.key == *key).and_then(|i| values.get_mut(i));
            let slot = slot.ok_or_else(|| spec.unknown_key(key))?;
            if slot.replace(value.clone()).is_some() {
                return Err(CaseError::Twice { key });
            }
        }
        let mut case = Case { spec, values };
        for (i, param) in spec.params.iter().enumerate() {
            let applies = param.applies(|other| case.word(other));
            match (&case.values[i], applies, param.when, param.default) {
                (Some(_), false, Some((other, words)), _) => {
                    return Err(CaseError::NotApplicable { key: param.key, other, words });
                }
                (None, true, _, Some(_)) => case.values[i] = param.default_value()?,
                (None, true, _, None) => {
                    let (op, key, about) = (spec.name, param.key, param.about);
                    return Err(CaseError::Missing { op, key, about });
                }
                (Some(value), ..) => param.allows(value)?,
                _ => {}
            }
        }
        crate::op::patterns::check(&case)?;
        (spec.validate)(&case)?;
        Ok(case)
    }

    /// The same case with some parameters changed, or left to their defaults where the value is
    /// `None`. Parameters that no longer apply go, and those that now do take their defaults.
    pub fn with(&self, changes: &[(&'static str, Option<Value>)]) -> Result<Case, CaseError> {
        let change = |key| changes.iter().find(|(changed, _)| *changed == key);
        let value = |(param, old): (&Param, &Option<Value>)| match change(param.key) {
            Some((_, new)) => new.clone(),
            None => old.clone(),
        };
        let mut case = self.clone();
        case.values = self.spec.params.iter().zip(&self.values).map(value).collect();
        let params = self.spec.params.iter();
        let applying = params.filter(|param| param.applies(|other| case.word(other)));
        let given = applying.filter_map(|p| Some((p.key, case.get(p.key)?.clone())));
        Case::new(self.spec, &given.collect::<Vec<_>>())
    }

    /// The op's specification.
    pub fn spec(&self) -> &'static OpSpec {
        self.spec
    }

    /// The op's name.
    pub fn op(&self) -> &'static str {
        self.spec.name
    }

    /// The value of a parameter, if it applies.
    pub fn get(&self, key: &str) -> Option<&Value> {
        let i = self.spec.params.iter().position(|p| p.key == key)?;
        self.values[i].as_ref()
    }

    /// The word of a parameter; empty if it does not apply or is not a word.
    pub fn word(&self, key: &str) -> &'static str {
        match self.get(key) {
            Some(Value::Word(word)) => word,
            _ => "",
        }
    }

    /// The number of a parameter; 0 if it does not apply.
    pub fn number(&self, key: &str) -> usize {
        match self.get(key) {
            Some(Value::Number(number)) => usize::try_from(*number).unwrap_or(usize::MAX),
            _ => 0,
        }
    }

    /// Key and value of each parameter that applies, in canonical order.
    pub fn parameters(&self) -> impl Iterator<Item = (&'static str, &Value)> {
        self.spec.params.iter().zip(&self.values).filter_map(|(p, v)| Some((p.key, v.as_ref()?)))
    }

    /// A conflict of one parameter's value with the rest of the case.
    pub(crate) fn conflict(&self, key: &'static str, why: impl Into<String>) -> CaseError {
        let value = self.get(key).map(ToString::to_string).unwrap_or_default();
        CaseError::Conflict { key, value, why: why.into() }
    }
}

impl PartialEq for Case {
    fn eq(&self, other: &Case) -> bool {
        self.op() == other.op() && self.values == other.values
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.spec.name)?;
        self.parameters().try_for_each(|(key, value)| write!(f, "/{key}={value}"))
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Case({self})")
    }
}

impl FromStr for Case {
    type Err = CaseError;
    fn from_str(id: &str) -> Result<Case, CaseError> {
        let (op, rest) = id.split_once('/').unwrap_or((id, ""));
        let spec = crate::op::spec(op)?;
        let mut given = Vec::new();
        for part in split(rest) {
            let (key, text) =
                part.split_once('=').ok_or_else(|| CaseError::Part { part: part.into() })?;
            let param = spec.param(key)?;
            given.push((param.key, param.parse(text)?));
        }
        Case::new(spec, &given)
    }
}

/// Split at the slashes that a `key=` follows: values (paths, tensor names) may hold slashes.
fn split(rest: &str) -> impl Iterator<Item = &str> {
    let is_start = |at: usize| {
        let word = &rest[at..rest[at..].find('=').map_or(at, |end| at + end)];
        !word.is_empty()
            && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_' || b.is_ascii_digit())
    };
    let mut starts = vec![0];
    starts.extend(rest.match_indices('/').map(|(at, _)| at + 1).filter(|at| is_start(*at)));
    let ends: Vec<_> = starts.iter().skip(1).map(|s| s - 1).chain([rest.len()]).collect();
    let parts: Vec<_> = starts.into_iter().zip(ends).map(|(s, e)| &rest[s..e]).collect();
    parts.into_iter().filter(|part| !part.is_empty())
}
