//! What this machine can do, measured in the same run as the rows, and the roof of a case.
use crate::measure::{SWEEP_BYTES, now, timed};
use lowbit_kernels::{pool::Pool, probe};
use lowbit_reference::op::{Arithmetic, Work};
use lowbit_reports::record::{Cache, Roof};
use lowbit_reports::stats::median;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Footprints, in bytes over all threads, at which reading is measured.
const FOOTPRINTS: [usize; 8] =
    [16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20, 16 << 20, 64 << 20, 256 << 20];
/// Footprints at which reading with swept caches is measured.
const COLD: [usize; 4] = [1 << 20, 4 << 20, 16 << 20, 64 << 20];
/// Repetitions of a cold reading.
const COLD_RUNS: usize = 6;
/// Readings before a sweep.
const WARM_READS: usize = 3;
/// Time given to each probe.
const PROBE: Duration = Duration::from_millis(40);

/// Rate of one probe.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rate {
    /// Best of the repetitions: the peak.
    pub best: f64,
    /// Median of the repetitions.
    pub median: f64,
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
    /// int8 dot products, two operations a multiply-accumulate.
    pub int8_dot: Rate,
    /// f32 fused multiply-adds, two operations each.
    pub f32_fma: Rate,
}

impl Peaks {
    /// Measure on a pool.
    pub fn measure(pool: &Pool) -> Peaks {
        let largest = FOOTPRINTS[FOOTPRINTS.len() - 1];
        let memory: Vec<u8> = (0..largest).map(|i| (i / 64) as u8 | 1).collect();
        let read = |bytes: usize| (bytes as u64, read_rate(pool, &memory[..bytes]));
        let (footprints, sweep) = memory.split_at(largest - SWEEP_BYTES.min(largest / 2));
        let cold = |bytes: usize| (bytes as u64, cold_rate(pool, &footprints[..bytes], sweep));
        Peaks {
            threads: pool.threads() as u32,
            isa: probe::isa().into(),
            read: FOOTPRINTS.map(read).to_vec(),
            cold_read: COLD.map(cold).to_vec(),
            int8_dot: compute_rate(pool, |iterations| probe::int8_dot(iterations).0),
            f32_fma: compute_rate(pool, |iterations| probe::f32_fma(iterations).0),
        }
    }

    /// The higher of two measurements, probe by probe.
    pub fn higher(mut self, other: Peaks) -> Peaks {
        let raise = |a: &mut Rate, b: Rate| *a = if b.best > a.best { b } else { *a };
        self.read.iter_mut().zip(other.read).for_each(|(a, b)| raise(&mut a.1, b.1));
        self.cold_read.iter_mut().zip(other.cold_read).for_each(|(a, b)| raise(&mut a.1, b.1));
        raise(&mut self.int8_dot, other.int8_dot);
        raise(&mut self.f32_fma, other.f32_fma);
        self
    }

    /// Probed footprint and peak of reading a footprint in a cache state. Hot: the best from the
    /// largest probe not above the footprint on, since a smaller one is at least as fast. Cold: the
    /// best of the swept probes and of the two largest hot ones, 64 and 256 MiB: a sweep leaves a
    /// part of what was read often behind, as a cache keeps a part of what is twice its size.
    pub fn read_rate(&self, footprint: u64, cache: Cache) -> (u64, f64) {
        let best = |probes: &[(u64, Rate)]| probes.iter().fold(0.0, |a: f64, p| a.max(p.1.best));
        let largest = self.read.len().saturating_sub(2);
        if cache == Cache::Cold {
            return (u64::MAX, best(&self.cold_read).max(best(&self.read[largest..])));
        }
        let fits = self.read.iter().rposition(|(bytes, _)| *bytes <= footprint).unwrap_or(0);
        (self.read.get(fits).map_or(0, |p| p.0), best(&self.read[fits..]))
    }

    /// The shortest time in which the work can be done: reading what must be read, writing what
    /// must be written (no faster than reading), and the multiply-accumulates.
    pub fn roof(
        &self,
        work: Work,
        arithmetic: Arithmetic,
        cache: Cache,
        caches: CacheSizes,
    ) -> Roof {
        let (bytes, rate) = self.read_rate(work.bytes_read + work.bytes_written, cache);
        let memory_ns = work.bytes_read.max(work.bytes_written) as f64 / rate;
        let (name, peak) = match arithmetic.integer {
            true => ("int8 dot", self.int8_dot.best),
            false => ("f32 FMA", self.f32_fma.best),
        };
        let compute_ns = 2.0 * work.macs as f64 / peak;
        if compute_ns > memory_ns {
            Roof { roof: name.into(), roof_ns: compute_ns }
        } else {
            let level = caches.level(bytes, u64::from(self.threads));
            Roof { roof: format!("{level} read"), roof_ns: memory_ns }
        }
    }
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

fn rate(mut once: impl FnMut() -> f64) -> Rate {
    let start = now();
    let mut rates = vec![once()];
    while rates.len() < 5 || start.elapsed() < PROBE {
        rates.push(once());
    }
    // The first repetition warms caches and clocks.
    let kept = &rates[1..];
    Rate { best: kept.iter().fold(0.0, |a: f64, b| a.max(*b)), median: median(kept) }
}

/// Every thread reads its share again and again, until about 4 MiB (or the share) are read.
fn read_rate(pool: &Pool, memory: &[u8]) -> Rate {
    let ranges = pool.ranges(memory.len(), 4096);
    let share = memory.len() / ranges.len().max(1);
    let repeats = ((4 << 20) / share.max(1)).max(1);
    rate(|| {
        let tasks: Vec<&[u8]> = ranges.iter().map(|r| &memory[r.clone()]).collect();
        let (time, ()) = timed(|| {
            pool.for_each(tasks, |part| {
                for _ in 0..repeats {
                    std::hint::black_box(probe::read(std::hint::black_box(part)));
                }
            });
        });
        (memory.len() * repeats) as f64 / time.as_nanos() as f64
    })
}

/// Every thread reads its share a few times, as a row that is warmed up does, sweeps the caches,
/// and then reads its share once.
fn cold_rate(pool: &Pool, memory: &[u8], sweep: &[u8]) -> Rate {
    let ranges = pool.ranges(memory.len(), 4096);
    let once = || {
        for _ in 0..WARM_READS {
            std::hint::black_box(probe::read(std::hint::black_box(memory)));
        }
        pool.on_every_thread(|_| {
            std::hint::black_box(probe::read(sweep));
        });
        let tasks: Vec<&[u8]> = ranges.iter().map(|r| &memory[r.clone()]).collect();
        let (time, ()) = timed(|| {
            pool.for_each(tasks, |part| {
                std::hint::black_box(probe::read(part));
            });
        });
        memory.len() as f64 / time.as_nanos() as f64
    };
    let rates: Vec<f64> = (0..COLD_RUNS).map(|_| once()).collect();
    Rate { best: rates.iter().fold(0.0, |a: f64, b| a.max(*b)), median: median(&rates) }
}

fn compute_rate(pool: &Pool, work: impl Fn(u64) -> u64 + Sync + Send) -> Rate {
    const ITERATIONS: u64 = 20_000;
    rate(|| {
        let (time, ()) = timed(|| {
            pool.on_every_thread(|_| {
                std::hint::black_box(work(ITERATIONS));
            })
        });
        let macs = work(1) * ITERATIONS * pool.threads() as u64;
        2.0 * macs as f64 / time.as_nanos() as f64
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peaks() -> Peaks {
        let rate = |best| Rate { best, median: best };
        Peaks {
            threads: 1,
            isa: "test".into(),
            read: vec![
                (1 << 14, rate(200.0)),
                (1 << 22, rate(100.0)),
                (1 << 26, rate(24.0)),
                (1 << 28, rate(23.0)),
            ],
            cold_read: vec![(1 << 24, rate(25.0))],
            int8_dot: rate(400.0),
            f32_fma: rate(100.0),
        }
    }
    const CACHES: CacheSizes = CacheSizes { l1: 32 << 10, l2: 1 << 20, l3: 32 << 20 };

    #[test]
    fn the_binding_peak_is_the_roof() {
        let gemv = Work { macs: 1 << 24, bytes_read: 1 << 22, bytes_written: 1 << 14 };
        // 2^25 operations at 400 a nanosecond, against 2^22 bytes at 100: compute binds.
        let hot = peaks().roof(gemv, Arithmetic::INTEGER, Cache::Hot, CACHES);
        assert_eq!((hot.roof.as_str(), hot.roof_ns), ("int8 dot", 83_886.08));
        // Cold, the bytes come from DRAM at 25.
        let cold = peaks().roof(gemv, Arithmetic::INTEGER, Cache::Cold, CACHES);
        assert_eq!((cold.roof.as_str(), cold.roof_ns), ("DRAM read", 167_772.16));
        let copy = Work { macs: 0, bytes_read: 8 << 20, bytes_written: 2 << 20 };
        let hot = peaks().roof(copy, Arithmetic::FLOAT, Cache::Hot, CACHES);
        assert_eq!((hot.roof.as_str(), hot.roof_ns), ("L3 read", 83_886.08));
    }
}
