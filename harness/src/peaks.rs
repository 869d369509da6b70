//! What this machine can do, measured in the same run as the rows, and the roof of a case.
use lowbit_reference::op::{Arithmetic, Work};
use lowbit_reports::record::{Cache, Roof};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Rate of one probe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rate {
    /// Best of the repetitions: the peak.
    pub best: f64,
    /// Median of the repetitions.
    pub median: f64,
}

impl Rate {
    /// The one with the better best.
    pub fn higher(self, other: Rate) -> Rate {
        if other.best > self.best { other } else { self }
    }
}

/// Rate of reading some lines and writing others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StreamRate {
    /// Lines read a step.
    pub reads: u64,
    /// Lines written a step.
    pub writes: u64,
    /// Bytes read and written, over all threads.
    pub footprint: u64,
    /// Again and again, or with swept caches.
    pub cache: Cache,
    /// Bytes read and written a nanosecond.
    pub rate: Rate,
}

/// Peaks at one number of threads. Rates are 10^9 bytes or operations a second.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Peaks {
    /// Threads.
    pub threads: u32,
    /// Which instructions the probes used.
    pub isa: String,
    /// Reading again and again, by footprint in bytes.
    pub read: Vec<(u64, Rate)>,
    /// Reading once with swept caches, by footprint in bytes.
    pub cold_read: Vec<(u64, Rate)>,
    /// Reading and writing; of each ratio and cache state from the least footprint to the largest.
    #[serde(default)]
    pub streams: Vec<StreamRate>,
    /// Quantizing 64 MiB of f32 to int8 by the largest magnitude of each row of 4,096: bytes read.
    #[serde(default)]
    pub quantize_rows: Rate,
    /// int8 dot products, two operations a multiply-accumulate.
    pub int8_dot: Rate,
    /// f32 fused multiply-adds, two operations each.
    pub f32_fma: Rate,
}

/// A time the work cannot be done in less than, and the peak it comes from.
type Limit = (String, f64);

impl Peaks {
    /// The higher of two measurements, probe by probe.
    pub fn higher(mut self, other: Peaks) -> Peaks {
        let raise = |a: &mut Rate, b: Rate| *a = a.higher(b);
        self.read.iter_mut().zip(other.read).for_each(|(a, b)| raise(&mut a.1, b.1));
        self.cold_read.iter_mut().zip(other.cold_read).for_each(|(a, b)| raise(&mut a.1, b.1));
        let streams = self.streams.iter_mut().zip(other.streams);
        streams.for_each(|(a, b)| raise(&mut a.rate, b.rate));
        raise(&mut self.quantize_rows, other.quantize_rows);
        raise(&mut self.int8_dot, other.int8_dot);
        raise(&mut self.f32_fma, other.f32_fma);
        self
    }

    /// Probed footprint and peak of reading a footprint in a cache state: the best from the largest
    /// probe not above the footprint on, since a smaller one is at least as fast. Cold, the largest
    /// hot probe counts too: it is far beyond all caches.
    pub fn read_rate(&self, footprint: u64, cache: Cache) -> (u64, f64) {
        let rates = |probes: &[(u64, Rate)]| {
            probes.iter().map(|(bytes, rate)| (*bytes, rate.best)).collect::<Vec<_>>()
        };
        match cache {
            Cache::Hot => from_footprint(&rates(&self.read), footprint),
            Cache::Cold => {
                let (_, cold) = from_footprint(&rates(&self.cold_read), footprint);
                (u64::MAX, cold.max(self.read.last().map_or(0.0, |probe| probe.1.best)))
            }
        }
    }

    /// The same for a stream that reads and writes so many lines a step.
    fn stream_rate(&self, lines: (u64, u64), footprint: u64, cache: Cache) -> (u64, f64) {
        let of = |cache: Cache| -> Vec<(u64, f64)> {
            let kind = |s: &&StreamRate| ((s.reads, s.writes), s.cache) == (lines, cache);
            self.streams.iter().filter(kind).map(|s| (s.footprint, s.rate.best)).collect()
        };
        let hot = of(Cache::Hot);
        match cache {
            Cache::Hot => from_footprint(&hot, footprint),
            Cache::Cold => {
                let (_, cold) = from_footprint(&of(Cache::Cold), footprint);
                (u64::MAX, cold.max(hot.last().map_or(0.0, |probe| probe.1)))
            }
        }
    }

    /// What the probed streams say of bytes read and written: a stream that is a part of the work,
    /// so many bytes read and so many written, cannot take longer than all of it. The largest.
    fn stream(&self, work: Work, cache: Cache, caches: CacheSizes) -> Limit {
        let (read, written) = (work.bytes_read as f64, work.bytes_written as f64);
        let footprint = work.bytes_read + work.bytes_written;
        let mut kinds: Vec<(u64, u64)> = self.streams.iter().map(|s| (s.reads, s.writes)).collect();
        kinds.sort_unstable();
        kinds.dedup();
        let probes = kinds.into_iter().map(|kind| {
            let (bytes, rate) = self.stream_rate(kind, footprint, cache);
            (kind, bytes, (kind.0 + kind.1) as f64 / rate)
        });
        let probes: Vec<((u64, u64), u64, f64)> = probes.collect();
        // Nor can a part take longer than a probed stream that it is a part of.
        let at_most = |own: f64, read: f64, written: f64| {
            let whole = |&((r, w), _, step_ns): &(_, _, f64)| {
                (read / r as f64).max(written / w as f64) * step_ns
            };
            probes.iter().map(whole).fold(own, f64::min)
        };
        let parts = probes.iter().map(|&((reads, writes), bytes, step_ns)| {
            let steps = (read / reads as f64).min(written / writes as f64);
            let level = caches.level(bytes, u64::from(self.threads));
            let ns = at_most(steps * step_ns, steps * reads as f64, steps * writes as f64);
            (format!("{level} stream {reads}:{writes}"), ns)
        });
        let (name, ns) = self.reading(work.bytes_read, footprint, cache, caches);
        let read_alone = (name, at_most(ns, read, 0.0));
        parts.fold(read_alone, |most, part| if part.1 > most.1 { part } else { most })
    }

    fn reading(&self, bytes: u64, footprint: u64, cache: Cache, caches: CacheSizes) -> Limit {
        let (probed, rate) = self.read_rate(footprint, cache);
        let level = caches.level(probed, u64::from(self.threads));
        (format!("{level} read"), bytes as f64 / rate)
    }

    /// The shortest time in which the work can be done. With multiply-accumulates: reading what
    /// must be read, writing what must be written (no faster than reading), and the operations.
    /// Without: the streams that are a part of it.
    pub fn roof(
        &self,
        work: Work,
        arithmetic: Arithmetic,
        cache: Cache,
        caches: CacheSizes,
    ) -> Roof {
        let footprint = work.bytes_read + work.bytes_written;
        let operations = 2.0 * work.macs as f64;
        let (int8, f32) = (operations / self.int8_dot.best, operations / self.f32_fma.best);
        let stream = self.stream(work, cache, caches);
        let limits = [
            ("read", self.reading(work.bytes_read, footprint, cache, caches).1),
            ("stream", stream.1),
            ("int8 dot", int8),
            ("f32 FMA", f32),
            ("quantize rows", work.bytes_read as f64 / self.quantize_rows.best),
        ];
        let (name, compute_ns) = match arithmetic.integer {
            true => ("int8 dot", int8),
            false => ("f32 FMA", f32),
        };
        let moved = work.bytes_read.max(work.bytes_written);
        let (roof, roof_ns) = match work.macs {
            0 => stream,
            _ => self.reading(moved, footprint, cache, caches),
        };
        let (roof, roof_ns) =
            if compute_ns > roof_ns { (name.into(), compute_ns) } else { (roof, roof_ns) };
        // An op without operations has no share of a compute peak, and no time is no limit.
        let real = limits.into_iter().filter(|(_, ns)| ns.is_finite() && *ns > 0.0);
        let limits_ns: BTreeMap<_, _> = real.map(|(name, ns)| (name.to_owned(), ns)).collect();
        Roof { roof, roof_ns, limits_ns }
    }
}

/// The best rate from the largest footprint not above `footprint` on, and that footprint.
fn from_footprint(probes: &[(u64, f64)], footprint: u64) -> (u64, f64) {
    let fits = probes.iter().rposition(|(bytes, _)| *bytes <= footprint).unwrap_or(0);
    let best = probes[fits..].iter().fold(0.0, |best: f64, probe| best.max(probe.1));
    (probes.get(fits).map_or(0, |probe| probe.0), best)
}

/// Sizes of the data caches a core reaches, bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheSizes {
    /// Level 1, per core.
    pub l1: u64,
    /// Level 2, per core.
    pub l2: u64,
    /// Level 3, shared.
    pub l3: u64,
}

impl CacheSizes {
    /// The level that holds `bytes` spread over `threads` cores.
    pub fn level(self, bytes: u64, threads: u64) -> &'static str {
        match bytes {
            bytes if bytes <= self.l1 * threads => "L1",
            bytes if bytes <= self.l2 * threads => "L2",
            bytes if bytes <= self.l3 => "L3",
            _ => "DRAM",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peaks() -> Peaks {
        let rate = |best| Rate { best, median: best };
        let stream = |(reads, writes), footprint, cache, best| StreamRate {
            reads,
            writes,
            footprint,
            cache,
            rate: rate(best),
        };
        Peaks {
            threads: 1,
            isa: "test".into(),
            read: vec![
                (1 << 14, rate(200.0)),
                (1 << 22, rate(100.0)),
                (1 << 26, rate(24.0)),
                (1 << 28, rate(23.0)),
            ],
            cold_read: vec![(1 << 20, rate(30.0)), (1 << 22, rate(25.0)), (1 << 24, rate(22.0))],
            streams: vec![
                stream((4, 1), 5 << 20, Cache::Hot, 80.0),
                stream((1, 4), 5 << 20, Cache::Hot, 60.0),
                stream((1, 64), 5 << 20, Cache::Hot, 70.0),
                stream((4, 1), 80 << 20, Cache::Hot, 20.0),
                stream((4, 1), 80 << 20, Cache::Cold, 18.0),
                stream((1, 4), 80 << 20, Cache::Hot, 10.0),
                stream((1, 64), 80 << 20, Cache::Hot, 9.0),
            ],
            quantize_rows: rate(16.0),
            int8_dot: rate(400.0),
            f32_fma: rate(100.0),
        }
    }
    const CACHES: CacheSizes = CacheSizes { l1: 32 << 10, l2: 1 << 20, l3: 32 << 20 };

    fn roof(work: Work, cache: Cache) -> (String, f64) {
        let Roof { roof, roof_ns, .. } = peaks().roof(work, Arithmetic::INTEGER, cache, CACHES);
        (roof, roof_ns)
    }

    #[test]
    fn the_binding_peak_is_the_roof() {
        let gemv = Work { macs: 1 << 24, bytes_read: 1 << 22, bytes_written: 1 << 14 };
        // 2^25 operations at 400 a nanosecond, against 2^22 bytes at 100: compute binds.
        assert_eq!(roof(gemv, Cache::Hot), ("int8 dot".into(), 83_886.08));
        // Cold, the bytes come from DRAM: at 25, since 30 is of a smaller footprint.
        assert_eq!(roof(gemv, Cache::Cold), ("DRAM read".into(), 167_772.16));
        let limits = peaks().roof(gemv, Arithmetic::INTEGER, Cache::Cold, CACHES).limits_ns;
        assert_eq!((limits["int8 dot"], limits["f32 FMA"]), (83_886.08, 335_544.32));
        assert_eq!(limits["read"], 167_772.16);
    }

    #[test]
    fn an_op_that_only_moves_is_held_to_the_stream_of_its_ratio() {
        let mib = |read: u64, written: u64| Work {
            macs: 0,
            bytes_read: read << 20,
            bytes_written: written << 20,
        };
        let ns = |mib: u64, rate: f64| (mib << 20) as f64 / rate;
        // f32 to int8: 4:1 exactly, far beyond the caches, and within them.
        assert_eq!(roof(mib(64, 16), Cache::Hot), ("DRAM stream 4:1".into(), ns(80, 20.0)));
        assert_eq!(roof(mib(4, 1), Cache::Hot), ("L3 stream 4:1".into(), ns(5, 80.0)));
        // A scale beside every 32 codes: the part of it that is 4:1.
        assert_eq!(roof(mib(64, 18), Cache::Hot), ("DRAM stream 4:1".into(), ns(80, 20.0)));
        assert_eq!(roof(mib(18, 64), Cache::Hot), ("DRAM stream 1:4".into(), ns(80, 10.0)));
        // Reading binds where next to nothing is written, and writing where nothing is read.
        assert_eq!(roof(mib(256, 8), Cache::Hot), ("DRAM read".into(), ns(256, 23.0)));
        assert_eq!(roof(mib(2, 128), Cache::Hot), ("DRAM stream 1:64".into(), ns(130, 9.0)));
        // A probe of writing that was slower than one that writes as much and reads too.
        let mut slow = peaks();
        slow.streams[6].rate.best = 5.0;
        let roof_ns = slow.roof(mib(2, 128), Arithmetic::FLOAT, Cache::Hot, CACHES).roof_ns;
        assert_eq!(roof_ns, ns(160, 10.0));
        // Cold is no faster than the best of cold and the largest hot one.
        assert_eq!(roof(mib(4, 1), Cache::Cold), ("DRAM stream 4:1".into(), ns(5, 20.0)));
        let limits = peaks().roof(mib(64, 16), Arithmetic::FLOAT, Cache::Hot, CACHES).limits_ns;
        let names: Vec<_> = limits.keys().map(String::as_str).collect();
        assert_eq!(names, ["quantize rows", "read", "stream"]);
        assert_eq!(limits["quantize rows"], ns(64, 16.0));
    }

    #[test]
    fn every_limit_a_scenario_can_name_is_one_of_a_roof() {
        let work = Work { macs: 1, bytes_read: 1 << 20, bytes_written: 1 << 20 };
        let limits = peaks().roof(work, Arithmetic::INTEGER, Cache::Hot, CACHES).limits_ns;
        let named = lowbit_scenarios::LIMITS.iter().filter(|name| **name != "roof");
        assert!(named.clone().all(|name| limits.contains_key(*name)), "{limits:?}");
        assert_eq!(named.count(), limits.len());
    }

    #[test]
    fn peaks_without_streams_still_give_a_roof() {
        let mut old = peaks();
        (old.streams, old.quantize_rows) = (Vec::new(), Rate::default());
        let work = Work { macs: 0, bytes_read: 64 << 20, bytes_written: 16 << 20 };
        let roof = old.roof(work, Arithmetic::FLOAT, Cache::Hot, CACHES);
        assert_eq!(roof.roof, "DRAM read");
        assert!(!roof.limits_ns.contains_key("quantize rows"));
    }
}
