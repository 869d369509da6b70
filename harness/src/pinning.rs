//! Threads kept on processors of their own while they are timed.
//!
//! A thread that is woken for every launch may be woken where its waker runs, and so for the life
//! of a process: two threads then take turns on one processor while another idles, and a row on two
//! threads is as slow as on one in this process and 1.9 times as fast in the next. Only the threads
//! of our pool are kept, and only while they are timed: threads of other libraries inherit what
//! their parent may use when they are started.
use lowbit_kernels::pool::Pool;

/// While this lives, each thread of a pool has a processor of its own; where the system does not
/// let us choose, or there are fewer processors than threads, nothing is changed.
pub(crate) struct Pinned {
    #[cfg(target_os = "linux")]
    before: Option<(Pool, linux::Processors)>,
}

impl Pinned {
    /// Keep the threads of `pool`, if it has several.
    pub(crate) fn new(pool: &Pool) -> Pinned {
        #[cfg(not(target_os = "linux"))]
        let _ = pool;
        Pinned {
            #[cfg(target_os = "linux")]
            before: linux::pin(pool),
        }
    }
}

#[cfg(target_os = "linux")]
impl Drop for Pinned {
    fn drop(&mut self) {
        if let Some((pool, before)) = &self.before {
            pool.on_every_thread(|_| linux::allow(before));
        }
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use lowbit_kernels::pool::Pool;
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

    /// What a thread may run on.
    pub(super) type Processors = CpuSet;

    /// Let this thread run there; one that cannot be kept runs where it ran before.
    pub(super) fn allow(processors: &Processors) {
        let _ = sched_setaffinity(None, processors);
    }

    /// Give each thread a processor; what all of them had before.
    pub(super) fn pin(pool: &Pool) -> Option<(Pool, Processors)> {
        let before = sched_getaffinity(None).ok().filter(|_| pool.threads() > 1)?;
        let order = order(&before, siblings);
        if order.len() < pool.threads() {
            return None;
        }
        pool.on_every_thread(|thread| {
            let mut own = CpuSet::new();
            own.set(order[thread]);
            allow(&own);
        });
        Some((pool.clone(), before))
    }

    /// The processors: the first of each core, then those that share a core with one.
    fn order(processors: &Processors, siblings: impl Fn(usize) -> Vec<usize>) -> Vec<usize> {
        let all = || (0..CpuSet::MAX_CPU).filter(|cpu| processors.is_set(*cpu));
        let first = |cpu: &usize| {
            siblings(*cpu).iter().all(|other| other >= cpu || !processors.is_set(*other))
        };
        all().filter(first).chain(all().filter(|cpu| !first(cpu))).collect()
    }

    /// The processors of a core, as the system lists them: `0,64` or `0-1`.
    fn siblings(cpu: usize) -> Vec<usize> {
        let path = format!("/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list");
        listed(&std::fs::read_to_string(path).unwrap_or_default())
    }

    fn listed(text: &str) -> Vec<usize> {
        let range = |part: &str| -> Option<std::ops::RangeInclusive<usize>> {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            Some(first.parse().ok()?..=last.parse().ok()?)
        };
        text.trim().split(',').filter_map(range).flatten().collect()
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn cores_come_before_their_second_threads() {
            assert_eq!(listed("0,64\n"), [0, 64]);
            assert_eq!(listed("2-3,6\n"), [2, 3, 6]);
            assert_eq!(listed(""), [0; 0]);
            let mut all = CpuSet::new();
            (0..6).for_each(|cpu| all.set(cpu));
            assert_eq!(order(&all, |cpu| vec![cpu / 2 * 2, cpu / 2 * 2 + 1]), [0, 2, 4, 1, 3, 5]);
            assert_eq!(order(&all, |cpu| vec![cpu % 3, cpu % 3 + 3]), [0, 1, 2, 3, 4, 5]);
            assert_eq!(order(&all, |_| Vec::new()), [0, 1, 2, 3, 4, 5]);
            // A sibling that this process may not use does not count.
            all.unset(0);
            assert_eq!(order(&all, |cpu| vec![cpu / 2 * 2, cpu / 2 * 2 + 1]), [1, 2, 4, 3, 5]);
        }

        #[test]
        fn threads_have_processors_of_their_own_and_get_back_what_they_had() {
            let here = || sched_getaffinity(None).expect("Linux tells");
            let before = here();
            let pool = Pool::new(2).expect("two threads");
            let own = || {
                let seen = std::sync::Mutex::new(Vec::new());
                pool.on_every_thread(|_| seen.lock().expect("seen").push(here()));
                seen.into_inner().expect("seen")
            };
            if before.count() < 2 {
                return;
            }
            let pinned = super::super::Pinned::new(&pool);
            let kept = own();
            assert!(kept.iter().all(|set| set.count() == 1) && kept[0] != kept[1]);
            drop(pinned);
            assert!(own().iter().all(|set| *set == before));
        }
    }
}
