//! The counting allocator: how much heap a row holds. The one global of the binary.
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The system's allocator, counting live bytes and their peak.
#[derive(Debug, Default)]
pub struct Counting {
    live: AtomicU64,
    peak: AtomicU64,
}

impl Counting {
    /// An allocator that has given out nothing.
    pub const fn new() -> Counting {
        Counting { live: AtomicU64::new(0), peak: AtomicU64::new(0) }
    }

    /// Start a new peak at what is live now, and return that.
    pub fn mark(&self) -> u64 {
        let live = self.live.load(Relaxed);
        self.peak.store(live, Relaxed);
        live
    }

    /// Most bytes live at once since the last mark.
    pub fn peak(&self) -> u64 {
        self.peak.load(Relaxed)
    }

    fn grow(&self, bytes: usize) {
        let live = self.live.fetch_add(bytes as u64, Relaxed) + bytes as u64;
        self.peak.fetch_max(live, Relaxed);
    }
}

// SAFETY: every call is passed on to the system's allocator unchanged; the counters do not
// influence what is returned.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.grow(layout.size());
        // SAFETY: the caller's contract is the system's.
        unsafe { System.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        self.grow(layout.size());
        // SAFETY: the caller's contract is the system's.
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        self.live.fetch_sub(layout.size() as u64, Relaxed);
        // SAFETY: the caller's contract is the system's.
        unsafe { System.dealloc(at, layout) }
    }
    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        self.grow(size);
        self.live.fetch_sub(layout.size() as u64, Relaxed);
        // SAFETY: the caller's contract is the system's.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peak_is_the_most_that_was_live_at_once() {
        let heap = Counting::new();
        let layout = Layout::from_size_align(1000, 8).unwrap();
        assert_eq!(heap.mark(), 0);
        // SAFETY: allocated and freed with one layout, never read.
        unsafe {
            let a = heap.alloc(layout);
            let b = heap.alloc(layout);
            heap.dealloc(a, layout);
            assert_eq!((heap.mark(), heap.peak()), (1000, 1000));
            heap.dealloc(b, layout);
        }
        assert_eq!(heap.peak(), 1000);
        assert_eq!(heap.mark(), 0);
    }
}
