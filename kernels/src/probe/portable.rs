//! Probes in plain Rust.

/// See `probe::read`.
pub(super) fn read(bytes: &[u8]) -> u64 {
    let (blocks, rest) = bytes.as_chunks::<64>();
    let mut lanes = [0u64; 8];
    for block in blocks {
        for (lane, word) in lanes.iter_mut().zip(block.as_chunks().0) {
            *lane = lane.wrapping_add(u64::from_le_bytes(*word));
        }
    }
    lanes.into_iter().fold(tail(rest), u64::wrapping_add)
}

/// Sum of the words of a few bytes.
pub(super) fn tail(bytes: &[u8]) -> u64 {
    let place = |(i, byte): (usize, &u8)| u64::from(*byte) << (8 * (i % 8));
    bytes.iter().enumerate().map(place).fold(0, u64::wrapping_add)
}

/// Vectors of 128 bits in flight.
const SUMS: usize = 8;

/// See `probe::int8_dot`. Each sum is its own factor, or it would be computed in one step.
pub(super) fn int8_dot(iterations: u64) -> (u64, i32) {
    let mut sums = [[1i16; 8]; SUMS];
    for _ in 0..iterations {
        for sum in &mut sums {
            *sum = sum.map(|sum| sum.wrapping_mul(691).wrapping_add(1));
        }
    }
    (iterations * 8 * SUMS as u64, sums.iter().flatten().map(|sum| i32::from(*sum)).sum())
}

/// See `probe::f32_fma`.
pub(super) fn f32_fma(iterations: u64) -> (u64, f32) {
    let mut sums = [[0f32; 4]; SUMS];
    for _ in 0..iterations {
        for sum in &mut sums {
            *sum = sum.map(|sum| sum * 0.75 + 0.5);
        }
    }
    (iterations * 4 * SUMS as u64, sums.iter().flatten().sum())
}
