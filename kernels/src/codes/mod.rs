//! Codes one a byte, packed and unpacked, and what they stand for: what `pack`, `unpack` and every
//! op that dequantizes share.
//!
//! Codes are bytes in between: a piece of [`PIECE`] of them is unpacked into the first cache and
//! made floats there, so that packings and scales know nothing of each other. The methods of
//! [`Codes`] are plain loops over arrays, compiled for the set in [`Isa::enter`]; a set replaces those
//! that the compiler does not turn into its vectors.
//!
//! *Unpacking*, a word at a time: two bits a code, `w = (b | b << 12) & 0x000f000f`, `(w | w << 6) &
//! 0x03030303`; nibbles `(b | b << 4) & 0x0f0f`. Signed codes are `u - bias` byte by byte:
//! `((u | 0x80) - bias) ^ 0x80`, where nothing is borrowed since `bias <= 8` and `u < 16`. Signs:
//! bit `i` stays in byte `i` of `0x0101010101010101 b & 0x8040201008040201`, and adding `0x7f` to
//! each byte carries into its bit 7 where it is not 0 and never out of it. Base 3: a table of the
//! five digits of each byte.
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
pub(crate) mod fill;
mod five;
pub(crate) mod half;
use crate::quantize::Packing;
pub(crate) use crate::quantize::isa::STEP;
use crate::quantize::isa::{FIVES, Isa};
use crate::quantize::scalar::Scalar;

/// Values done at a time: whole steps, bytes of five ternary codes and lines; 5 KiB of f32.
pub(crate) const PIECE: usize = 1280;

/// What an instruction set does with a step of codes.
pub(crate) trait Codes: Isa {
    /// Bit `i` is set where code `i` is +1 and not -1.
    #[inline(always)]
    fn signs(self, codes: &[u8; STEP]) -> u32 {
        let mut bits = 0;
        for (i, code) in codes.iter().enumerate() {
            bits |= u32::from(code >> 7 ^ 1) << i;
        }
        bits
    }

    /// The codes of [`signs`](Codes::signs).
    #[inline(always)]
    fn split_signs(self, bits: u32, codes: &mut [u8; STEP]) {
        const ONES: u64 = 0x0101_0101_0101_0101;
        for (byte, codes) in bits.to_le_bytes().iter().zip(codes.as_chunks_mut::<8>().0) {
            let spread = (ONES * u64::from(*byte)) & 0x8040_2010_0804_0201;
            let set = (spread + 0x7f * ONES) >> 7 & ONES;
            *codes = (!(0xfe * set)).to_le_bytes();
        }
    }

    /// The low nibble of each byte, then its high one; two's complement if `signed`.
    #[inline(always)]
    fn split_nibbles(self, bytes: &[u8; STEP / 2], signed: bool, codes: &mut [u8; STEP]) {
        let flip = if signed { 0x0808_0808 } else { 0 };
        for (two, codes) in bytes.as_chunks::<2>().0.iter().zip(codes.as_chunks_mut::<4>().0) {
            let b = u32::from(two[0]) | u32::from(two[1]) << 16;
            let w = ((b | b << 4) & 0x0f0f_0f0f) ^ flip;
            *codes = (((w | 0x8080_8080) - flip) ^ 0x8080_8080).to_le_bytes();
        }
    }

    /// The high nibble of each byte, then its low one.
    #[inline(always)]
    fn split_high_nibbles(self, bytes: &[u8; STEP / 2], codes: &mut [u8; STEP]) {
        for (byte, codes) in bytes.iter().zip(codes.as_chunks_mut::<2>().0) {
            *codes = [byte >> 4, byte & 15];
        }
    }

    /// All low nibbles, then all high ones.
    #[inline(always)]
    fn split_halves(self, bytes: &[u8; STEP / 2], codes: &mut [u8; STEP]) {
        let (low, high) = codes.split_at_mut(STEP / 2);
        for ((low, high), byte) in low.iter_mut().zip(high).zip(bytes) {
            (*low, *high) = (byte & 15, byte >> 4);
        }
    }

    /// The low four bits of codes: the first half of them in low nibbles, the second in high ones.
    #[inline(always)]
    fn join_halves(self, codes: &[u8; STEP], bytes: &mut [u8; STEP / 2]) {
        let (low, high) = codes.split_at(STEP / 2);
        for ((low, high), byte) in low.iter().zip(high).zip(bytes) {
            *byte = low & 15 | high << 4;
        }
    }

    /// `table[code]` for codes below 16.
    #[inline(always)]
    fn looked_up(self, codes: &[u8; STEP], table: &[f32; 16], x: &mut [f32; STEP]) {
        for (x, code) in x.iter_mut().zip(codes) {
            *x = table[usize::from(code & 15)];
        }
    }
}

impl Codes for Scalar {}

/// Four codes of two bits from each byte, less 1.
#[inline(always)]
fn from_pairs(bytes: &[u8; STEP / 4], codes: &mut [u8; STEP]) {
    for (byte, codes) in bytes.iter().zip(codes.as_chunks_mut::<4>().0) {
        let b = u32::from(*byte);
        let w = (b | b << 12) & 0x000f_000f;
        let w = (w | w << 6) & 0x0303_0303;
        *codes = (((w | 0x8080_8080) - 0x0101_0101) ^ 0x8080_8080).to_le_bytes();
    }
}

/// Packed bytes of a run, or of a part of one that starts on a byte, to its codes.
#[inline(always)]
pub(crate) fn unpack<I: Codes>(
    isa: I,
    (packing, signed): (Packing, bool),
    bytes: &[u8],
    codes: &mut [u8],
) {
    match packing {
        Packing::Byte => codes.copy_from_slice(&bytes[..codes.len()]),
        Packing::Ternary3 => five::unpack(bytes, codes),
        Packing::Sign1 => steps::<I, Signs, 4>(isa, signed, bytes, codes),
        Packing::Ternary2 => steps::<I, Pairs, 8>(isa, signed, bytes, codes),
        Packing::Nibble => steps::<I, Nibbles, 16>(isa, signed, bytes, codes),
    }
}

/// How a step of bytes becomes codes; types, since closures would not be compiled for the set.
trait FromBytes<const BYTES: usize> {
    fn step<I: Codes>(isa: I, signed: bool, bytes: &[u8; BYTES], codes: &mut [u8; STEP]);
}
struct Signs;
struct Pairs;
struct Nibbles;

impl FromBytes<4> for Signs {
    #[inline(always)]
    fn step<I: Codes>(isa: I, _: bool, bytes: &[u8; 4], codes: &mut [u8; STEP]) {
        isa.split_signs(u32::from_le_bytes(*bytes), codes);
    }
}
impl FromBytes<8> for Pairs {
    #[inline(always)]
    fn step<I: Codes>(_: I, _: bool, bytes: &[u8; 8], codes: &mut [u8; STEP]) {
        from_pairs(bytes, codes);
    }
}
impl FromBytes<16> for Nibbles {
    #[inline(always)]
    fn step<I: Codes>(isa: I, signed: bool, bytes: &[u8; 16], codes: &mut [u8; STEP]) {
        isa.split_nibbles(bytes, signed, codes);
    }
}

#[inline(always)]
fn steps<I: Codes, F: FromBytes<BYTES>, const BYTES: usize>(
    isa: I,
    signed: bool,
    bytes: &[u8],
    codes: &mut [u8],
) {
    let (full, tail) = codes.as_chunks_mut::<STEP>();
    let (body, rest) = bytes.split_at(full.len() * BYTES);
    for (codes, bytes) in full.iter_mut().zip(body.as_chunks::<BYTES>().0) {
        F::step(isa, signed, bytes, codes);
    }
    if !tail.is_empty() {
        let (mut bytes, mut codes) = ([0; BYTES], [0; STEP]);
        let used = (tail.len() * BYTES).div_ceil(STEP);
        bytes[..used].copy_from_slice(&rest[..used]);
        F::step(isa, signed, &bytes, &mut codes);
        tail.copy_from_slice(&codes[..tail.len()]);
    }
}

/// Codes of a run, or of a part of one that starts on a byte, to packed bytes; bits that hold no
/// code are zero (digits of code 0 for `Ternary3`).
#[inline(always)]
pub(crate) fn pack<I: Codes>(isa: I, packing: Packing, codes: &[u8], bytes: &mut [u8]) {
    match packing {
        Packing::Byte => bytes.copy_from_slice(codes),
        Packing::Sign1 => into::<I, Signs, STEP, 4>(isa, codes, bytes),
        Packing::Ternary2 => into::<I, Pairs, STEP, 8>(isa, codes, bytes),
        Packing::Nibble => into::<I, Nibbles, STEP, 16>(isa, codes, bytes),
        Packing::Ternary3 => into::<I, Fives, FIVES, STEP>(isa, codes, bytes),
    }
}

/// Ternary codes as digits: one more.
#[inline(always)]
fn digits<const N: usize>(codes: &[u8; N]) -> [u8; N] {
    let mut digits = [0; N];
    for (digit, code) in digits.iter_mut().zip(codes) {
        *digit = code.wrapping_add(1);
    }
    digits
}

/// How a step of codes becomes bytes.
trait ToBytes<const CODES: usize, const BYTES: usize> {
    /// What stands where there is no code.
    const MISSING: u8;
    fn step<I: Codes>(isa: I, codes: &[u8; CODES], bytes: &mut [u8; BYTES]);
}
struct Fives;

impl ToBytes<STEP, 4> for Signs {
    /// -1, whose bit is 0.
    const MISSING: u8 = 0xff;
    #[inline(always)]
    fn step<I: Codes>(isa: I, codes: &[u8; STEP], bytes: &mut [u8; 4]) {
        *bytes = isa.signs(codes).to_le_bytes();
    }
}
impl ToBytes<STEP, 8> for Pairs {
    /// -1, whose bits are 0.
    const MISSING: u8 = 0xff;
    #[inline(always)]
    fn step<I: Codes>(isa: I, codes: &[u8; STEP], bytes: &mut [u8; 8]) {
        *bytes = isa.ternary2(&digits(codes)).to_le_bytes();
    }
}
impl ToBytes<STEP, 16> for Nibbles {
    const MISSING: u8 = 0;
    #[inline(always)]
    fn step<I: Codes>(isa: I, codes: &[u8; STEP], bytes: &mut [u8; 16]) {
        isa.nibbles(codes, bytes);
    }
}
impl ToBytes<FIVES, STEP> for Fives {
    const MISSING: u8 = 0;
    #[inline(always)]
    fn step<I: Codes>(isa: I, codes: &[u8; FIVES], bytes: &mut [u8; STEP]) {
        isa.ternary3(&digits(codes), bytes);
    }
}

#[inline(always)]
fn into<I: Codes, T: ToBytes<CODES, BYTES>, const CODES: usize, const BYTES: usize>(
    isa: I,
    codes: &[u8],
    bytes: &mut [u8],
) {
    let (full, tail) = codes.as_chunks::<CODES>();
    let (body, rest) = bytes.split_at_mut(full.len() * BYTES);
    for (codes, bytes) in full.iter().zip(body.as_chunks_mut::<BYTES>().0) {
        T::step(isa, codes, bytes);
    }
    if !tail.is_empty() {
        let (mut codes, mut bytes) = ([T::MISSING; CODES], [0; BYTES]);
        codes[..tail.len()].copy_from_slice(tail);
        T::step(isa, &codes, &mut bytes);
        rest.copy_from_slice(&bytes[..rest.len()]);
    }
}

/// `(code - zero_point) * scale`: the difference is exact, the product rounds once.
#[inline(always)]
pub(crate) fn floats(codes: &[u8], signed: bool, (zero_point, scale): (f32, f32), x: &mut [f32]) {
    if signed {
        for (x, code) in x.iter_mut().zip(codes) {
            *x = (f32::from(code.cast_signed()) - zero_point) * scale;
        }
    } else {
        for (x, code) in x.iter_mut().zip(codes) {
            *x = (f32::from(*code) - zero_point) * scale;
        }
    }
}
