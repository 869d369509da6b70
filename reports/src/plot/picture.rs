//! A picture as a list of shapes: drawn once, then written as SVG or as PNG.
//!
//! Being a list, a picture can be asked where its text is, and tests refuse overlaps.
use super::font::{FAMILY, Fonts};
use super::palette::Colour;
use crate::ReportError;
use plotters::backend::{BitMapBackend, DrawingBackend, SVGBackend};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontDesc, FontFamily, FontStyle, FontTransform, RGBColor, TextStyle};

/// A place in pixels from the upper left corner.
pub(super) type Point = (f64, f64);

/// How a line is drawn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stroke {
    pub colour: Colour,
    pub width: f64,
    pub dashed: bool,
}

/// Which end of a text stands at its point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// How a text is set.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style {
    pub em: f64,
    pub bold: bool,
    pub colour: Colour,
    pub anchor: Anchor,
    /// Reads upwards, for the titles of vertical axes.
    pub upward: bool,
}

#[derive(Clone, Debug)]
enum Shape {
    Line(Point, Point, Colour, f64),
    Rect(Point, Point, Colour),
    Polygon(Vec<Point>, Colour),
    Disc(Point, f64, Colour),
    Text(Point, Style, String),
}

/// Shapes in drawing order, and the size of the paper.
#[derive(Clone, Debug)]
pub(super) struct Picture {
    pub width: f64,
    pub height: f64,
    shapes: Vec<Shape>,
}

/// Where a text lies: left, top, right, bottom.
pub(super) type TextBox = (f64, f64, f64, f64);

/// Device pixels a logical pixel while drawing. plotters takes whole pixels, so the SVG gets a
/// view box this much larger, and the PNG is averaged down to [`PNG_SCALE`], which smooths it.
const FINE: u32 = 4;

/// Device pixels a logical pixel in the PNG: sharp on dense displays and at 200 dpi in print.
const PNG_SCALE: u32 = 2;

impl Picture {
    /// Blank paper; the height may be set when it is known.
    pub(super) fn new(width: f64) -> Picture {
        Picture { width, height: 0.0, shapes: Vec::new() }
    }

    /// A straight line; dashes are cut here so that both outputs have the same ones.
    pub(super) fn line(&mut self, from: Point, to: Point, stroke: Stroke) {
        let Stroke { colour, width, dashed } = stroke;
        if !dashed {
            return self.shapes.push(Shape::Line(from, to, colour, width));
        }
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let length = dx.hypot(dy).max(f64::MIN_POSITIVE);
        let at = |d: f64| (from.0 + dx * d / length, from.1 + dy * d / length);
        let mut begin = 0.0;
        while begin < length {
            let end = (begin + 5.0).min(length);
            self.shapes.push(Shape::Line(at(begin), at(end), colour, width));
            begin += 8.0;
        }
    }

    /// A filled rectangle between two corners.
    pub(super) fn rect(&mut self, from: Point, to: Point, colour: Colour) {
        self.shapes.push(Shape::Rect(from, to, colour));
    }

    /// A filled polygon.
    pub(super) fn polygon(&mut self, corners: Vec<Point>, colour: Colour) {
        self.shapes.push(Shape::Polygon(corners, colour));
    }

    /// A filled circle.
    pub(super) fn disc(&mut self, centre: Point, radius: f64, colour: Colour) {
        self.shapes.push(Shape::Disc(centre, radius, colour));
    }

    /// A line of text with its baseline at `at`.
    pub(super) fn text(&mut self, at: Point, style: Style, text: &str) {
        if !text.is_empty() {
            self.shapes.push(Shape::Text(at, style, text.to_owned()));
        }
    }

    /// Every text and the box its capitals and digits fill.
    pub(super) fn text_boxes(&self, fonts: &Fonts) -> Vec<(String, TextBox)> {
        let texts = self.shapes.iter().filter_map(|shape| match shape {
            Shape::Text(at, style, text) => Some((*at, *style, text)),
            _ => None,
        });
        let boxed = texts.map(|((x, y), style, text)| {
            let width = fonts.width(text, style.em, style.bold);
            let (start, rise) = (-style.shift(width), 0.73 * style.em);
            let bounds = match style.upward {
                false => (x - start, y - rise, x - start + width, y),
                true => (x - rise, y + start - width, x, y + start),
            };
            (text.clone(), bounds)
        });
        boxed.collect()
    }

    /// The picture as an SVG document.
    pub(super) fn to_svg(&self) -> Result<String, ReportError> {
        let mut svg = String::new();
        let mut backend = SVGBackend::with_string(&mut svg, self.device_size());
        let paper = RGBColor(255, 255, 255).to_backend_color();
        let (width, height) = self.device_size();
        let corner = (as_pixel(f64::from(width)), as_pixel(f64::from(height)));
        backend.draw_rect((0, 0), corner, &paper, true).map_err(refused)?;
        for shape in &self.shapes {
            match shape {
                Shape::Text(at, style, text) => svg_text(&mut backend, *at, style, text)?,
                other => paint(&mut backend, other)?,
            }
        }
        backend.present().map_err(refused)?;
        drop(backend);
        let fine = format!("width=\"{width}\" height=\"{height}\"");
        let shown = format!("width=\"{}\" height=\"{}\"", width / FINE, height / FINE);
        Ok(svg.replacen(&fine, &shown, 1))
    }

    /// The picture as a PNG file.
    pub(super) fn to_png(&self, fonts: &Fonts) -> Result<Vec<u8>, ReportError> {
        let (width, height) = self.device_size();
        let mut fine = vec![255_u8; width as usize * height as usize * 3];
        let mut backend = BitMapBackend::with_buffer(&mut fine, (width, height));
        for shape in &self.shapes {
            match shape {
                Shape::Text(at, style, text) => png_text(&mut backend, fonts, (*at, style), text)?,
                other => paint(&mut backend, other)?,
            }
        }
        backend.present().map_err(refused)?;
        drop(backend);
        encode(&averaged(&fine, width, FINE / PNG_SCALE), width / (FINE / PNG_SCALE))
    }

    /// Whole logical pixels, finely divided.
    fn device_size(&self) -> (u32, u32) {
        let whole = |length: f64| as_pixel(length.ceil()).unsigned_abs().max(1) * FINE;
        (whole(self.width), whole(self.height))
    }
}

impl Style {
    /// Where the text begins, relative to its point.
    fn shift(&self, width: f64) -> f64 {
        match self.anchor {
            Anchor::Start => 0.0,
            Anchor::Middle => -width / 2.0,
            Anchor::End => -width,
        }
    }
}

/// Everything but text, which the two outputs set differently.
fn paint<B: DrawingBackend>(backend: &mut B, shape: &Shape) -> Result<(), ReportError> {
    let fill = |c: &Colour| RGBColor(c.0, c.1, c.2).filled();
    let done = match shape {
        Shape::Line(from, to, colour, width) => {
            let width = as_pixel(width * f64::from(FINE)).unsigned_abs().max(1);
            backend.draw_line(fine(*from), fine(*to), &fill(colour).stroke_width(width))
        }
        Shape::Rect(from, to, colour) => {
            backend.draw_rect(fine(*from), fine(*to), &fill(colour), true)
        }
        Shape::Polygon(corners, colour) => {
            backend.fill_polygon(corners.iter().map(|&p| fine(p)), &fill(colour))
        }
        Shape::Disc(centre, radius, colour) => {
            let radius = as_pixel(radius * f64::from(FINE)).unsigned_abs();
            backend.draw_circle(fine(*centre), radius, &fill(colour), true)
        }
        Shape::Text(..) => Ok(()),
    };
    done.map_err(refused)
}

/// plotters' SVG text hangs from its top, 0.76 em above the baseline, and is 1.24 em high.
fn svg_text(
    backend: &mut SVGBackend,
    at: Point,
    style: &Style,
    text: &str,
) -> Result<(), ReportError> {
    let em = style.em * f64::from(FINE);
    let weight = if style.bold { FontStyle::Bold } else { FontStyle::Normal };
    let turn = if style.upward { FontTransform::Rotate270 } else { FontTransform::None };
    let font = FontDesc::new(FontFamily::Name(FAMILY), em * 1.24, weight).transform(turn);
    let h_pos = match style.anchor {
        Anchor::Start => HPos::Left,
        Anchor::Middle => HPos::Center,
        Anchor::End => HPos::Right,
    };
    let colour = RGBColor(style.colour.0, style.colour.1, style.colour.2);
    let set = TextStyle::from(font).color(&colour).pos(Pos::new(h_pos, VPos::Top));
    let drop = 0.76 * style.em;
    let top = if style.upward { (at.0 - drop, at.1) } else { (at.0, at.1 - drop) };
    backend.draw_text(text, &set, fine(top)).map_err(refused)
}

fn png_text(
    backend: &mut BitMapBackend,
    fonts: &Fonts,
    (at, style): (Point, &Style),
    text: &str,
) -> Result<(), ReportError> {
    let em = style.em * f64::from(FINE);
    let shift = as_pixel(style.shift(fonts.width(text, em, style.bold)));
    let (left, baseline) = fine(at);
    let (width, height) = backend.get_size();
    let Colour(r, g, b) = style.colour;
    let mut outcome = Ok(());
    fonts.rasterize(text, (em, style.bold), |x, y, coverage| {
        let along = x + shift;
        let (x, y) =
            if style.upward { (left + y, baseline - along) } else { (left + along, baseline + y) };
        let inside = |v: i32, end: u32| u32::try_from(v).is_ok_and(|v| v < end);
        if outcome.is_ok() && inside(x, width) && inside(y, height) {
            let colour = RGBColor(r, g, b).mix(f64::from(coverage)).to_backend_color();
            outcome = backend.draw_pixel((x, y), colour).map_err(refused);
        }
    });
    outcome
}

/// Mean over squares of `step` by `step` pixels.
fn averaged(fine: &[u8], width: u32, step: u32) -> Vec<u8> {
    let (width, step) = (width as usize, step as usize);
    let rows = fine.len() / (width * 3);
    let mut out = Vec::with_capacity(fine.len() / (step * step));
    for y in (0..rows).step_by(step) {
        for x in (0..width).step_by(step) {
            for channel in 0..3 {
                let row = |dy: usize| ((y + dy) * width + x) * 3 + channel;
                let square = (0..step).flat_map(|dy| (0..step).map(move |dx| (dy, dx)));
                let sum: usize = square.map(|(dy, dx)| usize::from(fine[row(dy) + dx * 3])).sum();
                out.push(u8::try_from(sum / (step * step)).unwrap_or(u8::MAX));
            }
        }
    }
    out
}

fn encode(pixels: &[u8], width: u32) -> Result<Vec<u8>, ReportError> {
    let mut file = Vec::new();
    let rows = pixels.len() / (width as usize * 3);
    let mut encoder = png::Encoder::new(&mut file, width, u32::try_from(rows).unwrap_or(0));
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Default);
    encoder.set_filter(png::FilterType::NoFilter);
    // 96 logical pixels an inch, in pixels a metre.
    let density = 96 * PNG_SCALE * 10_000 / 254;
    let dimensions = png::PixelDimensions { xppu: density, yppu: density, unit: png::Unit::Meter };
    encoder.set_pixel_dims(Some(dimensions));
    encoder.write_header()?.write_image_data(pixels)?;
    Ok(file)
}

fn fine((x, y): Point) -> (i32, i32) {
    (as_pixel(x * f64::from(FINE)), as_pixel(y * f64::from(FINE)))
}

/// The nearest whole pixel; charts are far smaller than the range of `i32`.
fn as_pixel(length: f64) -> i32 {
    length.round() as i32
}

/// plotters does not export the type its backends fail with.
fn refused(error: impl std::error::Error) -> ReportError {
    ReportError::Draw { message: error.to_string() }
}
