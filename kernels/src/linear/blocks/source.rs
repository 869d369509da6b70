//! Where the codes and scales of a problem's weights are found, format by format.
use super::weights::{Coding, Weights};
use lowbit_reference::format::TableFormat;
use lowbit_reference::op::linear::{BlockWeight, PackedWeight, TableWeight, Weight};

/// Twice the values of the sixteen 4-bit floats.
const E2M1_DOUBLED: [f32; 16] =
    [0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, -0.0, -1.0, -2.0, -3.0, -4.0, -6.0, -8.0, -12.0];

impl<'p> Weights<'p> {
    /// The weights of a problem, or why they cannot be read.
    pub(super) fn of(weight: &'p Weight) -> Result<Weights<'p>, String> {
        match weight {
            Weight::Codes(weight) => codes(weight),
            Weight::Blocks(weight) => blocks(weight),
            Weight::Table(weight) => Ok(table(weight)),
        }
    }
}

/// How a format of codes is stored here: bits, what is added to a code, and code `i` of a row so.
type Stored = (usize, u8, fn(&[u8], usize) -> u8);

fn stored(format: &str) -> Result<Stored, String> {
    match format {
        "int8" => Ok((8, 128, |row, i| row[i] ^ 128)),
        "int4" => Ok((4, 8, |row, i| nibble(row, i) ^ 8)),
        "uint4" => Ok((4, 0, nibble)),
        "ternary2" => Ok((2, 1, |row, i| row[i / 4] >> (2 * (i % 4)) & 3)),
        "ternary3" => Ok((2, 1, |row, i| row[i / 5] / [1, 3, 9, 27, 81][i % 5] % 3)),
        "sign1" => Ok((2, 1, |row, i| 2 * (row[i / 8] >> (i % 8) & 1))),
        other => Err(format!("weights are {other}")),
    }
}

/// Nibble `i`, low ones first.
fn nibble(row: &[u8], i: usize) -> u8 {
    row[i / 2] >> (4 * (i % 2)) & 15
}

/// Codes with scales beside them. One scale a row waits for the end.
fn codes(weight: &PackedWeight) -> Result<Weights<'_>, String> {
    let (bits, bias, code) = stored(weight.format.name())?;
    let grouped = weight.groups > 1;
    let block_len = weight.group_size.max(1);
    let coding = match weight.zero_points.is_empty() {
        true => Coding::plain(bits, bias),
        false => Coding::zero_point(bits),
    };
    let read = move |j: usize, b: usize, codes: &mut [u8]| {
        let row = weight.row(j);
        for (i, to) in (b * block_len..).zip(codes) {
            *to = code(row, i);
        }
        let scale = if grouped { weight.group_scale(j, b) } else { 1.0 };
        // Among the codes, so that it is one of a byte, too.
        let zero_point = weight.zero_point(j, b) + i32::from(bias);
        (scale, zero_point.to_le_bytes()[0])
    };
    let row_scale = |j| if grouped { 1.0 } else { weight.scale(j) };
    Ok(Weights {
        n: weight.n,
        k: weight.k,
        block_len,
        coding,
        row_scales: (0..weight.n).map(row_scale).collect(),
        read: Box::new(read),
    })
}

/// A block format: its length and bytes, what codes stand for, and where code `i` and the scale are.
struct Block {
    len: usize,
    bytes: usize,
    coding: Coding,
    code: fn(&[u8], usize) -> u8,
    scale: fn(&[u8]) -> f32,
}

fn block(format: &str) -> Result<Block, String> {
    match format {
        "q8_0" => Ok(Block {
            len: 32,
            bytes: 34,
            coding: Coding::plain(8, 128),
            code: |block, i| block[2 + i] ^ 128,
            scale: |block| half([block[0], block[1]]),
        }),
        // The first half of a block has the low nibbles.
        "q4_0" => Ok(Block {
            len: 32,
            bytes: 18,
            coding: Coding::plain(4, 8),
            code: |block, i| block[2 + i % 16] >> (i / 16 * 4) & 15,
            scale: |block| half([block[0], block[1]]),
        }),
        "mxfp4" => Ok(Block {
            len: 32,
            bytes: 17,
            coding: Coding::table(E2M1_DOUBLED),
            code: |block, i| block[1 + i % 16] >> (i / 16 * 4) & 15,
            scale: |block| half_power(block[0]),
        }),
        // A byte has values 32 apart; the second half of a block is 32 bytes on.
        "tq2_0" => Ok(Block {
            len: 256,
            bytes: 66,
            coding: Coding::plain(2, 1),
            code: |block, i| block[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3,
            scale: |block| half([block[64], block[65]]),
        }),
        other => Err(format!("weights are {other}")),
    }
}

fn blocks(weight: &BlockWeight) -> Result<Weights<'_>, String> {
    let Block { len, bytes, coding, code, scale } = block(weight.format.name())?;
    let read = move |j: usize, b: usize, codes: &mut [u8]| {
        let block = &weight.row(j)[b * bytes..][..bytes];
        for (i, to) in codes.iter_mut().enumerate() {
            *to = code(block, i);
        }
        (scale(block), 0)
    };
    let (n, k) = (weight.n, weight.k);
    Ok(Weights { n, k, block_len: len, coding, row_scales: vec![1.0; n], read: Box::new(read) })
}

/// Codes into a table, the first of a byte in the high nibble.
fn table(weight: &TableWeight) -> Weights<'_> {
    let block_len = TableFormat::BLOCK;
    let read = move |j: usize, b: usize, codes: &mut [u8]| {
        let row = weight.row(j);
        for (i, to) in (b * block_len..).zip(codes) {
            *to = nibble(row, i ^ 1);
        }
        (weight.format.scale(weight.row_absmax(j)[b]), 0)
    };
    let (n, k, coding) = (weight.n, weight.k, Coding::table(*weight.format.values()));
    Weights { n, k, block_len, coding, row_scales: vec![1.0; n], read: Box::new(read) }
}

/// `2^(byte - 128)`, half of an E8M0.
fn half_power(byte: u8) -> f32 {
    2.0f64.powi(i32::from(byte) - 128) as f32
}

/// An IEEE half float: shifted into an f32, its exponent is 112 too small; infinities and NaN are
/// apart.
fn half(bytes: [u8; 2]) -> f32 {
    let bits = u32::from(u16::from_le_bytes(bytes));
    let magnitude = match bits >> 10 & 31 {
        31 => f32::from_bits(0x7f80_0000 | (bits & 1023) << 13),
        _ => f32::from_bits((bits & 0x7fff) << 13) * 2.0f32.powi(112),
    };
    if bits >> 15 == 1 { -magnitude } else { magnitude }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lowbit_reference::format::{BlockFormat, FP16, MXFP4, Q4_0, Q8_0, TQ2_0};

    #[test]
    fn every_half_float_is_itself() {
        for bits in 0..=u16::MAX {
            let want = FP16.decode(&bits.to_le_bytes()).unwrap()[0];
            let found = half(bits.to_le_bytes());
            assert!(found.to_bits() == want.to_bits() || (found.is_nan() && want.is_nan()));
        }
    }

    #[test]
    fn every_block_reads_as_its_format_decodes_it() {
        for format in [&Q8_0 as &dyn BlockFormat, &Q4_0, &MXFP4, &TQ2_0] {
            let found = block(format.name()).unwrap();
            assert_eq!((found.len, found.bytes), (format.block_len(), format.block_bytes()));
            for seed in 0..=255u8 {
                let byte =
                    |i: usize| (i as u8).wrapping_mul(37).wrapping_add(seed.wrapping_mul(91));
                let bytes: Vec<u8> = (0..found.bytes).map(byte).collect();
                let scale = (found.scale)(&bytes);
                for (i, want) in format.decode(&bytes).unwrap().into_iter().enumerate() {
                    let code = (found.code)(&bytes, i);
                    let value = found.coding.value(code, 0) as f32 * scale;
                    assert!(value == want || value.is_nan() && want.is_nan(), "{seed} {i}");
                }
            }
        }
    }
}
