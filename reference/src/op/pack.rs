//! Codes in 32-bit words, as device kernels read them: row by row, lanes from the low bits up.
//!
//! A row is packed by its [format](crate::format) and filled with zero bytes to whole words, so
//! that the words of `int8` are four two's complement lanes (`i8x4`), and those of the 4-, 2- and
//! 1-bit formats 8, 16 and 32. *Pad lanes are zero bits*: they never hold the start of the next
//! row (the source fills them with it; harmless there only while the other operand's are zero).
//! For `ternary2` and `sign1` zero bits are the code -1, so one of two operands must be a format
//! whose zero bits are 0.
use crate::format::WeightFormat;
use crate::invalid::Invalid;
use crate::rule::Code;

/// Bytes of a word.
const WORD: usize = 4;

/// Words of a row of `row_len` codes.
pub fn row_words(format: &dyn WeightFormat, row_len: usize) -> usize {
    format.row_bytes(row_len).div_ceil(WORD)
}

/// Rows of `row_len` codes to words.
pub fn pack_words(
    format: &dyn WeightFormat,
    codes: &[Code],
    row_len: usize,
) -> Result<Vec<u32>, Invalid> {
    whole_rows("codes", codes.len(), row_len)?;
    let mut words = Vec::with_capacity(codes.len() / row_len * row_words(format, row_len));
    for (row, codes) in codes.chunks(row_len).enumerate() {
        let bytes = format.pack(codes).map_err(|error| {
            let (least, most) = error.levels.range();
            let field = format!("codes[{}]", row * row_len + error.index);
            Invalid::new(field, error.value, format!("a {} code, {least} to {most}", format.name()))
        })?;
        let word = |bytes: &[u8]| {
            bytes.iter().rev().fold(0, |word: u32, byte| (word << 8) | u32::from(*byte))
        };
        words.extend(bytes.chunks(WORD).map(word));
    }
    Ok(words)
}

/// Words to rows of `row_len` codes; bits set beyond a row are an error.
pub fn unpack_words(
    format: &dyn WeightFormat,
    words: &[u32],
    row_len: usize,
) -> Result<Vec<Code>, Invalid> {
    let per_row = row_words(format, row_len);
    whole_rows("words", words.len(), per_row)?;
    let mut codes = Vec::with_capacity(words.len() / per_row * row_len);
    for (row, words) in words.chunks(per_row).enumerate() {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let invalid = |value: &dyn std::fmt::Display, allowed| {
            Invalid::new(format!("words of row {row}"), value, allowed)
        };
        let unpacked = format.unpack(&bytes, row_len);
        let unpacked = unpacked.map_err(|error| invalid(&error, format.name().to_owned()))?;
        // Packed again, a row has the bytes it had, unless something lay beyond it.
        let again = format.pack(&unpacked).unwrap_or_default();
        if bytes.iter().zip(again.iter().chain(&[0; WORD])).any(|(found, pad)| found != pad) {
            return Err(invalid(&"set beyond its codes", "zero in its pad lanes".to_owned()));
        }
        codes.extend(unpacked);
    }
    Ok(codes)
}

fn whole_rows(field: &str, len: usize, row_len: usize) -> Result<(), Invalid> {
    Invalid::check_range("row_len", row_len, (1, usize::MAX))?;
    match len.is_multiple_of(row_len) {
        true => Ok(()),
        false => Err(Invalid::new(field, format!("{len} values"), format!("rows of {row_len}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{INT4, INT8, SIGN1, TERNARY2, UINT4, UINT8};

    const ALL: [&dyn WeightFormat; 6] = [&INT8, &UINT8, &INT4, &UINT4, &TERNARY2, &SIGN1];

    fn codes(format: &dyn WeightFormat, len: usize) -> Vec<Code> {
        let (least, most) = format.levels().range();
        // Sign has no 0.
        let all = (least..=most).filter(|code| format.name() != "sign1" || *code != 0);
        let all: Vec<Code> = all.collect();
        (0..len).map(|i| all[i * 37 % all.len()]).collect()
    }

    #[test]
    fn pad_lanes_are_zero_and_not_the_next_row() {
        // The source packs these two rows of six as 04030201 08070605 ...
        let rows: Vec<Code> = (1..=12).collect();
        let words = pack_words(&INT8, &rows, 6).unwrap();
        assert_eq!(words, [0x0403_0201, 0x0000_0605, 0x0a09_0807, 0x0000_0c0b]);
        assert_eq!(pack_words(&INT8, &[-1, -128, 127], 3).unwrap(), [0x007f_80ff]);
        assert_eq!(pack_words(&UINT8, &[146, 255], 1).unwrap(), [146, 255]);
        assert_eq!(pack_words(&INT4, &[1, -1, 2], 3).unwrap(), [0x2f1]);
        assert_eq!(pack_words(&TERNARY2, &[-1, 0, 1, 1, 0], 5).unwrap(), [0b01_10_10_01_00]);
        assert_eq!(pack_words(&SIGN1, &[1, -1, 1], 1).unwrap(), [1, 0, 1]);
    }

    #[test]
    fn every_format_comes_back_at_every_length() {
        for format in ALL {
            for row_len in 1..70 {
                let codes = codes(format, 3 * row_len);
                let words = pack_words(format, &codes, row_len).unwrap();
                assert_eq!(words.len(), 3 * row_words(format, row_len), "{}", format.name());
                assert_eq!(unpack_words(format, &words, row_len).unwrap(), codes);
            }
        }
    }

    #[test]
    fn pad_bits_that_are_set_are_seen() {
        for format in ALL {
            let lanes = (1..).find(|lanes| row_words(format, lanes + 1) > 1).unwrap();
            for row_len in [1, lanes - 1, lanes + 1] {
                let words = pack_words(format, &codes(format, row_len), row_len).unwrap();
                let used = row_len * 32 / lanes;
                for bit in used..32 * words.len() {
                    let mut bad = words.clone();
                    bad[bit / 32] |= 1 << (bit % 32);
                    let error = unpack_words(format, &bad, row_len).unwrap_err();
                    assert_eq!(error.allowed, "zero in its pad lanes", "{} {bit}", format.name());
                }
            }
        }
    }

    #[test]
    fn errors_name_the_field() {
        assert_eq!(pack_words(&INT8, &[1; 5], 2).unwrap_err().field, "codes");
        assert_eq!(pack_words(&INT8, &[1; 5], 0).unwrap_err().field, "row_len");
        assert_eq!(pack_words(&INT4, &[1, 2, 3, 8], 2).unwrap_err().field, "codes[3]");
        assert_eq!(unpack_words(&INT8, &[0; 3], 5).unwrap_err().field, "words");
        assert_eq!(unpack_words(&INT8, &[0; 3], 0).unwrap_err().field, "row_len");
        let error = unpack_words(&TERNARY2, &[0, 3], 1).unwrap_err();
        assert_eq!((error.field.as_str(), error.allowed.as_str()), ("words of row 1", "ternary2"));
    }
}
