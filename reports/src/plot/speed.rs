//! Speed of every kernel row with its interval and the roof: a dot plot for each op.
//!
//! Cases are bands, kernels are lines in a band, thread counts and cache states are panels with
//! one shared axis, so all comparisons are along a horizontal line or within one panel.
use super::Chart;
use super::axis::Axis;
use super::font::Fonts;
use super::frame::{
    Entry, Legend, MARGIN, Row, SMALL, WIDTH, header, label_column, label_height, panel, rows,
    solid,
};
use super::palette::{COLOURS, INK, Marker, SOFT, category, draw_marker};
use super::picture::Picture;
use crate::label::{Labels, distinct};
use crate::record::{Cache, Clock, Record, Verdict};
use crate::units::count;
use std::cmp::Reverse;

/// Cases a page has room for.
const CASES: usize = 12;
/// Panels a page has room for.
const PANELS: usize = 4;
/// Where the label column ends at the latest, beside few panels and beside many.
const LABELS_END: [f64; 2] = [290.0, 215.0];
/// Space between panels.
const GAP: f64 = 18.0;
/// Height of a kernel's line.
const SLOT: f64 = 12.0;

/// Thread count and cache state: one panel.
type Facet = (Option<u32>, Option<Cache>);
/// Kernel and clock: one line of a band.
type Slot<'a> = (usize, &'a str, Option<Clock>);

/// One chart for each op with measured rows.
pub(super) fn charts(records: &[Record], fonts: &Fonts) -> Vec<Chart> {
    let kernels = distinct(records.iter().map(|r| r.kernel.as_str()));
    let ops = distinct(records.iter().map(|r| r.op.as_str()));
    ops.into_iter().filter_map(|op| Speed::new(op, records, &kernels)?.draw(fonts)).collect()
}

/// What one chart shows.
struct Speed<'a> {
    op: &'a str,
    unit: &'static str,
    kernels: &'a [&'a str],
    shown: Vec<&'a Record>,
    cases: Vec<&'a str>,
    facets: Vec<Facet>,
    left_out: Vec<String>,
}

impl<'a> Speed<'a> {
    fn new(op: &'a str, records: &'a [Record], kernels: &'a [&'a str]) -> Option<Speed<'a>> {
        let drawable = [Verdict::Passed, Verdict::Mistrusted];
        let mut shown: Vec<&Record> = records
            .iter()
            .filter(|r| r.op == op && drawable.contains(&r.verdict) && r.gbps().is_some())
            .collect();
        if shown.is_empty() {
            return None;
        }
        let counted = shown.iter().any(|r| r.gops().is_some());
        let unit = if counted { "GOPS" } else { "GB/s" };
        shown.retain(|r| amount(r, unit) > 0.0);
        let (all_cases, all_facets) = (cases(&shown), facets(&shown));
        let chosen_cases = choose_cases(&shown, &all_cases);
        let chosen_facets = choose_facets(&all_facets);
        shown.retain(|r| {
            chosen_cases.contains(&r.case.as_str()) && chosen_facets.contains(&facet(r))
        });
        let mut left_out = Vec::new();
        if chosen_cases.len() < all_cases.len() {
            left_out.push(format!(
                "{} of {} shown (those with the most work, then the most kernels); all are in results.csv.",
                chosen_cases.len(),
                count(all_cases.len(), "case"),
            ));
        }
        if chosen_facets.len() < all_facets.len() {
            left_out.push(
                "Thread counts between the least and the most are in results.csv.".to_owned(),
            );
        }
        Some(Speed {
            op,
            unit,
            kernels,
            shown,
            cases: chosen_cases,
            facets: chosen_facets,
            left_out,
        })
    }

    fn draw(&self, fonts: &Fonts) -> Option<Chart> {
        let labels = Labels::new(self.shown.iter().copied());
        let title = format!("Speed of {} by kernel", self.op);
        let mut picture = Picture::new(WIDTH);
        let notes = self.notes(&labels);
        let top = header(&mut picture, fonts, (&title, &notes), &[self.legend()]) + 18.0;
        let widest = LABELS_END[usize::from(self.facets.len() > 2)];
        let slots: Vec<Vec<Slot>> = self.cases.iter().map(|case| self.slots(case)).collect();
        let label_rows: Vec<Row> = self
            .cases
            .iter()
            .zip(&slots)
            .map(|(case, slots)| {
                let record = self.shown.iter().find(|r| r.case == *case);
                let pieces = record.map(|r| labels.pieces(r)).unwrap_or_default();
                let lines = fonts.wrapped(&pieces, SMALL, widest - MARGIN - 14.0);
                let height = label_height(lines.len()).max(slots.len() as f64 * SLOT + 10.0);
                Row { lines, height }
            })
            .collect();
        let labels_end = label_column(fonts, &label_rows, widest);
        let bands = rows(&mut picture, &label_rows, top, (labels_end - 10.0, WIDTH - MARGIN));
        let bottom = bands.last()?.1;
        let panels = self.facets.len() as f64;
        let room = (WIDTH - MARGIN - labels_end + GAP) / panels;
        let axis = self.axis();
        for (i, facet) in self.facets.iter().enumerate() {
            let left = labels_end + i as f64 * room;
            let axis = axis.on(left, left + room - GAP);
            panel(&mut picture, fonts, &axis, (top, bottom), (&facet_name(*facet), self.unit));
            for ((case, slots), ends) in self.cases.iter().zip(&slots).zip(&bands) {
                self.band(&mut picture, &axis, (*facet, case, slots), *ends);
            }
        }
        picture.height = bottom + 36.0 + MARGIN;
        Some(Chart { name: format!("speed_{}", self.op), title, picture })
    }

    /// The marks of one case in one panel.
    fn band(
        &self,
        picture: &mut Picture,
        axis: &Axis,
        (wanted, case, slots): (Facet, &str, &[Slot]),
        (top, bottom): (f64, f64),
    ) {
        let first = f64::midpoint(top, bottom) - slots.len() as f64 * SLOT / 2.0;
        for (i, &(index, kernel, clock)) in slots.iter().enumerate() {
            let y = first + (i as f64 + 0.5) * SLOT;
            let here = |r: &&&Record| r.case == case && r.kernel == kernel && r.clock == clock;
            for record in self.shown.iter().filter(here).filter(|r| facet(r) == wanted) {
                let Some(timing) = &record.timing else { continue };
                let amount = amount(record, self.unit);
                if let Some(roof) = &record.roof {
                    let x = axis.at(amount / roof.roof_ns);
                    picture.line((x, y - SLOT / 2.0), (x, y + SLOT / 2.0), solid(INK, 2.0));
                }
                let colour = category(index);
                let (low, high) =
                    (axis.at(amount / timing.high_ns), axis.at(amount / timing.low_ns));
                picture.line((low, y), (high, y), solid(colour, 2.0));
                draw_marker(
                    picture,
                    marker(record),
                    (axis.at(amount / timing.median_ns), y),
                    colour,
                );
            }
        }
    }

    fn axis(&self) -> Axis {
        let values = self.shown.iter().flat_map(|r| {
            let amount = amount(r, self.unit);
            let ends = r.timing.as_ref().map(|t| [amount / t.low_ns, amount / t.high_ns]);
            let roof = r.roof.as_ref().map(|roof| amount / roof.roof_ns);
            ends.into_iter().flatten().chain(roof)
        });
        Axis::for_rates(values.collect::<Vec<_>>())
    }

    /// Lines of a case's band: its kernels in the legend's order.
    fn slots(&self, case: &str) -> Vec<Slot<'a>> {
        let of_case = self.shown.iter().filter(|r| r.case == case);
        let index =
            |r: &Record| self.kernels.iter().position(|k| *k == r.kernel).unwrap_or(COLOURS);
        let mut slots = distinct(of_case.map(|r| (index(r), r.kernel.as_str(), r.clock)));
        slots.sort_unstable();
        slots
    }

    fn legend(&self) -> Legend {
        let used = |k: &&str| self.shown.iter().any(|r| r.kernel == **k);
        let kernels = self.kernels.iter().enumerate().filter(|(_, k)| used(k));
        let mut entries: Vec<Entry> = kernels
            .map(|(i, k)| Entry {
                marker: Marker::Disc,
                colour: category(i),
                text: (*k).to_owned(),
            })
            .collect();
        let mut extra = |marker, colour, text: &str, wanted: bool| {
            if wanted {
                entries.push(Entry { marker, colour, text: text.to_owned() });
            }
        };
        extra(Marker::Tick, INK, "roof", self.shown.iter().any(|r| r.roof.is_some()));
        let any = |m: Marker| self.shown.iter().any(|r| marker(r) == m);
        extra(Marker::Ring, SOFT, "device clock", any(Marker::Ring));
        extra(Marker::Cross, SOFT, "mistrusted", any(Marker::Cross));
        Legend { word: "kernel", entries }
    }

    fn notes(&self, labels: &Labels) -> Vec<String> {
        let mut notes = vec![
            "Median with 95 % interval, often narrower than the dot. The roof is the fastest this machine \
             could be, by peaks of the same run. A kernel absent from a case did not pass it or does not \
             support it."
                .to_owned(),
        ];
        if !labels.common().is_empty() {
            notes.push(format!("Common to all: {}.", labels.common().join(", ")));
        }
        notes.extend(self.left_out.iter().cloned());
        notes
    }
}

fn cases<'a>(shown: &[&'a Record]) -> Vec<&'a str> {
    distinct(shown.iter().map(|r| r.case.as_str()))
}

fn facets(shown: &[&Record]) -> Vec<Facet> {
    let mut facets = distinct(shown.iter().map(|r| facet(r)));
    facets.sort_unstable();
    facets
}

fn facet(record: &Record) -> Facet {
    (record.threads, record.cache)
}

/// The cases with the most work, then the most kernels, in their original order.
fn choose_cases<'a>(shown: &[&Record], cases: &[&'a str]) -> Vec<&'a str> {
    let weight = |case: &&str| {
        let of_case: Vec<_> = shown.iter().filter(|r| r.case == **case).collect();
        let kernels = distinct(of_case.iter().map(|r| &r.kernel)).len();
        let work = of_case.iter().filter_map(|r| r.work);
        (work.map(|w| w.macs.max(w.bytes_read + w.bytes_written)).max(), kernels)
    };
    let mut ranked = cases.to_vec();
    ranked.sort_by_cached_key(|case| Reverse(weight(case)));
    let mut chosen: Vec<&str> = Vec::new();
    for alike in ranked.chunk_by(|a, b| weight(a) == weight(b)) {
        let room = alike.len().min(CASES - chosen.len());
        // Of cases that weigh the same, take some from everywhere and not the first few.
        chosen.extend((0..room).map(|i| alike[i * alike.len() / room]));
    }
    cases.iter().copied().filter(|case| chosen.contains(case)).collect()
}

/// All panels where they fit; else the least and the most threads.
fn choose_facets(facets: &[Facet]) -> Vec<Facet> {
    if facets.len() <= PANELS {
        return facets.to_vec();
    }
    let threads = distinct(facets.iter().map(|f| f.0));
    let ends = [threads.first().copied(), threads.last().copied()];
    let kept = facets.iter().copied().filter(|f| ends.contains(&Some(f.0)));
    kept.take(PANELS).collect()
}

fn facet_name((threads, cache): Facet) -> String {
    let threads = threads.map(|n| count(n as usize, "thread"));
    let cache = cache.map(|cache| match cache {
        Cache::Hot => "hot".to_owned(),
        Cache::Cold => "cold".to_owned(),
    });
    threads.into_iter().chain(cache).collect::<Vec<_>>().join(", ")
}

/// Operations or bytes; divided by nanoseconds they are GOPS or GB/s.
fn amount(record: &Record, unit: &str) -> f64 {
    let Some(work) = record.work else { return 0.0 };
    if unit == "GOPS" {
        2.0 * work.macs as f64
    } else {
        (work.bytes_read + work.bytes_written) as f64
    }
}

fn marker(record: &Record) -> Marker {
    match (record.verdict, record.clock) {
        (Verdict::Mistrusted, _) => Marker::Cross,
        (_, Some(Clock::Device)) => Marker::Ring,
        _ => Marker::Disc,
    }
}
