//! `attention` as an operation: its parameters, its problem, what it costs.
use super::oracle::AttentionReference;
use super::{AttentionShape, CausalAlignment, MAX_DEPTH, TokenCodes, data, kept};
use crate::case::{Case, CaseError, Kind, Param, Value, Word};
use crate::config::viva::AttentionConfig;
use crate::data::Files;
use crate::op::part::Part;
use crate::op::{Arithmetic, Expectation, Op, OpSpec, Outputs, Storage, Work, inputs, shape};
use crate::quality::Quality;

const fn param(key: &'static str, kind: Kind, about: &'static str) -> Param {
    Param { key, kind, about, when: None, default: None }
}

const SIZE: Kind = Kind::Number { min: 1, max: 1 << 28 };

/// Name and parameters.
pub static SPEC: OpSpec = OpSpec {
    name: "attention",
    about: "softmax(Q K^T scale) V; Q and K as f32 or as int8 codes with a scale a token",
    params: &[
        param("format", Kind::Word(format_words), "format of Q and K: f32 or int8; V is f32"),
        Param { default: Some("1"), ..param("batch", SIZE, "independent sequences") },
        param("heads", SIZE, "heads of the queries"),
        param("kv_heads", SIZE, "heads of the keys and values: a divisor of heads"),
        param("query_len", SIZE, "queries of a sequence"),
        param("key_len", Kind::Number { min: 0, max: 1 << 28 }, "keys of a sequence"),
        param("head_dim", SIZE, "length of a query, a key and a value"),
        Param {
            default: Some("no"),
            ..param("causal", Kind::Word(causal_words), "whether a query sees no later key")
        },
        Param {
            default: Some("root"),
            ..param("scaling", Kind::Word(scaling_words), "root: 1 / sqrt(head_dim); given: scale")
        },
        Param {
            when: Some(("scaling", &["given"])),
            default: Some("1"),
            ..param("scale", Kind::Decimal, "what scores are multiplied by")
        },
        Param {
            default: Some("inference"),
            ..param("mode", Kind::Word(mode_words), "inference, or training with dropout")
        },
        Param {
            when: Some(("mode", &["training"])),
            default: Some("0.1"),
            ..param("dropout", Kind::Decimal, "probability that a weight is dropped, below 1")
        },
        inputs::DRAWN,
        inputs::PATTERN,
        inputs::DISTRIBUTION,
        inputs::SIGMA,
        inputs::KEPT_FILE,
        inputs::SEED,
    ],
    validate,
    work,
};

fn words<const N: usize>(names: [(&'static str, &'static [&'static str]); N]) -> Vec<Word> {
    names.map(|(name, aliases)| Word { name, aliases }).to_vec()
}

fn format_words() -> Vec<Word> {
    words([("f32", &[]), ("int8", &[])])
}

fn causal_words() -> Vec<Word> {
    words([("no", &[]), ("top_left", &["yes"]), ("bottom_right", &[])])
}

fn scaling_words() -> Vec<Word> {
    words([("root", &[]), ("given", &[])])
}

fn mode_words() -> Vec<Word> {
    words([("inference", &[]), ("training", &[])])
}

fn decimal(case: &Case, key: &str) -> Option<f64> {
    match case.get(key) {
        Some(Value::Decimal(decimal)) => Some(*decimal),
        _ => None,
    }
}

/// The shape a case spells out.
fn shape_of(case: &Case) -> AttentionShape {
    let config = AttentionConfig {
        num_heads: case.number("heads"),
        head_dim: case.number("head_dim"),
        dropout: decimal(case, "dropout").unwrap_or(0.0),
        causal: case.word("causal") != "no",
        scale: decimal(case, "scale"),
    };
    let alignment = match case.word("causal") {
        "bottom_right" => CausalAlignment::BottomRight,
        _ => CausalAlignment::TopLeft,
    };
    AttentionShape {
        config,
        batch: case.number("batch"),
        kv_heads: case.number("kv_heads"),
        query_len: case.number("query_len"),
        key_len: case.number("key_len"),
        value_dim: config.head_dim,
        alignment,
        seed: inputs::seed(case),
    }
}

fn validate(case: &Case) -> Result<(), CaseError> {
    let AttentionShape { config, batch, kv_heads, query_len, key_len, .. } = shape_of(case);
    if !config.num_heads.is_multiple_of(kv_heads) {
        let heads = config.num_heads;
        return Err(case.conflict("kv_heads", format!("is no divisor of the {heads} heads")));
    }
    let (queries, keys) = ([batch, config.num_heads, query_len], [batch, kv_heads, key_len]);
    let sizes = [("head_dim", &queries, config.head_dim), ("head_dim", &keys, config.head_dim)];
    for (key, shape, last) in sizes.into_iter().chain([("key_len", &queries, key_len)]) {
        let shape = [&shape[..], &[last]].concat();
        shape::values(key, &shape).map_err(|error| case.conflict(key, error.to_string()))?;
    }
    if case.word("format") == "int8" && config.head_dim > MAX_DEPTH {
        let why = format!("overflows an i32 sum; at most {MAX_DEPTH}");
        return Err(case.conflict("head_dim", why));
    }
    if config.dropout >= 1.0 {
        return Err(case.conflict("dropout", "drops everything; below 1"));
    }
    if case.word("data") == "exact" && case.get("dropout").is_some() {
        let why = "has no exact answer where weights are divided by the share that is kept";
        return Err(case.conflict("mode", why));
    }
    if case.word("data") == "exact" && case.get("scale").is_some() {
        return Err(case.conflict("scaling", "goes with drawn data; scores of `exact` are planted"));
    }
    Ok(())
}

fn work(case: &Case) -> Work {
    let shape = shape_of(case);
    let AttentionConfig { num_heads, head_dim, .. } = shape.config;
    let pairs: usize = (0..shape.query_len).map(|i| shape.visible(i)).sum();
    let queries = shape.batch * num_heads * shape.query_len;
    let keys = shape.batch * shape.kv_heads * shape.key_len;
    let bytes = |tokens: usize| match case.word("format") {
        "int8" => tokens * (head_dim + 4),
        _ => tokens * head_dim * 4,
    };
    Work {
        macs: 2 * (shape.batch * num_heads * head_dim) as u64 * pairs as u64,
        bytes_read: (bytes(queries) + bytes(keys) + 4 * keys * head_dim) as u64,
        bytes_written: 4 * (queries * head_dim) as u64,
    }
}

/// Queries and keys as a row receives them.
#[derive(Clone, Debug)]
pub enum Scores {
    /// The floats of the problem.
    F32,
    /// Codes: what `quantize_activation` makes of the floats, a scale a token.
    Int8 {
        /// Of the queries.
        q: TokenCodes,
        /// Of the keys.
        k: TokenCodes,
    },
}

/// Shape and data.
#[derive(Debug)]
pub struct AttentionProblem {
    /// Heads, lengths, mask, dropout.
    pub shape: AttentionShape,
    /// How queries meet keys.
    pub scores: Scores,
    /// Queries before quantization, `[N, heads, L_q, D]`.
    pub q: Vec<f32>,
    /// Keys before quantization, `[N, kv_heads, L_k, D]`.
    pub k: Vec<f32>,
    /// Values, `[N, kv_heads, L_k, D_v]`.
    pub v: Vec<f32>,
    /// Whether the answer is exact in any order of summation.
    pub exact: bool,
}

/// The operation.
#[derive(Debug)]
pub struct Attention;

impl Op for Attention {
    const SPEC: &'static OpSpec = &SPEC;
    type Problem = AttentionProblem;
    type Reference = AttentionReference;

    fn generate(case: &Case, files: &dyn Files) -> Result<AttentionProblem, String> {
        let shape = shape_of(case);
        let [q, k, v] = data::inputs(case, &shape, files)?;
        let scores = match case.word("format") {
            "int8" => {
                let [q, k] = [&q, &k].map(|x| TokenCodes::new(x, shape.config.head_dim));
                Scores::Int8 { q, k }
            }
            _ => Scores::F32,
        };
        Ok(AttentionProblem { shape, scores, q, k, v, exact: case.word("data") == "exact" })
    }

    fn reference(problem: &AttentionProblem) -> AttentionReference {
        AttentionReference::new(problem)
    }

    fn expect(
        _: &AttentionProblem,
        reference: &AttentionReference,
        arithmetic: Arithmetic,
        _: &Outputs,
    ) -> Expectation {
        reference.expect(arithmetic)
    }

    fn parts(problem: &mut Self::Problem) -> Vec<Part<'_>> {
        let (dim, value_dim) = (problem.shape.config.head_dim, problem.shape.value_dim);
        vec![
            Part::values("q", &mut problem.q, dim),
            Part::values("k", &mut problem.k, dim),
            Part::values("v", &mut problem.v, value_dim),
        ]
    }

    fn quality(problem: &AttentionProblem, reference: &AttentionReference) -> Option<Quality> {
        reference.quality(problem)
    }

    fn fewer(case: &Case) -> Option<Case> {
        inputs::fewer(case, "batch")
    }

    fn storage(problem: &AttentionProblem) -> Storage {
        let elements = problem.k.len() as u64;
        match &problem.scores {
            Scores::F32 => Storage { elements, artifact_bytes: 4 * elements, scale_bytes: 0 },
            Scores::Int8 { k, .. } => Storage {
                elements,
                artifact_bytes: elements,
                scale_bytes: 4 * k.scales.len() as u64,
            },
        }
    }

    /// A query's answer is zero where all the weights it has are dropped (which the seed says), or
    /// meet zeros.
    fn predicted_zeros(problem: &AttentionProblem) -> Option<f64> {
        let AttentionProblem { shape, v, .. } = problem;
        let zeros = v.iter().filter(|v| **v == 0.0).count() as f64 / v.len().max(1) as f64;
        let zero = |place: [usize; 3]| {
            let keys = shape.visible(place[2]);
            let kept = kept(shape.config.dropout, shape.seed, place, keys);
            zeros.powi(kept.iter().map(|kept| i32::from(*kept)).sum())
        };
        let (batch, heads, queries) = (shape.batch, shape.config.num_heads, shape.query_len);
        let place = |i| [i / queries / heads, i / queries % heads, i % queries];
        let count = batch * heads * queries;
        Some((0..count).map(|i| zero(place(i))).sum::<f64>() / count.max(1) as f64)
    }
}
