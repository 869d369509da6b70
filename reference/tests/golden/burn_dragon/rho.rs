//! Blocks of rho, their bytes and what the source's statistics and gate say of them.
use super::{inputs, items};
use crate::replay::{Replay, Within, floats, text};
use crate::source::quantize as source;
use lowbit_reference::bound::gamma;
use lowbit_reference::rho::{
    RHO_BLOCK, RHO_FORMATS, RelativeGate, RhoFormat, RhoGate, RhoStatistics,
};
use lowbit_reference::rule::{Range, quantize};
use serde_json::{Value, json};

pub(super) fn replay(cases: &Value, replay: &mut Replay) {
    let mut x = Vec::new();
    for case in items(cases) {
        // An input that several formats share is written out for the first.
        match case["x"].is_null() {
            true => drop(replay.input(&case["x"])),
            false => x = inputs(&case["x"], RHO_BLOCK, replay),
        }
        let (input, word) =
            (text(replay.input(&case["input"])), text(replay.input(&case["format"])));
        let at = format!("rho {input} {word}");
        let known = |f: &&RhoFormat| f.word.aliases.contains(&format!("{word}_exp").as_str());
        match RHO_FORMATS.iter().find(known) {
            Some(format) => state(&at, format, &x, case, replay),
            None => replay.fail(&at, "is no known compression"),
        }
    }
}

fn state(at: &str, format: &RhoFormat, x: &[f32], case: &Value, replay: &mut Replay) {
    let (rule, levels) = (format.rule(), format.codes.levels());
    let blocks = || x.chunks(RHO_BLOCK).map(|x| source::block(format.word.name, x));
    let scales: Vec<f32> = blocks().map(|(scale, _)| scale).collect();
    replay.floats(at, "scales", &case["scales"], &scales, Within::Exactly);
    let theirs = floats(&case["scales"]);
    let finite = x.iter().all(|x| x.is_finite());
    let codes: Vec<Vec<i16>> = match finite {
        true => {
            let block = |(x, scale): (&[f32], &f32)| {
                let shared = rule.under(*scale);
                x.iter().map(|x| rule.code(levels, *x, &shared)).collect()
            };
            x.chunks(RHO_BLOCK).zip(&theirs).map(block).collect()
        }
        false => blocks().map(|(_, codes)| codes.into_iter().map(Into::into).collect()).collect(),
    };
    let bytes: Vec<u8> =
        codes.iter().flat_map(|codes| format.codes.pack(codes).unwrap_or_default()).collect();
    replay.hex(at, "packed_hex", &case["packed_hex"], &bytes);
    let value = |(codes, scale): (&Vec<i16>, &f32)| {
        codes.iter().map(|code| f32::from(*code) * scale).collect::<Vec<_>>()
    };
    let kept: Vec<f32> = codes.iter().zip(&theirs).flat_map(value).collect();
    let reconstructed = &case["reconstructed"];
    match reconstructed.is_null() {
        true => drop(replay.input(reconstructed)),
        false => replay.floats(at, "reconstructed", reconstructed, &kept, Within::Exactly),
    }
    let (code_bytes, scale_bytes) = format.stored_bytes(x.len());
    if code_bytes != bytes.len() as u64 || scale_bytes != 4 * theirs.len() as u64 {
        replay.fail(at, format!("{code_bytes} + {scale_bytes} bytes are said to be stored"));
    }
    statistics(at, (x, &kept), code_bytes + scale_bytes, case, replay);
    if finite {
        ours(at, format, x, &theirs, replay);
    }
}

fn statistics(
    at: &str,
    (x, kept): (&[f32], &[f32]),
    bytes: u64,
    case: &Value,
    replay: &mut Replay,
) {
    let mut statistics = RhoStatistics::default();
    if let Err(error) = statistics.record(x, kept, bytes) {
        replay.fail(at, error);
    }
    let mut figure = |field: &str, got: Option<f32>| match (&case[field], got) {
        (want, Some(got)) if !want.is_null() => {
            replay.floats(at, field, want, &[got], Within::Exactly);
        }
        (want, got) => replay.equal(at, field, want, &json!(got)),
    };
    figure("mean_abs_error", statistics.compat_mean_abs_error());
    figure("max_abs_error", Some(statistics.compat_max_abs_error()));
    figure("mean_rms_ratio", statistics.compat_rms_ratio());
    figure("compression_ratio", statistics.compression_ratio());
    let verdicts = statistics.verdicts(&RhoGate::default(), &RelativeGate::default());
    let passes = json!(verdicts.compat.is_empty());
    replay.equal(at, "default_gate_pass", &case["default_gate_pass"], &passes);
    // One call has one mean; our verdict differs from the source's for zeros and NaN alone.
    let nonzero = x.iter().any(|x| *x != 0.0);
    let finite = x.iter().all(|x| x.is_finite());
    if nonzero && finite && verdicts.compat.is_empty() != verdicts.absolute.is_empty() {
        replay.fail(at, format!("{:?} by us", verdicts.absolute));
    }
}

/// Our scales are f64 sums, within the bound of the source's f32 ones.
fn ours(at: &str, format: &RhoFormat, x: &[f32], theirs: &[f32], replay: &mut Replay) {
    let rule = format.rule();
    let scales = quantize(&rule, format.codes.levels(), x, RHO_BLOCK).scales();
    for (i, (ours, theirs)) in scales.iter().zip(theirs).enumerate() {
        let bound = match rule.range {
            Range::Absmax => 0.0,
            _ => gamma(RHO_BLOCK + 1) * f64::from(*theirs),
        };
        if (f64::from(*ours) - f64::from(*theirs)).abs() > bound {
            replay.fail(at, format!("our scale {i} is {ours}, golden {theirs}, bound {bound:e}"));
        }
    }
}
