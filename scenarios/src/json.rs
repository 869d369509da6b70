//! JSON whose every value knows its place, and the checks that all parsing goes through.
use crate::error::{Place, ScenarioError};
use crate::keys::Field;
use jsonc_parser::ast::Value;
use jsonc_parser::common::Ranged;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};
use lowbit_reference::case::nearest;
use std::ops::RangeInclusive;

/// Everything here fails with the first error it meets.
pub(crate) type Checked<T> = Result<T, ScenarioError>;

/// A file's text and where its lines start.
pub(crate) struct Source<'a> {
    pub(crate) file: &'a str,
    text: &'a str,
    starts: Vec<usize>,
}

const STRICT: ParseOptions = ParseOptions {
    allow_comments: false,
    allow_loose_object_property_names: false,
    allow_trailing_commas: false,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

impl<'a> Source<'a> {
    pub(crate) fn new(file: &'a str, text: &'a str) -> Source<'a> {
        let ends = text.match_indices('\n').map(|(at, _)| at + 1);
        Source { file, text, starts: std::iter::once(0).chain(ends).collect() }
    }

    /// The text as strict JSON.
    pub(crate) fn parse(&self) -> Checked<Value<'a>> {
        let fail = |place: Place, message: String| place.error(self.file, "$", message);
        let parsed = parse_to_ast(self.text, &CollectOptions::default(), &STRICT)
            .map_err(|e| fail(self.place(e.range().start), format!("not JSON: {}", e.kind())))?;
        // The first parser knows places; this one knows the letter of the standard.
        serde_json::from_str::<serde_json::Value>(self.text).map_err(|e| {
            let place = Place { line: e.line().max(1), column: e.column().max(1) };
            fail(place, format!("not JSON: {e}"))
        })?;
        parsed.value.ok_or_else(|| fail(self.place(0), "the file is empty".into()))
    }

    fn place(&self, offset: usize) -> Place {
        let line = self.starts.partition_point(|start| *start <= offset).max(1);
        let start = self.starts.get(line - 1).copied().unwrap_or(0);
        let before = self.text.get(start..offset).unwrap_or_default();
        Place { line, column: before.chars().count() + 1 }
    }
}

/// A value, the key it belongs to, and the file.
#[derive(Clone, Copy)]
pub(crate) struct Node<'a> {
    pub(crate) source: &'a Source<'a>,
    pub(crate) key: &'a str,
    pub(crate) value: &'a Value<'a>,
}

/// A key and its value.
#[derive(Clone, Copy)]
pub(crate) struct Entry<'a> {
    pub(crate) key: &'a str,
    pub(crate) place: Place,
    pub(crate) node: Node<'a>,
}

impl<'a> Node<'a> {
    pub(crate) fn place(self) -> Place {
        self.source.place(self.value.start())
    }

    /// The value as it is written.
    pub(crate) fn raw(self) -> &'a str {
        self.value.text(self.source.text)
    }

    pub(crate) fn error(self, message: impl Into<String>) -> ScenarioError {
        self.place().error(self.source.file, self.key, message)
    }

    fn wrong_type(self, wanted: &str) -> ScenarioError {
        let found = match self.value {
            Value::StringLit(_) => "a string",
            Value::NumberLit(_) => "a number",
            Value::BooleanLit(_) => "a boolean",
            Value::Object(_) => "an object",
            Value::Array(_) => "a list",
            Value::NullKeyword(_) => "null",
        };
        self.error(format!("takes {wanted}, not {found}"))
    }

    /// The entries of an object, each key once.
    pub(crate) fn entries(self) -> Checked<Vec<Entry<'a>>> {
        let object = self.value.as_object().ok_or_else(|| self.wrong_type("an object"))?;
        let mut entries: Vec<Entry<'a>> = Vec::new();
        for property in &object.properties {
            let (key, source) = (property.name.as_str(), self.source);
            let place = source.place(property.name.start());
            if entries.iter().any(|earlier| earlier.key == key) {
                return Err(place.error(source.file, key, "is given twice"));
            }
            entries.push(Entry { key, place, node: Node { source, key, value: &property.value } });
        }
        Ok(entries)
    }

    /// The entries of an object that has no other keys than these.
    pub(crate) fn fields(self, allowed: &[Field]) -> Checked<Fields<'a>> {
        let entries = self.entries()?;
        let keys = || allowed.iter().map(|field| field.key);
        for entry in &entries {
            if !keys().any(|key| key == entry.key) {
                return Err(entry.unknown("unknown key", keys()));
            }
        }
        Ok(Fields { object: self, entries })
    }

    /// The elements of a list that has some.
    pub(crate) fn list(self) -> Checked<Vec<Node<'a>>> {
        let array = self.value.as_array().ok_or_else(|| self.wrong_type("a list"))?;
        if array.elements.is_empty() {
            return Err(self.error("is an empty list"));
        }
        Ok(array.elements.iter().map(|value| Node { value, ..self }).collect())
    }

    /// The elements of a list, or the one value that is no list.
    pub(crate) fn one_or_more(self) -> Checked<Vec<Node<'a>>> {
        match self.value {
            Value::Array(_) => self.list(),
            _ => Ok(vec![self]),
        }
    }

    /// A string that is not empty.
    pub(crate) fn text(self) -> Checked<&'a str> {
        let text = self.value.as_string_lit().ok_or_else(|| self.wrong_type("a string"))?;
        match text.value.as_ref() {
            "" => Err(self.error("is empty")),
            text => Ok(text),
        }
    }

    /// The number as it is written.
    pub(crate) fn number(self) -> Checked<&'a str> {
        Ok(self.value.as_number_lit().ok_or_else(|| self.wrong_type("a number"))?.value)
    }

    /// A whole number in a range.
    pub(crate) fn whole(self, range: RangeInclusive<u32>) -> Checked<u32> {
        let number = self.number()?.parse().ok().filter(|number| range.contains(number));
        number.ok_or_else(|| {
            self.error(format!("takes a whole number from {} to {}", range.start(), range.end()))
        })
    }

    /// A decimal above 0 and at most `max`.
    pub(crate) fn positive(self, max: f64) -> Checked<f64> {
        let number = self.number()?.parse().ok().filter(|number| *number > 0.0 && *number <= max);
        number.ok_or_else(|| self.error(format!("takes a number above 0 and at most {max}")))
    }

    /// One of some words.
    pub(crate) fn word<T: Copy>(self, words: &[(&str, T)]) -> Checked<T> {
        let text = self.text()?;
        let found = words.iter().find(|(word, _)| *word == text);
        found.map(|(_, value)| *value).ok_or_else(|| {
            self.error(unknown(&format!("cannot be `{text}`"), text, words.iter().map(|w| w.0)))
        })
    }
}

impl<'a> Entry<'a> {
    /// An error about the key itself.
    pub(crate) fn error(&self, message: impl Into<String>) -> ScenarioError {
        self.place.error(self.node.source.file, self.key, message)
    }

    /// The error for a key that is none of those allowed.
    pub(crate) fn unknown<'k>(
        &self,
        what: &str,
        allowed: impl Iterator<Item = &'k str> + Clone,
    ) -> ScenarioError {
        self.error(unknown(what, self.key, allowed))
    }
}

/// The checked entries of an object.
pub(crate) struct Fields<'a> {
    object: Node<'a>,
    entries: Vec<Entry<'a>>,
}

impl<'a> Fields<'a> {
    pub(crate) fn get(&self, key: &str) -> Option<Node<'a>> {
        self.entries.iter().find(|entry| entry.key == key).map(|entry| entry.node)
    }

    pub(crate) fn require(&self, key: &'static str) -> Checked<Node<'a>> {
        let object = self.object;
        self.get(key).ok_or_else(|| {
            object.place().error(object.source.file, key, "is missing from this object")
        })
    }
}

/// `what (did you mean `x`?); allowed: x, y`.
pub(crate) fn unknown<'k>(
    what: &str,
    found: &str,
    allowed: impl Iterator<Item = &'k str> + Clone,
) -> String {
    let hint = nearest(found, allowed.clone())
        .map(|word| format!(" (did you mean `{word}`?)"))
        .unwrap_or_default();
    format!("{what}{hint}; allowed: {}", allowed.collect::<Vec<_>>().join(", "))
}
