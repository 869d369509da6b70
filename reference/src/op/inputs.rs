//! Parameters that several ops share, and the values they stand for.
use super::hadamard::hadamard_f32;
use crate::case::{Case, CaseError, Kind, Param, Value, Word};
use crate::data::{self, Distribution, Files, Layout, Pattern, Stream};
use crate::format::{self, Levels};
use crate::rule::{EpsilonUse, Granularity, Range, Rule, named};

const fn required(key: &'static str, kind: Kind, about: &'static str) -> Param {
    Param { key, kind, about, when: None, default: None }
}

const SIZE: Kind = Kind::Number { min: 1, max: 1 << 28 };

/// Rows of activations.
pub(super) const M: Param = required("m", SIZE, "rows of activations (tokens)");
/// Depth.
pub(super) const K: Param = required("k", SIZE, "depth: input features");
/// Output features.
pub(super) const N: Param = required("n", SIZE, "output features: rows of the weight matrix");
/// Elements of a flat state.
pub(super) const ELEMENTS: Param = required("elements", SIZE, "values of the flat state");
/// Weight format.
pub(super) const WEIGHT: Param =
    required("weight", Kind::Word(crate::format::weight_words), "weight format");
/// Weight rule.
pub(super) const WEIGHT_RULE: Param = required(
    "weight_rule",
    Kind::WordOrConfig {
        words: named::weight_rule_words,
        canonical: Rule::canonical,
        schema: Rule::schema,
    },
    "how weights become scales and codes: a named rule or one spelled out",
);
/// Activation rule.
pub(super) const ACTIVATION_RULE: Param = Param {
    key: "activation_rule",
    kind: Kind::WordOrConfig {
        words: named::activation_rule_words,
        canonical: Rule::canonical,
        schema: Rule::schema,
    },
    about: "how activations become scales and codes; `none` for f32 activations",
    when: None,
    default: None,
};
/// Rule of either operand.
pub(super) const RULE: Param = required(
    "rule",
    Kind::WordOrConfig {
        words: named::rule_words,
        canonical: Rule::canonical,
        schema: Rule::schema,
    },
    "how values become scales and codes: a named rule or one spelled out",
);
/// Format activations are quantized to.
pub(super) const CODES: Param = Param {
    key: "activation",
    kind: Kind::Word(format::activation_words),
    about: "format of the codes: int8, int4 or uint8",
    when: None,
    default: Some("int8"),
};
/// Data tier.
pub(super) const DATA: Param = required(
    "data",
    Kind::Word(data_words),
    "exact (any order of summation agrees), realistic (drawn), adversarial (a pattern), file (a \
     tensor of a .safetensors file), kept (a failure's own values)",
);
/// Data tier of ops whose data come from no file.
pub(super) const DRAWN: Param = required(
    "data",
    Kind::Word(drawn_words),
    "exact (any order of summation agrees), realistic (drawn), adversarial (a pattern), kept (a \
     failure's own values)",
);
/// What adversarial data hold.
pub(super) const PATTERN: Param = Param {
    key: "pattern",
    kind: Kind::Word(Pattern::words),
    about: "what adversarial data hold: ties, ends of the range, subnormals, cancelling sums, ...",
    when: Some(("data", &["adversarial"])),
    default: None,
};
/// Distribution of realistic data.
pub(super) const DISTRIBUTION: Param = Param {
    key: "distribution",
    kind: Kind::Word(Distribution::words),
    about: "what realistic data are drawn from",
    when: Some(("data", &["realistic"])),
    default: Some("normal"),
};
/// Standard deviation of realistic data.
pub(super) const SIGMA: Param = Param {
    key: "sigma",
    kind: Kind::Decimal,
    about: "what realistic data are multiplied by",
    when: Some(("data", &["realistic"])),
    default: Some("1"),
};
/// File.
pub(super) const FILE: Param = Param {
    key: "file",
    kind: Kind::Text,
    about: "path of a .safetensors file, from the working directory",
    when: Some(("data", &["file", "kept"])),
    default: None,
};
/// File of ops whose data come from no file, unless they are kept.
pub(super) const KEPT_FILE: Param = Param { when: Some(("data", &["kept"])), ..FILE };
/// Tensor.
pub(super) const TENSOR: Param = Param {
    key: "tensor",
    kind: Kind::Text,
    about: "name of a tensor in the file",
    when: Some(("data", &["file"])),
    default: None,
};
/// Seed.
pub(super) const SEED: Param = Param {
    key: "seed",
    kind: Kind::Number { min: 0, max: u64::MAX },
    about: "seed of the data",
    when: None,
    default: Some("7"),
};

fn data_words() -> Vec<Word> {
    let words = ["exact", "realistic", "adversarial", "file", "kept"];
    words.map(|name| Word { name, aliases: &[] }).to_vec()
}

fn drawn_words() -> Vec<Word> {
    let words = ["exact", "realistic", "adversarial", "kept"];
    words.map(|name| Word { name, aliases: &[] }).to_vec()
}

/// Number of values of a matrix, refused beyond what the ops index.
pub(super) fn area(
    case: &Case,
    rows: &'static str,
    columns: &'static str,
) -> Result<(), CaseError> {
    let area = case.number(rows).checked_mul(case.number(columns));
    match area {
        Some(area) if area <= 1 << 31 => Ok(()),
        _ => Err(case.conflict(rows, format!("times {columns} is more than 2^31 values"))),
    }
}

/// The weight rule of a case, for the levels of its format.
pub(super) fn weight_rule(case: &Case, levels: Levels) -> Result<Rule, CaseError> {
    weight_rule_at(case, "weight_rule", levels)
}

fn weight_rule_at(case: &Case, key: &'static str, levels: Levels) -> Result<Rule, CaseError> {
    let rule = find_rule(case, key, levels, named::weight_rule_words(), |name| {
        named::weight_rule(name, levels)
    })?;
    if levels.unsigned() && rule.range != Range::Minmax {
        return Err(case.conflict(
            key,
            "has no zero point, so that unsigned codes lose every negative weight; use `minmax`",
        ));
    }
    Ok(rule)
}

/// The activation rule of a case, for the levels of its format.
pub(super) fn activation_rule(case: &Case, levels: Levels) -> Result<Rule, CaseError> {
    activation_rule_at(case, "activation_rule", levels)
}

fn activation_rule_at(case: &Case, key: &'static str, levels: Levels) -> Result<Rule, CaseError> {
    find_rule(case, key, levels, named::activation_rule_words(), |name| {
        named::activation_rule(name, levels)
    })
}

/// The rule of a case with one operand, which is a weight or an activation.
pub(super) fn operand_rule(
    case: &Case,
    is_weight: bool,
    levels: Levels,
) -> Result<Rule, CaseError> {
    let find = if is_weight { weight_rule_at } else { activation_rule_at };
    find(case, "rule", levels)
}

/// Groups must fill rows whose length is the parameter `columns`, which have no heads; a
/// Hadamard transform needs a power of two.
pub(super) fn check_groups(
    case: &Case,
    rule: &Rule,
    columns: &'static str,
) -> Result<(), CaseError> {
    let row_len = case.number(columns);
    match rule.granularity {
        Granularity::HeadGroup => {
            Err(case.conflict(columns, "has no heads for a rule with the granularity head_group"))
        }
        Granularity::Group if !row_len.is_multiple_of(rule.group_size.max(1)) => {
            let size = rule.group_size;
            Err(case.conflict(columns, format!("is no multiple of the rule's groups of {size}")))
        }
        _ if rule.rotated && !row_len.is_power_of_two() => {
            Err(case.conflict(columns, "is no power of two, which a rotated rule needs"))
        }
        _ => Ok(()),
    }
}

fn find_rule(
    case: &Case,
    key: &'static str,
    levels: Levels,
    words: Vec<Word>,
    named: impl Fn(&str) -> Option<Rule>,
) -> Result<Rule, CaseError> {
    match case.get(key) {
        Some(Value::Word(name)) => named(name).ok_or_else(|| {
            let known = words.iter().map(|w| w.name).filter(|name| named(name).is_some());
            let known = known.collect::<Vec<_>>().join(", ");
            case.conflict(key, format!("is no rule for {}; rules that are: {known}", levels.name()))
        }),
        Some(Value::Config(text)) => {
            Rule::spelled_out(text, levels).map_err(|e| case.conflict(key, e))
        }
        _ => Err(case.conflict(key, "is not a rule")),
    }
}

/// Distribution of a case's values, when they are drawn.
pub(super) fn distribution(case: &Case) -> Option<Distribution> {
    Distribution::named(case.word("distribution"))
}

/// What drawn values are multiplied by; 1 for ops without that parameter.
pub(super) fn sigma(case: &Case) -> f32 {
    match case.get("sigma") {
        Some(Value::Decimal(sigma)) => *sigma as f32,
        _ => 1.0,
    }
}

/// Seed of a case.
pub(super) fn seed(case: &Case) -> u64 {
    case.number("seed") as u64
}

/// The case with half of what `key` counts, if that is some and its data begin as this one's do:
/// drawn ones, but for columns of outliers, whose place a row's length decides.
pub(super) fn fewer(case: &Case, key: &str) -> Option<Case> {
    let count = case.number(key);
    let drawn = case.word("data") == "realistic" && case.word("distribution") != "lognormal";
    if count < 2 || !drawn {
        return None;
    }
    let id = case.to_string();
    let (from, to) = (format!("/{key}={count}/"), format!("/{key}={}/", count / 2));
    format!("{id}/").replacen(&from, &to, 1).trim_end_matches('/').parse().ok()
}

/// Whether every row of the activations of a case has scales of its own, or needs none.
pub(super) fn own_scales(case: &Case, format: &str) -> bool {
    let Some(format) = format::activation_format(format) else { return true };
    let rule = activation_rule(case, format.levels());
    rule.is_ok_and(|rule| matches!(rule.granularity, Granularity::Row | Granularity::Group))
}

/// Whether codes must agree to the bit, ties included: where they are planted and scales are powers
/// of two, so that a quotient is exact however it is computed.
pub(super) fn exact_codes(case: &Case, rule: &Rule) -> bool {
    let planted = matches!(case.word("pattern"), "ties" | "near_ties");
    let power = matches!(rule.range, Range::Absmax | Range::Minmax);
    let exact = power && rule.epsilon_use != EpsilonUse::Add;
    case.word("data") == "exact" || (planted && exact)
}

/// The pattern of a stream. A value that is no number is among the activations, where an op has
/// both: padding and weights of 0 then say nothing of it.
fn pattern(case: &Case, stream: Stream) -> Pattern {
    let pattern = Pattern::named(case.word("pattern")).unwrap_or(Pattern::Zeros);
    let has = |keys: &[&str]| case.spec().params.iter().any(|param| keys.contains(&param.key));
    // An op of either operand has one of them.
    let both = has(&["m", "c_out"]) && !has(&["operand"]);
    match pattern.special() {
        Some(_) if both && stream == Stream::Weight => Pattern::Outliers,
        _ => pattern,
    }
}

/// The end of the range of values without a rule, for codecs: beyond that of eight-bit floats, and
/// where bf16 rounds finite values to infinity.
fn full(case: &Case) -> f32 {
    if case.word("codec") == "bf16" {
        return f32::MAX;
    }
    let codec = ["codec", "double_quant"].iter().any(|key| case.spec().param(key).is_ok());
    if codec || case.op().ends_with("_blocks") { 1e5 } else { 1.0 }
}

/// The values of a case for one stream: planted, drawn or read, `len` of them in rows of
/// `row_len`. `rule` decides what tier `exact` plants; without one it plants small integers. A
/// rotated rule quantizes the rows as its rotation leaves them: planted values are already that.
///
/// Kept values are taken as they are: what `files` was told when the case they are from was made.
pub(super) fn values(
    case: &Case,
    rule: Option<(&Rule, Levels)>,
    stream: Stream,
    shape: (usize, usize),
    files: &dyn Files,
) -> Result<Vec<f32>, String> {
    let values = match case.word("data") {
        "kept" => from_file(case, stream.name(), shape, files)?,
        _ => made(case, rule, stream, shape, files)?,
    };
    files.keep(stream, &values, shape.1);
    Ok(values)
}

fn made(
    case: &Case,
    rule: Option<(&Rule, Levels)>,
    stream: Stream,
    (len, row_len): (usize, usize),
    files: &dyn Files,
) -> Result<Vec<f32>, String> {
    let seed = (seed(case), stream);
    let sigma = sigma(case);
    let drawn = |d: Distribution| data::realistic(d, seed, (len, row_len), sigma);
    let values = match (case.word("data"), rule) {
        ("exact", Some((rule, levels))) => {
            return Ok(data::exact(rule, levels, seed, (len, row_len)));
        }
        ("exact", None) => return Ok(data::small_integers(seed, len)),
        // ReLU and outlier channels are shapes of activations; the state and weights follow suit.
        ("adversarial", rule) => {
            let layout = Layout { len, row_len, rule, full: full(case) };
            return Ok(data::adversarial(pattern(case, stream), seed, layout));
        }
        ("realistic", _) => drawn(distribution(case).unwrap_or(Distribution::Normal)),
        _ if stream == Stream::Activation => drawn(Distribution::Normal),
        _ => {
            let tensor = case.get("tensor").map(ToString::to_string).unwrap_or_default();
            from_file(case, &tensor, (len, row_len), files)?
        }
    };
    match rule.is_some_and(|(rule, _)| rule.rotated) {
        true => hadamard_f32(&values, row_len).map_err(|e| e.to_string()),
        false => Ok(values),
    }
}

fn from_file(
    case: &Case,
    tensor: &str,
    (len, row_len): (usize, usize),
    files: &dyn Files,
) -> Result<Vec<f32>, String> {
    let path = case.get("file").map(ToString::to_string).unwrap_or_default();
    let matrix = files.matrix(&path, tensor)?;
    let shape = (matrix.rows * matrix.columns, matrix.columns);
    // A flat state takes any shape with the right number of values.
    if shape == (len, row_len) || (row_len == len && shape.0 == len) {
        return match matrix.values.iter().position(|x| !x.is_finite()) {
            Some(at) => Err(format!("{path}: value {at} of {tensor} is {}", matrix.values[at])),
            None => Ok(matrix.values),
        };
    }
    Err(format!(
        "{path}: tensor {tensor} is [{}, {}], the case wants [{}, {row_len}]",
        matrix.rows,
        matrix.columns,
        len / row_len.max(1)
    ))
}
