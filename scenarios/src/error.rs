//! The one error of this crate: where in a file what is wrong, and what would be right.

/// A scenario file that says something it may not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: `{key}`: {message}")]
#[non_exhaustive]
pub struct ScenarioError {
    /// File name as it was given.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The key that is wrong, or whose value is.
    pub key: String,
    /// What is wrong and what is allowed.
    pub message: String,
}

/// Where a value stands in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

impl Place {
    /// An error about `key` at this place.
    pub(crate) fn error(self, file: &str, key: &str, message: impl Into<String>) -> ScenarioError {
        let Place { line, column } = self;
        let (file, key, message) = (file.to_owned(), key.to_owned(), message.into());
        ScenarioError { file, line, column, key, message }
    }
}
