//! Charts: pictures made from records alone, each as SVG and PNG from the same shapes.
//!
//! A chart without data is not made. Colours are given by order of first appearance in the
//! records, so a kernel has the same colour in every chart of a run.
mod axis;
mod bytes;
mod error;
mod font;
mod frame;
mod palette;
mod peers;
mod picture;
mod place;
mod quality;
mod rho;
mod speed;

use crate::ReportError;
use crate::record::Record;
use crate::summary::RunInfo;
use font::Fonts;
use picture::Picture;

/// One chart, ready to be written.
pub struct Chart {
    /// File name without extension.
    pub name: String,
    /// Title, also the text shown where the picture cannot be.
    pub title: String,
    picture: Picture,
}

impl Chart {
    /// The chart as an SVG document.
    pub fn svg(&self) -> Result<String, ReportError> {
        self.picture.to_svg()
    }

    /// The chart as a PNG file, two pixels for each of the SVG's.
    pub fn png(&self) -> Result<Vec<u8>, ReportError> {
        self.picture.to_png(&Fonts::embedded()?)
    }

    /// Pairs of texts that overlap, and texts that leave the paper: a legible chart has none.
    pub fn collisions(&self) -> Result<Vec<String>, ReportError> {
        let boxes = self.picture.text_boxes(&Fonts::embedded()?);
        let (width, height) = (self.picture.width, self.picture.height);
        let mut found = Vec::new();
        for (i, (text, a)) in boxes.iter().enumerate() {
            if a.0 < 0.0 || a.1 < 0.0 || a.2 > width || a.3 > height {
                found.push(format!("`{text}` leaves the paper"));
            }
            for (other, b) in &boxes[..i] {
                if a.0 < b.2 && b.0 < a.2 && a.1 < b.3 && b.1 < a.3 {
                    found.push(format!("`{text}` overlaps `{other}`"));
                }
            }
        }
        Ok(found)
    }
}

/// Our rows beside their peers, of a run that has goals.
pub fn peer_charts(records: &[Record], run: &RunInfo) -> Result<Vec<Chart>, ReportError> {
    Ok(peers::charts(records, run, &Fonts::embedded()?))
}

/// Every other chart the records have data for, in the order a reader wants them.
pub fn charts(records: &[Record]) -> Result<Vec<Chart>, ReportError> {
    let fonts = Fonts::embedded()?;
    let mut charts = speed::charts(records, &fonts);
    charts.extend(quality::chart(records, &fonts));
    charts.extend(bytes::chart(records, &fonts));
    charts.extend(rho::chart(records, &fonts));
    charts.extend(error::chart(records, &fonts));
    Ok(charts)
}
