//! bf16 and E4M3, by integers alone.
//!
//! With `m` the bits of `|x|`: `bf16 = (m + 0x7fff + bit 16 of m) >> 16`, to nearest even, with the
//! sign above; the sum wraps for NaN alone. E4M3 from 2^-6 up:
//! `(m + 0x7ffff + bit 20 of m) >> 20` less `(127 - 7) 8 = 960`; below, `|x| + 2^14` has an ulp of
//! 2^-9, so that its low bits are the number of 2^-9 in `x`, to nearest even. 0x7e is 448, at which
//! larger ones stop. NaN, `m` above 0x7f800000, is 0x7fc0 and 0x7f with its sign.
//!
//! Back: bf16 is the upper half; `E4M3 = from_bits((c << 20) + (120 << 23))` from code 8 up, below
//! `c 2^-9`, both exact.

/// The bits of infinity.
pub(super) const INFINITY: u32 = 0x7f80_0000;

#[inline(always)]
pub(super) fn bf16(x: f32) -> u16 {
    let bits = x.to_bits();
    let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16;
    let quiet = bits >> 16 & 0x8000 | 0x7fc0;
    (if bits & 0x7fff_ffff > INFINITY { quiet } else { rounded }) as u16
}

#[inline(always)]
pub(super) fn from_bf16(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

#[inline(always)]
pub(crate) fn e4m3(x: f32) -> u8 {
    let m = x.to_bits() & 0x7fff_ffff;
    let normal = ((m + 0x7_ffff + (m >> 20 & 1)) >> 20).wrapping_sub(960);
    let tiny = (f32::from_bits(m) + 16384.0).to_bits().wrapping_sub(16384f32.to_bits());
    let code = if m < (121 << 23) { tiny } else { normal };
    let code = code.min(0x7e);
    let code = if m > INFINITY { 0x7f } else { code };
    (code | x.to_bits() >> 24 & 0x80) as u8
}

#[inline(always)]
pub(crate) fn from_e4m3(code: u8) -> f32 {
    let m = u32::from(code & 0x7f);
    let normal = f32::from_bits((m << 20) + (120 << 23));
    let tiny = m as f32 * (1.0 / 512.0);
    let value = if m < 8 { tiny } else { normal };
    let value = if m == 0x7f { f32::NAN } else { value };
    f32::from_bits(value.to_bits() | u32::from(code & 0x80) << 24)
}
