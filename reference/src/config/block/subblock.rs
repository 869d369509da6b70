//! What attention and feed-forward sub-blocks have in common (`SubblockConfig`).
use super::dataclass::{Class, Dataclass, python_display};
use super::fields::Fields;
use super::refused::{Exception, Refused};
use crate::format::{block_words, weight_words};
use crate::invalid::Invalid;
use serde::Serialize;

/// The common part of a sub-block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SubblockConfig {
    /// Whether the sub-block is left out; false by default.
    pub no_op: bool,
    /// Whether one linear layer stands in its place; false by default.
    pub replace_with_linear: bool,
    /// Names of the modules that are made sparse; cleared by `no_op`.
    pub sparsify: Option<Vec<String>>,
    /// What the weights are stored as; `bf16` by default.
    pub weights_precision: Option<String>,
}

/// Words of `weights_precision` that are no format of [`crate::format`].
const FLOAT_WORDS: [&str; 5] = ["fp32", "bf16", "fp16", "fp8", "fp4"];

impl Default for SubblockConfig {
    fn default() -> SubblockConfig {
        SubblockConfig {
            no_op: false,
            replace_with_linear: false,
            sparsify: None,
            weights_precision: Some("bf16".to_owned()),
        }
    }
}

impl SubblockConfig {
    setters! {
        with_no_op => no_op: bool;
        with_replace_with_linear => replace_with_linear: bool;
        with_sparsify => sparsify: Option<Vec<String>>;
        with_weights_precision => weights_precision: Option<String>;
    }
}

impl Dataclass for SubblockConfig {
    const CLASS: &'static Class = &Class {
        name: "SubblockConfig",
        fields: &["no_op", "replace_with_linear", "sparsify", "weights_precision"],
        required: &[],
        nested: &[],
    };

    fn read(fields: &mut Fields<'_>) -> Result<SubblockConfig, Refused> {
        let default = SubblockConfig::default();
        Ok(SubblockConfig {
            no_op: fields.or("no_op", default.no_op)?,
            replace_with_linear: fields.or("replace_with_linear", default.replace_with_linear)?,
            sparsify: fields.or("sparsify", default.sparsify)?,
            weights_precision: fields.or("weights_precision", default.weights_precision)?,
        })
    }

    fn compat(self) -> Result<SubblockConfig, Refused> {
        if self.no_op && self.replace_with_linear {
            let invalid = Invalid::new("replace_with_linear", true, "false in a no_op");
            return Err(Refused::raising(Exception::AssertionError, "", invalid));
        }
        let sparsify = if self.no_op { None } else { self.sparsify };
        Ok(SubblockConfig { sparsify, ..self })
    }

    fn check_ranges(&self) -> Result<(), Invalid> {
        let formats = weight_words().into_iter().chain(block_words());
        let mut words: Vec<&str> = FLOAT_WORDS.to_vec();
        words
            .extend(formats.flat_map(|w| std::iter::once(w.name).chain(w.aliases.iter().copied())));
        if let Some(precision) = &self.weights_precision
            && !words.contains(&precision.as_str())
        {
            let allowed = format!("one of {}", words.join(", "));
            return Err(Invalid::new("weights_precision", precision, allowed));
        }
        match self.sparsify.iter().flatten().any(String::is_empty) {
            true => Err(Invalid::new("sparsify", "an empty name", "names of modules")),
            false => Ok(()),
        }
    }
}

python_display! { SubblockConfig }
