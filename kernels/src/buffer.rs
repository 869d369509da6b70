//! Buffers with guard bands on both sides and poison inside.
//!
//! A row that writes past its output lands in a band whose pattern is checked after every run; a
//! row that leaves an output unwritten leaves poison, which as f32 is NaN.
//!
//! Buffers of 1 MiB and more ask for huge pages, whole ones: reading memory page by page of 4 KiB
//! costs some 13 % of the bandwidth. Where the system gives none, nothing else changes.
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut, Range};
use std::ptr::NonNull;
use std::sync::Arc;

/// Bytes of a band: a few of the widest vectors.
pub const GUARD: usize = 256;
/// Start of every buffer: a cache line, and the widest vector.
const ALIGN: usize = 64;

/// Bytes from which a buffer asks for huge pages.
const LARGE: usize = 1 << 20;
/// A huge page of x86-64, and of AArch64 with pages of 4 KiB.
const HUGE_PAGE: usize = 2 << 20;

/// Plain numbers: any bit pattern is a value.
pub trait Element: Copy + Send + Sync + 'static + private::Sealed {}
mod private {
    pub trait Sealed {}
}
macro_rules! elements {
    ($($t:ty)*) => { $(impl private::Sealed for $t {} impl Element for $t {})* };
}
elements!(u8 i8 i32 u32 f32);

/// What lies on either side of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// Bytes of a pattern: a stray write is seen when they are checked.
    Bands,
    /// The buffer ends where a page begins that may not be touched (on Linux; elsewhere bands): a
    /// stray read or write past the end stops the program. It is aligned to its elements alone.
    PageAfter,
    /// The same, aligned to 64 bytes as ever: of the last 63 bytes before the page some are a band.
    PageAfterAligned,
    /// Such a page before its start.
    PageBefore,
}

/// One allocation: band or page, payload, band or page.
#[derive(Debug)]
pub(crate) struct Region {
    base: NonNull<u8>,
    memory: Memory,
    /// What may be touched.
    usable: Range<usize>,
    /// Where the payload lies within it; the rest holds the pattern.
    payload: Range<usize>,
    /// Each byte of the rest.
    pattern: u8,
    /// What the buffer is, for the message.
    label: &'static str,
}

/// Where the bytes come from.
#[derive(Debug)]
enum Memory {
    Heap(Layout),
    #[cfg(target_os = "linux")]
    Pages(usize),
}

// SAFETY: the region is plain memory; the payload is reached only through the one `Buffer` that
// owns it, the bands only by `check`, which reads.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

impl Region {
    fn new(
        payload: usize,
        (poison, pattern): (u8, u8),
        guard: Guard,
        label: &'static str,
    ) -> Region {
        let mut region = match guard {
            #[cfg(target_os = "linux")]
            Guard::PageAfter | Guard::PageAfterAligned | Guard::PageBefore => {
                Region::pages(payload, guard, label)
            }
            _ => Region::bands(payload, label),
        };
        region.pattern = pattern;
        let Range { start, end } = region.usable.clone();
        // SAFETY: all of it lies in the allocation just made, which nothing else knows.
        unsafe {
            region.base.as_ptr().add(start).write_bytes(pattern, end - start);
            region.payload_ptr().write_bytes(poison, payload);
        }
        region
    }

    fn bands(payload: usize, label: &'static str) -> Region {
        let size = GUARD + payload.next_multiple_of(ALIGN) + GUARD;
        let align = if size < LARGE { ALIGN } else { HUGE_PAGE };
        let whole = size.next_multiple_of(align);
        let layout =
            Layout::from_size_align(whole, align).unwrap_or_else(|e| panic!("{size}: {e}"));
        // SAFETY: the size is at least two bands, so not zero.
        let base = unsafe { alloc(layout) };
        let base = NonNull::new(base).unwrap_or_else(|| handle_alloc_error(layout));
        if align == HUGE_PAGE {
            ask_for_huge_pages(base, whole);
        }
        let (usable, payload) = (0..size, GUARD..GUARD + payload);
        Region { base, memory: Memory::Heap(layout), usable, payload, pattern: 0, label }
    }

    /// A page that may not be touched, pages for the payload, another such page.
    #[cfg(target_os = "linux")]
    fn pages(payload: usize, guard: Guard, label: &'static str) -> Region {
        let page = page();
        let inner = payload.next_multiple_of(page).max(page);
        let (size, usable) = (inner + 2 * page, page..page + inner);
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: new memory, mapped nowhere in particular; nothing of ours is touched.
        let base = unsafe { libc::mmap(std::ptr::null_mut(), size, libc::PROT_NONE, flags, -1, 0) };
        assert!(base != libc::MAP_FAILED, "no memory for {size} bytes of pages");
        let base = NonNull::new(base.cast::<u8>()).unwrap_or_else(|| panic!("mapped at zero"));
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: whole pages of the mapping just made.
        let opened = unsafe { libc::mprotect(base.as_ptr().add(page).cast(), inner, access) };
        assert!(opened == 0, "cannot open pages");
        let start = match guard {
            Guard::PageAfter => usable.end - payload,
            Guard::PageAfterAligned => usable.end - payload.next_multiple_of(ALIGN),
            _ => page,
        };
        let payload = start..start + payload;
        Region { base, memory: Memory::Pages(size), usable, payload, pattern: 0, label }
    }

    fn payload_ptr(&self) -> *mut u8 {
        // SAFETY: the payload lies in the allocation.
        unsafe { self.base.as_ptr().add(self.payload.start) }
    }

    /// The first byte of a band that changed, as a sentence.
    pub(crate) fn check(&self) -> Result<(), String> {
        let Range { start, end } = self.payload.clone();
        let band = |from: usize, to: usize| {
            // SAFETY: `from..to` is inside the allocation and outside the payload; whoever writes
            // there does so in error, and not at the same time.
            (from..to).find(|i| unsafe { self.base.as_ptr().add(*i).read() } != self.pattern)
        };
        if let Some(i) = band(self.usable.start, start) {
            return Err(format!("wrote {} bytes before buffer `{}`", start - i, self.label));
        }
        if let Some(i) = band(end, self.usable.end) {
            let past = i - end + 1;
            return Err(format!("wrote past the end of buffer `{}` (byte {past})", self.label));
        }
        Ok(())
    }
}

/// Bytes of what the system protects as one.
#[cfg(target_os = "linux")]
fn page() -> usize {
    // SAFETY: it asks for a number and touches nothing.
    let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(bytes).unwrap_or(64 << 10)
}

/// A hint: what the system answers does not matter.
#[cfg(target_os = "linux")]
fn ask_for_huge_pages(base: NonNull<u8>, size: usize) {
    // SAFETY: the range is one allocation of ours that nobody else knows yet, from the start of a
    // page on; the advice changes how it is mapped and nothing of what it holds.
    unsafe { libc::madvise(base.as_ptr().cast(), size, libc::MADV_HUGEPAGE) };
}
#[cfg(not(target_os = "linux"))]
fn ask_for_huge_pages(_: NonNull<u8>, _: usize) {}

impl Drop for Region {
    fn drop(&mut self) {
        match self.memory {
            // SAFETY: allocated with this layout in `bands`.
            Memory::Heap(layout) => unsafe { dealloc(self.base.as_ptr(), layout) },
            #[cfg(target_os = "linux")]
            Memory::Pages(size) => {
                // SAFETY: mapped with this size in `pages`, and nobody else knows the mapping.
                unsafe { libc::munmap(self.base.as_ptr().cast(), size) };
            }
        }
    }
}

/// `len` elements between guard bands, aligned to 64 bytes.
#[derive(Debug)]
pub struct Buffer<T> {
    region: Arc<Region>,
    len: usize,
    element: PhantomData<T>,
}

impl<T: Element> Buffer<T> {
    /// `bytes`: what fills it, and what fills its bands.
    pub(crate) fn new(
        len: usize,
        bytes: (u8, u8),
        guard: Guard,
        label: &'static str,
    ) -> (Buffer<T>, Arc<Region>) {
        let region = Arc::new(Region::new(len * size_of::<T>(), bytes, guard, label));
        (Buffer { region: Arc::clone(&region), len, element: PhantomData }, region)
    }
}

impl<T: Element> Deref for Buffer<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        // SAFETY: the payload holds `len` elements, aligned and initialized (poison is a value);
        // this buffer is their only owner.
        unsafe { std::slice::from_raw_parts(self.region.payload_ptr().cast(), self.len) }
    }
}

impl<T: Element> DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`, and `&mut self` makes the access unique.
        unsafe { std::slice::from_raw_parts_mut(self.region.payload_ptr().cast(), self.len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_buffer_begins_a_band_after_a_huge_page_and_keeps_its_bands() {
        let (mut buffer, region) =
            Buffer::<u8>::new(LARGE + 3, (0x7f, 0xc5), Guard::Bands, "weights");
        assert_eq!(buffer.as_ptr().addr() % HUGE_PAGE, GUARD);
        assert!(buffer.iter().all(|byte| *byte == 0x7f));
        buffer.fill(1);
        assert_eq!(region.check(), Ok(()));
        // SAFETY: inside the allocation: a band follows the payload.
        unsafe { buffer.as_mut_ptr().add(LARGE + 3).write(0) };
        assert!(region.check().is_err());
    }

    #[test]
    fn a_stray_write_on_either_side_is_seen_and_poison_is_nan() {
        for offset in [-1isize, 12, 200] {
            let (mut buffer, region) = Buffer::<f32>::new(3, (0xff, 0xc5), Guard::Bands, "y");
            assert!(buffer.iter().all(|v| v.is_nan()));
            buffer.fill(1.0);
            assert_eq!(region.check(), Ok(()));
            // SAFETY: inside the allocation: the bands are 256 bytes wide.
            unsafe { buffer.as_mut_ptr().cast::<u8>().offset(offset).write(0) };
            assert!(region.check().is_err(), "{offset}");
        }
    }
}
