//! Quality of compressed rho against its gate: four limits, four panels, a row per format and
//! data source.
use super::Chart;
use super::axis::Axis;
use super::font::Fonts;
use super::frame::{
    Entry, LABEL, Legend, MARGIN, Row, SMALL, WIDTH, bold, centred, header, label_column,
    label_height, panel, rows,
};
use super::palette::{ALLOWED, BAD, Colour, GOOD, INK, Marker, SOFT, draw_marker};
use super::picture::{Anchor, Picture, Stroke};
use crate::label::data;
use crate::record::{Record, Verdict};
use crate::units::significant;

/// Where the label column ends at the latest.
const LABELS_END: f64 = 200.0;
/// Where the column with the whole gate's outcome begins.
const OUTCOME: f64 = 778.0;
/// Rows a page has room for.
const ROWS: usize = 24;
/// Height of a row: the value's text stands above its marker.
const ROW: f64 = 40.0;

/// One limit of the gate; both ends are allowed.
struct Limit {
    title: &'static str,
    unit: &'static str,
    low: Option<f64>,
    high: f64,
    value: fn(&Record) -> Option<f64>,
}

/// The default gate of the source the rho formats come from.
const LIMITS: [Limit; 4] = [
    Limit {
        title: "mean error",
        unit: "mean |x − q|",
        low: None,
        high: 0.02,
        value: |r| r.quality.map(|q| q.mean_quant_error),
    },
    Limit {
        title: "largest error",
        unit: "max |x − q|",
        low: None,
        high: 0.05,
        value: |r| r.quality.map(|q| q.max_quant_error),
    },
    Limit {
        title: "RMS ratio",
        unit: "rms(q) / rms(x)",
        low: Some(0.95),
        high: 1.05,
        value: |r| r.quality.map(|q| q.rms_ratio),
    },
    Limit {
        title: "compression ratio",
        unit: "stored / f32 bytes",
        low: None,
        high: 0.5,
        value: |r| r.bits_per_weight.map(|bits| bits / 32.0),
    },
];

/// The chart, when any passed record packs rho.
pub(super) fn chart(records: &[Record], fonts: &Fonts) -> Option<Chart> {
    let found = distinct_rows(records);
    let shown = &found[..found.len().min(ROWS)];
    if shown.is_empty() {
        return None;
    }
    let title = "Compressed rho against its gate".to_owned();
    let mut notes =
        vec!["The gate allows the shaded side of the dashed limit, limit included.".to_owned()];
    if shown.len() < found.len() {
        notes.push(format!("The first {ROWS} of {} rows; all are in results.csv.", found.len()));
    }
    let mut picture = Picture::new(WIDTH);
    let top = header(&mut picture, fonts, (&title, &notes), &[legend()]) + 18.0;
    let label_rows: Vec<Row> = shown
        .iter()
        .map(|r| {
            let pieces = [r.parameters.get("format").cloned().unwrap_or_default(), data(r)];
            let lines: Vec<String> =
                pieces.iter().map(|p| fonts.fitted(p, SMALL, LABELS_END - MARGIN - 14.0)).collect();
            let height = label_height(lines.len()).max(ROW);
            Row { lines, height }
        })
        .collect();
    let labels_end = label_column(fonts, &label_rows, LABELS_END);
    let bands = rows(&mut picture, &label_rows, top, (labels_end - 10.0, WIDTH - MARGIN));
    let bottom = bands.last()?.1;
    let room = (OUTCOME - labels_end) / LIMITS.len() as f64;
    for (i, limit) in LIMITS.iter().enumerate() {
        let left = labels_end + i as f64 * room;
        let axis = limit.axis(shown).on(left, left + room - 18.0);
        limit.draw(&mut picture, fonts, (&axis, top, bottom), (shown, &bands));
    }
    picture.text((OUTCOME, top - 7.0), bold(LABEL, INK, Anchor::Start), "gate");
    for (record, (upper, lower)) in shown.iter().zip(&bands) {
        let (colour, text) = gate(record);
        let at = (OUTCOME, centred(f64::midpoint(*upper, *lower), SMALL));
        picture.text(at, bold(SMALL, colour, Anchor::Start), &text);
    }
    picture.height = bottom + 36.0 + MARGIN;
    Some(Chart { name: "rho".to_owned(), title, picture })
}

impl Limit {
    fn allows(&self, value: f64) -> bool {
        self.low.is_none_or(|low| value >= low) && value <= self.high
    }

    /// Errors span decades, ratios do not.
    fn axis(&self, shown: &[&Record]) -> Axis {
        let values = shown.iter().filter_map(|r| (self.value)(r)).chain([self.high]);
        let values: Vec<f64> = values.filter(|v| v.is_finite()).collect();
        let high = values.iter().copied().fold(0.0, f64::max);
        let positive = values.iter().copied().filter(|v| *v > 0.0);
        let low = positive.fold(f64::MAX, f64::min);
        if self.title.ends_with("error") {
            // Values that pass need room for their text on their side of the limit.
            let span = (high * 2.0 / self.high).max(1.0);
            Axis::log((low / 2.0).min(self.high / span.powf(0.8)), high * 2.0)
        } else {
            Axis::linear(0.0, high * 1.25)
        }
    }

    /// The middle of a text of `width`, as near to `x` as it can be without crossing a limit.
    fn clear_of_limits(&self, axis: &Axis, x: f64, width: f64) -> f64 {
        let (left, right) = axis.ends();
        let limits = self.low.iter().chain([&self.high]).map(|limit| axis.at(*limit));
        let edges: Vec<f64> = [left - 4.0].into_iter().chain(limits).chain([right + 4.0]).collect();
        let wide = edges.windows(2).filter(|e| e[1] - e[0] >= width);
        let middles = wide.map(|e| x.clamp(e[0] + width / 2.0, e[1] - width / 2.0));
        middles.min_by(|a, b| (a - x).abs().total_cmp(&(b - x).abs())).unwrap_or(x)
    }

    fn draw(
        &self,
        picture: &mut Picture,
        fonts: &Fonts,
        (axis, top, bottom): (&Axis, f64, f64),
        (shown, bands): (&[&Record], &[(f64, f64)]),
    ) {
        let (left, _) = axis.ends();
        let begin = self.low.map_or(left, |low| axis.at(low));
        picture.rect((begin, top), (axis.at(self.high), bottom), ALLOWED);
        panel(picture, fonts, axis, (top, bottom), (self.title, self.unit));
        for limit in self.low.iter().chain([&self.high]) {
            let stroke = Stroke { colour: INK, width: 1.5, dashed: true };
            picture.line((axis.at(*limit), top), (axis.at(*limit), bottom), stroke);
        }
        for (record, (upper, lower)) in shown.iter().zip(bands) {
            let Some(value) = (self.value)(record) else { continue };
            let x = if value.is_finite() { axis.at(value) } else { axis.ends().1 };
            let y = f64::midpoint(*upper, *lower);
            let (marker, colour, _) = outcome(self.allows(value));
            draw_marker(picture, marker, (x, y + 7.0), colour);
            let text = significant(value, 3);
            let middle = self.clear_of_limits(axis, x, fonts.width(&text, SMALL, true) + 8.0);
            let at = (middle, centred(y - 8.0, SMALL));
            picture.text(at, bold(SMALL, colour, Anchor::Middle), &text);
        }
    }
}

/// First passed record of every format and data source.
fn distinct_rows(records: &[Record]) -> Vec<&Record> {
    let mut rows: Vec<&Record> = Vec::new();
    // Planted values say what a kernel does wrong, not what a format costs.
    let planted = |r: &Record| r.parameters.get("data").is_some_and(|data| data == "adversarial");
    let packed = records.iter().filter(|r| r.op == "rho_pack" && r.verdict == Verdict::Passed);
    let packed = packed.filter(|r| !planted(r));
    for record in packed.filter(|r| r.quality.is_some()) {
        let key = |r: &Record| (r.parameters.get("format").cloned(), data(r));
        if !rows.iter().any(|r| key(r) == key(record)) {
            rows.push(record);
        }
    }
    rows
}

/// Whether a record keeps all limits, in words.
fn gate(record: &Record) -> (Colour, String) {
    let values = LIMITS.iter().filter_map(|limit| Some((limit, (limit.value)(record)?)));
    let broken = values.filter(|(limit, value)| !limit.allows(*value)).count();
    let (_, colour, word) = outcome(broken == 0);
    let text =
        if broken == 0 { word.to_owned() } else { format!("{word} {broken} of {}", LIMITS.len()) };
    (colour, text)
}

fn outcome(allowed: bool) -> (Marker, Colour, &'static str) {
    if allowed { (Marker::Disc, GOOD, "PASS") } else { (Marker::Cross, BAD, "violates") }
}

fn legend() -> Legend {
    let outcomes = [true, false].map(|allowed| {
        let (marker, colour, word) = outcome(allowed);
        Entry { marker, colour, text: word.to_owned() }
    });
    let limit = Entry { marker: Marker::Dashes, colour: SOFT, text: "limit".to_owned() };
    Legend { word: "gate", entries: outcomes.into_iter().chain([limit]).collect() }
}
