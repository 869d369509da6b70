//! `sparse_positive`: the 16 largest positive values of every 32, a byte each.
//!
//! With `p` the bits of `max(x, 0)`, at most those of the largest finite f32: their order is that
//! of the values. Where more than 16 are positive, value `i` has the rank
//! `sum_j [p_j + [j < i] > p_i]`, how many are larger or equal and earlier, and is kept below 16;
//! 32 times 32 comparisons, in vectors. `s = max / 255`, codes `round(min(p / s, 255))` in the low
//! byte of `q + 2^23`, ties to even. A scale of 0, for a maximum below 255 of the smallest numbers,
//! keeps nothing.
use super::BLOCK;
use crate::quantize::isa::Isa;
use crate::quantize::scalar::Scalar;

/// Values kept.
pub(super) const KEPT: u32 = 16;
/// Bitmap and scale.
pub(crate) const HEADER: usize = 8;
/// Most bytes of a block.
pub(crate) const MOST: usize = HEADER + KEPT as usize;

/// An instruction set that does a block, as said here unless it knows better.
pub(crate) trait Positive: Isa {
    /// Writes a block to the start of `out`, and answers how many bytes it has. A short block has
    /// zeros behind it.
    #[inline(always)]
    fn encode_positive(self, x: &[f32; BLOCK], out: &mut [u8; MOST]) -> usize {
        encode(x, out)
    }

    /// The values of the block that a payload begins with, and how many bytes it took.
    #[inline(always)]
    fn decode_positive(self, payload: &[u8], x: &mut [f32; BLOCK]) -> usize {
        decode(payload, x)
    }
}

impl Positive for Scalar {}
#[cfg(target_arch = "x86_64")]
impl Positive for crate::quantize::avx2::Avx2 {}

#[inline(always)]
fn encode(x: &[f32; BLOCK], out: &mut [u8; MOST]) -> usize {
    let (mut p, mut most) = ([0u32; BLOCK], 0);
    for (p, x) in p.iter_mut().zip(x) {
        let positive = if *x > 0.0 { *x } else { 0.0 };
        *p = positive.to_bits().min(f32::MAX.to_bits());
        most = most.max(*p);
    }
    let scale = f32::from_bits(most) / 255.0;
    let bitmap = match mask(&p, |_, p| p > 0) {
        _ if scale == 0.0 => 0,
        many if many.count_ones() > KEPT => largest(&p),
        some => some,
    };
    let mut codes = [0; BLOCK];
    for (code, p) in codes.iter_mut().zip(&p) {
        let q = f32::from_bits(*p) / scale;
        let q = if q < 255.0 { q } else { 255.0 };
        *code = (q + 8_388_608.0).to_bits() as u8;
    }
    // Every code is written where the next kept one belongs: no branch is guessed wrong.
    let (mut kept, mut at) = ([0; BLOCK + 1], 0);
    for (i, code) in codes.iter().enumerate() {
        kept[at] = *code;
        at += (bitmap >> i & 1) as usize;
    }
    out[..4].copy_from_slice(&bitmap.to_le_bytes());
    out[4..HEADER].copy_from_slice(&scale.to_le_bytes());
    out[HEADER..].copy_from_slice(&kept[..MOST - HEADER]);
    HEADER + at
}

/// The bits of the values that are kept where there are too many.
#[inline(always)]
fn largest(p: &[u32; BLOCK]) -> u32 {
    let mut ranks = [0u32; BLOCK];
    for (j, other) in p.iter().enumerate() {
        for (i, (rank, p)) in ranks.iter_mut().zip(p).enumerate() {
            *rank += u32::from(other + u32::from(j < i) > *p);
        }
    }
    mask(&ranks, |_, rank| rank < KEPT)
}

#[inline(always)]
fn mask(x: &[u32; BLOCK], is: impl Fn(usize, u32) -> bool) -> u32 {
    x.iter().enumerate().fold(0, |mask, (i, x)| mask | u32::from(is(i, *x)) << i)
}

/// Bytes of the block that a payload begins with; `None` where it ends within.
#[inline(always)]
pub(crate) fn block_bytes(payload: &[u8]) -> Option<usize> {
    let bitmap = u32::from_le_bytes(*payload.first_chunk()?);
    let bytes = HEADER + bitmap.count_ones() as usize;
    (bytes <= payload.len() && bytes <= MOST).then_some(bytes)
}

/// Bytes that are missing count as 0.
#[inline(always)]
pub(super) fn decode(payload: &[u8], x: &mut [f32; BLOCK]) -> usize {
    let mut block = [0; MOST + 1];
    let len = payload.len().min(MOST);
    block[..len].copy_from_slice(&payload[..len]);
    let [a, b, c, d, e, f, g, h, codes @ ..] = block;
    let (bitmap, scale) = (u32::from_le_bytes([a, b, c, d]), f32::from_le_bytes([e, f, g, h]));
    let mut at = 0;
    for (i, x) in x.iter_mut().enumerate() {
        // All bits or none: no branch is guessed wrong.
        let kept = 0u32.wrapping_sub(bitmap >> i & 1);
        let value = f32::from(codes[at.min(MOST - HEADER)]) * scale;
        *x = f32::from_bits(value.to_bits() & kept);
        at += (kept & 1) as usize;
    }
    HEADER + at
}
