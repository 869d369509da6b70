//! Keys of scenario files: the parser refuses all others, the schema describes these.

/// A key of an object and what it is for.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) key: &'static str,
    pub(crate) about: &'static str,
}

const fn field(key: &'static str, about: &'static str) -> Field {
    Field { key, about }
}

/// The file.
pub(crate) const FILE: &[Field] = &[
    field("$schema", "for editors: path of what `lowbit schema` printed"),
    field("about", "why this file exists; printed atop the report"),
    field("kernels", "kernels of every sweep that names none"),
    field("measure", "measurement settings of every sweep, each of which may override them"),
    field("peers", "kernels that are not ours, by name; charts give them colours of their own"),
    field("sweeps", "what is swept; a case that two sweeps share runs once on each kernel"),
];

/// A sweep.
pub(crate) const SWEEP: &[Field] = &[
    field("name", "short name, unique in the file"),
    field("about", "what the sweep is for"),
    field("op", "the operation"),
    field("product", "parameters: a value or a list; every combination is a case"),
    field("zip", "groups of parameters; the lists of a group advance together"),
    field("shapes", "named shapes, one after the other, for the sizes that are not given"),
    field("where", "conditions on the parameters; a combination that breaks one is left out"),
    field("kernels", "globs of kernel names (default: all)"),
    field("measure", "measurement settings"),
    field("gate", "what makes the run fail"),
    field("goals", "how fast rows should be; printed with what was reached, and no gate"),
];

/// Measurement settings.
pub(crate) const MEASURE: &[Field] = &[
    field("threads", "numbers of threads, `all` for one per core"),
    field("cache", "`hot`: the same bytes each time; `cold`: bytes that no cache holds"),
    field(
        "rounds",
        "the rows of a case take turns this often, each turn with its share of samples",
    ),
    field("min_samples", "take at least this many samples"),
    field("max_samples", "take at most this many samples"),
    field("max_seconds", "stop sampling after this long, once `min_samples` are taken"),
    field("interval", "stop once the median's interval is narrower than this share of it"),
    field("time_limit_seconds", "give a case up after this long"),
];

/// A goal.
pub(crate) const GOAL: &[Field] = &[
    field("row", "the kernel that should be so fast"),
    field("threads", "its number of threads (default: 1)"),
    field("cache", "its cache state (default: hot)"),
    field("of", "what its speed is divided by: a limit of the machine, or another measurement"),
    field("at_least", "the least share or ratio: 0.9 is 90 % of a limit, 1.5 is 1.5 times as fast"),
    field("where", "conditions on the parameters; the goal is for the cases that meet them"),
];

/// The measurement a goal is relative to: the goal's own, but for what is given here.
pub(crate) const OTHER: &[Field] = &[
    field("kernel", "another kernel"),
    field("threads", "another number of threads"),
    field("sweep", "the case of another sweep that has the same sizes"),
];

/// Gates.
pub(crate) const GATE: &[Field] = &[
    field("correctness", "whether a wrong answer fails the run"),
    field("codes", "whether codes of a format that no case has shown a row fail the run"),
    field("rho", "limits on the quality of a compressed state (ops that begin with rho_)"),
    field(
        "rho_relative",
        "limits relative to the state's own magnitude (ops that begin with rho_)",
    ),
];

/// The relative gate of rho, beside the absolute one.
pub(crate) const RHO_RELATIVE: &[Field] = &[
    field("mode", "whether a broken limit fails the run"),
    field("nmse", "largest sum of (x - q)^2 over sum of x^2"),
    field("block_error", "largest root of that of any block of 32 values"),
];

/// The quality gate of rho.
pub(crate) const RHO: &[Field] = &[
    field("mode", "whether a broken limit fails the run"),
    field("mean_abs_error", "largest mean of |x - q|"),
    field("max_abs_error", "largest |x - q|"),
    field("min_rms_ratio", "smallest rms(q) / rms(x)"),
    field("max_rms_ratio", "largest rms(q) / rms(x)"),
    field("compression_ratio", "largest stored bytes over the bytes of f32"),
];
