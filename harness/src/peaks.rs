//! What this machine can do, measured in the same run as the rows, and the roof of a case.
#[cfg(test)]
mod tests;
use lowbit_reference::op::{Arithmetic, Operands, Work};
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
    /// The better best and the better median, of two ways to do the same.
    pub fn higher(self, other: Rate) -> Rate {
        Rate { best: self.best.max(other.best), median: self.median.max(other.median) }
    }

    /// The median in the place of the best.
    fn typical(self) -> Rate {
        Rate { best: self.median, ..self }
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

/// Peaks of the processor at one number of threads, or of a device. Rates are 10^9 bytes or operations a
/// second; one that is not known is 0.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Peaks {
    /// The device; none for the processor.
    #[serde(default)]
    pub device: Option<String>,
    /// Threads; 1 for a device.
    pub threads: u32,
    /// Which instructions the probes used; for a device what it was reached through.
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

/// A speed above this share of the roof is measured again, and mistrusted if it stays.
const ABOVE_ROOF: f64 = 1.05;

/// Whether nothing reaches such a share of its roof. Probes of devices are too young to say so.
pub(crate) fn too_good(share: f64, on_device: bool) -> bool {
    share > ABOVE_ROOF && !on_device
}

/// Take new peaks in, in the place of older ones of the same.
pub fn remember(all: &mut Vec<Peaks>, new: Peaks) {
    all.retain(|old| old.key() != new.key());
    all.push(new);
    all.sort_by(|a, b| a.key().cmp(&b.key()));
}

impl Peaks {
    /// Of what these are the peaks. The processor's come first.
    fn key(&self) -> (Option<&str>, Option<&str>, u32) {
        let through = self.device.is_some().then_some(self.isa.as_str());
        (self.device.as_deref(), through, self.threads)
    }

    /// Where so many bytes lie: a level of the processor's caches, or the device.
    pub fn level(&self, bytes: u64, caches: CacheSizes) -> &str {
        match self.device {
            Some(_) => &self.isa,
            None => caches.level(bytes, u64::from(self.threads)),
        }
    }

    /// The higher of two measurements, probe by probe; medians stay those of the first.
    pub fn higher(mut self, other: Peaks) -> Peaks {
        let raise = |a: &mut Rate, b: Rate| a.best = a.best.max(b.best);
        self.read.iter_mut().zip(other.read).for_each(|(a, b)| raise(&mut a.1, b.1));
        self.cold_read.iter_mut().zip(other.cold_read).for_each(|(a, b)| raise(&mut a.1, b.1));
        let streams = self.streams.iter_mut().zip(other.streams);
        streams.for_each(|(a, b)| raise(&mut a.rate, b.rate));
        raise(&mut self.quantize_rows, other.quantize_rows);
        raise(&mut self.int8_dot, other.int8_dot);
        raise(&mut self.f32_fma, other.f32_fma);
        self
    }

    /// What was reached half of the time: what a row's median is compared with.
    fn typical(&self) -> Peaks {
        let read = |probes: &[(u64, Rate)]| probes.iter().map(|(b, r)| (*b, r.typical())).collect();
        let stream = |s: &StreamRate| StreamRate { rate: s.rate.typical(), ..s.clone() };
        Peaks {
            device: self.device.clone(),
            threads: self.threads,
            isa: self.isa.clone(),
            read: read(&self.read),
            cold_read: read(&self.cold_read),
            streams: self.streams.iter().map(stream).collect(),
            quantize_rows: self.quantize_rows.typical(),
            int8_dot: self.int8_dot.typical(),
            f32_fma: self.f32_fma.typical(),
        }
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
                let hot = self.read.last().map_or(0.0, |probe| probe.1.best);
                (u64::MAX, self.beyond_caches(cold, hot))
            }
        }
    }

    /// The rate with swept caches: the largest hot probe counts too where it is beyond all caches, which
    /// on the processor it is, and on a device need not be.
    fn beyond_caches(&self, cold: f64, largest_hot: f64) -> f64 {
        let counts = self.device.is_none() || cold == 0.0;
        if counts { cold.max(largest_hot) } else { cold }
    }

    /// Nothing yet: a device that is about to be probed.
    pub fn unknown(device: String, api: &str) -> Peaks {
        Peaks {
            device: Some(device),
            threads: 1,
            isa: api.to_owned(),
            read: Vec::new(),
            cold_read: Vec::new(),
            streams: Vec::new(),
            quantize_rows: Rate::default(),
            int8_dot: Rate::default(),
            f32_fma: Rate::default(),
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
                (u64::MAX, self.beyond_caches(cold, hot.last().map_or(0.0, |probe| probe.1)))
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
            let level = self.level(bytes, caches);
            let ns = at_most(steps * step_ns, steps * reads as f64, steps * writes as f64);
            (format!("{level} stream {reads}:{writes}"), ns)
        });
        let (name, ns) = self.reading(work.bytes_read, footprint, cache, caches);
        let read_alone = (name, at_most(ns, read, 0.0));
        parts.fold(read_alone, |most, part| if part.1 > most.1 { part } else { most })
    }

    fn reading(&self, bytes: u64, footprint: u64, cache: Cache, caches: CacheSizes) -> Limit {
        let (probed, rate) = self.read_rate(footprint, cache);
        let level = self.level(probed, caches);
        (format!("{level} read"), bytes as f64 / rate)
    }

    /// The shortest time in which the work can be done, and what it takes at the median of each probe.
    pub fn roof(
        &self,
        work: Work,
        arithmetic: Arithmetic,
        cache: Cache,
        caches: CacheSizes,
    ) -> Roof {
        let (roof, roof_ns) = self.bound(work, arithmetic, cache, caches);
        let limits_ns = self.typical().limits(work, arithmetic, cache, caches);
        Roof { roof, roof_ns, limits_ns }
    }

    /// The largest limit that binds. With multiply-accumulates: reading what must be read, writing
    /// what must be written (no faster than reading), and the operations. Without: the streams that
    /// are a part of it.
    fn bound(&self, work: Work, arithmetic: Arithmetic, cache: Cache, caches: CacheSizes) -> Limit {
        let footprint = work.bytes_read + work.bytes_written;
        let [int8, f32] = self.operations(work, arithmetic);
        let compute = if arithmetic.integer { ("int8 dot", int8) } else { ("f32 FMA", f32) };
        let moved = work.bytes_read.max(work.bytes_written);
        let memory = match work.macs {
            0 => self.stream(work, cache, caches),
            _ => self.reading(moved, footprint, cache, caches),
        };
        if compute.1 > memory.1 { (compute.0.into(), compute.1) } else { memory }
    }

    /// The time of the work at each rate, whether it binds or not.
    fn limits(
        &self,
        work: Work,
        arithmetic: Arithmetic,
        cache: Cache,
        caches: CacheSizes,
    ) -> BTreeMap<String, f64> {
        let footprint = work.bytes_read + work.bytes_written;
        let [int8, f32] = self.operations(work, arithmetic);
        let limits = [
            ("read", self.reading(work.bytes_read, footprint, cache, caches).1),
            ("stream", self.stream(work, cache, caches).1),
            ("int8 dot", int8),
            ("f32 FMA", f32),
            ("quantize rows", work.bytes_read as f64 / self.quantize_rows.best),
        ];
        // An op without operations has no share of a compute peak, and no time is no limit.
        let real = limits.into_iter().filter(|(_, ns)| ns.is_finite() && *ns > 0.0);
        real.map(|(name, ns)| (name.to_owned(), ns)).collect()
    }

    /// The time of the operations as int8 dot products, and as f32 FMA.
    fn operations(&self, work: Work, arithmetic: Arithmetic) -> [f64; 2] {
        let operations = 2.0 * work.macs as f64;
        let over = |rate: Rate| if rate.best > 0.0 { operations / rate.best } else { 0.0 };
        // A device may have units for short operands, which nothing here probes.
        let elsewhere = self.device.is_some() && arithmetic.operands != Operands::AsGiven;
        let f32_fma = if elsewhere { Rate::default() } else { self.f32_fma };
        [over(self.int8_dot), over(f32_fma)]
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
