//! What a config is refused with: our sentence, and what the upstream raises in its place.
use crate::invalid::Invalid;
use std::fmt;

/// The exceptions of the upstream's constructors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exception {
    /// An `assert`: a required or an excluded field.
    AssertionError,
    /// A call with unknown or missing arguments.
    TypeError,
    /// A number of experts out of range.
    ValueError,
    /// An empty `parallel_blocks`.
    IndexError,
}

impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// A config that cannot be constructed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{invalid}")]
pub struct Refused {
    /// The field, its value and what is allowed.
    pub invalid: Invalid,
    /// What the upstream raises; `None` where it would have taken the value.
    pub exception: Option<Exception>,
    /// The upstream's message, empty where its assertion has none.
    pub message: Box<str>,
    /// What had been dropped before, in the order it was met.
    pub warnings: Box<[String]>,
}

impl Refused {
    /// Refused by the upstream as well, with that message.
    pub(super) fn raising(
        exception: Exception,
        message: impl Into<Box<str>>,
        invalid: Invalid,
    ) -> Refused {
        let (exception, message) = (Some(exception), message.into());
        Refused { invalid, exception, message, warnings: Box::default() }
    }

    /// Refused by us alone.
    pub(super) fn ours(invalid: Invalid) -> Refused {
        Refused { invalid, exception: None, message: Box::default(), warnings: Box::default() }
    }

    /// The same one level further out.
    pub(super) fn within(self, path: &str) -> Refused {
        Refused { invalid: self.invalid.within(path), ..self }
    }
}

impl From<Refused> for Invalid {
    fn from(refused: Refused) -> Invalid {
        refused.invalid
    }
}
