//! The threads a row may use.
use rayon::prelude::*;
use std::ops::Range;
use std::sync::{Arc, Mutex};

/// A fixed number of threads. With one, our own rows run on the caller's: nothing is woken.
#[derive(Clone, Debug)]
pub struct Pool {
    threads: usize,
    pool: Arc<rayon::ThreadPool>,
}

impl Pool {
    /// A pool of `threads` threads beside the caller's; the error is the system's.
    pub fn new(threads: usize) -> Result<Pool, String> {
        Pool::build(threads, rayon::ThreadPoolBuilder::new())
    }

    /// A pool of `threads` threads, the caller's one of them: handing out work then wakes one
    /// thread fewer and the caller does not sleep, which matters below some 100 us. A thread can
    /// join one pool in its life.
    pub fn with_this_thread(threads: usize) -> Result<Pool, String> {
        Pool::build(threads, rayon::ThreadPoolBuilder::new().use_current_thread())
    }

    fn build(threads: usize, builder: rayon::ThreadPoolBuilder) -> Result<Pool, String> {
        let threads = threads.max(1);
        let pool = builder.num_threads(threads).build().map_err(|e| format!("thread pool: {e}"))?;
        Ok(Pool { threads, pool: Arc::new(pool) })
    }

    /// How many threads there are.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Run `work` on every task, in parallel when there are threads for it.
    pub fn for_each<T: Send>(&self, tasks: Vec<T>, work: impl Fn(T) + Sync + Send) {
        if self.threads > 1 && tasks.len() > 1 {
            let tasks: Vec<_> = tasks.into_iter().map(|task| Mutex::new(Some(task))).collect();
            self.for_each_index(tasks.len(), &|i| {
                let task = tasks[i].lock().ok().and_then(|mut task| task.take());
                task.into_iter().for_each(&work);
            });
        } else {
            tasks.into_iter().for_each(work);
        }
    }

    /// Apart from the type of a task, so that the machinery of rayon is compiled once and not for
    /// each of some three hundred (which took a fifth of the build); a lock that nobody else wants
    /// is some 20 ns of a task of 10 us.
    fn for_each_index(&self, len: usize, work: &(dyn Fn(usize) + Sync)) {
        self.pool.install(|| (0..len).into_par_iter().with_max_len(1).for_each(work));
    }

    /// Run `work` where a library that splits its work by rayon finds this pool's threads, and no
    /// others, as many as there are.
    pub fn install<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.pool.install(work)
    }

    /// Run `work` once on every thread, with the thread's index.
    pub fn on_every_thread(&self, work: impl Fn(usize) + Sync + Send) {
        if self.threads > 1 {
            self.pool.broadcast(|thread| work(thread.index()));
        } else {
            work(0);
        }
    }

    /// `0..len` in one consecutive range per thread, each but the last a multiple of `grain`.
    pub fn ranges(&self, len: usize, grain: usize) -> Vec<Range<usize>> {
        split(len, grain, self.threads)
    }

    /// As `ranges`, but several for each of many threads: one that wakes late takes fewer.
    pub fn pieces(&self, len: usize, grain: usize) -> Vec<Range<usize>> {
        split(len, grain, if self.threads == 1 { 1 } else { 8 * self.threads })
    }
}

/// `0..len` in at most `parts` consecutive ranges, each but the last a multiple of `grain`.
fn split(len: usize, grain: usize, parts: usize) -> Vec<Range<usize>> {
    let grain = grain.max(1);
    let each = len.div_ceil(parts).div_ceil(grain).max(1) * grain;
    (0..len).step_by(each).map(|from| from..(from + each).min(len)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_cover_everything_once_in_whole_grains() {
        for threads in 1..5 {
            let pool = Pool::new(threads).unwrap();
            for len in 0..100 {
                let ranges = pool.ranges(len, 8);
                assert!(ranges.len() <= threads);
                assert!(ranges.iter().cloned().flatten().eq(0..len), "{threads} {len}");
                assert!(ranges.iter().all(|r| r.start % 8 == 0));
            }
        }
    }
}
