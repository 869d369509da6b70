//! What all config classes can do: be read, constructed, validated and written.
use super::fields::{Entry, Fields};
use super::refused::Refused;
use crate::config::Parsed;
use crate::invalid::Invalid;
use serde::Serialize;
use serde_json::Value;

/// A class of the upstream: its name and its fields in order.
#[derive(Debug)]
pub struct Class {
    /// `AttentionConfig`.
    pub name: &'static str,
    /// All fields.
    pub fields: &'static [&'static str],
    /// The fields without a default.
    pub required: &'static [&'static str],
    /// The fields that hold configs, or lists of them, and their classes.
    pub nested: &'static [(&'static str, &'static Class)],
}

/// `Display` as the upstream's `str()`.
macro_rules! python_display {
    ($($class:ident)*) => {$(
        impl std::fmt::Display for $class {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&super::repr::object(Self::CLASS, &self.to_dict()))
            }
        }
    )*};
}
pub(super) use python_display;

/// One of the upstream's config classes.
pub trait Dataclass: Clone + Serialize + std::fmt::Display {
    /// Its name and fields.
    const CLASS: &'static Class;

    /// The fields of an object, nothing cleared and nothing checked but in nested
    /// configs.
    fn read(fields: &mut Fields<'_>) -> Result<Self, Refused>;

    /// What the upstream's constructor makes of these fields: clears what does not apply, refuses
    /// what it refuses. Nested configs come first. Doing it twice changes nothing.
    fn compat(self) -> Result<Self, Refused>;

    /// Ranges the upstream does not check; nested configs are validated whole.
    fn check_ranges(&self) -> Result<(), Invalid>;

    /// Whether this suite supports the config: it can be constructed, has nothing set that its
    /// kind clears, and every number is in range.
    fn validate(&self) -> Result<(), Invalid> {
        self.check_ranges()?;
        let constructed = self.clone().compat()?.to_dict();
        let given = self.to_dict();
        for field in Self::CLASS.fields {
            if given[field] != constructed[field] {
                return Err(Invalid::new(*field, &given[field], "absent in a config of this kind"));
            }
        }
        Ok(())
    }

    /// Read and construct. Unknown keys are refused at the top, and dropped with a warning in
    /// nested configs.
    fn parse(value: &Value) -> Result<Parsed<Self>, Refused> {
        let mut warnings = Vec::new();
        match Fields::construct(Entry::Call, value, &mut warnings, 0) {
            Ok(value) => Ok(Parsed { value, warnings }),
            Err(refused) => Err(Refused { warnings: warnings.into(), ..refused }),
        }
    }

    /// From JSON text, by way of [`parse`](Dataclass::parse).
    fn from_json(text: impl AsRef<[u8]>) -> Result<Parsed<Self>, Refused> {
        let value: Value =
            crate::config::from_json(Self::CLASS.name, text.as_ref()).map_err(Refused::ours)?;
        Self::parse(&value)
    }

    /// Every field, absent ones as null. Written as text, a config keeps the upstream's order of
    /// keys; a `Value` keeps the order that serde_json was built for.
    fn to_dict(&self) -> Value {
        // Only maps with keys that are no strings fail; there are none.
        serde_json::to_value(self).unwrap_or_default()
    }
}
