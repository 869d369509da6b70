//! Probes in AVX2 and FMA.
use super::{FAR, Line, NEAR, ROW, Reader, Store, Stream, ahead, portable};
use core::arch::x86_64::*;
use core::mem::transmute;

/// Vectors in flight: more than latency times issue width (4 * 2).
const SUMS: usize = 12;
/// Vectors of a step of `read`, over all its streams.
const LOADS: usize = 8;

/// See `probe::read_with`.
#[target_feature(enable = "avx2,fma")]
pub(super) fn read(bytes: &[u8], reader: Reader) -> u64 {
    match (reader.streams, reader.ahead) {
        (8, 0) => read_by::<8, 1, 0>(bytes),
        (8, _) => read_by::<8, 1, NEAR>(bytes),
        (4, 0) => read_by::<4, 2, 0>(bytes),
        (4, _) => read_by::<4, 2, NEAR>(bytes),
        (2, 0) => read_by::<2, 4, 0>(bytes),
        (2, _) => read_by::<2, 4, FAR>(bytes),
        (_, 0) => read_by::<1, 8, 0>(bytes),
        _ => read_by::<1, 8, FAR>(bytes),
    }
}

/// `STREAMS` parts side by side, `EACH` vectors of each a step, prefetched `AHEAD` bytes ahead.
#[target_feature(enable = "avx2,fma")]
fn read_by<const STREAMS: usize, const EACH: usize, const AHEAD: usize>(bytes: &[u8]) -> u64 {
    let (vectors, rest) = bytes.as_chunks::<32>();
    let (blocks, more) = vectors.as_chunks::<EACH>();
    let steps = blocks.len() / STREAMS;
    let parts: [_; STREAMS] = std::array::from_fn(|i| &blocks[i * steps..][..steps]);
    let mut sums = [_mm256_setzero_si256(); LOADS];
    for step in 0..steps {
        for (i, part) in parts.iter().enumerate() {
            for (j, vector) in part[step].iter().enumerate() {
                if AHEAD > 0 {
                    ahead(vector.as_ptr().wrapping_add(AHEAD));
                }
                sums[EACH * i + j] = _mm256_add_epi64(sums[EACH * i + j], load(vector));
            }
        }
    }
    for vector in blocks[STREAMS * steps..].as_flattened().iter().chain(more) {
        sums[0] = _mm256_add_epi64(sums[0], load(vector));
    }
    let mut total = portable::tail(rest);
    for sum in sums {
        let half = _mm_add_epi64(_mm256_castsi256_si128(sum), _mm256_extracti128_si256::<1>(sum));
        let words = [_mm_cvtsi128_si64(half), _mm_extract_epi64::<1>(half)];
        total = words.iter().fold(total, |total, word| total.wrapping_add(word.cast_unsigned()));
    }
    total
}

#[target_feature(enable = "avx2")]
fn load(bytes: &[u8; 32]) -> __m256i {
    // SAFETY: as many bytes, and any are a vector.
    unsafe { transmute::<[u8; 32], __m256i>(*bytes) }
}

/// See `probe::int8_dot`. The sum is a factor too, or the product would leave the loop.
#[target_feature(enable = "avx2,fma")]
pub(super) fn int8_dot(iterations: u64) -> (u64, i32) {
    let codes = _mm256_set1_epi32(0x0102_0102);
    let mut sums = [codes; SUMS];
    for _ in 0..iterations {
        for sum in &mut sums {
            *sum = _mm256_add_epi16(*sum, _mm256_maddubs_epi16(codes, *sum));
        }
    }
    let mut all = _mm256_setzero_si256();
    for sum in sums {
        all = _mm256_add_epi32(all, sum);
    }
    let half = _mm_add_epi32(_mm256_castsi256_si128(all), _mm256_extracti128_si256::<1>(all));
    let two = _mm_add_epi32(half, _mm_shuffle_epi32::<0b00_00_11_10>(half));
    let one = _mm_add_epi32(two, _mm_shuffle_epi32::<0b00_00_00_01>(two));
    (iterations * 32 * SUMS as u64, _mm_cvtsi128_si32(one))
}

/// See `probe::f32_fma`.
#[target_feature(enable = "avx2,fma")]
pub(super) fn f32_fma(iterations: u64) -> (u64, f32) {
    let (factor, term) = (_mm256_set1_ps(0.75), _mm256_set1_ps(0.5));
    let mut sums = [_mm256_setzero_ps(); SUMS];
    for _ in 0..iterations {
        for sum in &mut sums {
            *sum = _mm256_fmadd_ps(*sum, factor, term);
        }
    }
    let mut all = _mm256_setzero_ps();
    for sum in sums {
        all = _mm256_add_ps(all, sum);
    }
    let half = _mm_add_ps(_mm256_castps256_ps128(all), _mm256_extractf128_ps::<1>(all));
    let two = _mm_add_ps(half, _mm_movehl_ps(half, half));
    let one = _mm_add_ss(two, _mm_movehdup_ps(two));
    (iterations * 8 * SUMS as u64, _mm_cvtss_f32(one))
}

/// See `probe::stream`.
#[target_feature(enable = "avx2,fma")]
pub(super) fn stream(stream: Stream, read: &[Line], written: &mut [Line], store: Store) {
    match (stream, store) {
        (Stream::Fold, Store::Plain) => fold::<4, 1, false>(read, written),
        (Stream::Fold, Store::NonTemporal) => fold::<4, 1, true>(read, written),
        (Stream::Copy, Store::Plain) => fold::<1, 1, false>(read, written),
        (Stream::Copy, Store::NonTemporal) => fold::<1, 1, true>(read, written),
        (Stream::Unfold, Store::Plain) => fold::<1, 4, false>(read, written),
        (Stream::Unfold, Store::NonTemporal) => fold::<1, 4, true>(read, written),
        (Stream::Write, Store::Plain) => fold::<1, 64, false>(read, written),
        (Stream::Write, Store::NonTemporal) => fold::<1, 64, true>(read, written),
    }
}

/// The sum of `READ` lines, written to `WRITTEN` lines.
#[target_feature(enable = "avx2,fma")]
fn fold<const READ: usize, const WRITTEN: usize, const NT: bool>(
    read: &[Line],
    written: &mut [Line],
) {
    let step = _mm256_set1_epi64x(0x0101_0101_0101_0101);
    for (lines, out) in read.as_chunks::<READ>().0.iter().zip(written.as_chunks_mut::<WRITTEN>().0)
    {
        let mut sum = [_mm256_setzero_si256(); 2];
        for line in lines {
            for (sum, half) in sum.iter_mut().zip(line.0.as_chunks::<32>().0) {
                *sum = _mm256_add_epi64(*sum, load(half));
            }
        }
        for line in out {
            store_line::<NT>(line, sum);
            sum = [_mm256_add_epi64(sum[0], step), _mm256_add_epi64(sum[1], step)];
        }
    }
    if NT {
        _mm_sfence();
    }
}

#[target_feature(enable = "avx2")]
fn store_line<const NT: bool>(line: &mut Line, halves: [__m256i; 2]) {
    for (half, value) in line.0.as_chunks_mut::<32>().0.iter_mut().zip(halves) {
        match NT {
            // SAFETY: 32 bytes at a multiple of 32, being half a line; the fence follows before
            // anyone reads.
            true => unsafe { _mm256_stream_si256(half.as_mut_ptr().cast(), value) },
            // SAFETY: a vector is as many bytes, without padding.
            false => *half = unsafe { transmute::<__m256i, [u8; 32]>(value) },
        }
    }
}

/// See `probe::quantize_rows`.
#[target_feature(enable = "avx2,fma")]
pub(super) fn quantize_rows(rows: &[[f32; ROW]], codes: &mut [[Line; ROW / 64]]) {
    // The packs interleave the halves of their operands: this puts every fourth code in place.
    let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    let magnitude = _mm256_castsi256_ps(_mm256_set1_epi32(i32::MAX));
    for (row, codes) in rows.iter().zip(codes) {
        let mut most = [_mm256_setzero_ps(); 4];
        for four in row.as_chunks::<8>().0.as_chunks::<4>().0 {
            for (most, part) in most.iter_mut().zip(four) {
                *most = _mm256_max_ps(*most, _mm256_and_ps(magnitude, load_ps(part)));
            }
        }
        let most = _mm256_max_ps(_mm256_max_ps(most[0], most[1]), _mm256_max_ps(most[2], most[3]));
        let half = _mm_max_ps(_mm256_castps256_ps128(most), _mm256_extractf128_ps::<1>(most));
        let two = _mm_max_ps(half, _mm_movehl_ps(half, half));
        let one = _mm_max_ss(two, _mm_movehdup_ps(two));
        let factor = _mm256_set1_ps(127.0 / _mm_cvtss_f32(one));
        for (values, line) in row.as_chunks::<64>().0.iter().zip(codes) {
            let values = values.as_chunks::<8>().0;
            let code = |i: usize| _mm256_cvtps_epi32(_mm256_mul_ps(factor, load_ps(&values[i])));
            let half = |i: usize| {
                let low = _mm256_packs_epi32(code(4 * i), code(4 * i + 1));
                let high = _mm256_packs_epi32(code(4 * i + 2), code(4 * i + 3));
                _mm256_permutevar8x32_epi32(_mm256_packs_epi16(low, high), order)
            };
            store_line::<true>(line, [half(0), half(1)]);
        }
    }
    _mm_sfence();
}

#[target_feature(enable = "avx2")]
fn load_ps(values: &[f32; 8]) -> __m256 {
    // SAFETY: as many floats.
    unsafe { transmute::<[f32; 8], __m256>(*values) }
}
