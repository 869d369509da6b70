//! Probes in plain Rust: one way to read, and plain stores.
use super::{Line, ROW, Stream};

/// See `probe::read_with`.
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

/// See `probe::stream`.
pub(super) fn stream(stream: Stream, read: &[Line], written: &mut [Line]) {
    match stream {
        Stream::Fold => fold::<4, 1>(read, written),
        Stream::Copy => fold::<1, 1>(read, written),
        Stream::Unfold => fold::<1, 4>(read, written),
        Stream::Write => fold::<1, 64>(read, written),
    }
}

/// The sum of `READ` lines, written to `WRITTEN` lines.
fn fold<const READ: usize, const WRITTEN: usize>(read: &[Line], written: &mut [Line]) {
    for (lines, out) in read.as_chunks::<READ>().0.iter().zip(written.as_chunks_mut::<WRITTEN>().0)
    {
        let mut sums = [0u64; 8];
        for line in lines {
            for (sum, word) in sums.iter_mut().zip(line.0.as_chunks().0) {
                *sum = sum.wrapping_add(u64::from_le_bytes(*word));
            }
        }
        for line in out {
            for (sum, word) in sums.iter_mut().zip(line.0.as_chunks_mut().0) {
                *word = sum.to_le_bytes();
                *sum = sum.wrapping_add(0x0101_0101_0101_0101);
            }
        }
    }
}

/// See `probe::quantize_rows`.
pub(super) fn quantize_rows(rows: &[[f32; ROW]], codes: &mut [[Line; ROW / 64]]) {
    for (row, codes) in rows.iter().zip(codes) {
        let factor = 127.0 / row.iter().fold(0.0f32, |most, x| most.max(x.abs()));
        for (values, line) in row.as_chunks::<64>().0.iter().zip(codes) {
            for (code, x) in line.0.iter_mut().zip(values) {
                *code = ((x * factor).round_ties_even() as i8).cast_unsigned();
            }
        }
    }
}
