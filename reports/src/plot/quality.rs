//! Quality against size: signal to quantization noise over stored bits, a point for each
//! distinct format, rule and data source.
use super::Chart;
use super::axis::Axis;
use super::font::Fonts;
use super::frame::{
    Entry, LABEL, Legend, MARGIN, SMALL, WIDTH, bold, centred, header, panel, solid, style,
};
use super::palette::{BAND, COLOURS, FILLED, GRID, INK, Marker, OPEN, SOFT, category, draw_marker};
use super::picture::{Anchor, Picture, Point, Stroke, Style, TextBox};
use super::place::place;
use crate::label::{data, distinct, stored};
use crate::record::{Record, Verdict};

/// What one more bit gains when normal data are coded as well as theory allows.
const DB_PER_BIT: f64 = 6.020_6;
/// Sideways step between points of the same bits, so that equal values stay visible.
const DODGE: f64 = 6.5;
/// Pixels within which bits count as the same.
const COLUMN: f64 = 24.0;
/// Height of a panel's data.
const PANEL: f64 = 310.0;

/// One point.
#[derive(Clone, PartialEq)]
struct Spot {
    op: String,
    format: String,
    rule: String,
    /// The activation's format and rule, when the weight is multiplied by one.
    partner: String,
    partner_rule: String,
    data: String,
    real: bool,
    bits: f64,
    sqnr: f64,
}

/// The chart, when any passed record has both quality and size.
pub(super) fn chart(records: &[Record], fonts: &Fonts) -> Option<Chart> {
    let mut spots = spots(records);
    // What is stored says more than what is made of it: a product mixes two quantizations, and
    // unpacking loses nothing more.
    for (stored, made) in [("quantize_weight", "linear"), ("rho_pack", "rho_unpack")] {
        if spots.iter().any(|s| s.op == stored) {
            spots.retain(|s| s.op != made);
        }
    }
    let ops = distinct(spots.iter().map(|s| s.op.as_str()));
    if ops.is_empty() {
        return None;
    }
    let legends = Legends::new(&spots);
    let title = "Quality against size".to_owned();
    let notes = ["Signal to quantization noise of format and rule, whichever kernel computed it (the first \
                  that passed). Further left is smaller, higher is better. The points of a shaded column have \
                  the same bits, or nearly so, and stand side by side, ordered by rule and data."
        .to_owned()];
    let mut picture = Picture::new(WIDTH);
    let top = header(&mut picture, fonts, (&title, &notes), &legends.drawn(&spots)) + 18.0;
    let columns = ops.len().min(2);
    let room = (WIDTH - MARGIN * 2.0 + 20.0) / columns as f64;
    let mut bottom = top;
    for (i, op) in ops.iter().enumerate() {
        let left = MARGIN + 52.0 + (i % columns) as f64 * room;
        let upper = top + (i / columns) as f64 * (PANEL + 82.0);
        bottom = upper + PANEL;
        let of_op: Vec<&Spot> = spots.iter().filter(|s| s.op == *op).collect();
        let area = (left, upper, left + room - 72.0, bottom);
        draw_panel(&mut picture, fonts, &legends, (op, &of_op), area);
    }
    picture.height = bottom + 36.0 + MARGIN;
    Some(Chart { name: "quality".to_owned(), title, picture })
}

/// First passed record of every distinct point; tiers made for exactness say nothing here.
fn spots(records: &[Record]) -> Vec<Spot> {
    let mut spots: Vec<Spot> = Vec::new();
    for record in records.iter().filter(|r| r.verdict == Verdict::Passed) {
        let Some(spot) = spot(record) else { continue };
        let same = |s: &Spot| Spot { bits: spot.bits, sqnr: spot.sqnr, ..s.clone() } == spot;
        if !spots.iter().any(same) {
            spots.push(spot);
        }
    }
    spots
}

fn spot(record: &Record) -> Option<Spot> {
    let get = |key: &str| record.parameters.get(key).map(String::as_str);
    let real = match get("data") {
        Some("realistic") => false,
        Some("file") => true,
        _ => return None,
    };
    let (format, rule) = stored(record)?;
    let partner = get("weight").and(get("activation")).unwrap_or("");
    let partner_rule = get("activation_rule").filter(|_| !partner.is_empty()).unwrap_or("");
    let rule = if rule.is_empty() { "scale per block" } else { rule };
    let (bits, sqnr) = (record.bits_per_weight?, record.quality?.sqnr_db?);
    if !(bits > 0.0 && bits.is_finite() && sqnr.is_finite()) {
        return None;
    }
    let (format, rule, partner) = (format.to_owned(), rule.to_owned(), partner.to_owned());
    let partner_rule = partner_rule.to_owned();
    let (op, data) = (record.op.clone(), data(record));
    Some(Spot { op, format, rule, partner, partner_rule, data, real, bits, sqnr })
}

/// Colour of each rule and shape of each data source.
struct Legends {
    rules: Vec<String>,
    made: Vec<String>,
    real: Vec<String>,
}

impl Legends {
    fn new(spots: &[Spot]) -> Legends {
        let mut rules = distinct(spots.iter().map(|s| s.rule.clone()));
        rules.sort();
        let of = |real: bool| {
            let mut found =
                distinct(spots.iter().filter(|s| s.real == real).map(|s| s.data.clone()));
            found.sort();
            found
        };
        Legends { rules, made: of(false), real: of(true) }
    }

    fn rule(&self, spot: &Spot) -> usize {
        self.rules.iter().position(|r| *r == spot.rule).unwrap_or(COLOURS)
    }

    /// The last shape stands for all data beyond those that have their own.
    fn marker(&self, data: &str, real: bool) -> Marker {
        let (names, shapes) =
            if real { (&self.real, &OPEN[..]) } else { (&self.made, &FILLED[..]) };
        let index = names.iter().position(|n| n == data).unwrap_or(0);
        shapes[index.min(shapes.len() - 1)]
    }

    fn drawn(&self, spots: &[Spot]) -> [Legend; 3] {
        let own = self.rules.iter().take(COLOURS).enumerate();
        let mut rules: Vec<Entry> = own
            .map(|(i, r)| Entry { marker: Marker::Swatch, colour: category(i), text: r.clone() })
            .collect();
        if self.rules.len() > COLOURS {
            let text = "other rules".to_owned();
            rules.push(Entry { marker: Marker::Swatch, colour: category(COLOURS), text });
        }
        let entry = |name: &String, real: bool| {
            let text = if real { format!("tensor {name}") } else { name.clone() };
            Entry { marker: self.marker(name, real), colour: INK, text }
        };
        let made = self.made.iter().take(FILLED.len()).map(|n| entry(n, false));
        let data = made.chain(self.real.iter().take(OPEN.len()).map(|n| entry(n, true)));
        let mut limits = Vec::new();
        if spots.iter().any(|s| has_limit(&s.op)) {
            let text = "best possible on normal data, 6.02 dB a bit".to_owned();
            limits.push(Entry { marker: Marker::Dashes, colour: SOFT, text });
        }
        [
            Legend { word: "rule", entries: rules },
            Legend { word: "data", entries: data.collect() },
            Legend { word: "limit", entries: limits },
        ]
    }
}

/// The noise of a product is not the noise of what is stored, so its bits bound nothing.
fn has_limit(op: &str) -> bool {
    op != "linear"
}

fn draw_panel(
    picture: &mut Picture,
    fonts: &Fonts,
    legends: &Legends,
    (op, spots): (&str, &[&Spot]),
    (left, top, right, bottom): TextBox,
) {
    let largest = |value: fn(&Spot) -> f64| spots.iter().map(|s| value(s)).fold(0.0, f64::max);
    let smallest = |value: fn(&Spot) -> f64| spots.iter().map(|s| value(s)).fold(0.9, f64::min);
    let x = Axis::log(smallest(|s| s.bits), largest(|s| s.bits)).every(2.0).on(left, right);
    let lowest = smallest(|s| s.sqnr).min(0.0);
    let ceiling = if has_limit(op) { largest(|s| s.bits) * DB_PER_BIT } else { 1.0 };
    let y = Axis::linear(lowest * 1.1, largest(|s| s.sqnr).max(ceiling) * 1.14).on(bottom, top);
    let (points, columns) = points(legends, spots, &x, &y);
    for column in &columns {
        picture.rect((column.from, top), (column.to, bottom), BAND);
    }
    for (value, text) in y.ticks(7) {
        let at = y.at(value);
        picture.line((left, at), (right, at), solid(GRID, 1.0));
        let style = style(SMALL, SOFT, Anchor::End);
        picture.text((left - 7.0, centred(at, SMALL)), style, &text);
    }
    let unit = if op == "linear" { "bits per weight" } else { "bits per value" };
    let partners = distinct(spots.iter().map(|s| s.partner.as_str()));
    let title = match partners[..] {
        [one] if !one.is_empty() => format!("{op}, {one} activations"),
        _ => op.to_owned(),
    };
    panel(picture, fonts, &x, (top, bottom), (&title, unit));
    let sideways = Style { upward: true, ..style(LABEL, INK, Anchor::Middle) };
    picture.text((left - 38.0, f64::midpoint(top, bottom)), sideways, "SQNR, dB");
    let mut taken = if has_limit(op) { limits(picture, &columns, &y) } else { Vec::new() };
    for (spot, at) in spots.iter().zip(&points) {
        let colour = category(legends.rule(spot));
        draw_marker(picture, legends.marker(&spot.data, spot.real), *at, colour);
    }
    taken.extend(points.iter().map(|p| (p.0 - 6.0, p.1 - 6.0, p.0 + 6.0, p.1 + 6.0)));
    name_formats(picture, fonts, (spots, &points, taken), (left, top, right, bottom));
}

/// The limit of every column as a dashed level, and boxes there that labels keep off.
fn limits(picture: &mut Picture, columns: &[Column], y: &Axis) -> Vec<TextBox> {
    let dashes = Stroke { colour: SOFT, width: 1.5, dashed: true };
    let levels = columns.iter().map(|column| {
        let level = y.at(column.bits * DB_PER_BIT);
        picture.line((column.from, level), (column.to, level), dashes);
        (column.from, level - 4.0, column.to, level + 4.0)
    });
    levels.collect()
}

/// Points of nearly the same bits.
struct Column {
    bits: f64,
    from: f64,
    to: f64,
}

/// Pixels of the points: at their bits, and aside so that no two of a column hide each other.
///
/// Also answers the columns.
fn points(legends: &Legends, spots: &[&Spot], x: &Axis, y: &Axis) -> (Vec<Point>, Vec<Column>) {
    let mut order: Vec<usize> = (0..spots.len()).collect();
    let at = |i: usize| x.at(spots[i].bits);
    order.sort_by(|&a, &b| at(a).total_cmp(&at(b)));
    let columns: Vec<&[usize]> = order.chunk_by(|&a, &b| at(b) - at(a) < COLUMN).collect();
    let centre = |c: &[usize]| c.iter().map(|&i| at(i)).sum::<f64>() / c.len() as f64;
    // Columns must not run into each other or over the edges of the panel.
    let (left, right) = x.ends();
    let mut steps = vec![DODGE];
    for pair in columns.windows(2) {
        let count = pair[0].len() + pair[1].len();
        steps.push(2.0 * (centre(pair[1]) - centre(pair[0]) - 14.0) / count as f64);
    }
    for column in &columns {
        let room = (centre(column) - left).min(right - centre(column));
        steps.push(2.0 * (room - 8.0) / column.len() as f64);
    }
    let step = steps.into_iter().fold(DODGE, f64::min).max(0.0);
    let mut points = vec![(0.0, 0.0); spots.len()];
    let mut extents = Vec::new();
    for column in columns {
        let mut members = column.to_vec();
        members.sort_by_key(|&i| (legends.rule(spots[i]), &spots[i].data, &spots[i].partner_rule));
        for (rank, &i) in members.iter().enumerate() {
            let aside = rank as f64 - (members.len() as f64 - 1.0) / 2.0;
            points[i] = (centre(column) + aside * step, y.at(spots[i].sqnr));
        }
        let half = (column.len() as f64 - 1.0) / 2.0 * step + 7.0;
        let bits = column.iter().map(|&i| spots[i].bits).sum::<f64>() / column.len() as f64;
        let (from, to) = (centre(column) - half, centre(column) + half);
        extents.push(Column { bits, from, to });
    }
    (points, extents)
}

/// The format's name at the highest point of every column it stands in.
fn name_formats(
    picture: &mut Picture,
    fonts: &Fonts,
    (spots, points, mut taken): (&[&Spot], &[Point], Vec<TextBox>),
    bounds: TextBox,
) {
    let partners = distinct(spots.iter().map(|s| (&s.partner, &s.partner_rule)));
    let formats = distinct(partners.iter().map(|(format, _)| format)).len();
    let rules = distinct(partners.iter().map(|(_, rule)| rule)).len();
    let name = |spot: &Spot| {
        let mut name = spot.format.clone();
        if formats > 1 {
            name = format!("{name} x {}", spot.partner);
        }
        if rules > 1 { format!("{name} ({})", spot.partner_rule) } else { name }
    };
    let mut labelled: Vec<(String, i64, Point)> = Vec::new();
    for (spot, point) in spots.iter().zip(points) {
        let (name, bits) = (name(spot), spot.bits.round() as i64);
        match labelled.iter_mut().find(|l| l.0 == name && l.1 == bits) {
            Some(label) if label.2.1 <= point.1 => {}
            Some(label) => label.2 = *point,
            None => labelled.push((name, bits, *point)),
        }
    }
    for (name, _, point) in labelled {
        let size = (fonts.width(&name, LABEL, true) + 4.0, LABEL);
        let Some(found) = place(point, size, &taken, bounds) else { continue };
        let middle = f64::midpoint(found.0, found.2);
        picture.text((middle, found.3 - 2.0), bold(LABEL, INK, Anchor::Middle), &name);
        taken.push(found);
    }
}
