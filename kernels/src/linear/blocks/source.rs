//! Where the codes and scales of a problem's weights are found, format by format.
use super::super::decode::{self, E2M1_DOUBLED};
use super::weights::{Coding, Weights};
use lowbit_reference::format::TableFormat;
use lowbit_reference::op::linear::{BlockWeight, PackedWeight, TableWeight, Weight};

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

/// What the codes of a block format stand for, and where code `i` of a block is.
type Place = (Coding, fn(&[u8], usize) -> u8);

fn place(format: &str) -> Result<Place, String> {
    match format {
        "q8_0" => Ok((Coding::plain(8, 128), |block, i| block[2 + i] ^ 128)),
        // The first half of a block has the low nibbles.
        "q4_0" => Ok((Coding::plain(4, 8), |block, i| block[2 + i % 16] >> (i / 16 * 4) & 15)),
        "mxfp4" => {
            Ok((Coding::table(E2M1_DOUBLED), |block, i| block[1 + i % 16] >> (i / 16 * 4) & 15))
        }
        // A byte has values 32 apart; the second half of a block is 32 bytes on.
        "tq2_0" => Ok((Coding::plain(2, 1), |block, i| {
            block[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3
        })),
        other => Err(format!("weights are {other}")),
    }
}

fn blocks(weight: &BlockWeight) -> Result<Weights<'_>, String> {
    let (coding, code) = place(weight.format.name())?;
    let block = decode::block(weight.format.name())?;
    let read = move |j: usize, b: usize, codes: &mut [u8]| {
        let bytes = &weight.row(j)[b * block.bytes..][..block.bytes];
        for (i, to) in codes.iter_mut().enumerate() {
            *to = code(bytes, i);
        }
        ((block.scale)(bytes), 0)
    };
    let (n, k, block_len) = (weight.n, weight.k, block.len);
    Ok(Weights { n, k, block_len, coding, row_scales: vec![1.0; n], read: Box::new(read) })
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

#[cfg(test)]
mod tests {
    use super::*;
    use lowbit_reference::format::{BlockFormat, MXFP4, Q4_0, Q8_0, TQ2_0};

    #[test]
    fn every_block_reads_as_its_format_decodes_it() {
        for format in [&Q8_0 as &dyn BlockFormat, &Q4_0, &MXFP4, &TQ2_0] {
            let (coding, code) = place(format.name()).unwrap();
            let block = decode::block(format.name()).unwrap();
            for seed in 0..=255u8 {
                let byte =
                    |i: usize| (i as u8).wrapping_mul(37).wrapping_add(seed.wrapping_mul(91));
                let bytes: Vec<u8> = (0..block.bytes).map(byte).collect();
                let scale = (block.scale)(&bytes);
                for (i, want) in format.decode(&bytes).unwrap().into_iter().enumerate() {
                    let value = coding.value(code(&bytes, i), 0) as f32 * scale;
                    assert!(value == want || value.is_nan() && want.is_nan(), "{seed} {i}");
                }
            }
        }
    }
}
