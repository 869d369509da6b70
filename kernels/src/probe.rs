//! Probes of what the machine can do: the roofs that rows are measured against.
//!
//! Pure functions of the widest instructions there are; whoever calls them keeps the time. They load
//! vectors as values: with debug assertions the intrinsics check their pointers, the loops around
//! them take four times as long, and rows would seem faster than the machine.
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
pub mod device;
mod portable;
#[cfg(test)]
mod tests;
use crate::hardware;

/// The variant every probe uses here.
pub fn isa() -> &'static str {
    if hardware::avx512vnni() {
        "avx512vnni"
    } else if hardware::avx2() {
        "avx2"
    } else {
        "portable"
    }
}

/// A way to read: how many streams side by side, and how far ahead lines are prefetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reader {
    /// Parts of the memory that are read at the same time, each in order.
    pub streams: usize,
    /// Bytes ahead of each stream; 0 leaves it to the processor.
    pub ahead: usize,
}

/// Prefetch distance of one or two streams.
#[cfg(target_arch = "x86_64")]
const FAR: usize = 4096;
/// Prefetch distance of each of more.
#[cfg(target_arch = "x86_64")]
const NEAR: usize = 1024;

/// Ways to read; which is fastest depends on the processor, the footprint and the threads.
#[cfg(target_arch = "x86_64")]
pub const READERS: &[Reader] = &[
    Reader { streams: 1, ahead: 0 },
    Reader { streams: 1, ahead: FAR },
    Reader { streams: 2, ahead: 0 },
    Reader { streams: 2, ahead: FAR },
    Reader { streams: 4, ahead: 0 },
    Reader { streams: 4, ahead: NEAR },
    Reader { streams: 8, ahead: 0 },
    Reader { streams: 8, ahead: NEAR },
];
/// Ways to read: the one there is without intrinsics.
#[cfg(not(target_arch = "x86_64"))]
pub const READERS: &[Reader] = &[Reader { streams: 1, ahead: 0 }];

/// Ask for a line that may be needed soon; one outside of any memory is no error.
#[cfg(target_arch = "x86_64")]
fn ahead(line: *const u8) {
    use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: a prefetch reads nothing and cannot fault, whatever the address.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(line.cast()) }
}

/// Read everything once, in order, and return the wrapping sum of its little-endian u64 words
/// (the last one filled up with zeros).
pub fn read(bytes: &[u8]) -> u64 {
    read_with(READERS[0], bytes)
}

/// The same sum, read in one of several ways; without intrinsics there is one.
pub fn read_with(reader: Reader, bytes: &[u8]) -> u64 {
    #[cfg(target_arch = "x86_64")]
    if hardware::avx512vnni() {
        // SAFETY: detected.
        return unsafe { avx512::read(bytes, reader) };
    } else if hardware::avx2() {
        // SAFETY: detected.
        return unsafe { avx2::read(bytes, reader) };
    }
    let _ = reader;
    portable::read(bytes)
}

/// A cache line, at a multiple of its size: what non-temporal stores need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(64))]
pub struct Line(pub [u8; 64]);

impl Line {
    /// The whole lines of a buffer.
    pub fn of(bytes: &mut [u8]) -> &mut [Line] {
        // SAFETY: a line is 64 bytes without padding, and any bytes are one.
        unsafe { bytes.align_to_mut::<Line>().1 }
    }
}

/// Lines read and lines written of a stream probe. It writes sums of what it reads, so that it
/// does less arithmetic than any kernel that moves the same bytes, and never writes only zeros,
/// which some processors store faster than anything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// 4:1, as f32 to int8.
    Fold,
    /// 1:1.
    Copy,
    /// 1:4, as int8 to f32.
    Unfold,
    /// 1:64, next to writing alone.
    Write,
}

impl Stream {
    /// Every stream.
    pub const ALL: [Stream; 4] = [Stream::Fold, Stream::Copy, Stream::Unfold, Stream::Write];

    /// Lines read and lines written a step.
    pub fn lines(self) -> (usize, usize) {
        match self {
            Stream::Fold => (4, 1),
            Stream::Copy => (1, 1),
            Stream::Unfold => (1, 4),
            Stream::Write => (1, 64),
        }
    }
}

/// How a stream probe stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// Through the caches.
    Plain,
    /// Past the caches, where the instructions are there; else as `Plain`.
    NonTemporal,
}

/// Move a stream: whole steps of [`Stream::lines`], as many as both sides hold.
pub fn stream(stream: Stream, read: &[Line], written: &mut [Line], store: Store) {
    #[cfg(target_arch = "x86_64")]
    if hardware::avx512vnni() {
        // SAFETY: detected.
        return unsafe { avx512::stream(stream, read, written, store) };
    } else if hardware::avx2() {
        // SAFETY: detected.
        return unsafe { avx2::stream(stream, read, written, store) };
    }
    let _ = store;
    portable::stream(stream, read, written);
}

/// Values of a row of [`quantize_rows`].
pub const ROW: usize = 4096;

/// What quantizing rows by their largest magnitude takes at least: each row is read twice, the
/// second time from the nearest cache, and written past the caches. `c = RNE(x 127 / max |x|)`.
pub fn quantize_rows(rows: &[[f32; ROW]], codes: &mut [[Line; ROW / 64]]) {
    #[cfg(target_arch = "x86_64")]
    if hardware::avx512vnni() {
        // SAFETY: detected.
        return unsafe { avx512::quantize_rows(rows, codes) };
    } else if hardware::avx2() {
        // SAFETY: detected.
        return unsafe { avx2::quantize_rows(rows, codes) };
    }
    portable::quantize_rows(rows, codes);
}

/// Multiply and add 8-bit codes in registers: the number of MACs done, and a value that depends
/// on all of them. AVX-512: `vpdpbusd`; AVX2: `vpmaddubsw` and `vpaddw`; else i16 products.
pub fn int8_dot(iterations: u64) -> (u64, i32) {
    #[cfg(target_arch = "x86_64")]
    if hardware::avx512vnni() {
        // SAFETY: detected.
        return unsafe { avx512::int8_dot(iterations) };
    } else if hardware::avx2() {
        // SAFETY: detected.
        return unsafe { avx2::int8_dot(iterations) };
    }
    portable::int8_dot(iterations)
}

/// Multiply and add floats in registers: the number of MACs done, and a value that depends on
/// all of them. Fused where there is FMA.
pub fn f32_fma(iterations: u64) -> (u64, f32) {
    #[cfg(target_arch = "x86_64")]
    if hardware::avx512vnni() {
        // SAFETY: detected.
        return unsafe { avx512::f32_fma(iterations) };
    } else if hardware::avx2() {
        // SAFETY: detected.
        return unsafe { avx2::f32_fma(iterations) };
    }
    portable::f32_fma(iterations)
}
