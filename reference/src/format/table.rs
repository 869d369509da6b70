//! Table formats: four-bit codes into sixteen values, and an absmax for every 64 of them.
//!
//! ```text
//! x' = values[code] * (absmax / divisor)
//! ```
//!
//! Codes are those of [`nf4`](super::nf4), in bitsandbytes' order: two a byte, the first in the
//! high nibble. The divisor is 1 for a table of floats, and the largest value for one of integers.
use super::codebook::{NF4_VALUES, Table};
use super::nf4::{Absmax, Nf4, Nibbles};
use super::nf4_i8::NF4_I8_VALUES;
use crate::case::Word;
use crate::invalid::Invalid;

/// Every table format. Adding one is a static below and a line here.
pub static TABLE_FORMATS: &[&TableFormat] = &[&NF4, &NF4_I8];

/// The `nf4` format in blocks of 64 without double quantization: bitsandbytes' default.
pub static NF4: TableFormat =
    TableFormat { word: word("nf4"), codes: Table::Nf4, values: NF4_VALUES, divisor: 1.0 };
/// The `nf4_i8` format: see [`nf4_i8`](super::nf4_i8).
pub static NF4_I8: TableFormat = TableFormat {
    word: word("nf4_i8"),
    codes: Table::Nf4,
    values: whole(NF4_I8_VALUES),
    divisor: 127.0,
};

const fn word(name: &'static str) -> Word {
    Word { name, aliases: &[] }
}

const fn whole(values: [i8; 16]) -> [f32; 16] {
    let mut floats = [0.0; 16];
    let mut i = 0;
    while i < 16 {
        floats[i] = values[i] as f32;
        i += 1;
    }
    floats
}

/// A format of the family.
#[derive(Debug)]
pub struct TableFormat {
    word: Word,
    /// The table whose midpoints choose the codes.
    codes: Table,
    /// The values codes stand for, in units of `absmax / divisor`.
    values: [f32; 16],
    divisor: f32,
}

/// Codes and the absmax of every block.
#[derive(Clone, Debug, PartialEq)]
pub struct TableTensor {
    /// Two codes a byte, the first in the high nibble.
    pub codes: Vec<u8>,
    /// The largest magnitude of each block.
    pub absmax: Vec<f32>,
}

impl TableFormat {
    /// Values that share an absmax.
    pub const BLOCK: usize = 64;

    /// Name in scenario files, ids and reports.
    pub fn word(&self) -> Word {
        self.word
    }
    /// The canonical name.
    pub fn name(&self) -> &'static str {
        self.word.name
    }
    /// The values codes stand for, in units of [`scale`](TableFormat::scale).
    pub fn values(&self) -> &[f32; 16] {
        &self.values
    }
    /// Whether these are integers of a signed byte.
    pub fn integer(&self) -> bool {
        self.divisor != 1.0
    }
    /// What the values of a block are multiplied by.
    pub fn scale(&self, absmax: f32) -> f32 {
        absmax / self.divisor
    }

    /// Quantize whole blocks; a short last one follows [`Nf4`].
    pub fn quantize(&self, x: &[f32]) -> TableTensor {
        let codes = |format: Nf4| {
            let tensor = format.quantize(x);
            match tensor.absmax() {
                Absmax::Float(absmax) => (tensor.packed().to_vec(), absmax.clone()),
                Absmax::Double(_) => unreachable!("not double-quantized"),
            }
        };
        let format: Result<Nf4, Invalid> =
            Nf4::new(self.codes, Self::BLOCK, None, Nibbles::HighFirst);
        let (codes, absmax) = format.map(codes).unwrap_or_else(|e| unreachable!("64: {e}"));
        TableTensor { codes, absmax }
    }

    /// The table's values of packed codes, without their scales.
    pub fn units(&self, codes: &[u8]) -> Vec<f32> {
        let pair = |byte: &u8| [byte >> 4, byte & 15].map(|code| self.values[usize::from(code)]);
        codes.iter().flat_map(pair).collect()
    }

    /// The values: one f32 product each.
    pub fn dequantize(&self, codes: &[u8], absmax: &[f32]) -> Vec<f32> {
        let units = self.units(codes);
        let block = |(units, absmax): (&[f32], &f32)| -> Vec<f32> {
            units.iter().map(|unit| unit * self.scale(*absmax)).collect()
        };
        units.chunks(Self::BLOCK).zip(absmax).flat_map(block).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nf4_is_the_format_of_that_name_and_nf4_i8_has_its_codes() {
        let x: Vec<f32> = (0..256).map(|i| ((i * 7919) % 509) as f32 / 254.0 - 1.0).collect();
        let nf4 = Nf4::new(Table::Nf4, 64, None, Nibbles::HighFirst).unwrap().quantize(&x);
        let tensor = NF4.quantize(&x);
        assert_eq!(tensor.codes, nf4.packed());
        assert_eq!(NF4.dequantize(&tensor.codes, &tensor.absmax), nf4.dequantize());
        assert_eq!(NF4_I8.quantize(&x), tensor);
        assert_eq!(NF4_I8.units(&[0x0f, 0x78]), [-127.0, 127.0, 0.0, 10.0]);
        assert_eq!(NF4_I8.dequantize(&[0x0f], &[254.0]), [-254.0, 254.0]);
        assert!(NF4_I8.integer() && !NF4.integer());
    }
}
