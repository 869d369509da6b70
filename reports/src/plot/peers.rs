//! Our rows beside their peers: time, rate and share of the roof of every case that has a goal.
//!
//! A chart per number of threads; a band per case and cache state, a line in it per kernel. Ours
//! are blue discs, peers are orange diamonds; the roof is a line, a goal a ring on its row's line.
use super::Chart;
use super::axis::Axis;
use super::font::Fonts;
use super::frame::{
    Entry, Legend, MARGIN, Row, SMALL, WIDTH, header, label_column, label_height, panel, rows,
    solid,
};
use super::palette::{Colour, GOOD, INK, Marker, OURS, PEERS, draw_marker, shade};
use super::picture::Picture;
use crate::goals::{Goal, Of, Subject};
use crate::label::{Labels, distinct};
use crate::record::{Cache, Clock, Record, Verdict};
use crate::summary::RunInfo;
use crate::units::count;

/// Bands a page has room for.
const BANDS: usize = 30;
/// Where the label column ends at the latest.
const LABELS_END: f64 = 230.0;
/// Space between panels.
const GAP: f64 = 18.0;
/// Height of a kernel's line.
const SLOT: f64 = 12.0;

/// What a panel shows: its title, its unit, and a value from a record and a time in nanoseconds.
struct Quantity {
    title: &'static str,
    unit: &'static str,
    value: fn(&Record, f64) -> Option<f64>,
}

const QUANTITIES: [Quantity; 3] = [
    Quantity { title: "time", unit: "µs", value: |_, ns| Some(ns / 1e3) },
    Quantity { title: "rate", unit: "GOPS, or GB/s", value: |r, ns| Some(amount(r)? / ns) },
    Quantity {
        title: "share of the roof",
        unit: "1 is the roof",
        value: |r, ns| Some(r.roof.as_ref()?.roof_ns / ns),
    },
];

/// Operations, or bytes where there are none; divided by nanoseconds they are GOPS or GB/s.
fn amount(record: &Record) -> Option<f64> {
    let work = record.work?;
    let bytes = work.bytes_read + work.bytes_written;
    Some(if work.macs > 0 { 2.0 * work.macs as f64 } else { bytes as f64 })
}

/// One chart for each number of threads; none without goals.
pub(super) fn charts(records: &[Record], run: &RunInfo, fonts: &Fonts) -> Vec<Chart> {
    let wanted = |r: &&Record| {
        run.goals.iter().any(|goal| goal.subject.case == r.case)
            && [Verdict::Passed, Verdict::Mistrusted].contains(&r.verdict)
            && r.clock == Some(Clock::Wall)
            && amount(r).is_some_and(|amount| amount > 0.0)
    };
    let shown: Vec<&Record> = records.iter().filter(wanted).collect();
    let mut threads = distinct(shown.iter().filter_map(|r| r.threads));
    threads.sort_unstable();
    let of = |threads| {
        let shown: Vec<&Record> =
            shown.iter().copied().filter(|r| r.threads == Some(threads)).collect();
        Peers { run, records, threads, bands: bands(&shown), shown }.draw(fonts)
    };
    threads.into_iter().filter_map(of).collect()
}

/// A case in a cache state.
type Band<'a> = (&'a str, Option<Cache>);

fn bands<'a>(shown: &[&'a Record]) -> Vec<Band<'a>> {
    let mut bands = distinct(shown.iter().map(|r| (r.case.as_str(), r.cache)));
    bands.truncate(BANDS);
    bands
}

struct Peers<'a> {
    run: &'a RunInfo,
    records: &'a [Record],
    threads: u32,
    shown: Vec<&'a Record>,
    bands: Vec<Band<'a>>,
}

impl Peers<'_> {
    fn draw(&self, fonts: &Fonts) -> Option<Chart> {
        let threads = count(self.threads as usize, "thread");
        let title = format!("Our rows beside their peers, {threads}");
        let mut picture = Picture::new(WIDTH);
        let notes = [
            "Medians of one run. The black line is the roof: the fastest this machine could be, by peaks of \
             the same run. A ring is a goal of the row on its line.".to_owned(),
        ];
        let top = header(&mut picture, fonts, (&title, &notes), &self.legends()) + 18.0;
        let label_rows: Vec<Row> = self.bands.iter().map(|band| self.label(fonts, *band)).collect();
        let labels_end = label_column(fonts, &label_rows, LABELS_END);
        let ends = rows(&mut picture, &label_rows, top, (labels_end - 10.0, WIDTH - MARGIN));
        let bottom = ends.last()?.1;
        let room = (WIDTH - MARGIN - labels_end + GAP) / QUANTITIES.len() as f64;
        for (i, quantity) in QUANTITIES.iter().enumerate() {
            let left = labels_end + i as f64 * room;
            let axis = self.axis(quantity).on(left, left + room - GAP);
            let titles = (quantity.title, quantity.unit);
            panel(&mut picture, fonts, &axis, (top, bottom), titles);
            for (band, ends) in self.bands.iter().zip(&ends) {
                self.band(&mut picture, (&axis, quantity), *band, *ends);
            }
        }
        picture.height = bottom + 36.0 + MARGIN;
        let name = format!("peers_{}", threads.replace(' ', "_"));
        Some(Chart { name, title, picture })
    }

    fn label(&self, fonts: &Fonts, (case, cache): Band) -> Row {
        let of_case = self.shown.iter().find(|r| r.case == case);
        let op = of_case.map_or("", |r| r.op.as_str());
        let alike = self.shown.iter().copied().filter(|r| r.op == op);
        let mut pieces = vec![op.to_owned()];
        pieces.extend(of_case.map(|r| Labels::new(alike).pieces(r)).unwrap_or_default());
        pieces.extend(cache.map(|cache| match cache {
            Cache::Hot => "hot".to_owned(),
            Cache::Cold => "cold".to_owned(),
        }));
        let lines = fonts.wrapped(&pieces, SMALL, LABELS_END - MARGIN - 14.0);
        let height =
            label_height(lines.len()).max(self.lines((case, cache)).len() as f64 * SLOT + 10.0);
        Row { lines, height }
    }

    /// The records of a band, ours before peers.
    fn lines(&self, (case, cache): Band) -> Vec<&Record> {
        let of_band = self.shown.iter().copied().filter(|r| r.case == case && r.cache == cache);
        let mut lines: Vec<&Record> = of_band.collect();
        lines.sort_by_key(|r| self.place(&r.kernel));
        lines
    }

    /// The marks of one band in one panel.
    fn band(
        &self,
        picture: &mut Picture,
        (axis, quantity): (&Axis, &Quantity),
        band: Band,
        (top, bottom): (f64, f64),
    ) {
        let lines = self.lines(band);
        let first = f64::midpoint(top, bottom) - lines.len() as f64 * SLOT / 2.0;
        for (i, record) in lines.into_iter().enumerate() {
            let y = first + (i as f64 + 0.5) * SLOT;
            let at = |ns: f64| Some((axis.at((quantity.value)(record, ns)?), y));
            if let Some((x, y)) = record.roof.as_ref().and_then(|roof| at(roof.roof_ns)) {
                picture.line((x, y - SLOT / 2.0), (x, y + SLOT / 2.0), solid(INK, 2.0));
            }
            for goal in self.run.goals.iter().filter(|goal| is(&goal.subject, record)) {
                if let Some(point) = self.allowed_ns(goal, record).and_then(at) {
                    draw_marker(picture, Marker::Ring, point, GOOD);
                }
            }
            let (marker, colour) = self.mark(&record.kernel);
            let point = record.median_ns().and_then(at);
            point.into_iter().for_each(|point| draw_marker(picture, marker, point, colour));
        }
    }

    /// The longest time with which a goal is met.
    fn allowed_ns(&self, goal: &Goal, record: &Record) -> Option<f64> {
        let of_ns = match &goal.of {
            Of::Limit(name) => {
                let roof = record.roof.as_ref()?;
                if name == "roof" { roof.roof_ns } else { *roof.limits_ns.get(name)? }
            }
            Of::Subject(other) => self.records.iter().find(|r| is(other, r))?.median_ns()?,
        };
        Some(of_ns / goal.at_least)
    }

    fn axis(&self, quantity: &Quantity) -> Axis {
        let times = self.shown.iter().flat_map(|r| {
            let roof = r.roof.as_ref().map(|roof| roof.roof_ns);
            let goals = self.run.goals.iter().filter(|goal| is(&goal.subject, r));
            let goals = goals.filter_map(|goal| self.allowed_ns(goal, r));
            let times = r.median_ns().into_iter().chain(roof).chain(goals);
            times.filter_map(|ns| (quantity.value)(r, ns)).collect::<Vec<_>>()
        });
        Axis::for_rates(times.collect::<Vec<_>>())
    }

    /// Whether a kernel is a peer, and its place among its kind.
    fn place(&self, kernel: &str) -> (bool, usize) {
        let peer = |kernel: &str| self.run.peers.iter().any(|peer| peer == kernel);
        let kernels = distinct(self.shown.iter().map(|r| r.kernel.as_str()));
        let mut alike = kernels.into_iter().filter(|other| peer(other) == peer(kernel));
        (peer(kernel), alike.position(|other| other == kernel).unwrap_or(0))
    }

    fn mark(&self, kernel: &str) -> (Marker, Colour) {
        match self.place(kernel) {
            (false, i) => (Marker::Disc, shade(&OURS, i)),
            (true, i) => (Marker::Diamond, shade(&PEERS, i)),
        }
    }

    fn legends(&self) -> [Legend; 3] {
        let entries = |peers: bool| {
            let kernels = distinct(self.shown.iter().map(|r| r.kernel.clone()));
            let kernels = kernels.into_iter().filter(|kernel| self.place(kernel).0 == peers);
            let entry = |text: String| {
                let (marker, colour) = self.mark(&text);
                Entry { marker, colour, text }
            };
            kernels.map(entry).collect()
        };
        let extra = |marker, colour, text: &str| Entry { marker, colour, text: text.to_owned() };
        let marks = vec![extra(Marker::Tick, INK, "roof"), extra(Marker::Ring, GOOD, "goal")];
        [
            Legend { word: "ours", entries: entries(false) },
            Legend { word: "peers", entries: entries(true) },
            Legend { word: "marks", entries: marks },
        ]
    }
}

fn is(subject: &Subject, record: &Record) -> bool {
    let Subject { case, kernel, threads, cache } = subject;
    (&record.case, &record.kernel, record.threads, record.cache)
        == (case, kernel, Some(*threads), Some(*cache))
        && record.clock == Some(Clock::Wall)
}
