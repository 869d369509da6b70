//! `q4_k`: 256 values in eight runs of 32, 4 bits each: `x = (d s) code - (dmin m)`, where the
//! scale `s` and the offset `m` of a run are codes of 6 bits themselves.
//!
//! Bytes: `d`, `dmin`, 12 bytes of scales and offsets, then 128 bytes of nibbles, those of two runs
//! in 32 bytes: the first in low nibbles. ggml `block_q4_K`.
//!
//! ggml searches for the scale and offset that leave the least weighted error; what it finds hangs
//! on the order of its float sums. Here a run reaches from its least value (or 0) to its greatest,
//! without a search, so that the bytes are ggml's in layout and meaning but not in every code.
use super::{f16, fill, nibbles, put_f16, put_nibbles, truncate};
use crate::case::Word;
use crate::format::BlockFormat;
use crate::format::statistic::{absmax, extreme, inverse};

/// Values that share a scale and an offset.
const RUN: usize = 32;
/// Such runs in a block.
const RUNS: usize = 8;

/// See the module.
#[derive(Debug)]
pub struct Q4K;

/// Scale and offset of a run before they are codes: `(max - min) / 15` and `-min`, `min <= 0`.
fn range(run: &[f32]) -> (f32, f32) {
    let least = extreme(run, |x, best| x < best);
    let most = extreme(run, |x, best| x > best);
    let least = if least > 0.0 { 0.0 } else { least };
    ((most - least) / 15.0, -least)
}

/// The codes of 6 bits: `s[i]` and `m[i]` of the first four runs in six bits of a byte each; of the
/// last four, the low halves share a byte, and the high bits fill up the bytes of the first four.
fn put_scales(bytes: &mut [u8], s: &[u8; RUNS], m: &[u8; RUNS]) {
    for i in 0..4 {
        bytes[i] = s[i] | s[i + 4] >> 4 << 6;
        bytes[i + 4] = m[i] | m[i + 4] >> 4 << 6;
        bytes[i + 8] = s[i + 4] & 15 | m[i + 4] << 4;
    }
}

/// The codes of [`put_scales`].
fn scales(bytes: &[u8]) -> [(u8, u8); RUNS] {
    std::array::from_fn(|i| match i {
        0..4 => (bytes[i] & 63, bytes[i + 4] & 63),
        _ => (bytes[i + 4] & 15 | bytes[i - 4] >> 6 << 4, bytes[i + 4] >> 4 | bytes[i] >> 6 << 4),
    })
}

/// `d`, `dmin`, the codes of the runs, and their nibbles, of the bytes of a block.
fn parts(bytes: &[u8]) -> (f32, f32, [(u8, u8); RUNS], impl Iterator<Item = u8>) {
    let (d, rest) = bytes.split_at(2);
    let (dmin, rest) = rest.split_at(2);
    let (codes, fours) = rest.split_at(12);
    (f16(d), f16(dmin), scales(codes), fours.chunks(RUN).flat_map(nibbles))
}

impl BlockFormat for Q4K {
    fn word(&self) -> Word {
        Word { name: "q4_k", aliases: &[] }
    }
    fn block_len(&self) -> usize {
        RUN * RUNS
    }
    fn block_bytes(&self) -> usize {
        144
    }
    fn encode_block(&self, x: &[f32], bytes: &mut [u8]) {
        let ranges: Vec<(f32, f32)> = x.chunks(RUN).map(range).collect();
        let (ss, ms): (Vec<f32>, Vec<f32>) = ranges.iter().copied().unzip();
        let (head, rest) = bytes.split_at_mut(4);
        let (codes, fours) = rest.split_at_mut(12);
        put_f16(&mut head[..2], absmax(&ss) / 63.0);
        put_f16(&mut head[2..], absmax(&ms) / 63.0);
        let (d, dmin) = (f16(&head[..2]), f16(&head[2..]));
        let six = |value: f32, unit: f32| truncate(value * inverse(unit) + 0.5, 63);
        let s = std::array::from_fn(|i| six(ss[i], d));
        let m = std::array::from_fn(|i| six(ms[i], dmin));
        put_scales(codes, &s, &m);
        let code = |(i, x): (usize, &f32)| {
            let (scale, offset) = (d * f32::from(s[i / RUN]), dmin * f32::from(m[i / RUN]));
            truncate((x + offset) * inverse(scale) + 0.5, 15)
        };
        let codes: Vec<u8> = x.iter().enumerate().map(code).collect();
        fours.chunks_mut(RUN).zip(codes.chunks(2 * RUN)).for_each(|(b, c)| put_nibbles(b, c));
    }
    fn decode_block(&self, bytes: &[u8], x: &mut [f32]) {
        let (d, dmin, runs, codes) = parts(bytes);
        let value = |(i, code): (usize, u8)| {
            let (s, m) = runs[i / RUN];
            d * f32::from(s) * f32::from(code) - dmin * f32::from(m)
        };
        fill(x, codes.enumerate().map(value));
    }
    fn reach_block(&self, bytes: &[u8], x: &mut [f32]) {
        let (d, dmin, runs, codes) = parts(bytes);
        let reach = |(i, code): (usize, u8)| {
            let (s, m) = runs[i / RUN];
            (d * f32::from(s) * f32::from(code)).abs() + (dmin * f32::from(m)).abs()
        };
        fill(x, codes.enumerate().map(reach));
    }
    fn has_offset(&self) -> bool {
        true
    }
}
