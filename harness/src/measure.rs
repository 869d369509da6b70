//! The stopwatch: the only place in the project that reads a clock.
use crate::probing::patterned;
use crate::protocol::Settings;
use lowbit_kernels::buffer::Buffer;
use lowbit_kernels::context::Context;
use lowbit_kernels::{Failure, Prepared, probe};
use lowbit_reports::record::{Cache, Clock, Timing};
use lowbit_reports::stats;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Bytes swept between cold samples: more than the last-level cache that one core reaches, 96 MiB
/// on the largest we know of.
pub const SWEEP_BYTES: usize = 128 << 20;
/// A hot sample repeats the launch until it takes at least this long, so that the clock's own
/// cost (some 20 ns) stays below a thousandth.
const MIN_SAMPLE: Duration = Duration::from_micros(20);
/// Warm-up: at least this long and this often.
const WARM_UP: (Duration, u32) = (Duration::from_millis(10), 3);
/// Times `max_seconds` after which a row need not reach `min_samples`.
const PATIENCE: f64 = 10.0;
/// Resamples of the bootstrap.
const RESAMPLES: usize = 200;

/// Now, for time limits and progress.
#[expect(clippy::disallowed_methods, reason = "the stopwatch")]
pub fn now() -> Instant {
    Instant::now()
}

/// Seconds since 1970, for run ids and time stamps.
#[expect(clippy::disallowed_methods, reason = "the stopwatch")]
pub fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

/// Time of one call, and what it answered.
pub fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let start = now();
    let answer = work();
    (start.elapsed(), answer)
}

/// `YYYY-MM-DDThh-mm-ssZ` of a time in seconds since 1970 (proleptic Gregorian calendar).
pub fn utc(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Days to civil date (H. Hinnant, "chrono-compatible low-level date algorithms").
    let z = days + 719_468;
    let (era, day_of_era) = (z / 146_097, z % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (h, m, s) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{h:02}-{m:02}-{s:02}Z")
}

/// Samples rows, hot and cold.
#[derive(Debug)]
pub struct Sampler {
    context: Context,
    sweep: Option<Buffer<u8>>,
}

/// Samples of one row in one cache state, nanoseconds, and how many each round took.
#[derive(Debug, Default)]
pub struct Samples {
    wall: Vec<f64>,
    device: Vec<f64>,
    rounds: Vec<(u32, u32)>,
}

impl Samples {
    /// By the host's clock, and by the device's where it has one.
    pub fn timings(&self, settings: &Settings) -> Vec<(Clock, Timing)> {
        let (wall, device) = self.rounds.iter().copied().unzip();
        let mut timings = vec![(Clock::Wall, timing(&self.wall, wall, settings))];
        if !self.device.is_empty() {
            timings.push((Clock::Device, timing(&self.device, device, settings)));
        }
        timings
    }

    fn end_round(&mut self) {
        let (wall, device): (Vec<u32>, Vec<u32>) = self.rounds.iter().copied().unzip();
        let new = |all: &[f64], before: Vec<u32>| all.len() as u32 - before.iter().sum::<u32>();
        self.rounds.push((new(&self.wall, wall), new(&self.device, device)));
    }
}

impl Sampler {
    /// For rows that run with the threads and buffers of such a context.
    pub fn new(context: Context) -> Sampler {
        Sampler { context, sweep: None }
    }

    /// Add one of the settings' rounds to a row's samples: warm up, then sample until it is enough.
    pub fn round(
        &mut self,
        row: &mut dyn Prepared,
        cache: Cache,
        settings: &Settings,
        samples: &mut Samples,
    ) -> Result<(), Failure> {
        let turn = settings.round();
        let repeats = match cache {
            Cache::Hot if !row.in_place() => warm_up(row)?,
            _ => warm_up(row).map(|_| 1)?,
        };
        let (start, before) = (now(), samples.wall.len());
        while !enough(&samples.wall[before..], start.elapsed(), &turn) {
            self.settle(row, cache)?;
            let (time, answer) = timed(|| -> Result<(), Failure> {
                for _ in 0..repeats {
                    row.launch()?;
                    row.sync()?;
                }
                Ok(())
            });
            answer?;
            samples.wall.push(time.as_secs_f64() * 1e9 / f64::from(repeats));
            if row.device_clock() {
                self.settle(row, cache)?;
                // No time is that of a launch with nothing to do.
                let time = row.device_time();
                let time = time.map_err(|Failure(why)| Failure(format!("device clock: {why}")))?;
                samples.device.extend(Some(time).filter(|ns| *ns > 0.0));
            }
        }
        samples.end_round();
        Ok(())
    }

    /// Bring inputs, outputs and caches to the state that a sample begins in.
    fn settle(&mut self, row: &mut dyn Prepared, cache: Cache) -> Result<(), Failure> {
        row.reset()?;
        row.forget()?;
        match cache {
            Cache::Cold if row.device_caches() => row.evict()?,
            Cache::Cold => {
                let context = &mut self.context;
                let sweep = self.sweep.get_or_insert_with(|| patterned(context, SWEEP_BYTES));
                self.context.pool().on_every_thread(|_| {
                    std::hint::black_box(probe::read(sweep));
                });
            }
            // What was overwritten is in the caches, and would be written back meanwhile.
            Cache::Hot if !row.in_place() => row.launch().and_then(|()| row.sync())?,
            Cache::Hot => {}
        }
        Ok(())
    }
}

impl Settings {
    /// What one of the rounds may take: its share of samples and seconds.
    fn round(&self) -> Settings {
        let rounds = self.rounds.max(1);
        Settings {
            min_samples: self.min_samples.div_ceil(rounds),
            max_samples: self.max_samples.div_ceil(rounds),
            max_seconds: self.max_seconds / f64::from(rounds),
            ..self.clone()
        }
    }
}

/// Warm up and answer how often a launch must be repeated to fill a sample.
fn warm_up(row: &mut dyn Prepared) -> Result<u32, Failure> {
    let (start, mut launches) = (now(), 0);
    let mut fastest = Duration::MAX;
    while launches < WARM_UP.1 || start.elapsed() < WARM_UP.0 {
        row.reset()?;
        let (time, answer) = timed(|| row.launch().and_then(|()| row.sync()));
        answer?;
        fastest = fastest.min(time);
        launches += 1;
    }
    let repeats = MIN_SAMPLE.as_nanos().div_ceil(fastest.as_nanos().max(1));
    Ok(u32::try_from(repeats).unwrap_or(1).clamp(1, 1000))
}

/// The stopping rule: looked at after every eighth sample, since the interval costs some time.
fn enough(samples: &[f64], elapsed: Duration, settings: &Settings) -> bool {
    let seconds = elapsed.as_secs_f64();
    if samples.len() < settings.min_samples.max(1) as usize {
        // So slow a row would take far longer than it was given: fewer samples must do.
        return samples.len() >= 3 && seconds >= PATIENCE * settings.max_seconds;
    }
    let out_of_time = seconds >= settings.max_seconds;
    out_of_time
        || samples.len() >= settings.max_samples as usize
        || (samples.len().is_multiple_of(8) && narrow(samples, settings))
}

fn narrow(samples: &[f64], settings: &Settings) -> bool {
    let (low, high) = stats::bootstrap_median_interval(samples, RESAMPLES, 7);
    (high - low) / 2.0 <= settings.interval * stats::median(samples)
}

fn timing(samples: &[f64], rounds: Vec<u32>, settings: &Settings) -> Timing {
    let (low_ns, high_ns) = stats::bootstrap_median_interval(samples, 5 * RESAMPLES, 7);
    let converged = narrow(samples, settings);
    let median_ns = stats::median(samples);
    // One round needs no boundaries.
    let round_samples = if settings.rounds > 1 { rounds } else { Vec::new() };
    Timing { median_ns, low_ns, high_ns, converged, samples_ns: samples.to_vec(), round_samples }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lowbit_kernels::context::Poison;
    use lowbit_kernels::hardware::Hardware;
    use lowbit_kernels::pool::Pool;
    use lowbit_reference::op::Outputs;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(utc(0), "1970-01-01T00-00-00Z");
        assert_eq!(utc(951_827_696), "2000-02-29T12-34-56Z");
        assert_eq!(utc(1_793_232_000), "2026-10-29T00-00-00Z");
    }

    struct Sleepy(Duration, usize);
    impl Prepared for Sleepy {
        fn launch(&mut self) -> Result<(), Failure> {
            self.1 += 1;
            std::thread::sleep(self.0);
            Ok(())
        }
        fn forget(&mut self) -> Result<(), Failure> {
            Ok(())
        }
        fn read(&mut self) -> Result<Outputs, Failure> {
            Ok(Outputs::default())
        }
    }

    /// A device that takes 7 ns by its clock, and counts how often its caches were emptied.
    struct Ticking(u32);
    impl Prepared for Ticking {
        fn launch(&mut self) -> Result<(), Failure> {
            Ok(())
        }
        fn forget(&mut self) -> Result<(), Failure> {
            Ok(())
        }
        fn read(&mut self) -> Result<Outputs, Failure> {
            Ok(Outputs::default())
        }
        fn device_clock(&self) -> bool {
            true
        }
        fn device_time(&mut self) -> Result<f64, Failure> {
            Ok(7.0)
        }
        fn device_caches(&self) -> bool {
            true
        }
        fn evict(&mut self) -> Result<(), Failure> {
            self.0 += 1;
            Ok(())
        }
    }

    #[test]
    fn a_device_is_timed_by_both_clocks_and_its_caches_emptied_before_each() {
        let (mut row, mut samples, mut sampler) = (Ticking(0), Samples::default(), sampler());
        let settings = settings(0.01);
        sampler.round(&mut row, Cache::Cold, &settings, &mut samples).unwrap();
        let timings = samples.timings(&settings);
        let [(Clock::Wall, wall), (Clock::Device, device)] = &timings[..] else {
            panic!("{timings:?}")
        };
        assert!(device.samples_ns.len() >= 5 && device.samples_ns.iter().all(|ns| *ns == 7.0));
        assert_eq!(wall.samples_ns.len(), device.samples_ns.len());
        assert_eq!(row.0 as usize, 2 * wall.samples_ns.len());
        assert!(sampler.sweep.is_none(), "swept the host's caches");
    }

    fn settings(max_seconds: f64) -> Settings {
        let caches = vec![Cache::Hot];
        let (min_samples, max_samples, interval) = (5, 40, 0.5);
        Settings { caches, rounds: 1, min_samples, max_samples, max_seconds, interval }
    }

    fn sampler() -> Sampler {
        let pool = Pool::new(1).unwrap();
        Sampler::new(Context::new(pool, Hardware::detect(), Poison::Ones))
    }

    fn sample(row: &mut Sleepy, settings: &Settings) -> Timing {
        let (mut sampler, mut samples) = (sampler(), Samples::default());
        for _ in 0..settings.rounds {
            sampler.round(row, Cache::Hot, settings, &mut samples).unwrap();
        }
        let (clock, timing) = samples.timings(settings).remove(0);
        assert_eq!(clock, Clock::Wall);
        timing
    }

    #[test]
    fn a_known_duration_is_measured_and_repeats_fill_short_samples() {
        let mut row = Sleepy(Duration::from_millis(2), 0);
        let timing = sample(&mut row, &settings(0.05));
        assert!(timing.samples_ns.len() >= 5);
        assert!((2e6..2e7).contains(&timing.median_ns), "{}", timing.median_ns);
        assert!(timing.low_ns <= timing.median_ns && timing.median_ns <= timing.high_ns);
        assert!(timing.round_samples.is_empty());
        let mut quick = Sleepy(Duration::ZERO, 0);
        let timing = sample(&mut quick, &settings(0.01));
        assert!(quick.1 > 2 * timing.samples_ns.len());
    }

    #[test]
    fn sampling_stops_at_the_limit_of_time_and_says_that_it_did_not_converge() {
        let mut limits = settings(0.02);
        (limits.interval, limits.min_samples, limits.max_samples) = (0.0, 1, 1_000_000);
        let mut row = Sleepy(Duration::from_micros(100), 0);
        let (time, timing) = timed(|| sample(&mut row, &limits));
        assert!(time < Duration::from_secs(2));
        assert!(!timing.converged);
    }

    #[test]
    fn rounds_share_samples_and_seconds_and_their_ends_are_kept() {
        let mut limits = settings(60.0);
        (limits.rounds, limits.min_samples, limits.interval) = (4, 10, 1e-9);
        let timing = sample(&mut Sleepy(Duration::from_micros(20), 0), &limits);
        assert_eq!(timing.round_samples, [10, 10, 10, 10], "40 samples at most");
        assert_eq!(timing.rounds().len(), 4);
        (limits.min_samples, limits.max_samples, limits.max_seconds) = (9, 1000, 1e-6);
        let timing = sample(&mut Sleepy(Duration::from_micros(20), 0), &limits);
        assert_eq!(timing.round_samples, [3, 3, 3, 3], "9 samples at least, or 3 a round");
    }
}
