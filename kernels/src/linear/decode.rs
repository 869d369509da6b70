//! How every packed weight reads, one value at a time.
//!
//! ```text
//! codes    value = (unit - zero_point) * scale      scales and zero points stand beside
//! blocks   value = unit * scale(block)              f16, or a power of two, within the block
//! tables   value = values[nibble] * absmax / divisor
//! ```
//!
//! Units are integers below 256, but for the table of `nf4`. Layouts: FORMATS.md.
use lowbit_reference::format::codebook::NF4_VALUES;
use lowbit_reference::format::nf4_i8::NF4_I8_VALUES;

/// Reads unit `i` of a row's or a block's bytes.
pub(super) type Unit = fn(&[u8], usize) -> f32;

/// Twice the values of the sixteen 4-bit floats.
pub(super) const E2M1_DOUBLED: [f32; 16] =
    [0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, -0.0, -1.0, -2.0, -3.0, -4.0, -6.0, -8.0, -12.0];

/// A block format.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block {
    /// Values of a block.
    pub(super) len: usize,
    /// Bytes of a block.
    pub(super) bytes: usize,
    /// Reads a value without its scale.
    pub(super) unit: Unit,
    /// Reads the scale.
    pub(super) scale: fn(&[u8]) -> f32,
}

/// Bits `shift..` of a byte under a mask.
fn field(byte: u8, shift: usize, mask: u8) -> f32 {
    f32::from((byte >> shift) & mask)
}

/// Nibble `i` of 32, the first half of which is low and the second high.
fn split_nibble(bytes: &[u8], i: usize) -> u8 {
    (bytes[i % 16] >> (4 * (i / 16))) & 15
}

/// Units of a row of codes.
pub(super) fn code(format: &str) -> Result<Unit, String> {
    match format {
        "sign1" => Ok(|row, i| 2.0 * field(row[i / 8], i % 8, 1) - 1.0),
        "ternary2" => Ok(|row, i| field(row[i / 4], 2 * (i % 4), 3) - 1.0),
        "ternary3" => Ok(|row, i| f32::from(row[i / 5] / [1, 3, 9, 27, 81][i % 5] % 3) - 1.0),
        "int8" => Ok(|row, i| f32::from(row[i].cast_signed())),
        // A nibble from 8 on stands for itself less 16.
        "int4" => Ok(|row, i| (field(row[i / 2], 4 * (i % 2), 15) + 8.0) % 16.0 - 8.0),
        "uint4" => Ok(|row, i| field(row[i / 2], 4 * (i % 2), 15)),
        other => Err(format!("no reading of {other}")),
    }
}

/// Units and scale of a block.
pub(super) fn block(format: &str) -> Result<Block, String> {
    match format {
        "q8_0" => Ok(Block {
            len: 32,
            bytes: 34,
            unit: |block, i| f32::from(block[2 + i].cast_signed()),
            scale: |block| half([block[0], block[1]]),
        }),
        "q4_0" => Ok(Block {
            len: 32,
            bytes: 18,
            unit: |block, i| f32::from(split_nibble(&block[2..], i)) - 8.0,
            scale: |block| half([block[0], block[1]]),
        }),
        // Byte 32 h + r holds values r, r + 32, r + 64 and r + 96 of half h.
        "tq2_0" => Ok(Block {
            len: 256,
            bytes: 66,
            unit: |block, i| field(block[i / 128 * 32 + i % 32], i % 128 / 32 * 2, 3) - 1.0,
            scale: |block| half([block[64], block[65]]),
        }),
        "mxfp4" => Ok(Block {
            len: 32,
            bytes: 17,
            unit: |block, i| E2M1_DOUBLED[usize::from(split_nibble(&block[1..], i))],
            scale: |block| 2.0f64.powi(i32::from(block[0]) - 128) as f32,
        }),
        // An offset beside every scale: the unit is the whole value.
        "q4_k" => Ok(Block { len: 256, bytes: 144, unit: q4_k, scale: |_| 1.0 }),
        other => Err(format!("no reading of {other}")),
    }
}

/// Value `i` of a block: `d s code - dmin m`, with 6 bits each of `s` and `m` for every 32 values.
fn q4_k(block: &[u8], i: usize) -> f32 {
    let six = &block[4..16];
    let run = i / 32;
    let (s, m) = match run {
        0..4 => (six[run] & 63, six[run + 4] & 63),
        _ => {
            let low = six[run + 4];
            (low & 15 | six[run - 4] >> 6 << 4, low >> 4 | six[run] >> 6 << 4)
        }
    };
    let code = block[16 + run / 2 * 32 + i % 32] >> (4 * (run % 2)) & 15;
    let scale = half([block[0], block[1]]) * f32::from(s);
    scale * f32::from(code) - half([block[2], block[3]]) * f32::from(m)
}

/// Values of the codes, and what an absmax is divided by.
pub(super) fn table(format: &str) -> Result<([f32; 16], f32), String> {
    match format {
        "nf4" => Ok((NF4_VALUES, 1.0)),
        "nf4_i8" => Ok((NF4_I8_VALUES.map(f32::from), 127.0)),
        other => Err(format!("no table of {other}")),
    }
}

/// An IEEE half float: `(-1)^s 1.m 2^(e - 15)`, `0.m 2^-14` where `e` is 0.
fn half(bytes: [u8; 2]) -> f32 {
    let bits = u16::from_le_bytes(bytes);
    let (exponent, mantissa) = (i32::from(bits >> 10 & 31), f32::from(bits & 1023) / 1024.0);
    let magnitude = match exponent {
        0 => mantissa * 2.0f32.powi(-14),
        31 if mantissa == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        _ => (1.0 + mantissa) * 2.0f32.powi(exponent - 15),
    };
    if bits >> 15 == 1 { -magnitude } else { magnitude }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lowbit_reference::format::{BLOCK_FORMATS, BlockFormat, FP16, TABLE_FORMATS};

    #[test]
    fn every_half_float_reads_as_itself() {
        for bits in 0..=u16::MAX {
            let want = FP16.decode(&bits.to_le_bytes()).unwrap()[0];
            let found = half(bits.to_le_bytes());
            assert!(found.to_bits() == want.to_bits() || (found.is_nan() && want.is_nan()));
        }
    }

    #[test]
    fn blocks_and_tables_read_as_their_formats_say() {
        for name in ["q8_0", "q4_0", "tq2_0", "mxfp4", "q4_k"] {
            let format = BLOCK_FORMATS.iter().find(|format| format.name() == name).unwrap();
            let block = block(name).unwrap();
            assert_eq!((block.len, block.bytes), (format.block_len(), format.block_bytes()));
            for seed in 0..=255u8 {
                let byte = |i: u8| i.wrapping_mul(37).wrapping_add(seed).wrapping_mul(i | 1);
                let bytes: Vec<u8> = (0..=255).map(byte).take(block.bytes).collect();
                let scale = (block.scale)(&bytes);
                let found = (0..block.len).map(|i| (block.unit)(&bytes, i) * scale);
                let same = |(a, b): (f32, f32)| a == b || (a.is_nan() && b.is_nan());
                assert!(found.zip(format.decode(&bytes).unwrap()).all(same), "{name} {seed}");
            }
        }
        for format in TABLE_FORMATS {
            let (values, divisor) = table(format.name()).unwrap();
            assert_eq!(&values, format.values());
            assert_eq!(3.0 / divisor, format.scale(3.0));
        }
    }
}
