//! What a device can do: its probes timed as rows are, by its own clock where it has one.
//!
//! A launch and what it costs are in every time, as they are in a row's. A probe that the device has
//! no room for is left out; without a rate of reading there are no peaks.
use crate::measure::{Sampler, Samples};
use crate::peaks::{Peaks, Rate, StreamRate};
use crate::protocol::Settings;
use lowbit_kernels::context::Context;
use lowbit_kernels::hardware::Need;
use lowbit_kernels::probe::Stream;
use lowbit_kernels::probe::device::DeviceProbe;
use lowbit_reports::record::Cache;

/// How much is probed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    /// Bytes that are read again and again.
    pub(crate) read: &'static [usize],
    /// Bytes that are read with swept caches.
    pub(crate) cold_read: &'static [usize],
    /// Bytes, read and written together, that are moved again and again.
    pub(crate) streamed: &'static [usize],
    /// The same with swept caches.
    pub(crate) cold_streamed: &'static [usize],
    /// Most steps of a chain of dots or multiply-adds.
    pub(crate) times: u32,
}

/// What a GPU is asked for.
pub(crate) const GPU: Extent = Extent {
    read: &[4 << 20, 16 << 20, 64 << 20, 256 << 20],
    cold_read: &[16 << 20, 64 << 20, 256 << 20],
    streamed: &[20 << 20, 320 << 20],
    cold_streamed: &[80 << 20, 320 << 20],
    times: 2048,
};

/// Steps of a chain at first, doubled until they take [`LONG_ENOUGH`] nanoseconds: a small device would be
/// stopped by its driver where a large one has just begun.
const FIRST_STEPS: u32 = 32;
const LONG_ENOUGH: f64 = 1e6;

/// Probes on one device.
pub(crate) struct DeviceProbes<'a> {
    /// What its rows need.
    pub(crate) need: Need,
    /// Buffers of the host.
    pub(crate) context: Context,
    /// The stopwatch.
    pub(crate) sampler: &'a mut Sampler,
    /// Called between probes.
    pub(crate) alive: &'a mut dyn FnMut(),
}

impl DeviceProbes<'_> {
    /// The peaks of the device, reached through `api`.
    pub(crate) fn measure(
        mut self,
        (device, api): (String, &str),
        extent: Extent,
    ) -> Option<Peaks> {
        let read = self.reads(extent.read, Cache::Hot);
        let cold_read = self.reads(extent.cold_read, Cache::Cold);
        let mut streams = self.streams(extent.streamed, Cache::Hot);
        streams.extend(self.streams(extent.cold_streamed, Cache::Cold));
        let dots = [DeviceProbe::Dot, DeviceProbe::DotBuiltIn].into_iter();
        let dots = dots.map(|probe| self.compute(probe, extent.times));
        let int8_dot = dots.fold(Rate::default(), Rate::higher);
        let f32_fma = self.compute(DeviceProbe::Fma, extent.times);
        let known = !read.is_empty();
        let unknown = Peaks::unknown(device, api);
        let peaks = Peaks { read, cold_read, streams, int8_dot, f32_fma, ..unknown };
        known.then_some(peaks)
    }

    fn reads(&mut self, footprints: &[usize], cache: Cache) -> Vec<(u64, Rate)> {
        let probes = footprints.iter().map(|bytes| DeviceProbe::Read(*bytes));
        probes.filter_map(|p| Some((p.amount(self.need), self.rate(p, cache)?))).collect()
    }

    fn streams(&mut self, footprints: &[usize], cache: Cache) -> Vec<StreamRate> {
        let each = footprints.iter().flat_map(|bytes| Stream::ALL.map(|stream| (stream, *bytes)));
        let rate = |(stream, bytes): (Stream, usize)| {
            let (reads, writes) = stream.lines();
            let probe = DeviceProbe::Stream(stream, bytes);
            let rate = self.rate(probe, cache)?;
            let footprint = probe.amount(self.need);
            Some(StreamRate { reads: reads as u64, writes: writes as u64, footprint, cache, rate })
        };
        each.filter_map(rate).collect()
    }

    fn compute(&mut self, probe: fn(u32) -> DeviceProbe, most: u32) -> Rate {
        let mut steps = FIRST_STEPS.min(most);
        loop {
            let Some(rate) = self.rate(probe(steps), Cache::Hot) else { return Rate::default() };
            let ns = probe(steps).amount(self.need) as f64 / rate.median;
            if ns >= LONG_ENOUGH || steps >= most {
                return rate;
            }
            steps = (2 * steps).min(most);
        }
    }

    fn rate(&mut self, probe: DeviceProbe, cache: Cache) -> Option<Rate> {
        (self.alive)();
        let settings = Settings {
            caches: vec![cache],
            rounds: 1,
            min_samples: 5,
            max_samples: 20,
            max_seconds: 0.1,
            interval: 0.005,
        };
        let mut row = probe.prepare(self.need, &mut self.context).ok()?;
        let mut samples = Samples::default();
        self.sampler.round(&mut *row, cache, &settings, &mut samples).ok()?;
        // The last is by the device's clock, where it has one.
        let (_, timing) = samples.timings(&settings).pop()?;
        let amount = probe.amount(self.need) as f64;
        // A device's clock may step by a fifth of a short sample, and the shortest of them mean little.
        Some(Rate { best: amount / timing.low_ns, median: amount / timing.median_ns })
    }
}

#[cfg(all(test, feature = "wgpu"))]
mod tests {
    use super::*;
    use crate::peaks::CacheSizes;
    use lowbit_kernels::context::Poison;
    use lowbit_kernels::hardware::Hardware;
    use lowbit_kernels::pool::Pool;
    use lowbit_reference::op::{Arithmetic, Work};

    const LITTLE: Extent = Extent {
        read: &[1 << 20],
        cold_read: &[],
        streamed: &[5 << 20],
        cold_streamed: &[],
        times: 4,
    };

    #[test]
    fn peaks_of_a_device_make_roofs_of_their_own() {
        let hardware = Hardware::detect();
        let Ok(adapter) = &hardware.wgpu else { return println!("not run: no adapter") };
        let device = adapter.name.clone();
        let pool = Pool::new(1).unwrap();
        let context = || Context::new(pool.clone(), hardware.clone(), Poison::Ones);
        let (mut sampler, context) = (Sampler::new(context()), context());
        let mut probed = 0;
        let mut alive = || probed += 1;
        let probes =
            DeviceProbes { need: Need::Wgpu, context, sampler: &mut sampler, alive: &mut alive };
        let peaks = probes.measure((device.clone(), "wgpu"), LITTLE).expect("peaks");
        assert_eq!(probed, 8);
        assert_eq!((peaks.device.as_ref(), peaks.isa.as_str()), (Some(&device), "wgpu"));
        assert_eq!(peaks.read[0].0, 1 << 20);
        // Between a hundredth of a GB/s and more than any device has.
        let rates = peaks.streams.iter().map(|s| s.rate).chain([peaks.read[0].1]);
        for rate in rates.chain([peaks.int8_dot, peaks.f32_fma]) {
            assert!((1e-2..1e7).contains(&rate.median) && rate.best >= rate.median, "{rate:?}");
        }
        let work = Work { macs: 0, bytes_read: 4 << 20, bytes_written: 1 << 20 };
        let caches = CacheSizes { l1: 1, l2: 1, l3: 1 };
        let roof = peaks.roof(work, Arithmetic::FLOAT, Cache::Cold, caches);
        assert!(roof.roof.starts_with("wgpu "), "{}", roof.roof);
        assert!(roof.roof_ns.is_finite() && !roof.limits_ns.contains_key("quantize rows"));
    }
}
