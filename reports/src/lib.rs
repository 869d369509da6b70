//! Records and what is drawn from them. Knows no kernel: last year's run from another machine
//! must still plot.
use std::path::{Path, PathBuf};

pub mod coverage;
pub mod csv;
pub mod goals;
pub mod label;
pub mod plot;
pub mod record;
pub mod rounds;
pub mod rule_costs;
pub mod stats;
pub mod summary;
pub mod table;
pub mod tightness;
pub mod units;

pub use record::Record;
pub use summary::{PeakLine, RunInfo};

/// Why a report could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// A file or folder could not be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The CSV writer refused a row.
    #[error("cannot write CSV: {0}")]
    Csv(#[from] ::csv::Error),
    /// The embedded font could not be read.
    #[error("the embedded font is not usable: {0}")]
    Font(#[from] ab_glyph::InvalidFont),
    /// A chart could not be drawn.
    #[error("cannot draw a chart: {message}")]
    Draw {
        /// What the drawing library said.
        message: String,
    },
    /// A chart could not be encoded as PNG.
    #[error("cannot encode a PNG: {0}")]
    Png(#[from] png::EncodingError),
}

/// Write `results.csv`, `samples.csv`, `goals.csv` where there are goals, `summary.md` and `charts/`
/// into an existing folder.
///
/// Answers the files written, in that order.
pub fn write_report(
    folder: &Path,
    run: &RunInfo,
    records: &[Record],
) -> Result<Vec<PathBuf>, ReportError> {
    let mut charts = plot::peer_charts(records, run)?;
    charts.extend(plot::charts(records)?);
    let goals = goals::outcomes(&run.goals, records);
    let mut written = Vec::new();
    let mut save = |path: PathBuf, bytes: &[u8]| {
        let result = std::fs::write(&path, bytes);
        result.map_err(|source| ReportError::Write { path: path.clone(), source })?;
        written.push(path);
        Ok::<(), ReportError>(())
    };
    save(folder.join("results.csv"), csv::results_csv(records)?.as_bytes())?;
    save(folder.join("samples.csv"), csv::samples_csv(records)?.as_bytes())?;
    if !goals.is_empty() {
        save(folder.join("goals.csv"), goals::goals_csv(&goals)?.as_bytes())?;
    }
    save(folder.join("summary.md"), summary::summary_md(run, records, &charts).as_bytes())?;
    let charts_folder = folder.join("charts");
    if !charts.is_empty() {
        let made = std::fs::create_dir_all(&charts_folder);
        made.map_err(|source| ReportError::Write { path: charts_folder.clone(), source })?;
    }
    for chart in &charts {
        save(charts_folder.join(format!("{}.svg", chart.name)), chart.svg()?.as_bytes())?;
        save(charts_folder.join(format!("{}.png", chart.name)), &chart.png()?)?;
    }
    Ok(written)
}
