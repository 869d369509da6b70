//! What cannot be caught: requests for unreasonable memory, and inputs without an end. Both end the
//! process and say what was running.
//!
//! The allocator is the system's, with a limit to a single request; a thread looks on from time to
//! time, and expects another input every time.
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

/// Most bytes that one request may ask for. Inputs are below 64 KiB, and a dimension of their
/// shapes is either a few places long or beyond all memory.
pub(crate) const LIMIT: usize = 64 << 20;

/// Time for one input; the slowest takes some milliseconds.
const PATIENCE: Duration = Duration::from_secs(20);

/// See the module.
struct Watched;

#[global_allocator]
static ALLOCATOR: Watched = Watched;

/// Position of the target that runs, and its input.
static TARGET: AtomicUsize = AtomicUsize::new(0);
static NUMBER: AtomicU64 = AtomicU64::new(0);

/// What runs next.
pub(crate) fn announce(target: usize, number: u64) {
    TARGET.store(target, Relaxed);
    NUMBER.store(number, Relaxed);
}

/// Look on until the process ends.
pub(crate) fn watch() {
    std::thread::spawn(|| {
        let now = || (TARGET.load(Relaxed), NUMBER.load(Relaxed));
        let mut before = now();
        loop {
            std::thread::sleep(PATIENCE);
            if before == now() {
                end("has no end");
            }
            before = now();
        }
    });
}

fn end(what: impl std::fmt::Display) -> ! {
    let (target, number) = (TARGET.load(Relaxed), NUMBER.load(Relaxed));
    eprintln!("input {number} of target {target} {what}");
    std::process::abort();
}

fn check(size: usize) {
    if size > LIMIT {
        end(format_args!("asks for {size} bytes at once"));
    }
}

// SAFETY: every request is the system allocator's, which has the properties asked for.
unsafe impl GlobalAlloc for Watched {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        check(layout.size());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        check(size);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}
