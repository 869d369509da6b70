//! The charts' font: embedded, so that a chart is the same on every machine.
//!
//! Text in PNGs is rasterized here and not by plotters, whose `ab_glyph` support keeps a
//! process-wide font table and drops side bearings, which spaces letters unevenly.
use crate::ReportError;
use ab_glyph::{Font, FontRef, PxScale, ScaleFont, point};

/// CSS families of the SVG text: the embedded font where it is installed, else a generic one.
pub(super) const FAMILY: &str = "Inter, Helvetica, Arial, sans-serif";

static REGULAR: &[u8] = include_bytes!("../../assets/Inter-Regular.otf");
static BOLD: &[u8] = include_bytes!("../../assets/Inter-Bold.otf");

/// Both weights of the embedded font.
pub(super) struct Fonts {
    regular: FontRef<'static>,
    bold: FontRef<'static>,
}

impl Fonts {
    /// Parse the embedded files.
    pub(super) fn embedded() -> Result<Fonts, ReportError> {
        let regular = FontRef::try_from_slice(REGULAR)?;
        Ok(Fonts { regular, bold: FontRef::try_from_slice(BOLD)? })
    }

    /// Width of a line of text set at `em` pixels.
    pub(super) fn width(&self, text: &str, em: f64, bold: bool) -> f64 {
        let font = self.face(bold).into_scaled(self.scale(em, bold));
        text.chars().map(|c| f64::from(font.h_advance(font.glyph_id(c)))).sum()
    }

    /// Coverage of a line of text whose baseline begins at the origin: `(x, y, coverage)`.
    pub(super) fn rasterize(
        &self,
        text: &str,
        (em, bold): (f64, bool),
        mut pixel: impl FnMut(i32, i32, f32),
    ) {
        let scale = self.scale(em, bold);
        let font = self.face(bold).into_scaled(scale);
        let mut x = 0.0;
        for c in text.chars() {
            let id = font.glyph_id(c);
            let glyph = id.with_scale_and_position(scale, point(x, 0.0));
            x += font.h_advance(id);
            let Some(outline) = self.face(bold).outline_glyph(glyph) else { continue };
            let corner = outline.px_bounds().min;
            // Bounds are whole pixels, and charts are far smaller than 2^31 of them.
            let (left, top) = (corner.x as i32, corner.y as i32);
            outline.draw(|dx, dy, coverage| {
                pixel(left.saturating_add_unsigned(dx), top.saturating_add_unsigned(dy), coverage);
            });
        }
    }

    /// The longest beginning and end of `text` that fit, joined by an ellipsis.
    pub(super) fn fitted(&self, text: &str, em: f64, width: f64) -> String {
        let letters: Vec<char> = text.chars().collect();
        let cut = |kept: usize| -> String {
            let (head, tail) = (kept / 2, kept - kept / 2);
            let parts = [&letters[..head], &['…'], &letters[letters.len() - tail..]];
            parts.concat().into_iter().collect()
        };
        if self.width(text, em, false) <= width {
            return text.to_owned();
        }
        let fits = |kept: &usize| self.width(&cut(*kept), em, false) <= width;
        cut((0..letters.len()).rev().find(fits).unwrap_or(0))
    }

    /// Pieces joined by commas into lines no wider than `width`.
    pub(super) fn wrapped(&self, pieces: &[String], em: f64, width: f64) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        for piece in pieces {
            let joined = lines.last().map(|line| {
                let comma = if piece.starts_with("x ") { " " } else { ", " };
                format!("{line}{comma}{piece}")
            });
            match (joined, lines.last_mut()) {
                (Some(joined), Some(last)) if self.width(&joined, em, false) <= width => {
                    *last = joined;
                }
                _ => lines.push(self.fitted(piece, em, width)),
            }
        }
        lines
    }

    fn face(&self, bold: bool) -> &FontRef<'static> {
        if bold { &self.bold } else { &self.regular }
    }

    /// `ab_glyph` scales the height from descender to ascender, CSS scales the em.
    fn scale(&self, em: f64, bold: bool) -> PxScale {
        let face = self.face(bold);
        let units = face.units_per_em().unwrap_or_else(|| face.height_unscaled());
        PxScale::from(em as f32 * face.height_unscaled() / units)
    }
}
