//! What is wrong with an id, a value, or a case.
use super::condition;

/// Why something is not a case. Every variant names the part that is wrong and what is allowed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CaseError {
    /// No such operation.
    #[error("unknown op `{found}`{}; ops: {}", did_you_mean(nearest), allowed.join(", "))]
    Op {
        /// What was written.
        found: String,
        /// The nearest op.
        nearest: Option<String>,
        /// Every op.
        allowed: Vec<String>,
    },
    /// A part of an id that is not `key=value`.
    #[error("`{part}` is not `key=value`")]
    Part {
        /// The part.
        part: String,
    },
    /// No such parameter.
    #[error("op `{op}` has no parameter `{found}`{}; parameters: {}", did_you_mean(nearest), allowed.join(", "))]
    Key {
        /// The op.
        op: &'static str,
        /// What was written.
        found: String,
        /// The nearest parameter.
        nearest: Option<String>,
        /// Every parameter.
        allowed: Vec<String>,
    },
    /// A parameter given twice.
    #[error("`{key}` is given twice")]
    Twice {
        /// The parameter.
        key: &'static str,
    },
    /// A parameter that is not given and has no default.
    #[error("op `{op}` needs `{key}` ({about})")]
    Missing {
        /// The op.
        op: &'static str,
        /// The parameter.
        key: &'static str,
        /// What it is.
        about: &'static str,
    },
    /// A value outside the parameter's kind.
    #[error("`{key}` cannot be `{value}`{}; allowed: {allowed}", did_you_mean(nearest))]
    Value {
        /// The parameter.
        key: &'static str,
        /// What was written.
        value: String,
        /// The nearest legal word.
        nearest: Option<String>,
        /// What is allowed.
        allowed: String,
    },
    /// A parameter that does not go with another one's value.
    #[error("`{key}` applies only when `{}`", condition(other, words))]
    NotApplicable {
        /// The parameter.
        key: &'static str,
        /// The parameter it depends on.
        other: &'static str,
        /// The words of which that parameter must have one.
        words: &'static [&'static str],
    },
    /// Legal values that make no case together.
    #[error("`{key}={value}` {why}")]
    Conflict {
        /// The parameter.
        key: &'static str,
        /// Its value.
        value: String,
        /// Why not, and what is allowed.
        why: String,
    },
}

fn did_you_mean(nearest: &Option<String>) -> String {
    nearest.as_ref().map(|word| format!(" (did you mean `{word}`?)")).unwrap_or_default()
}
