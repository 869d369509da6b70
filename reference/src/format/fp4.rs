//! ggml's 4-bit floats: `mxfp4` and `nvfp4`, byte for byte (ggml@d99724f2, `quantize_row_*_ref`).
//!
//! A code is the index of the nearest of 0, 0.5, 1, 1.5, 2, 3, 4, 6 and their negatives, times the
//! scale, the first of equally near ones in that order: a tie goes toward zero, and what rounds to
//! zero is +0. (OCP's MXFP4 rounds ties to even and keeps -0: `mxfp4_e2m1`.) Both formats store
//! the codes of a group in nibbles, the first half of the group low, the second half high.
//!
//! * `mxfp4`: 32 values, 17 bytes: the scale `2^(byte - 127)` with
//!   `byte = floor(log2f(absmax)) + 125`, then 16 bytes of codes.
//! * `nvfp4`: 64 values, 36 bytes: the scales of four groups of 16, then 32 bytes of codes. A scale
//!   is `absmax / 6` as an E4M3 without sign whose ties go up; what reaches 256 becomes 448,
//!   and 127 (NaN elsewhere) decodes to 0. NVIDIA's second scale, one f32 for the tensor, is not
//!   part of a block.
//!
//! Where ggml's C has no defined answer: infinities are taken as the largest finite f32, and the
//! scale byte of `mxfp4` ends at 0 for the smallest values. NaN becomes 0, as there.
use super::BlockFormat;
use super::minifloat::{Minifloat, Overflow, Specials, power_of_two, small_float};
use crate::case::Word;

/// Twice the values of the codes.
static DOUBLED: [f32; 16] =
    [0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 0.0, -1.0, -2.0, -3.0, -4.0, -6.0, -8.0, -12.0];

/// The magnitudes of an nvfp4 scale.
const UE4M3: Minifloat = small_float((4, 3), 7, Specials::None, Overflow::Saturate);

/// See the module.
#[derive(Debug)]
pub struct Mxfp4;
/// The `mxfp4` format.
pub static MXFP4: Mxfp4 = Mxfp4;

/// See the module.
#[derive(Debug)]
pub struct Nvfp4;
/// The `nvfp4` format.
pub static NVFP4: Nvfp4 = Nvfp4;

/// Values of an `nvfp4` scale.
const NV_GROUP: usize = 16;

fn finite(x: f32) -> f32 {
    x.clamp(f32::MIN, f32::MAX)
}

/// A number from 0 to 255, its fraction cut off.
fn byte(x: f32) -> u8 {
    (x as i16).cast_unsigned() as u8
}

/// The largest magnitude; NaN does not count.
fn absmax(x: &[f32]) -> f32 {
    x.iter().fold(0.0, |largest: f32, x| largest.max(finite(*x).abs()))
}

/// The first code nearest to `x` under half a scale, in f32.
fn nearest(x: f32, half_scale: f32) -> u8 {
    let error = |code: usize| (DOUBLED[code] * half_scale - finite(x)).abs();
    (1..DOUBLED.len()).fold(0, |best, code| if error(code) < error(best) { code } else { best })
        as u8
}

/// The codes of a group under half its scale, in half as many bytes.
fn pack_group(x: &[f32], half_scale: f32, bytes: &mut [u8]) {
    let half = bytes.len();
    for (i, byte) in bytes.iter_mut().enumerate() {
        *byte = nearest(x[i], half_scale) | nearest(x[half + i], half_scale) << 4;
    }
}

/// The values of a group under half its scale.
fn unpack_group(bytes: &[u8], half_scale: f32, x: &mut [f32]) {
    let half = bytes.len();
    for (i, byte) in bytes.iter().enumerate() {
        x[i] = DOUBLED[usize::from(byte & 15)] * half_scale;
        x[half + i] = DOUBLED[usize::from(byte >> 4)] * half_scale;
    }
}

impl BlockFormat for Mxfp4 {
    fn word(&self) -> Word {
        Word { name: "mxfp4", aliases: &["MXFP4"] }
    }
    fn block_len(&self) -> usize {
        32
    }
    fn block_bytes(&self) -> usize {
        17
    }
    fn encode_block(&self, x: &[f32], bytes: &mut [u8]) {
        // The logarithm is rounded to f32: what lies just below 2^k may count as 2^k.
        let exponent = (f64::from(absmax(x)).log2() as f32).floor();
        let (scale, codes) = bytes.split_at_mut(1);
        // The logarithm of 0 is -inf.
        scale[0] = byte((exponent + 125.0).max(0.0));
        pack_group(x, half_power(scale[0]), codes);
    }
    fn decode_block(&self, bytes: &[u8], x: &mut [f32]) {
        unpack_group(&bytes[1..], half_power(bytes[0]), x);
    }
}

/// Half of `2^(byte - 127)`; 255 is no NaN here.
fn half_power(byte: u8) -> f32 {
    power_of_two(i32::from(byte) - 128) as f32
}

impl BlockFormat for Nvfp4 {
    fn word(&self) -> Word {
        Word { name: "nvfp4", aliases: &["NVFP4"] }
    }
    fn block_len(&self) -> usize {
        64
    }
    fn block_bytes(&self) -> usize {
        36
    }
    fn encode_block(&self, x: &[f32], bytes: &mut [u8]) {
        let (scales, codes) = bytes.split_at_mut(4);
        let groups = x.chunks(NV_GROUP).zip(codes.chunks_mut(NV_GROUP / 2));
        for (scale, (x, codes)) in scales.iter_mut().zip(groups) {
            *scale = encode_scale(absmax(x) / 6.0);
            pack_group(x, half_scale(*scale), codes);
        }
    }
    fn decode_block(&self, bytes: &[u8], x: &mut [f32]) {
        let (scales, codes) = bytes.split_at(4);
        let groups = codes.chunks(NV_GROUP / 2).zip(x.chunks_mut(NV_GROUP));
        for (scale, (codes, x)) in scales.iter().zip(groups) {
            unpack_group(codes, half_scale(*scale), x);
        }
    }
}

/// The byte of a scale `s >= 0`: 3 mantissa bits, halves up, and 7 is the last subnormal code even
/// where 8, the smallest normal, is nearer.
fn encode_scale(s: f32) -> u8 {
    let unit = power_of_two(-9) as f32;
    if s < 8.0 * unit {
        return byte((s / unit + 0.5).min(7.0));
    }
    // Half a unit in the last of three mantissa places is added, and what lies below is cut off.
    let rounded = f32::from_bits((s.to_bits() + (1 << 19)) >> 20 << 20);
    if rounded < 256.0 { UE4M3.encode(rounded) as u8 } else { 126 }
}

/// Half of a scale.
fn half_scale(byte: u8) -> f32 {
    if byte == 127 { 0.0 } else { UE4M3.decode(u16::from(byte & 127)) / 2.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_of_nvfp4_round_halves_up_and_skip_what_ggml_skips() {
        let unit = 1.0 / 512.0;
        let table = [
            (0.0, 0),
            (0.49 * unit, 0),
            (0.5 * unit, 1),
            (6.5 * unit, 7),
            (7.9 * unit, 7),
            (8.0 * unit, 8),
            (1.0, 0x38),
            (1.0624, 0x38),
            (1.0625, 0x39),
            (1.1875, 0x3a),
            (247.9, 0x77),
            (248.0, 126),
            (256.0, 126),
            (1e30, 126),
        ];
        for (scale, byte) in table {
            assert_eq!(encode_scale(scale), byte, "{scale}");
        }
        assert_eq!([0x38, 126, 127, 255, 3].map(half_scale), [0.5, 224.0, 0.0, 240.0, 1.5 * unit]);
    }

    #[test]
    fn ties_go_toward_zero_and_halves_of_a_group_share_a_byte() {
        let mut x = [0.0; 32];
        x[..6].copy_from_slice(&[4.0, 0.25, -0.25, 0.26, 5.0, -1.75]);
        x[16..20].copy_from_slice(&[-4.0, 1.0, 6.5, -0.1]);
        let bytes = MXFP4.encode(&x).unwrap();
        assert_eq!(bytes[..7], [127, 0xe6, 0x20, 0x70, 0x01, 0x06, 0x0b]);
        let back = MXFP4.decode(&bytes).unwrap();
        assert_eq!(back[..6], [4.0, 0.0, 0.0, 0.5, 4.0, -1.5]);
        assert_eq!(back[16..20], [-4.0, 1.0, 6.0, 0.0]);
        // The logarithm in f32 of what lies just below 8 is 3.
        assert_eq!(MXFP4.encode(&[8.0f32.next_down(); 32]).unwrap()[0], 128);
        assert_eq!(MXFP4.encode(&[7.99; 32]).unwrap()[0], 127);
    }

    #[test]
    fn every_group_of_nvfp4_has_its_scale() {
        let x: Vec<f32> = (0..64).map(|i| (6 << (i / 16)) as f32 / (1 + i % 16) as f32).collect();
        let bytes = NVFP4.encode(&x).unwrap();
        assert_eq!(bytes[..4], [0x38, 0x40, 0x48, 0x50]);
        // 6, 3, 2, 1.5 ... low; 6/9, 6/10 ... high.
        assert_eq!(bytes[4..8], [0x17, 0x15, 0x14, 0x13]);
        let back = NVFP4.decode(&bytes).unwrap();
        assert_eq!([0, 1, 8, 16, 17, 48].map(|i| back[i]), [6.0, 3.0, 0.5, 12.0, 6.0, 48.0]);
    }

    #[test]
    fn nan_is_zero_and_infinity_is_the_largest_float() {
        for format in [&MXFP4 as &dyn BlockFormat, &NVFP4] {
            let mut x = vec![0.0; format.block_len()];
            x[..3].copy_from_slice(&[f32::NAN, 3.0, -1.0]);
            let back = format.decode(&format.encode(&x).unwrap()).unwrap();
            assert_eq!(back[..3], [0.0, 3.0, -1.0], "{}", format.name());
            let of = |largest: f32| format.encode(&vec![largest; x.len()]).unwrap();
            assert_eq!(of(f32::NEG_INFINITY), of(f32::MIN), "{}", format.name());
            let smallest = of(f32::from_bits(1));
            assert_eq!(smallest[0], 0, "{}", format.name());
            assert!(format.decode(&smallest).unwrap().iter().all(|x| *x >= 0.0));
        }
        // ggml has no NaN scale.
        assert_eq!(
            MXFP4.decode(&[[255].as_slice(), &[0x11; 16]].concat()).unwrap()[0],
            2f32.powi(127)
        );
    }
}
