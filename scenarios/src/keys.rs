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
];

/// Measurement settings.
pub(crate) const MEASURE: &[Field] = &[
    field("threads", "numbers of threads, `all` for one per core"),
    field("cache", "`hot`: the same bytes each time; `cold`: bytes that no cache holds"),
    field("min_samples", "take at least this many samples"),
    field("max_samples", "take at most this many samples"),
    field("max_seconds", "stop sampling after this long, once `min_samples` are taken"),
    field("interval", "stop once the median's interval is narrower than this share of it"),
    field("time_limit_seconds", "give a case up after this long"),
];

/// Gates.
pub(crate) const GATE: &[Field] = &[
    field("correctness", "whether a wrong answer fails the run"),
    field("rho", "limits on the quality of a compressed state (ops rho_pack and rho_unpack)"),
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
