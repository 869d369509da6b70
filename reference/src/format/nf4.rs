//! NF4 and FP4: four-bit codes into a table of sixteen values, and an absmax per block.
//!
//! `x = table[code] * absmax` in f32. Which code a value gets, ties, zero blocks, NaN and infinities
//! are the business of [`codebook`](super::codebook). Two codes share a byte; where a tensor has an
//! odd number of values the last nibble holds the code of 0. absmax is stored as f32 or
//! [double-quantized](super::double_quant). Sources: QLoRA (2305.14314), bitsandbytes 0.50.2.
use super::codebook::{Table, quotients};
use super::double_quant::{DoubleQuant, DoubleQuantized};
use crate::invalid::Invalid;

/// Which of two neighbouring codes lies in the high nibble. The layouts are not interchangeable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nibbles {
    /// The first, as in bitsandbytes.
    HighFirst,
    /// The second, as in viva_tensor.
    LowFirst,
}

/// The format: a table, a block size and how codes and absmax are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nf4 {
    table: Table,
    block_size: usize,
    double_quant: Option<DoubleQuant>,
    nibbles: Nibbles,
}

impl Nf4 {
    /// The block sizes of bitsandbytes.
    pub const BLOCK_SIZES: [usize; 8] = [32, 64, 128, 256, 512, 1024, 2048, 4096];

    /// A format, or an error that names `block_size`.
    pub fn new(
        table: Table,
        block_size: usize,
        double_quant: Option<DoubleQuant>,
        nibbles: Nibbles,
    ) -> Result<Nf4, Invalid> {
        if !Self::BLOCK_SIZES.contains(&block_size) {
            let allowed = "32, 64, 128, 256, 512, 1024, 2048 or 4096";
            return Err(Invalid::new("block_size", block_size, allowed));
        }
        Ok(Nf4 { table, block_size, double_quant, nibbles })
    }

    /// The same with another way to store absmax.
    pub fn with_double_quant(self, double_quant: Option<DoubleQuant>) -> Nf4 {
        Nf4 { double_quant, ..self }
    }

    /// The table.
    pub fn table(&self) -> Table {
        self.table
    }
    /// Values that share an absmax.
    pub fn block_size(&self) -> usize {
        self.block_size
    }
    /// How absmax is stored; as f32 if not at all.
    pub fn double_quant(&self) -> Option<DoubleQuant> {
        self.double_quant
    }
    /// The order of codes in a byte.
    pub fn nibbles(&self) -> Nibbles {
        self.nibbles
    }

    /// Bits per value in a large tensor: the code and its share of an absmax.
    pub fn bits(&self) -> f64 {
        4.0 + self.double_quant.map_or(32.0, DoubleQuant::bits) / self.block_size as f64
    }

    /// Quantize consecutive blocks; the last may be short.
    pub fn quantize(&self, x: &[f32]) -> Nf4Tensor {
        let (mut codes, mut absmax) = (Vec::with_capacity(x.len()), Vec::new());
        for block in x.chunks(self.block_size) {
            let (largest, quotients) = quotients(block, self.block_size);
            absmax.push(largest);
            codes.extend(quotients.into_iter().map(|quotient| self.table.code(quotient)));
        }
        let absmax = match self.double_quant {
            Some(scheme) => Absmax::Double(scheme.quantize(&absmax)),
            None => Absmax::Float(absmax),
        };
        Nf4Tensor { format: *self, packed: self.pack(&codes), absmax, len: x.len() }
    }

    fn pack(&self, codes: &[u8]) -> Vec<u8> {
        let byte = |pair: &[u8]| {
            let first = pair.first().copied().unwrap_or_default();
            let second = pair.get(1).copied().unwrap_or(self.table.code(0.0));
            match self.nibbles {
                Nibbles::HighFirst => first << 4 | second,
                Nibbles::LowFirst => second << 4 | first,
            }
        };
        codes.chunks(2).map(byte).collect()
    }

    /// The first `len` codes of packed bytes.
    pub(crate) fn unpack(&self, packed: &[u8], len: usize) -> Vec<u8> {
        let pair = |byte: &u8| match self.nibbles {
            Nibbles::HighFirst => [byte >> 4, byte & 15],
            Nibbles::LowFirst => [byte & 15, byte >> 4],
        };
        packed.iter().flat_map(pair).take(len).collect()
    }

    /// A tensor of `len` values from what was stored. Any bytes are codes; an error names `packed`
    /// or `absmax` when their lengths or the kind of absmax are not those of the format.
    pub fn tensor(
        &self,
        packed: Vec<u8>,
        absmax: Absmax,
        len: usize,
    ) -> Result<Nf4Tensor, Invalid> {
        Invalid::check_len("packed", packed.len(), &[len.div_ceil(2)])?;
        Invalid::check_len("absmax", absmax.len(), &[len.div_ceil(self.block_size)])?;
        if absmax.scheme() != self.double_quant {
            let name = |scheme: Option<DoubleQuant>| scheme.map_or("f32", |s| s.word().name);
            let (found, wanted) = (name(absmax.scheme()), name(self.double_quant));
            return Err(Invalid::new("absmax", found, wanted));
        }
        Ok(Nf4Tensor { format: *self, packed, absmax, len })
    }
}

/// The absmax of every block.
#[derive(Clone, Debug, PartialEq)]
pub enum Absmax {
    /// As they are.
    Float(Vec<f32>),
    /// In one byte each.
    Double(DoubleQuantized),
}

impl Absmax {
    fn len(&self) -> usize {
        match self {
            Absmax::Float(absmax) => absmax.len(),
            Absmax::Double(stored) => stored.codes().len(),
        }
    }

    fn scheme(&self) -> Option<DoubleQuant> {
        match self {
            Absmax::Float(_) => None,
            Absmax::Double(stored) => Some(stored.scheme()),
        }
    }

    /// Bytes that are stored.
    fn byte_len(&self) -> usize {
        match self {
            Absmax::Float(absmax) => 4 * absmax.len(),
            Absmax::Double(stored) => stored.byte_len(),
        }
    }

    /// The values that codes are multiplied by.
    pub fn dequantize(&self) -> Vec<f32> {
        match self {
            Absmax::Float(absmax) => absmax.clone(),
            Absmax::Double(stored) => stored.dequantize(),
        }
    }
}

/// A quantized tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct Nf4Tensor {
    format: Nf4,
    packed: Vec<u8>,
    absmax: Absmax,
    len: usize,
}

impl Nf4Tensor {
    /// The format.
    pub fn format(&self) -> Nf4 {
        self.format
    }
    /// Two codes a byte.
    pub fn packed(&self) -> &[u8] {
        &self.packed
    }
    /// Codes and absmax, to be replaced.
    pub(crate) fn stored(&mut self) -> (&mut [u8], &mut Absmax) {
        (&mut self.packed, &mut self.absmax)
    }
    /// The absmax of every block.
    pub fn absmax(&self) -> &Absmax {
        &self.absmax
    }
    /// How many values there are.
    pub fn len(&self) -> usize {
        self.len
    }
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
    /// One code per value.
    pub fn codes(&self) -> Vec<u8> {
        self.format.unpack(&self.packed, self.len)
    }
    /// Bytes that are stored.
    pub fn byte_len(&self) -> usize {
        self.packed.len() + self.absmax.byte_len()
    }

    /// The values: `table[code] * absmax` in f32.
    pub fn dequantize(&self) -> Vec<f32> {
        let values = self.format.table.values();
        let (codes, absmax) = (self.codes(), self.absmax.dequantize());
        let block = |(codes, absmax): (&[u8], f32)| -> Vec<f32> {
            codes.iter().map(|code| values[usize::from(*code)] * absmax).collect()
        };
        codes.chunks(self.format.block_size).zip(absmax).flat_map(block).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Distribution, Stream, realistic};
    use crate::quality::quality;

    fn format(table: Table, block_size: usize, double_quant: Option<DoubleQuant>) -> Nf4 {
        Nf4::new(table, block_size, double_quant, Nibbles::HighFirst).unwrap()
    }

    fn nf4(block_size: usize) -> Nf4 {
        format(Table::Nf4, block_size, None)
    }

    #[test]
    fn levels_come_back_and_lie_in_the_nibbles_they_should() {
        for table in [Table::Nf4, Table::Fp4] {
            let x: Vec<f32> = table.values().iter().cycle().take(64).map(|x| 3.0 * x).collect();
            let tensor = format(table, 32, None).quantize(&x);
            assert_eq!(tensor.dequantize(), x, "{table:?}");
            assert_eq!(tensor.absmax(), &Absmax::Float(vec![3.0, 3.0]));
        }
        let x = Table::Nf4.values();
        let bytes = |nibbles| {
            let format = Nf4::new(Table::Nf4, 32, None, nibbles).unwrap();
            let tensor = format.quantize(x);
            assert_eq!(tensor.codes(), (0..16).collect::<Vec<u8>>());
            tensor.packed().to_vec()
        };
        assert_eq!(bytes(Nibbles::HighFirst), [0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef]);
        assert_eq!(bytes(Nibbles::LowFirst), [0x10, 0x32, 0x54, 0x76, 0x98, 0xba, 0xdc, 0xfe]);
    }

    #[test]
    fn short_tensors_pad_with_the_code_of_zero() {
        assert_eq!(nf4(64).quantize(&[-2.0]).packed(), [0x07]);
        assert_eq!(format(Table::Fp4, 64, None).quantize(&[2.0]).packed(), [0x30]);
        let low = Nf4::new(Table::Nf4, 64, None, Nibbles::LowFirst).unwrap();
        assert_eq!(low.quantize(&[2.0]).packed(), [0x7f]);
        let empty = nf4(64).quantize(&[]);
        assert!(empty.is_empty() && empty.dequantize().is_empty() && empty.byte_len() == 0);
    }

    #[test]
    fn edge_cases_have_the_stated_results() {
        let tensor = |x: &[f32]| nf4(32).quantize(x);
        // Zero of either sign: code 7, and +0 comes back.
        for zero in [0.0f32, -0.0] {
            let tensor = tensor(&[zero; 32]);
            assert_eq!(tensor.packed(), [0x77; 16]);
            assert!(tensor.dequantize().iter().all(|x| x.to_bits() == 0));
        }
        // Below the least divisor everything is small.
        assert_eq!(tensor(&[-1e-40; 32]).packed(), [0x77; 16]);
        let mut x = [0.5f32; 64];
        x[0] = f32::NAN;
        let values = tensor(&x).dequantize();
        assert!(values[..32].iter().all(|x| x.is_nan()) && values[32..] == x[32..]);
        x[0] = f32::NEG_INFINITY;
        let infinite = tensor(&x);
        assert_eq!(infinite.codes()[..2], [15, 7]);
        assert_eq!(infinite.dequantize()[0], f32::INFINITY);
        assert!(infinite.dequantize()[1..32].iter().all(|x| x.is_nan()));
    }

    #[test]
    fn bits_and_bytes_are_the_arithmetic_of_the_paper() {
        let some = Some(DoubleQuant::Dynamic8);
        let overhead = |block, double| format(Table::Nf4, block, double).bits() - 4.0;
        assert_eq!([32, 64, 128].map(|block| overhead(block, None)), [1.0, 0.5, 0.25]);
        assert_eq!(overhead(64, some), 8.0 / 64.0 + 32.0 / (64.0 * 256.0));
        for (block, double, saved) in
            [(32, 0.25391, 0.746), (64, 0.12695, 0.373), (128, 0.06348, 0.187)]
        {
            assert!((overhead(block, some) - double).abs() < 5e-6);
            assert!((overhead(block, None) - overhead(block, some) - saved).abs() < 5e-4);
        }
        // A model of 7e9 parameters, in GB: above 3.5, whatever is done to the scales.
        let gigabytes = |double| 7.0 * format(Table::Nf4, 64, double).bits() / 8.0;
        assert!((gigabytes(None) - 3.94).abs() < 5e-3 && (gigabytes(some) - 3.61).abs() < 5e-3);
        // Whole bytes of a whole tensor: codes, one absmax per 64, one second absmax per 16384,
        // and a mean.
        let x = vec![1.0; 1 << 16];
        assert_eq!(nf4(64).quantize(&x).byte_len(), (1 << 15) + 4 * 1024);
        let double = format(Table::Nf4, 64, some).quantize(&x);
        assert_eq!(double.byte_len(), (1 << 15) + 1024 + 4 * 4 + 4);
    }

    #[test]
    fn quality_on_normal_data_is_the_published_one() {
        let x = realistic(Distribution::Normal, (11, Stream::Weight), (1 << 21, 4096), 1.0);
        let sqnr = |format: Nf4| {
            let values = format.quantize(&x).dequantize();
            quality(&x, values).sqnr_db.unwrap()
        };
        let double = |scheme| format(Table::Nf4, 64, Some(scheme));
        let table = [
            (nf4(32), 21.18),
            (nf4(64), 20.726),
            (nf4(128), 20.39),
            (nf4(256), 20.12),
            (double(DoubleQuant::Dynamic8), 20.724),
            (double(DoubleQuant::Int8Mean), 20.725),
            (double(DoubleQuant::Fp8E4m3), 20.333),
        ];
        for (format, want) in table {
            let found = sqnr(format);
            assert!((found - want).abs() < 0.05, "{format:?}: {found:.3} dB, published {want}");
        }
    }

    #[test]
    fn any_bytes_decode_and_what_does_not_fit_is_an_error() {
        let (format, other) = (nf4(32), format(Table::Nf4, 32, Some(DoubleQuant::Int8Mean)));
        let absmax = |len| Absmax::Float(vec![2.0; len]);
        let bytes: Vec<u8> = (0..=255).collect();
        let tensor = format.tensor(bytes.clone(), absmax(16), 511).unwrap();
        assert_eq!((tensor.dequantize().len(), tensor.codes()[1]), (511, 0));
        let error = |result: Result<Nf4Tensor, Invalid>| result.unwrap_err().to_string();
        let wrong = error(format.tensor(bytes.clone(), absmax(16), 513));
        assert_eq!(wrong, "`packed` is 256 values, must be 257 values ([257])");
        let wrong = error(format.tensor(bytes.clone(), absmax(15), 511));
        assert_eq!(wrong, "`absmax` is 15 values, must be 16 values ([16])");
        let wrong = error(other.tensor(bytes, absmax(16), 511));
        assert_eq!(wrong, "`absmax` is f32, must be int8_mean");
        for block_size in [0, 16, 48, 8192] {
            let error = Nf4::new(Table::Fp4, block_size, None, Nibbles::LowFirst).unwrap_err();
            assert_eq!(error.field, "block_size");
        }
    }
}
