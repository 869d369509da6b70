//! One record: what became of one kernel row on one case. A line of `records.jsonl`.
//!
//! Records hold what was measured or counted and nothing derived from two other fields,
//! except where the inputs do not travel with the record (`roof_ns` needs the machine's
//! peaks). Rates and shares are methods, so that they cannot disagree with their sources.
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Version of the record layout; written into every line, checked when one is read.
pub const SCHEMA: u32 = 1;

/// What became of a kernel row on a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Ran and agreed with the reference.
    Passed,
    /// Ran and disagreed, or wrote outside its buffers.
    Failed,
    /// Ran, but the comparison proves little, or the speed is above what the machine can do.
    Mistrusted,
    /// Not run: the hardware is missing or the case is outside the row's contract.
    Skipped,
    /// The process running it died, or did not answer within the time limit.
    Crashed,
    /// The harness could not do its work (no such file, no worker); nothing is known of the row.
    Errored,
}

impl Verdict {
    /// Every verdict, in the order reports list them.
    pub const ALL: [Verdict; 6] = [
        Verdict::Passed,
        Verdict::Failed,
        Verdict::Mistrusted,
        Verdict::Skipped,
        Verdict::Crashed,
        Verdict::Errored,
    ];

    /// The word written into records.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Passed => "passed",
            Verdict::Failed => "failed",
            Verdict::Mistrusted => "mistrusted",
            Verdict::Skipped => "skipped",
            Verdict::Crashed => "crashed",
            Verdict::Errored => "errored",
        }
    }
}

/// Why a row was skipped; `--require` turns the first kind into a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SkipKind {
    /// The instructions or the device are not on this machine.
    Hardware,
    /// The case is outside the row's contract (format, shape, rule).
    Problem,
    /// The case is outside what a peer does: a suite may have none that is not.
    Peer,
}

/// Whether the caches held the row's bytes when a sample began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cache {
    /// The same buffers again and again.
    Hot,
    /// The caches were swept before each sample.
    Cold,
}

/// Which clock timed the samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Clock {
    /// Host clock around launch and sync.
    Wall,
    /// The device's own time stamps.
    Device,
}

/// Times of one row under one setting, nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Timing {
    /// Every sample, in the order taken.
    pub samples_ns: Vec<f64>,
    /// How many of them each round took, where rows took turns; empty for one round.
    #[serde(default)]
    pub round_samples: Vec<u32>,
    /// Median of the samples.
    pub median_ns: f64,
    /// Lower end of the 95 % bootstrap interval of the median.
    pub low_ns: f64,
    /// Upper end of the same interval.
    pub high_ns: f64,
    /// Whether the interval became narrow enough before time was up.
    pub converged: bool,
}

/// What the comparison with the reference saw.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// Elements compared.
    pub compared: u64,
    /// Elements out of bound.
    pub mismatches: u64,
    /// Codes one step off where the quotient lies within 4 ulp of a tie.
    pub near_ties: u64,
    /// Largest absolute difference from the reference.
    pub max_abs_error: f64,
    /// Largest error divided by its derived bound; 0 where the bound is zero and was met.
    pub error_over_bound: f64,
    /// Share of the row's output that is exactly zero.
    pub zero_share: f64,
    /// The largest share that format, rule and distribution let one expect.
    #[serde(default)]
    pub most_zeros: Option<f64>,
    /// Whether only a seeded sample of the output was compared exactly.
    pub sampled: bool,
    /// Whether an output may be off by a derived bound, more than two units in its last place.
    #[serde(default)]
    pub bounded: bool,
    /// Codes that the case holds.
    #[serde(default)]
    pub codes: Vec<Codes>,
}

/// Codes of one operand or output of a case.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Codes {
    /// Which: `codes`, `weight`, `activation`.
    pub what: String,
    /// Their format.
    pub format: String,
    /// Codes that format and rule can give, as first and last of each run.
    pub wanted: Vec<(i16, i16)>,
    /// Codes seen.
    pub seen: Vec<(i16, i16)>,
    /// For a quantizer: values within 4 ulp of a tie.
    pub ties: Option<u64>,
}

/// What quantization cost against the unquantized data; a property of format, rule and data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    /// Signal to quantization noise, decibels: `10 log10(sum x^2 / sum (x - q)^2)`.
    /// Absent when the noise is exactly zero.
    pub sqnr_db: Option<f64>,
    /// `sum (x - q)^2 / sum x^2`.
    pub nmse: f64,
    /// Mean of `|x - q|`.
    pub mean_quant_error: f64,
    /// Largest `|x - q|`.
    pub max_quant_error: f64,
    /// `rms(q) / rms(x)`.
    pub rms_ratio: f64,
    /// Largest `sqrt(sum (x - q)^2 / sum x^2)` of any block of 32 values.
    pub block_error: Option<f64>,
    /// Least and largest NMSE that format, rule and distribution predict, where it is calculated.
    pub expected_nmse: Option<(f64, f64)>,
}

/// Bytes of one row on one case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Bytes {
    /// Packed codes.
    pub artifact_bytes: u64,
    /// Scales (and zero points) that belong to them.
    pub scale_bytes: u64,
    /// Memory the row holds beside inputs, artifact and outputs; measured, absent after `check`.
    pub workspace_bytes: Option<u64>,
    /// Device memory in use; measured, absent after `check` and on the CPU.
    pub device_bytes: Option<u64>,
}

/// Work one execution must do, from the op's definition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    /// Multiply-accumulates.
    pub macs: u64,
    /// Bytes that must be read at least once.
    pub bytes_read: u64,
    /// Bytes that must be written at least once.
    pub bytes_written: u64,
}

/// The fastest this machine could do the work, from peaks measured in the same run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Roof {
    /// Which peak binds: `L3 read`, `DRAM stream 4:1`, `int8 dot`, `f32 FMA`, ...
    pub roof: String,
    /// Time the work takes at that peak, nanoseconds.
    pub roof_ns: f64,
    /// Time the work takes at the median of each probe that goals name, nanoseconds, whether it binds or not.
    #[serde(default)]
    pub limits_ns: BTreeMap<String, f64>,
}

/// One limit of a gate that was broken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Violation {
    /// Which limit, e.g. `rho.mean_abs_error`.
    pub limit_name: String,
    /// What was found.
    pub value: f64,
    /// What is allowed, as a sentence fragment: `at most 0.02`.
    pub allowed: String,
    /// Whether it decides the exit code (`enforce`) or is only shown (`report`).
    pub enforced: bool,
}

/// One kernel row on one case under one setting.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Sweep of the scenario file the case came from; empty with `--case`.
    pub sweep: String,
    /// Case id; paste it after `--case` to run it again.
    pub case: String,
    /// Operation.
    pub op: String,
    /// Kernel row.
    pub kernel: String,
    /// Where it ran: `cpu`, or the adapter's name.
    pub device: String,
    /// The case's parameters by name, so that reports need no parser of ids.
    pub parameters: BTreeMap<String, String>,
    /// What became of it.
    pub verdict: Verdict,
    /// Why, when it did not pass; empty otherwise.
    pub reason: String,
    /// For skipped rows: why.
    pub skip: Option<SkipKind>,
    /// Threads the row was given; absent after `check`, whose answers do not depend on it.
    pub threads: Option<u32>,
    /// Cache state of the samples.
    pub cache: Option<Cache>,
    /// Clock of the samples.
    pub clock: Option<Clock>,
    /// Times, when measured. A row that failed its check has none.
    #[serde(flatten)]
    pub timing: Option<Timing>,
    /// Comparison with the reference, when it ran.
    #[serde(flatten)]
    pub agreement: Option<Agreement>,
    /// Quantization quality, where the op quantizes.
    #[serde(flatten)]
    pub quality: Option<Quality>,
    /// Stored bits per weight (or per element), scales included.
    pub bits_per_weight: Option<f64>,
    /// Bytes.
    #[serde(flatten)]
    pub bytes: Option<Bytes>,
    /// Declared work.
    #[serde(flatten)]
    pub work: Option<Work>,
    /// The roof, when measured.
    #[serde(flatten)]
    pub roof: Option<Roof>,
    /// Broken limits.
    pub violations: Vec<Violation>,
}

/// The keys of a line, in order: every line has all of them, `null` where nothing applies.
pub const KEYS: &[&str] = &[
    "schema",
    "sweep",
    "case",
    "op",
    "kernel",
    "device",
    "parameters",
    "verdict",
    "reason",
    "skip",
    "threads",
    "cache",
    "clock",
    "median_ns",
    "low_ns",
    "high_ns",
    "converged",
    "samples_ns",
    "round_samples",
    "compared",
    "mismatches",
    "near_ties",
    "max_abs_error",
    "error_over_bound",
    "zero_share",
    "most_zeros",
    "sampled",
    "bounded",
    "codes",
    "sqnr_db",
    "nmse",
    "mean_quant_error",
    "max_quant_error",
    "rms_ratio",
    "block_error",
    "expected_nmse",
    "bits_per_weight",
    "artifact_bytes",
    "scale_bytes",
    "workspace_bytes",
    "device_bytes",
    "macs",
    "bytes_read",
    "bytes_written",
    "roof",
    "roof_ns",
    "limits_ns",
    "violations",
];

/// A line that is not a record.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// Not the JSON of a record.
    #[error("line {line}: not a record: {source}")]
    Json {
        /// Line of the file, from 1.
        line: usize,
        /// What the parser said.
        source: serde_json::Error,
    },
    /// Written by another version.
    #[error("line {line}: record schema {found}, this program reads {SCHEMA}")]
    Schema {
        /// Line of the file, from 1.
        line: usize,
        /// Version found.
        found: u32,
    },
}

impl Record {
    /// The record as one line of JSON (without the line break), keys in the order of [`KEYS`].
    pub fn to_line(&self) -> String {
        let value = serde_json::to_value(self).unwrap_or_default();
        let field = |key: &&str| {
            let value = value.get(key).unwrap_or(&serde_json::Value::Null);
            format!("{:?}:{value}", key)
        };
        format!("{{{}}}", KEYS.iter().map(field).collect::<Vec<_>>().join(","))
    }

    /// Parse a whole `records.jsonl`.
    pub fn parse_lines(text: &str) -> Result<Vec<Record>, RecordError> {
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        lines
            .map(|(i, text)| {
                let line = i + 1;
                let record: Record = serde_json::from_str(text)
                    .map_err(|source| RecordError::Json { line, source })?;
                match record.schema {
                    SCHEMA => Ok(record),
                    found => Err(RecordError::Schema { line, found }),
                }
            })
            .collect()
    }

    /// The command that shows this row on this case again: a check, or a measurement where the
    /// time is what is wrong.
    pub fn reproduce(&self) -> String {
        let (case, kernel) = (&self.case, &self.kernel);
        match (self.verdict, self.timing.is_some(), self.threads) {
            (Verdict::Mistrusted, true, Some(threads)) => {
                format!("lowbit measure --case '{case}' --kernel {kernel} --threads {threads}")
            }
            _ => format!("lowbit check --case '{case}' --kernel {kernel}"),
        }
    }
    /// `2 MACs / time`, in 10^9 operations a second.
    pub fn gops(&self) -> Option<f64> {
        let macs = self.work?.macs;
        (macs > 0).then_some(2.0 * macs as f64 / self.median_ns()?)
    }
    /// Bytes that must move divided by the time, in 10^9 bytes a second.
    pub fn gbps(&self) -> Option<f64> {
        let work = self.work?;
        Some((work.bytes_read + work.bytes_written) as f64 / self.median_ns()?)
    }
    /// Share of the roof reached: 1.0 is the roof.
    pub fn roof_share(&self) -> Option<f64> {
        Some(self.roof.as_ref()?.roof_ns / self.median_ns()?)
    }
    /// Median time, nanoseconds.
    pub fn median_ns(&self) -> Option<f64> {
        self.timing.as_ref().map(|t| t.median_ns)
    }
}
