//! What a process brings to the rows it runs.
use crate::machine;
use crate::measure::Sampler;
use crate::memory::Counting;
use crate::peaks::{CacheSizes, Peaks};
use lowbit_kernels::context::{Context, Poison};
use lowbit_kernels::hardware::Hardware;
use lowbit_kernels::pool::Pool;
use lowbit_reference::data::Files;

/// Threads, stopwatch, machine, files and heap.
pub struct Bench {
    pub(crate) pool: Pool,
    pub(crate) hardware: Hardware,
    pub(crate) sampler: Sampler,
    pub(crate) heap: &'static Counting,
    pub(crate) caches: CacheSizes,
    /// Peaks, once they have been measured or told.
    pub peaks: Option<Peaks>,
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
        let (peaks, expendable, others) = (None, false, Vec::new());
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
        let peaks = self.peaks.take().map_or(again.clone(), |old| old.higher(again));
        self.peaks = Some(peaks.clone());
        peaks
    }

    /// What the machine has.
    pub fn hardware(&self) -> &Hardware {
        &self.hardware
    }

    /// Measure the peaks, unless they are told.
    pub fn peaks(&mut self, known: Option<Peaks>) -> Peaks {
        let peaks = known.unwrap_or_else(|| Peaks::measure(&mut self.context(Poison::Ones)));
        self.peaks = Some(peaks.clone());
        peaks
    }
}
