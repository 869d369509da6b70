//! The older schema of block configs (DeciLM, Llama-3.1/3.3-Nemotron), which counts query heads
//! per key-value head and multiples of the hidden size where the newer one counts heads and
//! widths:
//!
//! `num_key_value_heads = num_attention_heads / n_heads_in_group`
//!
//! `intermediate_size = trunc(2 * ffn_mult * hidden_size / 3)`, rounded up to a multiple of 256
//!
//! (llama.cpp, `conversion/deci.py`). The newer schema has no place for sink tokens, windows and
//! the like: each is dropped with a warning if it says anything.
use super::attention::{AttentionConfig, positive};
use super::block_config::BlockConfig;
use super::dataclass::{Class, Dataclass};
use super::ffn::FFNConfig;
use super::fields::MAX_DEPTH;
use crate::config::Parsed;
use crate::invalid::Invalid;
use serde_json::{Map, Value};

/// Widths are multiples of this.
const WIDTH_MULTIPLE: i64 = 256;

/// Whole numbers are exact in an f64 below this, 2^53.
const EXACT_LIMIT: f64 = 9_007_199_254_740_992.0;

/// The layers of a model in the older schema: a list of objects with `attention`, `ffn` and, for
/// blocks side by side, `parallel_blocks`.
///
/// A field of the newer schema is taken over; beside the older one it must agree with it. The
/// blocks are then constructed as [`compat`](Dataclass::compat) does: a linear replacement needs
/// its heads or width, although the older schema could leave them out.
pub fn from_legacy(
    layers: &Value,
    hidden_size: i64,
    num_attention_heads: i64,
) -> Result<Parsed<Vec<BlockConfig>>, Invalid> {
    positive("hidden_size", Some(hidden_size))?;
    positive("num_attention_heads", Some(num_attention_heads))?;
    let mut converter = Converter { hidden_size, num_attention_heads, warnings: Vec::new() };
    let newer = converter.blocks("block_configs", layers, 0)?;
    let construct = |(i, block): (usize, &Value)| match BlockConfig::parse(block) {
        Ok(parsed) => {
            converter.warnings.extend(parsed.warnings);
            Ok(parsed.value)
        }
        Err(refused) => Err(refused.invalid.within(&format!("block_configs[{i}]"))),
    };
    let value = newer.iter().enumerate().map(construct).collect::<Result<_, _>>()?;
    Ok(Parsed { value, warnings: converter.warnings })
}

struct Converter {
    hidden_size: i64,
    num_attention_heads: i64,
    warnings: Vec<String>,
}

impl Converter {
    fn blocks(&mut self, path: &str, list: &Value, depth: usize) -> Result<Vec<Value>, Invalid> {
        let Value::Array(blocks) = list else {
            return Err(Invalid::new(path, list, "a list of objects"));
        };
        if depth > MAX_DEPTH {
            return Err(Invalid::new(path, "deeper", format!("at most {MAX_DEPTH} blocks deep")));
        }
        let block = |(i, block)| self.block(&format!("{path}[{i}]"), block, depth);
        blocks.iter().enumerate().map(block).collect()
    }

    fn block(&mut self, path: &str, block: &Value, depth: usize) -> Result<Value, Invalid> {
        let mut newer = Map::new();
        for (key, value) in fields(path, block)? {
            let inside = format!("{path}.{key}");
            let value = match (key.as_str(), value) {
                ("attention" | "ffn" | "parallel_blocks", Value::Null) => Value::Null,
                ("attention", value) => self.attention(&inside, value)?,
                ("ffn", value) => self.ffn(&inside, value)?,
                ("parallel_blocks", value) => self.blocks(&inside, value, depth + 1)?.into(),
                _ => {
                    self.dropped(&inside, value);
                    continue;
                }
            };
            newer.insert(key.clone(), value);
        }
        Ok(newer.into())
    }

    fn attention(&mut self, path: &str, attention: &Value) -> Result<Value, Invalid> {
        let heads = self.num_attention_heads;
        let convert = |group: &Value| key_value_heads(group, heads);
        let rename = ("n_heads_in_group", "num_key_value_heads");
        self.subblock(path, attention, AttentionConfig::CLASS, rename, convert)
    }

    fn ffn(&mut self, path: &str, ffn: &Value) -> Result<Value, Invalid> {
        let hidden = self.hidden_size;
        let convert = |mult: &Value| intermediate_size(mult, hidden);
        self.subblock(path, ffn, FFNConfig::CLASS, ("ffn_mult", "intermediate_size"), convert)
    }

    /// One field renamed and converted, those of the class kept, the others dropped.
    fn subblock(
        &mut self,
        path: &str,
        subblock: &Value,
        class: &Class,
        (older, newer): (&str, &str),
        convert: impl Fn(&Value) -> Result<i64, Invalid>,
    ) -> Result<Value, Invalid> {
        let fields = fields(path, subblock)?;
        let mut kept = Map::new();
        for (key, value) in fields.iter().filter(|(key, _)| *key != older) {
            if class.fields.contains(&key.as_str()) {
                kept.insert(key.clone(), value.clone());
            } else {
                self.dropped(&format!("{path}.{key}"), value);
            }
        }
        let says = |value: &&Value| !value.is_null();
        if let Some(value) = fields.get(older).filter(says) {
            let converted = convert(value).map_err(|invalid| invalid.within(path))?;
            if let Some(given) = kept.get(newer).filter(says)
                && given.as_i64() != Some(converted)
            {
                let allowed = format!("{converted}, as {older} has it");
                return Err(Invalid::new(format!("{path}.{newer}"), given, allowed));
            }
            kept.insert(newer.to_owned(), converted.into());
        }
        Ok(kept.into())
    }

    /// A field without a counterpart; null and false say nothing.
    fn dropped(&mut self, path: &str, value: &Value) {
        if !matches!(value, Value::Null | Value::Bool(false)) {
            self.warnings.push(format!("`{path}` is {value} and has no counterpart: dropped"));
        }
    }
}

fn fields<'v>(path: &str, value: &'v Value) -> Result<&'v Map<String, Value>, Invalid> {
    value.as_object().ok_or_else(|| Invalid::new(path, value, "an object"))
}

/// Heads of keys and values where each serves `group` heads of queries.
fn key_value_heads(group: &Value, num_attention_heads: i64) -> Result<i64, Invalid> {
    match group.as_i64() {
        Some(group) if group >= 1 && num_attention_heads % group == 0 => {
            Ok(num_attention_heads / group)
        }
        _ => {
            let allowed = format!("a divisor of num_attention_heads ({num_attention_heads})");
            Err(Invalid::new("n_heads_in_group", group, allowed))
        }
    }
}

/// The width of a feed-forward of `mult` times two thirds of the hidden size.
fn intermediate_size(mult: &Value, hidden_size: i64) -> Result<i64, Invalid> {
    // Python's order of operations, in f64 as there.
    let width = mult.as_f64().map(|mult| (2.0 * mult * hidden_size as f64 / 3.0).trunc());
    match width {
        Some(width) if (1.0..EXACT_LIMIT).contains(&width) => {
            Ok((width as i64 + WIDTH_MULTIPLE - 1) / WIDTH_MULTIPLE * WIDTH_MULTIPLE)
        }
        _ => {
            let allowed = "a number that makes a width from 1 to below 2^53";
            Err(Invalid::new("ffn_mult", mult, allowed))
        }
    }
}
