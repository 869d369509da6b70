//! Largest error over its bound against the depth of a sum: what a bound leaves to see.
//!
//! A point is a row at one depth, on drawn data; the two lines are `1 / sqrt(K)`, where errors of
//! either sign are expected, and an eighth of it, below which a bound is too loose.
use super::Chart;
use super::axis::Axis;
use super::font::Fonts;
use super::frame::{
    Entry, LABEL, Legend, MARGIN, SMALL, WIDTH, centred, header, panel, solid, style,
};
use super::palette::{BAD, BAND, FILLED, INK, Marker, SOFT, category, draw_marker};
use super::picture::{Anchor, Picture, Stroke, Style};
use crate::label::distinct;
use crate::record::{Record, Verdict};
use crate::tightness::{SLACK, depth};
use std::collections::BTreeMap;

/// Height of a panel's data.
const PANEL: f64 = 260.0;

/// Largest share of its bound of each op, row and depth.
type Shares<'a> = BTreeMap<(&'a str, &'a str), Line>;
/// A row's largest share of its bound, by K.
type Line = BTreeMap<u64, f64>;

fn shares(records: &[Record]) -> Shares<'_> {
    let mut shares = Shares::new();
    for record in records.iter().filter(|r| r.verdict == Verdict::Passed) {
        let drawn = record.parameters.get("data").is_some_and(|data| data == "realistic");
        let bounded = record.agreement.as_ref().filter(|seen| seen.bounded && drawn);
        let (Some(seen), Some(depth)) = (bounded, depth(record)) else { continue };
        if seen.error_over_bound > 0.0 && depth >= 1.0 {
            let row = shares.entry((record.op.as_str(), record.kernel.as_str())).or_default();
            let most = row.entry(whole(depth)).or_default();
            *most = most.max(seen.error_over_bound);
        }
    }
    // One depth shows no course.
    let courses: Vec<&str> =
        shares.iter().filter(|(_, row)| row.len() > 1).map(|((op, _), _)| *op).collect();
    shares.retain(|(op, _), _| courses.contains(op));
    shares
}

#[allow(clippy::cast_sign_loss, reason = "depths are at least 1")]
fn whole(depth: f64) -> u64 {
    depth.round() as u64
}

/// The chart, when a float row of any op ran at two depths.
pub(super) fn chart(records: &[Record], fonts: &Fonts) -> Option<Chart> {
    let shares = shares(records);
    let (ops, kernels) =
        (distinct(shares.keys().map(|key| key.0)), distinct(shares.keys().map(|key| key.1)));
    if ops.is_empty() {
        return None;
    }
    let title = "Error over its bound".to_owned();
    let notes = ["Largest |y - want| over its derived bound, on drawn data. Roundings of either sign add up \
                  to the dashed line; a row all below the orange one has a bound that is too loose."
        .to_owned()];
    let marker = |i: usize| FILLED[i % FILLED.len()];
    let entry = |(i, kernel): (usize, &&str)| Entry {
        marker: marker(i),
        colour: category(i),
        text: (*kernel).to_owned(),
    };
    let entries = kernels.iter().enumerate().map(entry).collect();
    let lines = vec![
        Entry { marker: Marker::Dashes, colour: SOFT, text: "1 / sqrt(K)".to_owned() },
        Entry { marker: Marker::Dashes, colour: BAD, text: "1 / (8 sqrt(K))".to_owned() },
    ];
    let legends = [Legend { word: "row", entries }, Legend { word: "lines", entries: lines }];
    let mut picture = Picture::new(WIDTH);
    let top = header(&mut picture, fonts, (&title, &notes), &legends) + 18.0;
    let columns = ops.len().min(2);
    let room = (WIDTH - MARGIN * 2.0 + 20.0) / columns as f64;
    let mut bottom = top;
    for (i, op) in ops.iter().enumerate() {
        let left = MARGIN + 58.0 + (i % columns) as f64 * room;
        let upper = top + (i / columns) as f64 * (PANEL + 82.0);
        bottom = upper + PANEL;
        let points: Vec<_> = shares
            .iter()
            .filter(|((of, _), _)| of == op)
            .map(|((_, kernel), row)| (kernels.iter().position(|k| k == kernel).unwrap_or(0), row))
            .collect();
        let area = (left, upper, left + room - 78.0, bottom);
        draw(&mut picture, fonts, (op, &points), area);
    }
    picture.height = bottom + 36.0 + MARGIN;
    Some(Chart { name: "error_over_bound".to_owned(), title, picture })
}

/// One op: its rows' points, and the two lines.
fn draw(
    picture: &mut Picture,
    fonts: &Fonts,
    (op, rows): (&str, &[(usize, &Line)]),
    (left, top, right, bottom): (f64, f64, f64, f64),
) {
    picture.rect((left, top), (right, bottom), BAND);
    let depths = || rows.iter().flat_map(|(_, row)| row.keys()).map(|k| *k as f64);
    let shares = || rows.iter().flat_map(|(_, row)| row.values()).copied();
    let (least, most) = (depths().fold(f64::MAX, f64::min), depths().fold(1.0, f64::max));
    let x = Axis::log(least, most).on(left, right);
    let lowest = shares().fold(SLACK / most.sqrt(), f64::min);
    let y = Axis::log(lowest, 1.0).on(bottom, top);
    panel(picture, fonts, &x, (top, bottom), (op, "K, terms of a sum"));
    for (value, text) in y.ticks(6) {
        let at = y.at(value);
        picture.text((left - 6.0, centred(at, SMALL)), style(SMALL, SOFT, Anchor::End), &text);
    }
    let sideways = Style { upward: true, ..style(LABEL, INK, Anchor::Middle) };
    picture.text((left - 52.0, f64::midpoint(top, bottom)), sideways, "error / bound");
    for (factor, colour) in [(1.0, SOFT), (SLACK, BAD)] {
        let at = |k: f64| (x.at(k), y.at(factor / k.sqrt()));
        picture.line(at(least), at(most), Stroke { colour, width: 1.5, dashed: true });
    }
    for (index, row) in rows {
        let points: Vec<_> = row.iter().map(|(k, share)| (x.at(*k as f64), y.at(*share))).collect();
        for pair in points.windows(2) {
            picture.line(pair[0], pair[1], solid(category(*index), 1.0));
        }
        for point in points {
            draw_marker(picture, FILLED[index % FILLED.len()], point, category(*index));
        }
    }
}
