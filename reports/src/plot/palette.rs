//! Colours and markers that stay apart for colour-blind readers and in grey print.
use super::picture::{Picture, Point, Stroke};

/// An opaque colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Colour(pub u8, pub u8, pub u8);

pub(super) const INK: Colour = Colour(0x1a, 0x1a, 0x1a);
pub(super) const SOFT: Colour = Colour(0x5c, 0x5c, 0x5c);
pub(super) const GRID: Colour = Colour(0xdd, 0xdd, 0xdd);
pub(super) const BAND: Colour = Colour(0xf5, 0xf5, 0xf5);
pub(super) const ALLOWED: Colour = Colour(0xe0, 0xf1, 0xec);
pub(super) const WHITE: Colour = Colour(0xff, 0xff, 0xff);
pub(super) const GOOD: Colour = Colour(0x00, 0x7a, 0x59);
pub(super) const BAD: Colour = Colour(0xb8, 0x4a, 0x00);
const OTHERS: Colour = Colour(0x99, 0x99, 0x99);

/// Okabe and Ito's colours, those that carry on white first, then two of Tol's.
const CATEGORIES: [Colour; 9] = [
    Colour(0x00, 0x72, 0xb2),
    Colour(0xd5, 0x5e, 0x00),
    Colour(0x00, 0x9e, 0x73),
    Colour(0xcc, 0x79, 0xa7),
    Colour(0xe6, 0x9f, 0x00),
    Colour(0x56, 0xb4, 0xe9),
    Colour(0x1a, 0x1a, 0x1a),
    Colour(0x88, 0x22, 0x55),
    Colour(0x99, 0x99, 0x33),
];

/// Shades of our rows.
pub(super) const OURS: [Colour; 4] = [
    Colour(0x5f, 0xb4, 0xe5),
    Colour(0x1f, 0x83, 0xc9),
    Colour(0x00, 0x3f, 0x7d),
    Colour(0x4a, 0x4a, 0x8f),
];

/// Shades of everybody else's.
pub(super) const PEERS: [Colour; 6] = [
    Colour(0xb8, 0x3b, 0x00),
    Colour(0xe6, 0x9f, 0x00),
    Colour(0x88, 0x22, 0x55),
    Colour(0xe8, 0x70, 0x3a),
    Colour(0x80, 0x5a, 0x10),
    Colour(0xcc, 0x79, 0xa7),
];

/// The `index`th shade; all later ones share the last.
pub(super) fn shade(shades: &[Colour], index: usize) -> Colour {
    shades.get(index).or(shades.last()).copied().unwrap_or(OTHERS)
}

/// Categories with a colour of their own; all later ones share a grey.
pub(super) const COLOURS: usize = CATEGORIES.len();

/// Colour of the `index`th category.
pub(super) fn category(index: usize) -> Colour {
    CATEGORIES.get(index).copied().unwrap_or(OTHERS)
}

/// Shape of a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Marker {
    Disc,
    Ring,
    Square,
    Triangle,
    Down,
    Diamond,
    Cross,
    Plus,
    /// A rectangle of a stacked bar.
    Swatch,
    /// A vertical line.
    Tick,
    /// A dashed horizontal line.
    Dashes,
}

/// Shapes of made-up data, filled.
pub(super) const FILLED: [Marker; 5] =
    [Marker::Disc, Marker::Triangle, Marker::Square, Marker::Diamond, Marker::Down];

/// Shapes of real data, open.
pub(super) const OPEN: [Marker; 3] = [Marker::Cross, Marker::Plus, Marker::Ring];

/// Draw a marker about 8 pixels across.
pub(super) fn draw_marker(picture: &mut Picture, marker: Marker, at: Point, colour: Colour) {
    let (x, y) = at;
    let stroke = Stroke { colour, width: 2.0, dashed: false };
    let mut polygon = |corners: &[Point]| {
        picture.polygon(corners.iter().map(|(dx, dy)| (x + dx, y + dy)).collect(), colour);
    };
    match marker {
        Marker::Disc => picture.disc(at, 4.0, colour),
        Marker::Ring => {
            picture.disc(at, 4.25, colour);
            picture.disc(at, 2.25, WHITE);
        }
        Marker::Square => polygon(&[(-3.6, -3.6), (3.6, -3.6), (3.6, 3.6), (-3.6, 3.6)]),
        Marker::Triangle => polygon(&[(-4.5, 3.6), (0.0, -4.6), (4.5, 3.6)]),
        Marker::Down => polygon(&[(-4.5, -3.6), (0.0, 4.6), (4.5, -3.6)]),
        Marker::Diamond => polygon(&[(-4.8, 0.0), (0.0, -4.8), (4.8, 0.0), (0.0, 4.8)]),
        Marker::Cross => {
            picture.line((x - 3.6, y - 3.6), (x + 3.6, y + 3.6), stroke);
            picture.line((x - 3.6, y + 3.6), (x + 3.6, y - 3.6), stroke);
        }
        Marker::Plus => {
            picture.line((x - 4.6, y), (x + 4.6, y), stroke);
            picture.line((x, y - 4.6), (x, y + 4.6), stroke);
        }
        Marker::Swatch => picture.rect((x - 6.0, y - 5.0), (x + 6.0, y + 5.0), colour),
        Marker::Tick => picture.line((x, y - 6.0), (x, y + 6.0), stroke),
        Marker::Dashes => {
            let stroke = Stroke { colour, width: 1.5, dashed: true };
            picture.line((x - 9.0, y), (x + 9.0, y), stroke);
        }
    }
}
