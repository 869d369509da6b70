//! Fetching ahead of loads: the one place where `avx512vnni` says what comes when.
use core::arch::x86_64::*;

/// How far ahead of a load its stream is fetched for a single token, across panels and pages.
/// Memory needs it: a panel is one stream, and several side by side are slower. At 4096 x 4096 on
/// Zen 5 all of 6 to 10 KiB read 2-bit codes, nibbles and signs at 93 % of the memory's rate; 4 KiB
/// (88 %) and 16 KiB (86 %) are worse, none at all (81 %) worse still. In a cache it costs nothing.
const AHEAD: usize = 7 << 10;

/// Fetch into the L1 what follows in a stream.
#[inline]
#[target_feature(enable = "avx512f")]
pub(in super::super) fn ahead<T>(at: &T) {
    _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(at).wrapping_byte_add(AHEAD).cast());
}

/// Fetch into the L2.
#[inline]
#[target_feature(enable = "avx512f")]
pub(in super::super) fn fetch<T>(at: &T) {
    _mm_prefetch::<_MM_HINT_T1>(std::ptr::from_ref(at).cast());
}
