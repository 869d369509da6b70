//! What charts have in common: title, notes and legend above the data, panels with ticks, rows
//! with labels at the left.
use super::axis::Axis;
use super::font::Fonts;
use super::palette::{BAND, Colour, GRID, INK, Marker, SOFT, draw_marker};
use super::picture::{Anchor, Picture, Point, Stroke, Style};

/// Width of every chart: the text width of a page, at which 13 pixels print as 7 points.
pub(super) const WIDTH: f64 = 900.0;
/// White on all sides.
pub(super) const MARGIN: f64 = 18.0;
/// Letter height of labels.
pub(super) const LABEL: f64 = 13.0;
/// Letter height of ticks and notes.
pub(super) const SMALL: f64 = 12.0;
const TITLE: f64 = 18.0;
const LINE: f64 = 17.0;

/// A marker and what it stands for.
pub(super) struct Entry {
    pub marker: Marker,
    pub colour: Colour,
    pub text: String,
}

/// Entries behind a common word, begun on a line of their own.
pub(super) struct Legend {
    pub word: &'static str,
    pub entries: Vec<Entry>,
}

/// A row of the label column: lines of text, centred on its height.
pub(super) struct Row {
    pub lines: Vec<String>,
    pub height: f64,
}

/// Plain text in a colour.
pub(super) fn style(em: f64, colour: Colour, anchor: Anchor) -> Style {
    Style { em, bold: false, colour, anchor, upward: false }
}

/// The same, bold.
pub(super) fn bold(em: f64, colour: Colour, anchor: Anchor) -> Style {
    Style { bold: true, ..style(em, colour, anchor) }
}

/// A solid line.
pub(super) fn solid(colour: Colour, width: f64) -> Stroke {
    Stroke { colour, width, dashed: false }
}

/// Baseline that centres capitals and digits on `y`.
pub(super) fn centred(y: f64, em: f64) -> f64 {
    y + 0.36 * em
}

/// Title, notes and legends from the top of the paper; answers where the rest may begin.
pub(super) fn header(
    picture: &mut Picture,
    fonts: &Fonts,
    (title, notes): (&str, &[String]),
    legends: &[Legend],
) -> f64 {
    let mut y = MARGIN + TITLE;
    picture.text((MARGIN, y), bold(TITLE, INK, Anchor::Start), title);
    y += 5.0;
    for line in notes.iter().flat_map(|note| paragraph(fonts, note)) {
        y += LINE;
        picture.text((MARGIN, y), style(SMALL, SOFT, Anchor::Start), &line);
    }
    y += 5.0;
    for legend in legends.iter().filter(|l| !l.entries.is_empty()) {
        y = flow(picture, fonts, legend, y + LINE + 3.0);
    }
    y + 12.0
}

/// Panel frame over a horizontal axis: grid, tick texts below, title above, axis title below.
pub(super) fn panel(
    picture: &mut Picture,
    fonts: &Fonts,
    axis: &Axis,
    (top, bottom): (f64, f64),
    (title, unit): (&str, &str),
) {
    let (left, right) = axis.ends();
    for (x, text) in fitting_ticks(fonts, axis) {
        picture.line((x, top), (x, bottom), solid(GRID, 1.0));
        picture.text((x, bottom + 17.0), style(SMALL, SOFT, Anchor::Middle), &text);
    }
    picture.line((left, bottom), (right, bottom), solid(SOFT, 1.0));
    let middle = f64::midpoint(left, right);
    picture.text((middle, top - 7.0), bold(LABEL, INK, Anchor::Middle), title);
    picture.text((middle, bottom + 36.0), style(LABEL, INK, Anchor::Middle), unit);
}

/// As many ticks as leave their texts apart and out of the next panel: fewer, but evenly spaced.
#[expect(clippy::cast_sign_loss, reason = "an axis runs from left to right")]
fn fitting_ticks(fonts: &Fonts, axis: &Axis) -> Vec<(f64, String)> {
    let (left, right) = axis.ends();
    let placed = |most: usize| {
        let ticks = axis.ticks(most).into_iter();
        ticks.map(|(value, text)| (axis.at(value), text)).collect::<Vec<_>>()
    };
    let ends = |tick: &(f64, String)| {
        let half = fonts.width(&tick.1, SMALL, false) / 2.0;
        (tick.0 - half, tick.0 + half)
    };
    let within = |tick: &(f64, String)| ends(tick).0 > left - 9.0 && ends(tick).1 < right + 9.0;
    let apart = |pair: &[(f64, String)]| ends(&pair[1]).0 > ends(&pair[0]).1 + 6.0;
    let fit = |ticks: &Vec<_>| ticks.windows(2).all(apart) && ticks.iter().all(within);
    let most = ((right - left) / 28.0).min(9.0) as usize;
    let found = (2..=most.max(2)).rev().map(placed).find(fit);
    // One tick is better than none where texts are long and the panel is narrow.
    found.unwrap_or_else(|| placed(2).into_iter().filter(within).take(1).collect())
}

/// Right end of a label column just wide enough, but no wider than `most`.
pub(super) fn label_column(fonts: &Fonts, rows: &[Row], most: f64) -> f64 {
    let lines = rows.iter().flat_map(|row| &row.lines);
    let widest = lines.map(|line| fonts.width(line, SMALL, false)).fold(80.0, f64::max);
    (MARGIN + widest + 14.0).min(most)
}

/// Shaded bands with their labels at the left; answers top and bottom of each.
pub(super) fn rows(
    picture: &mut Picture,
    rows: &[Row],
    top: f64,
    (labels_end, right): (f64, f64),
) -> Vec<(f64, f64)> {
    let mut y = top;
    let mut bands = Vec::new();
    for (i, row) in rows.iter().enumerate() {
        let bottom = y + row.height;
        if i % 2 == 0 {
            picture.rect((MARGIN, y), (right, bottom), BAND);
        }
        let middle = f64::midpoint(y, bottom);
        let first = middle - (row.lines.len() as f64 - 1.0) / 2.0 * (LINE - 1.0);
        for (line, text) in row.lines.iter().enumerate() {
            let at = (labels_end, centred(first + line as f64 * (LINE - 1.0), SMALL));
            picture.text(at, style(SMALL, INK, Anchor::End), text);
        }
        bands.push((y, bottom));
        y = bottom;
    }
    bands
}

/// Height a row needs for its label.
pub(super) fn label_height(lines: usize) -> f64 {
    lines as f64 * (LINE - 1.0) + 8.0
}

/// Words into lines as wide as the paper allows.
fn paragraph(fonts: &Fonts, text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        let joined = lines.last().map(|line| format!("{line} {word}"));
        match (joined, lines.last_mut()) {
            (Some(joined), Some(last))
                if fonts.width(&joined, SMALL, false) <= WIDTH - 2.0 * MARGIN =>
            {
                *last = joined;
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// Entries side by side, wrapped at the right margin; answers the last baseline.
fn flow(picture: &mut Picture, fonts: &Fonts, legend: &Legend, baseline: f64) -> f64 {
    let (mut x, mut y) = (MARGIN, baseline);
    picture.text((x, y), bold(SMALL, INK, Anchor::Start), legend.word);
    x += fonts.width(legend.word, SMALL, true) + 12.0;
    let begin = x;
    for entry in &legend.entries {
        let text = fonts.fitted(&entry.text, LABEL, WIDTH - MARGIN - begin - 24.0);
        let width = 24.0 + fonts.width(&text, LABEL, false);
        if x + width > WIDTH - MARGIN && x > begin {
            (x, y) = (begin, y + LINE + 2.0);
        }
        let at: Point = (x + 9.0, y - 0.36 * LABEL);
        draw_marker(picture, entry.marker, at, entry.colour);
        picture.text((x + 22.0, y), style(LABEL, INK, Anchor::Start), &text);
        x += width + 16.0;
    }
    y
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tick_texts_stay_apart_on_narrow_axes() {
        let fonts = Fonts::embedded().unwrap();
        let axes = [Axis::linear(0.0, 90_000.0), Axis::log(1e-4, 9e5), Axis::linear(0.0, 1.0)];
        for axis in
            axes.into_iter().flat_map(|a| [90.0, 140.0, 600.0].map(|w| a.on(50.0, 50.0 + w)))
        {
            let ticks = fitting_ticks(&fonts, &axis);
            assert!(!ticks.is_empty(), "{axis:?}");
            let half = |text: &str| fonts.width(text, SMALL, false) / 2.0;
            for pair in ticks.windows(2) {
                let gap = pair[1].0 - pair[0].0 - half(&pair[0].1) - half(&pair[1].1);
                assert!(gap > 5.0, "{pair:?} on {axis:?}");
            }
        }
    }

    #[test]
    fn labels_wrap_at_pieces_and_shorten_what_does_not_fit() {
        let fonts = Fonts::embedded().unwrap();
        let pieces = ["ternary2 (b158)", "x int8 (absmax)", "m=1 k=4096 n=4096"].map(str::to_owned);
        let one = fonts.wrapped(&pieces, SMALL, 500.0);
        assert_eq!(one, ["ternary2 (b158) x int8 (absmax), m=1 k=4096 n=4096"]);
        let three = fonts.wrapped(&pieces, SMALL, 125.0);
        assert_eq!(three, pieces);
        let short = fonts.fitted("encoder.layer.0.attention.self.query.weight", SMALL, 120.0);
        assert!(short.contains('…') && fonts.width(&short, SMALL, false) <= 120.0, "{short}");
        assert!(short.starts_with("encoder") && short.ends_with("weight"), "{short}");
    }
}
