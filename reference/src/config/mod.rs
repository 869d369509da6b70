//! The configs of the sources, field by field: which values there are, what they default to and
//! which combinations are refused.
//!
//! A config answers twice. `compat()` answers as the source does, also where the source is too
//! strict or too lax; `validate()` says what this suite supports.
use crate::invalid::Invalid;

/// Builder methods, each setting the field it names.
macro_rules! setters {
    ($($name:ident => $($field:ident).+: $type:ty;)*) => {$(
        #[doc = concat!("The same config with `", stringify!($($field).+), "` set.")]
        #[must_use]
        pub fn $name(mut self, value: impl Into<$type>) -> Self {
            self.$($field).+ = value.into();
            self
        }
    )*};
}

pub mod block;
pub mod lowbit;
pub mod viva;

/// A config and what had to be dropped to read it, in the order it was met.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed<T> {
    /// What was read.
    pub value: T,
    /// A sentence for each thing dropped.
    pub warnings: Vec<String>,
}

/// JSON text to `T`; `name` is the field an error names.
fn from_json<T: serde::de::DeserializeOwned>(name: &str, text: &[u8]) -> Result<T, Invalid> {
    serde_json::from_slice(text).map_err(|error| {
        Invalid::new(name, format!("unreadable ({error})"), "JSON with known fields and words")
    })
}
