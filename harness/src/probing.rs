//! The probes, run: rates of reading, moving and computing on a pool's threads.
//!
//! Every probe is tried in each of its ways (streams side by side, prefetched or not; stores
//! through the caches or past them), on memory allocated as rows' buffers are, and the best
//! counts: a roof must not be lower than what some row may find out.
use crate::measure::{SWEEP_BYTES, now, timed};
use crate::peaks::{Peaks, Rate, StreamRate};
use crate::pinning::Pinned;
use lowbit_kernels::buffer::Buffer;
use lowbit_kernels::context::Context;
use lowbit_kernels::pool::Pool;
use lowbit_kernels::probe::{self, Line, READERS, ROW, Reader, Store, Stream};
use lowbit_reports::record::Cache;
use lowbit_reports::stats::median;
use std::time::Duration;

/// Footprints, in bytes over all threads, at which reading is measured.
const FOOTPRINTS: [usize; 8] =
    [16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20, 16 << 20, 64 << 20, 256 << 20];
/// Footprints at which reading with swept caches is measured.
const COLD: [usize; 4] = [1 << 20, 4 << 20, 16 << 20, 64 << 20];
/// Footprints, read and written together, at which streams are measured. The last is that of
/// 64 MiB of f32 and their int8 codes.
const STREAMED: [usize; 5] = [80 << 10, 640 << 10, 5 << 20, 20 << 20, 80 << 20];
/// The same with swept caches.
const COLD_STREAMED: [usize; 3] = [5 << 20, 20 << 20, 80 << 20];
/// Values of the quantizing probe: 64 MiB.
const VALUES: usize = 16 << 20;
/// Repetitions of a cold probe.
const COLD_RUNS: usize = 5;
/// Swept repetitions that come first and do not count.
const WARM_RUNS: usize = 3;
/// Time given to each way of a probe.
const PROBE: Duration = Duration::from_millis(10);

impl Peaks {
    /// Measure with the threads of a context, on its buffers.
    pub fn measure(context: &mut Context) -> Peaks {
        let pool = context.pool().clone();
        let _pinned = Pinned::new(&pool);
        let mut memory = patterned(context, FOOTPRINTS[FOOTPRINTS.len() - 1]);
        let probes = Probes { sweep: patterned(context, SWEEP_BYTES), pool: pool.clone() };
        let read = FOOTPRINTS.map(|bytes| (bytes as u64, probes.read(&memory[..bytes])));
        let cold_read = COLD.map(|bytes| (bytes as u64, probes.cold_read(&memory[..bytes])));
        let mut streams = Vec::new();
        let lines = Line::of(&mut memory);
        for (cache, footprints) in [(Cache::Hot, &STREAMED[..]), (Cache::Cold, &COLD_STREAMED[..])]
        {
            for footprint in footprints {
                let stream = |stream| probes.stream(stream, (cache, *footprint), lines);
                streams.extend(Stream::ALL.map(stream));
            }
        }
        Peaks {
            device: None,
            threads: pool.threads() as u32,
            isa: probe::isa().into(),
            read: read.to_vec(),
            cold_read: cold_read.to_vec(),
            streams,
            quantize_rows: quantize_rows(context, lines),
            int8_dot: compute(&pool, |iterations| probe::int8_dot(iterations).0),
            f32_fma: compute(&pool, |iterations| probe::f32_fma(iterations).0),
        }
    }
}

/// A buffer as rows get them, filled with bytes that are not zero: zeros would be one shared page
/// of the kernel's, and some processors store them faster.
pub(crate) fn patterned(context: &mut Context, len: usize) -> Buffer<u8> {
    let mut memory = context.buffer("probe", len);
    memory.iter_mut().enumerate().for_each(|(i, byte)| *byte = (i / 64) as u8 | 1);
    memory
}

/// What the probes of a pool share.
struct Probes {
    pool: Pool,
    sweep: Buffer<u8>,
}

impl Probes {
    /// The best way to read again and again.
    fn read(&self, memory: &[u8]) -> Rate {
        let ranges = self.pool.ranges(memory.len(), 4096);
        let share = memory.len() / ranges.len().max(1);
        let repeats = ((2 << 20) / share.max(1)).max(1);
        best(READERS.iter().map(|reader| {
            rate(|| {
                let (time, ()) = timed(|| self.read_shares(*reader, memory, repeats));
                (memory.len() * repeats) as f64 / time.as_nanos() as f64
            })
        }))
    }

    /// The best way to read what a sweep has just driven out of the caches, as rows are timed.
    fn cold_read(&self, memory: &[u8]) -> Rate {
        best(
            READERS
                .iter()
                .map(|reader| self.cold(memory.len(), || self.read_shares(*reader, memory, 1))),
        )
    }

    /// Every thread reads its share.
    fn read_shares(&self, reader: Reader, memory: &[u8], repeats: usize) {
        let ranges = self.pool.ranges(memory.len(), 4096).into_iter();
        self.pool.for_each(ranges.map(|range| &memory[range]).collect(), |part| {
            for _ in 0..repeats {
                std::hint::black_box(probe::read_with(reader, std::hint::black_box(part)));
            }
        });
    }

    /// The best way to move a stream of a footprint.
    fn stream(
        &self,
        stream: Stream,
        (cache, footprint): (Cache, usize),
        lines: &mut [Line],
    ) -> StreamRate {
        let (reads, writes) = stream.lines();
        let steps = footprint / size_of::<Line>() / (reads + writes);
        let moved = steps * (reads + writes) * size_of::<Line>();
        let (from, to) = lines.split_at_mut(lines.len() / 2);
        let (from, to) = (&from[..steps * reads], &mut to[..steps * writes]);
        let each = steps.div_ceil(self.pool.threads()).max(1);
        let mut once = |store, repeats: usize| {
            let parts = from.chunks(each * reads).zip(to.chunks_mut(each * writes));
            self.pool.for_each(parts.collect(), |(from, to)| {
                for _ in 0..repeats {
                    probe::stream(stream, std::hint::black_box(from), to, store);
                }
            });
        };
        let repeats = ((1 << 20) / moved).max(1);
        let stores = [Store::Plain, Store::NonTemporal];
        let rate = best(stores.map(|store| match cache {
            Cache::Hot => rate(|| {
                let (time, ()) = timed(|| once(store, repeats));
                (moved * repeats) as f64 / time.as_nanos() as f64
            }),
            Cache::Cold => self.cold(moved, || once(store, 1)),
        }));
        let (reads, writes) = (reads as u64, writes as u64);
        StreamRate { reads, writes, footprint: moved as u64, cache, rate }
    }

    /// Rate of work on `bytes` bytes with swept caches: sweep and work take turns, as they do when
    /// a row is timed. Work done several times before a sweep would stay in some L3 through it,
    /// which keeps what was hit again and again.
    fn cold(&self, bytes: usize, mut work: impl FnMut()) -> Rate {
        let mut once = || {
            self.pool.on_every_thread(|_| {
                std::hint::black_box(probe::read(&self.sweep));
            });
            bytes as f64 / timed(&mut work).0.as_nanos() as f64
        };
        let rates: Vec<f64> = (0..WARM_RUNS + COLD_RUNS).map(|_| once()).collect();
        of(rates[WARM_RUNS..].to_vec())
    }
}

/// Rate, in bytes of f32 read, of quantizing 64 MiB row by row.
fn quantize_rows(context: &mut Context, lines: &mut [Line]) -> Rate {
    let pool = context.pool().clone();
    let mut values = context.buffer::<f32>("probe", VALUES);
    let value = |i: usize| (i as u32).wrapping_mul(2_654_435_761) as f32 / 2f32.powi(31) - 1.0;
    values.iter_mut().enumerate().for_each(|(i, x)| *x = value(i));
    let rows = values.as_chunks::<ROW>().0;
    let codes = &mut lines.as_chunks_mut::<{ ROW / 64 }>().0[..rows.len()];
    let each = rows.len().div_ceil(pool.threads());
    rate(|| {
        let parts = rows.chunks(each).zip(codes.chunks_mut(each)).collect();
        let (time, ()) = timed(|| {
            pool.for_each(parts, |(rows, codes): (&[_], &mut [_])| {
                probe::quantize_rows(rows, codes)
            })
        });
        size_of_val(rows) as f64 / time.as_nanos() as f64
    })
}

fn compute(pool: &Pool, work: impl Fn(u64) -> u64 + Sync + Send) -> Rate {
    const ITERATIONS: u64 = 20_000;
    let once = || {
        let (time, ()) = timed(|| {
            pool.on_every_thread(|_| {
                std::hint::black_box(work(ITERATIONS));
            })
        });
        let macs = work(1) * ITERATIONS * pool.threads() as u64;
        2.0 * macs as f64 / time.as_nanos() as f64
    };
    best([rate(once), rate(once), rate(once), rate(once)])
}

fn rate(mut once: impl FnMut() -> f64) -> Rate {
    let start = now();
    // The first repetition warms caches and clocks.
    once();
    let mut rates = Vec::new();
    while rates.len() < 4 || start.elapsed() < PROBE {
        rates.push(once());
    }
    of(rates)
}

fn of(rates: Vec<f64>) -> Rate {
    Rate { best: rates.iter().fold(0.0, |a: f64, b| a.max(*b)), median: median(&rates) }
}

fn best(ways: impl IntoIterator<Item = Rate>) -> Rate {
    ways.into_iter().fold(Rate::default(), Rate::higher)
}
