//! Probes in AVX-512 and VNNI.
use super::{FAR, Line, NEAR, ROW, Reader, Store, Stream, ahead, portable};
use core::arch::x86_64::*;
use core::mem::transmute;

/// Vectors in flight: more than latency times issue width (4 * 2, 5 * 2 to be safe).
const SUMS: usize = 16;
/// Vectors of a step of `read`, over all its streams.
const LOADS: usize = 16;

/// See `probe::read_with`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
pub(super) fn read(bytes: &[u8], reader: Reader) -> u64 {
    match (reader.streams, reader.ahead) {
        (8, 0) => read_by::<8, 2, 0>(bytes),
        (8, _) => read_by::<8, 2, NEAR>(bytes),
        (4, 0) => read_by::<4, 4, 0>(bytes),
        (4, _) => read_by::<4, 4, NEAR>(bytes),
        (2, 0) => read_by::<2, 8, 0>(bytes),
        (2, _) => read_by::<2, 8, FAR>(bytes),
        (_, 0) => read_by::<1, 16, 0>(bytes),
        _ => read_by::<1, 16, FAR>(bytes),
    }
}

/// `STREAMS` parts side by side, `EACH` vectors of each a step, prefetched `AHEAD` bytes ahead.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn read_by<const STREAMS: usize, const EACH: usize, const AHEAD: usize>(bytes: &[u8]) -> u64 {
    let (vectors, rest) = bytes.as_chunks::<64>();
    let (blocks, more) = vectors.as_chunks::<EACH>();
    let steps = blocks.len() / STREAMS;
    let parts: [_; STREAMS] = std::array::from_fn(|i| &blocks[i * steps..][..steps]);
    let mut sums = [_mm512_setzero_si512(); LOADS];
    for step in 0..steps {
        for (i, part) in parts.iter().enumerate() {
            for (j, vector) in part[step].iter().enumerate() {
                if AHEAD > 0 {
                    ahead(vector.as_ptr().wrapping_add(AHEAD));
                }
                sums[EACH * i + j] = _mm512_add_epi64(sums[EACH * i + j], load(vector));
            }
        }
    }
    for vector in blocks[STREAMS * steps..].as_flattened().iter().chain(more) {
        sums[0] = _mm512_add_epi64(sums[0], load(vector));
    }
    let mut all = _mm512_setzero_si512();
    for sum in sums {
        all = _mm512_add_epi64(all, sum);
    }
    _mm512_reduce_add_epi64(all).cast_unsigned().wrapping_add(portable::tail(rest))
}

#[target_feature(enable = "avx512f")]
fn load(bytes: &[u8; 64]) -> __m512i {
    // SAFETY: as many bytes, and any are a vector.
    unsafe { transmute::<[u8; 64], __m512i>(*bytes) }
}

/// See `probe::int8_dot`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
pub(super) fn int8_dot(iterations: u64) -> (u64, i32) {
    let (stored, codes) = (_mm512_set1_epi32(0x0102_0102), _mm512_set1_epi32(0x0201_01ff));
    let mut sums = [_mm512_setzero_si512(); SUMS];
    for _ in 0..iterations {
        for sum in &mut sums {
            *sum = _mm512_dpbusd_epi32(*sum, stored, codes);
        }
    }
    let mut all = _mm512_setzero_si512();
    for sum in sums {
        all = _mm512_add_epi32(all, sum);
    }
    (iterations * 64 * SUMS as u64, _mm512_reduce_add_epi32(all))
}

/// See `probe::f32_fma`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
pub(super) fn f32_fma(iterations: u64) -> (u64, f32) {
    let (factor, term) = (_mm512_set1_ps(0.75), _mm512_set1_ps(0.5));
    let mut sums = [_mm512_setzero_ps(); SUMS];
    for _ in 0..iterations {
        for sum in &mut sums {
            *sum = _mm512_fmadd_ps(*sum, factor, term);
        }
    }
    let mut all = _mm512_setzero_ps();
    for sum in sums {
        all = _mm512_add_ps(all, sum);
    }
    (iterations * 16 * SUMS as u64, _mm512_reduce_add_ps(all))
}

/// See `probe::stream`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
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
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn fold<const READ: usize, const WRITTEN: usize, const NT: bool>(
    read: &[Line],
    written: &mut [Line],
) {
    let step = _mm512_set1_epi64(0x0101_0101_0101_0101);
    for (lines, out) in read.as_chunks::<READ>().0.iter().zip(written.as_chunks_mut::<WRITTEN>().0)
    {
        let mut sum = load(&lines[0].0);
        for line in &lines[1..] {
            sum = _mm512_add_epi64(sum, load(&line.0));
        }
        for line in out {
            store_line::<NT>(line, sum);
            sum = _mm512_add_epi64(sum, step);
        }
    }
    if NT {
        _mm_sfence();
    }
}

#[target_feature(enable = "avx512f")]
fn store_line<const NT: bool>(line: &mut Line, value: __m512i) {
    match NT {
        // SAFETY: a line is 64 bytes at a multiple of 64; the fence follows before anyone reads.
        true => unsafe { _mm512_stream_si512(line.0.as_mut_ptr().cast(), value) },
        // SAFETY: a vector is as many bytes, without padding.
        false => line.0 = unsafe { transmute::<__m512i, [u8; 64]>(value) },
    }
}

/// See `probe::quantize_rows`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
pub(super) fn quantize_rows(rows: &[[f32; ROW]], codes: &mut [[Line; ROW / 64]]) {
    for (row, codes) in rows.iter().zip(codes) {
        let mut most = [_mm512_setzero_ps(); 4];
        for four in row.as_chunks::<16>().0.as_chunks::<4>().0 {
            for (most, part) in most.iter_mut().zip(four) {
                *most = _mm512_max_ps(*most, _mm512_abs_ps(load_ps(part)));
            }
        }
        let most = _mm512_max_ps(_mm512_max_ps(most[0], most[1]), _mm512_max_ps(most[2], most[3]));
        let factor = _mm512_set1_ps(127.0 / _mm512_reduce_max_ps(most));
        for (values, line) in row.as_chunks::<64>().0.iter().zip(codes) {
            let values = values.as_chunks::<16>().0;
            let code = |i: usize| {
                let scaled = _mm512_mul_ps(factor, load_ps(&values[i]));
                _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(scaled))
            };
            let low = _mm256_set_m128i(code(1), code(0));
            let high = _mm256_set_m128i(code(3), code(2));
            let all = _mm512_inserti64x4::<1>(_mm512_castsi256_si512(low), high);
            store_line::<true>(line, all);
        }
    }
    _mm_sfence();
}

#[target_feature(enable = "avx512f")]
fn load_ps(values: &[f32; 16]) -> __m512 {
    // SAFETY: as many floats.
    unsafe { transmute::<[f32; 16], __m512>(*values) }
}
