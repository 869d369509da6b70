//! Packing for kernels and unpacking of rho (seed 002, lines 1442-1479 and 896-938; the packers
//! of the kernel crate).

/// Four codes a word, row by row. The bound that is checked is the tensor's, not the row's: the
/// pad lanes of a row hold the first codes of the next.
pub(crate) fn pack_i8x4(codes: &[i8], rows: usize, row_len: usize) -> Vec<u32> {
    let words = row_len.div_ceil(4);
    let word = |(row, word): (usize, usize)| {
        let base = row * row_len + 4 * word;
        let lane = |lane: usize| codes.get(base + lane).copied().unwrap_or(0i8).to_le_bytes()[0];
        u32::from_le_bytes([lane(0), lane(1), lane(2), lane(3)])
    };
    (0..rows).flat_map(|row| (0..words).map(move |w| (row, w))).map(word).collect()
}

/// `values.iter().map(|v| *v as i8)` before packing: 146 becomes -110.
pub(crate) fn as_i8(codes: &[u8]) -> Vec<i8> {
    codes.iter().map(|code| code.cast_signed()).collect()
}

/// int8 rho; `Err` is what the source panics with. Scales that are missing shorten the state
/// without a word.
pub(crate) fn unpack_rho_int8(
    len: usize,
    scales: &[f32],
    bytes: &[u8],
) -> Result<Vec<f32>, String> {
    let mut values = Vec::new();
    for (block, scale) in scales.iter().enumerate() {
        let (start, end) = (32 * block, len.min(32 * block + 32));
        if start >= len {
            break;
        }
        let codes = bytes.get(start..end).ok_or_else(|| {
            format!("range end index {end} out of range for slice of length {}", bytes.len())
        })?;
        values.extend(codes.iter().map(|code| f32::from(code.cast_signed()) * scale));
    }
    Ok(values)
}

/// A ternary byte; `Err` is what the source panics with.
pub(crate) fn unpack_ternary(byte: u8) -> Result<Vec<i8>, String> {
    let code = |stored: u8| match stored {
        3 => Err("invalid packed ternary code 3".to_owned()),
        stored => Ok(stored.cast_signed() - 1),
    };
    (0..4).map(|i| code((byte >> (2 * i)) & 3)).collect()
}

/// Whether a compression can be packed; `Err` is what the source panics with.
pub(crate) fn encoding(compression: &str) -> Result<&'static str, String> {
    match compression {
        "int8_block_exp" => Ok("int8"),
        "ternary_block_exp" => Ok("ternary2"),
        "binary_block_exp" => Ok("binary1"),
        _ => Err("rho block packing requires a block compression mode".to_owned()),
    }
}
