//! Probes of what the machine can do: the roofs that rows are measured against.
//!
//! Pure functions of the widest instructions there are; whoever calls them keeps the time.
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;
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

/// Read everything once, in order, and return the wrapping sum of its little-endian u64 words
/// (the last one filled up with zeros).
pub fn read(bytes: &[u8]) -> u64 {
    #[cfg(target_arch = "x86_64")]
    if hardware::avx512vnni() {
        // SAFETY: detected.
        return unsafe { avx512::read(bytes) };
    } else if hardware::avx2() {
        // SAFETY: detected.
        return unsafe { avx2::read(bytes) };
    }
    portable::read(bytes)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(len: usize) -> Vec<u8> {
        (0..len).map(|i| (i * 167 % 251) as u8).collect()
    }

    fn checksum(bytes: &[u8]) -> u64 {
        let place = |(i, byte): (usize, &u8)| u64::from(*byte) << (8 * (i % 8));
        bytes.iter().enumerate().map(place).fold(0, u64::wrapping_add)
    }

    #[test]
    fn the_checksum_covers_every_byte_at_any_length_and_alignment() {
        for len in (0..200).chain([511, 512, 513, 1024, 4096, 5001]) {
            for offset in [0, 1, 7] {
                let bytes = bytes(len + offset);
                let want = checksum(&bytes[offset..]);
                assert_eq!(read(&bytes[offset..]), want, "{len} {offset}");
                assert_eq!(portable::read(&bytes[offset..]), want, "portable {len} {offset}");
                #[cfg(target_arch = "x86_64")]
                if hardware::avx2() {
                    // SAFETY: detected.
                    assert_eq!(unsafe { avx2::read(&bytes[offset..]) }, want, "avx2 {len}");
                }
            }
        }
    }

    #[test]
    fn macs_grow_with_iterations_and_so_does_the_sum() {
        assert_eq!(int8_dot(0).0, 0);
        assert_eq!(int8_dot(20).0, 20 * int8_dot(1).0);
        assert_eq!(f32_fma(20).0, 20 * f32_fma(1).0);
        assert_ne!(int8_dot(1).1, int8_dot(2).1);
        assert_ne!(f32_fma(1).1, f32_fma(2).1);
        assert!(f32_fma(10_000).1.is_finite());
    }
}
