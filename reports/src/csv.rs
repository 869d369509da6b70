//! Tidy CSV: a row per record, a column per quantity; and the raw samples.
use crate::ReportError;
use crate::record::{Record, Violation};
use crate::units::significant;
use std::collections::BTreeSet;

/// A column and where its cell comes from; an empty cell means *not applicable*.
type Column = (&'static str, fn(&Record) -> String);

/// Columns before the parameters.
const FIXED: &[Column] = &[
    ("sweep", |r| r.sweep.clone()),
    ("case", |r| r.case.clone()),
    ("op", |r| r.op.clone()),
    ("kernel", |r| r.kernel.clone()),
    ("device", |r| r.device.clone()),
    ("verdict", |r| r.verdict.name().to_owned()),
    ("reason", |r| r.reason.clone()),
    ("skip", |r| word(&r.skip)),
    ("threads", |r| cell(r.threads)),
    ("cache", |r| word(&r.cache)),
    ("clock", |r| word(&r.clock)),
    ("median_ns", |r| number(r.median_ns())),
    ("low_ns", |r| number(r.timing.as_ref().map(|t| t.low_ns))),
    ("high_ns", |r| number(r.timing.as_ref().map(|t| t.high_ns))),
    ("samples", |r| cell(r.timing.as_ref().map(|t| t.samples_ns.len()))),
    ("rounds", |r| cell(r.timing.as_ref().map(|t| t.rounds().len()))),
    ("converged", |r| cell(r.timing.as_ref().map(|t| t.converged))),
    ("compared", |r| cell(r.agreement.as_ref().map(|a| a.compared))),
    ("mismatches", |r| cell(r.agreement.as_ref().map(|a| a.mismatches))),
    ("near_ties", |r| cell(r.agreement.as_ref().map(|a| a.near_ties))),
    ("max_abs_error", |r| number(r.agreement.as_ref().map(|a| a.max_abs_error))),
    ("error_over_bound", |r| number(r.agreement.as_ref().map(|a| a.error_over_bound))),
    ("zero_share", |r| number(r.agreement.as_ref().map(|a| a.zero_share))),
    ("most_zeros", |r| number(r.agreement.as_ref().and_then(|a| a.most_zeros))),
    ("sampled", |r| cell(r.agreement.as_ref().map(|a| a.sampled))),
    ("sqnr_db", |r| number(r.quality.and_then(|q| q.sqnr_db))),
    ("nmse", |r| number(r.quality.map(|q| q.nmse))),
    ("nmse_least", |r| number(r.quality.and_then(|q| Some(q.expected_nmse?.0)))),
    ("nmse_most", |r| number(r.quality.and_then(|q| Some(q.expected_nmse?.1)))),
    ("mean_quant_error", |r| number(r.quality.map(|q| q.mean_quant_error))),
    ("max_quant_error", |r| number(r.quality.map(|q| q.max_quant_error))),
    ("rms_ratio", |r| number(r.quality.map(|q| q.rms_ratio))),
    ("block_error", |r| number(r.quality.and_then(|q| q.block_error))),
    ("bits_per_weight", |r| number(r.bits_per_weight)),
    ("artifact_bytes", |r| cell(r.bytes.map(|b| b.artifact_bytes))),
    ("scale_bytes", |r| cell(r.bytes.map(|b| b.scale_bytes))),
    ("workspace_bytes", |r| cell(r.bytes.and_then(|b| b.workspace_bytes))),
    ("device_bytes", |r| cell(r.bytes.and_then(|b| b.device_bytes))),
    ("macs", |r| cell(r.work.map(|w| w.macs))),
    ("bytes_read", |r| cell(r.work.map(|w| w.bytes_read))),
    ("bytes_written", |r| cell(r.work.map(|w| w.bytes_written))),
    ("roof", |r| cell(r.roof.as_ref().map(|roof| roof.roof.clone()))),
    ("roof_ns", |r| number(r.roof.as_ref().map(|roof| roof.roof_ns))),
    ("violations", |r| r.violations.iter().map(violation).collect::<Vec<_>>().join("; ")),
];

/// Columns after the parameters, computed from those before.
const DERIVED: &[Column] = &[
    ("gops", |r| number(r.gops())),
    ("gbps", |r| number(r.gbps())),
    ("roof_share", |r| number(r.roof_share())),
];

/// `results.csv`: one row per kernel x case x threads x cache x clock.
///
/// Columns: what every record has, then the parameters of all cases by name, then the rates.
pub fn results_csv(records: &[Record]) -> Result<String, ReportError> {
    let keys: BTreeSet<&str> =
        records.iter().flat_map(|r| r.parameters.keys()).map(String::as_str).collect();
    let mut writer = csv::Writer::from_writer(Vec::new());
    let names = FIXED.iter().map(|(name, _)| (*name).to_owned());
    let parameters = keys.iter().map(|key| parameter_column(key));
    let derived = DERIVED.iter().map(|(name, _)| (*name).to_owned());
    writer.write_record(names.chain(parameters).chain(derived))?;
    for record in records {
        let fixed = FIXED.iter().map(|(_, cell)| cell(record));
        let parameters = keys.iter().map(|key| cell(record.parameters.get(*key).cloned()));
        let derived = DERIVED.iter().map(|(_, cell)| cell(record));
        writer.write_record(fixed.chain(parameters).chain(derived))?;
    }
    finish(writer)
}

/// `samples.csv`: every timed sample on a row of its own.
pub fn samples_csv(records: &[Record]) -> Result<String, ReportError> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer
        .write_record(["case", "kernel", "threads", "cache", "clock", "round", "sample", "ns"])?;
    for record in records {
        let rounds = record.timing.iter().flat_map(|t| t.rounds()).enumerate();
        let samples = rounds.flat_map(|(round, samples)| samples.iter().map(move |ns| (round, ns)));
        for (index, (round, ns)) in samples.enumerate() {
            let (threads, cache, clock) =
                (cell(record.threads), word(&record.cache), word(&record.clock));
            let [round, index, ns] = [round.to_string(), index.to_string(), ns.to_string()];
            let (case, kernel) = (&record.case, &record.kernel);
            writer.write_record([case, kernel, &threads, &cache, &clock, &round, &index, &ns])?;
        }
    }
    finish(writer)
}

/// A broken limit in one readable fragment.
pub fn violation(v: &Violation) -> String {
    let weight = if v.enforced { "enforced" } else { "reported" };
    format!("{} = {}, allowed {} ({weight})", v.limit_name, significant(v.value, 4), v.allowed)
}

/// A parameter that shares its name with a fixed column must not hide it.
fn parameter_column(key: &str) -> String {
    let taken = FIXED.iter().chain(DERIVED).any(|(name, _)| *name == key);
    if taken { format!("parameter_{key}") } else { key.to_owned() }
}

pub(crate) fn finish(writer: csv::Writer<Vec<u8>>) -> Result<String, ReportError> {
    let bytes = writer.into_inner().map_err(|error| csv::Error::from(error.into_error()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn cell<T: ToString>(value: Option<T>) -> String {
    value.map(|v| v.to_string()).unwrap_or_default()
}

/// Debug formatting is the shortest text that parses back, in scientific notation at the ends.
fn number(value: Option<f64>) -> String {
    value.map(|v| format!("{v:?}")).unwrap_or_default()
}

/// The word serde writes for a unit variant, so that CSV and JSON agree.
fn word<T: serde::Serialize>(value: &Option<T>) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}
