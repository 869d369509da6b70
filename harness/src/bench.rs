//! What a process brings to the rows it runs.
use crate::device_probing::{DeviceProbes, GPU};
use crate::machine;
use crate::measure::Sampler;
use crate::memory::Counting;
use crate::peaks::{CacheSizes, Peaks, remember};
use lowbit_kernels::context::{Context, Poison};
use lowbit_kernels::hardware::{Hardware, Need};
use lowbit_kernels::pool::Pool;
use lowbit_reference::data::Files;

/// Threads, stopwatch, machine, files and heap.
pub struct Bench {
    pub(crate) pool: Pool,
    pub(crate) hardware: Hardware,
    pub(crate) sampler: Sampler,
    pub(crate) heap: &'static Counting,
    pub(crate) caches: CacheSizes,
    /// Peaks that have been measured or told.
    peaks: Vec<Peaks>,
    /// The file system.
    pub files: &'static dyn Files,
    /// Whether a stray access may end the process: another one notices, or a debugger.
    pub(crate) expendable: bool,
    /// Threads in other numbers, once they were asked for.
    others: Vec<Pool>,
}

impl Bench {
    /// Threads, machine, files and the counting allocator.
    pub fn new(
        pool: Pool,
        hardware: Hardware,
        files: &'static dyn Files,
        heap: &'static Counting,
    ) -> Bench {
        let context = Context::new(pool.clone(), hardware.clone(), Poison::Ones);
        let (sampler, caches) = (Sampler::new(context), machine::cache_sizes());
        let (peaks, expendable, others) = (Vec::new(), false, Vec::new());
        Bench { pool, hardware, sampler, heap, caches, peaks, files, expendable, others }
    }

    /// Buffers and threads, as a row gets them.
    pub(crate) fn context(&self, poison: Poison) -> Context {
        Context::new(self.pool.clone(), self.hardware.clone(), poison)
    }

    /// Another number of threads, beside those of the pool; started once.
    pub(crate) fn other_pool(&mut self, threads: usize) -> Result<Pool, String> {
        if let Some(pool) = self.others.iter().find(|pool| pool.threads() == threads) {
            return Ok(pool.clone());
        }
        let pool = Pool::new(threads)?;
        self.others.push(pool.clone());
        Ok(pool)
    }

    /// Measure the peaks again and keep the higher of old and new.
    pub(crate) fn raise_peaks(&mut self) -> Peaks {
        let again = Peaks::measure(&mut self.context(Poison::Ones));
        let old = self.peaks_for(Need::Nothing).cloned();
        let peaks = old.map_or(again.clone(), |old| old.higher(again));
        remember(&mut self.peaks, peaks.clone());
        peaks
    }

    /// The peaks of what rows of such a need run on, where they are known.
    pub(crate) fn peaks_for(&self, need: Need) -> Option<&Peaks> {
        let api = need.api();
        let device = api.map(|_| self.hardware.device(need));
        self.peaks.iter().find(|peaks| match api {
            Some(api) => (&peaks.device, peaks.isa.as_str()) == (&device, api),
            None => peaks.device.is_none() && peaks.threads as usize == self.pool.threads(),
        })
    }

    /// Measure the peaks of the device of such rows.
    pub(crate) fn probe_device(&mut self, need: Need, alive: &mut dyn FnMut()) -> Option<Peaks> {
        let api = need.api()?;
        let (context, device) = (self.context(Poison::Ones), self.hardware.device(need));
        let probes = DeviceProbes { need, context, sampler: &mut self.sampler, alive };
        let peaks = probes.measure((device, api), GPU)?;
        remember(&mut self.peaks, peaks.clone());
        Some(peaks)
    }

    /// Peaks with nothing in them for a device that nobody has probed, to be told before it is: where a
    /// probe costs the process, the next one knows, and does not try again.
    pub(crate) fn before_probing(&mut self, need: Need) -> Option<Peaks> {
        let api = need.api().filter(|_| self.peaks_for(need).is_none())?;
        let unknown = Peaks::unknown(self.hardware.device(need), api);
        remember(&mut self.peaks, unknown.clone());
        Some(unknown)
    }

    /// What the machine has.
    pub fn hardware(&self) -> &Hardware {
        &self.hardware
    }

    /// Measure the peaks of the processor, unless they are told.
    pub fn peaks(&mut self, known: Vec<Peaks>) -> Peaks {
        known.into_iter().for_each(|peaks| remember(&mut self.peaks, peaks));
        if let Some(peaks) = self.peaks_for(Need::Nothing) {
            return peaks.clone();
        }
        let peaks = Peaks::measure(&mut self.context(Poison::Ones));
        remember(&mut self.peaks, peaks.clone());
        peaks
    }
}
