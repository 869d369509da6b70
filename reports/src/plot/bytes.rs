//! Bytes per format: what the codes take and what their scales add, beside f16 and f32.
use super::Chart;
use super::axis::Axis;
use super::font::Fonts;
use super::frame::{
    Entry, Legend, MARGIN, Row, SMALL, WIDTH, centred, header, label_column, label_height, panel,
    rows, style,
};
use super::palette::{INK, Marker, category};
use super::picture::{Anchor, Picture, Stroke};
use crate::label::{distinct, stored};
use crate::record::{Record, Verdict};
use crate::units::significant;

/// Where the label column ends at the latest.
const LABELS_END: f64 = 290.0;
/// Where the bars' axis ends and the columns of numbers end.
const BARS_END: f64 = 660.0;
const SPLIT_END: f64 = 792.0;
const RATIO_END: f64 = 872.0;
/// Height of a bar.
const BAR: f64 = 14.0;
/// Bars a page has room for.
const BARS: usize = 40;
/// Splits that differ by less are one bar.
const SAME: f64 = 0.005;

/// One bar, and the rules that share it.
struct Bar<'a> {
    stored: &'static str,
    format: &'a str,
    rules: Vec<&'a str>,
    codes: f64,
    scales: f64,
}

/// The chart, when any passed record counts bytes.
pub(super) fn chart(records: &[Record], fonts: &Fonts) -> Option<Chart> {
    let bars = bars(records);
    if bars.is_empty() {
        return None;
    }
    let title = "Bits per stored value".to_owned();
    let mut notes = vec![
        "Packed codes and the scales that belong to them, at the largest case of each. Rules with the same \
         bytes share a bar."
            .to_owned(),
    ];
    if bars.len() > BARS {
        notes.push(format!("The first {BARS} of {} bars; all are in results.csv.", bars.len()));
    }
    let mut picture = Picture::new(WIDTH);
    let top = header(&mut picture, fonts, (&title, &notes), &[legend()]) + 22.0;
    let label_rows: Vec<Row> = bars.iter().take(BARS).map(|bar| row(bar, fonts)).collect();
    let labels_end = label_column(fonts, &label_rows, LABELS_END);
    let bands = rows(&mut picture, &label_rows, top, (labels_end - 10.0, WIDTH - MARGIN));
    let bottom = bands.last()?.1;
    let axis = Axis::linear(0.0, 32.0).every(8.0).on(labels_end, BARS_END);
    for (x, text) in [(SPLIT_END, "codes + scales"), (RATIO_END, "f32 / this")] {
        picture.text((x, top - 6.0), style(SMALL, INK, Anchor::End), text);
    }
    panel(&mut picture, fonts, &axis, (top, bottom), ("", "bits per stored value"));
    for (name, bits) in [("f16", 16.0), ("f32", 32.0)] {
        let x = axis.at(bits);
        picture.line((x, top), (x, bottom), Stroke { colour: INK, width: 1.5, dashed: true });
        picture.text((x, top - 6.0), style(SMALL, INK, Anchor::Middle), name);
    }
    for (bar, (upper, lower)) in bars.iter().zip(&bands) {
        let middle = f64::midpoint(*upper, *lower);
        let (zero, codes) = (axis.at(0.0), axis.at(bar.codes));
        let end = axis.at(bar.codes + bar.scales);
        let (y0, y1) = (middle - BAR / 2.0, middle + BAR / 2.0);
        picture.rect((zero, y0), (codes, y1), category(0));
        picture.rect((codes, y0), (end, y1), category(4));
        let ratio = format!("{}x", significant(32.0 / (bar.codes + bar.scales), 3));
        for (x, text) in [(SPLIT_END, split_text(bar)), (RATIO_END, ratio)] {
            picture.text((x, centred(middle, SMALL)), style(SMALL, INK, Anchor::End), &text);
        }
    }
    picture.height = bottom + 36.0 + MARGIN;
    Some(Chart { name: "bytes".to_owned(), title, picture })
}

/// One bar per stored thing, format and split of bits.
fn bars(records: &[Record]) -> Vec<Bar<'_>> {
    let usable = records.iter().filter(|r| r.verdict == Verdict::Passed);
    let usable: Vec<(&Record, &str, &str)> = usable
        .filter(|r| split(r).is_some())
        .filter_map(|r| stored(r).map(|(format, rule)| (r, format, rule)))
        .collect();
    let mut bars: Vec<Bar> = Vec::new();
    for (what, format, rule) in distinct(usable.iter().map(|(r, f, rule)| (what(r), *f, *rule))) {
        let same =
            usable.iter().filter(|(r, f, u)| (self::what(r), *f, *u) == (what, format, rule));
        let size = |r: &Record| r.bytes.map(|b| b.artifact_bytes);
        let Some((codes, scales)) = same.max_by_key(|(r, ..)| size(r)).and_then(|(r, ..)| split(r))
        else {
            continue;
        };
        let alike = |b: &&mut Bar| {
            (b.stored, b.format) == (what, format)
                && (b.codes - codes).abs() < SAME
                && (b.scales - scales).abs() < SAME
        };
        match bars.iter_mut().find(alike) {
            Some(bar) => bar.rules.push(rule),
            None => bars.push(Bar { stored: what, format, rules: vec![rule], codes, scales }),
        }
    }
    bars.sort_by(|a, b| {
        what_rank(a).cmp(&what_rank(b)).then((b.codes + b.scales).total_cmp(&(a.codes + a.scales)))
    });
    bars
}

/// Bits of codes and of scales per value.
fn split(record: &Record) -> Option<(f64, f64)> {
    let (bits, bytes) = (record.bits_per_weight?, record.bytes?);
    let total = (bytes.artifact_bytes + bytes.scale_bytes) as f64;
    let share = bytes.artifact_bytes as f64 / total;
    (total > 0.0).then_some((bits * share, bits * (1.0 - share)))
}

/// What is stored: a weight is the same weight whether it is being packed or multiplied.
fn what(record: &Record) -> &'static str {
    let has = |key: &str| record.parameters.contains_key(key);
    match record.op.as_str() {
        _ if has("weight") => "weight",
        _ if has("activation") => "activation",
        op if op.starts_with("rho") => "rho",
        _ => "value",
    }
}

/// Weights first: they are what formats are chosen for.
fn what_rank(bar: &Bar) -> usize {
    ["weight", "activation", "rho"].iter().position(|w| *w == bar.stored).unwrap_or(3)
}

fn row(bar: &Bar, fonts: &Fonts) -> Row {
    let mut lines = vec![format!("{} {}", bar.stored, bar.format)];
    let rules: Vec<String> =
        bar.rules.iter().filter(|r| !r.is_empty()).map(|r| (*r).to_owned()).collect();
    lines.extend(fonts.wrapped(&rules, SMALL, LABELS_END - MARGIN - 14.0));
    let height = label_height(lines.len()).max(BAR + 10.0);
    Row { lines, height }
}

/// Both parts in bits; a scale per tensor is too small for three digits, and says so.
fn split_text(bar: &Bar) -> String {
    let bits = |v: f64| match v {
        0.0 => "0".to_owned(),
        _ if v < 0.001 => "<0.001".to_owned(),
        _ => significant(v, 3),
    };
    format!("{} + {}", bits(bar.codes), bits(bar.scales))
}

fn legend() -> Legend {
    let entry = |index, text: &str| Entry {
        marker: Marker::Swatch,
        colour: category(index),
        text: text.to_owned(),
    };
    Legend { word: "bits of", entries: vec![entry(0, "codes"), entry(4, "scales")] }
}
