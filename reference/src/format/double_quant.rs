//! Double quantization: the absmax of every block is itself stored in one byte.
//!
//! Blocks of 256 absmax share a second one (f32). Three schemes are in use:
//! * `dynamic8` (bitsandbytes `compress_statistics`): `a' = MAP[code] absmax2 + mean`, codes of
//!   `a - mean` by the rule of [`codebook`](super::codebook) over [`DYNAMIC_MAP`];
//! * `int8_mean` (torchao): `a' = code absmax2 / 128 + mean`,
//!   `code = clamp(rne((a - mean) 128 / absmax2), -128, 127)`;
//! * `fp8_e4m3` (the words of the QLoRA paper): `a' = E4M3(code) (absmax2 / 448)`, no mean.
//!
//! The mean over the tensor is summed in f64 and rounded to f32. A NaN or an infinity among the
//! absmax makes none of its block come back finite, and with a mean none of the tensor.
use super::codebook::{nearest, quotients};
use super::dynamic_map::DYNAMIC_MAP;
use super::minifloat::E4M3FN;
use super::statistic::{absmax as largest, inverse};
use crate::case::Word;
use crate::invalid::Invalid;
use crate::rule::mean;

/// Absmax values that share a second absmax.
pub const DOUBLE_QUANT_BLOCK: usize = 256;

/// How absmax values are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DoubleQuant {
    /// The dynamic 8-bit map, around the mean.
    Dynamic8,
    /// Signed bytes, around the mean.
    Int8Mean,
    /// Small floats.
    Fp8E4m3,
}

impl DoubleQuant {
    /// Every scheme.
    pub const ALL: [DoubleQuant; 3] =
        [DoubleQuant::Dynamic8, DoubleQuant::Int8Mean, DoubleQuant::Fp8E4m3];

    /// Name in scenario files, ids and reports.
    pub fn word(self) -> Word {
        let name = match self {
            DoubleQuant::Dynamic8 => "dynamic8",
            DoubleQuant::Int8Mean => "int8_mean",
            DoubleQuant::Fp8E4m3 => "fp8_e4m3",
        };
        Word { name, aliases: &[] }
    }

    /// Bits of one absmax: its code and its share of the second absmax. The mean, one f32 for a
    /// whole tensor, is left out.
    pub fn bits(self) -> f64 {
        8.0 + 32.0 / DOUBLE_QUANT_BLOCK as f64
    }

    /// What is subtracted before quantization: the mean, or 0 for `fp8_e4m3`.
    pub fn offset(self, absmax: &[f32]) -> f32 {
        match self {
            // The sum of nothing is -0 in Rust; the mean of nothing is 0.
            DoubleQuant::Dynamic8 | DoubleQuant::Int8Mean => mean(absmax, |a| a) + 0.0,
            DoubleQuant::Fp8E4m3 => 0.0,
        }
    }

    /// Quantize around [`offset`](DoubleQuant::offset).
    pub fn quantize(self, absmax: &[f32]) -> DoubleQuantized {
        self.quantize_around(absmax, self.offset(absmax))
    }

    /// Quantize around a given offset, such as the mean that another library computed.
    pub fn quantize_around(self, absmax: &[f32], offset: f32) -> DoubleQuantized {
        let centred: Vec<f32> = absmax.iter().map(|a| a - offset).collect();
        let blocks = centred.chunks(DOUBLE_QUANT_BLOCK);
        let (absmax2, codes): (Vec<f32>, Vec<Vec<u8>>) = blocks.map(|b| self.encode(b)).unzip();
        DoubleQuantized { scheme: self, codes: codes.concat(), absmax2, offset }
    }

    /// The second absmax and the codes of a block.
    fn encode(self, block: &[f32]) -> (f32, Vec<u8>) {
        if self == DoubleQuant::Dynamic8 {
            let (absmax2, quotients) = quotients(block, DOUBLE_QUANT_BLOCK);
            let code = |quotient: &f32| nearest(&DYNAMIC_MAP, *quotient) as u8;
            return (absmax2, quotients.iter().map(code).collect());
        }
        let absmax2 = largest(block);
        let step = self.step(absmax2);
        let code = |a: &f32| match self {
            // Casts saturate.
            DoubleQuant::Int8Mean => {
                ((a * (128.0 * inverse(absmax2))).round_ties_even() as i8).cast_unsigned()
            }
            _ if step == 0.0 => 0,
            _ => E4M3FN.saturating().encode(a / step) as u8,
        };
        (absmax2, block.iter().map(code).collect())
    }

    /// What a code of 1 is worth.
    fn step(self, absmax2: f32) -> f32 {
        match self {
            DoubleQuant::Dynamic8 => absmax2,
            DoubleQuant::Int8Mean => absmax2 / 128.0,
            DoubleQuant::Fp8E4m3 => absmax2 / E4M3FN.max(),
        }
    }

    /// The number a code stands for, before its step.
    fn number(self, code: u8) -> f32 {
        match self {
            DoubleQuant::Dynamic8 => DYNAMIC_MAP[usize::from(code)],
            DoubleQuant::Int8Mean => f32::from(code.cast_signed()),
            DoubleQuant::Fp8E4m3 => E4M3FN.decode(code.into()),
        }
    }
}

/// Stored absmax values.
#[derive(Clone, Debug, PartialEq)]
pub struct DoubleQuantized {
    scheme: DoubleQuant,
    codes: Vec<u8>,
    absmax2: Vec<f32>,
    offset: f32,
}

impl DoubleQuantized {
    /// From what was stored: a code per absmax and a second absmax per 256 of them, or an error
    /// that names `absmax2`. Any bytes are codes; `fp8_e4m3` has no offset and ignores it.
    pub fn new(
        scheme: DoubleQuant,
        codes: Vec<u8>,
        absmax2: Vec<f32>,
        offset: f32,
    ) -> Result<DoubleQuantized, Invalid> {
        let blocks = codes.len().div_ceil(DOUBLE_QUANT_BLOCK);
        Invalid::check_len("absmax2", absmax2.len(), &[blocks])?;
        let offset = if scheme == DoubleQuant::Fp8E4m3 { 0.0 } else { offset };
        Ok(DoubleQuantized { scheme, codes, absmax2, offset })
    }

    /// The scheme.
    pub fn scheme(&self) -> DoubleQuant {
        self.scheme
    }
    /// One byte per absmax.
    pub fn codes(&self) -> &[u8] {
        &self.codes
    }
    /// Codes, second absmax and offset, to be replaced.
    pub(crate) fn stored(&mut self) -> (&mut [u8], &mut [f32], &mut f32) {
        (&mut self.codes, &mut self.absmax2, &mut self.offset)
    }
    /// The largest `|absmax - offset|` of each 256.
    pub fn absmax2(&self) -> &[f32] {
        &self.absmax2
    }
    /// The mean that was subtracted.
    pub fn offset(&self) -> f32 {
        self.offset
    }

    /// Bytes that are stored: codes, second absmax and the mean where there is one.
    pub fn byte_len(&self) -> usize {
        let offset = if self.scheme == DoubleQuant::Fp8E4m3 { 0 } else { 4 };
        self.codes.len() + 4 * self.absmax2.len() + offset
    }

    /// The absmax values: `number(code) * step + offset`, rounded after each operation.
    pub fn dequantize(&self) -> Vec<f32> {
        let scheme = self.scheme;
        let block = |(codes, absmax2): (&[u8], &f32)| -> Vec<f32> {
            let step = scheme.step(*absmax2);
            codes.iter().map(|code| scheme.number(*code) * step + self.offset).collect()
        };
        self.codes.chunks(DOUBLE_QUANT_BLOCK).zip(&self.absmax2).flat_map(block).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use DoubleQuant::{Dynamic8, Fp8E4m3, Int8Mean};

    #[test]
    fn codes_worked_out_by_hand() {
        // Mean 4, centred -2, 0, 1, 1, second absmax 2: quotients -1, 0, 0.5, 0.5.
        let absmax = [2.0, 4.0, 5.0, 5.0];
        // 127 values are negative, -0.99296874 the first, and then there is 0. The last 64 before
        // 1 (191 to 254) are 0.1 + 0.9 (k + 0.5) / 64, of which k = 28, 0.50078, is next to 0.5.
        let dynamic = Dynamic8.quantize(&absmax);
        assert_eq!((dynamic.offset(), dynamic.absmax2()), (4.0, &[2.0][..]));
        assert_eq!(dynamic.codes(), [0, 127, 219, 219]);
        // -2 * 64 = -128, 0, 64, 64.
        let int8 = Int8Mean.quantize(&absmax);
        assert_eq!(int8.codes(), [0x80, 0, 0x40, 0x40]);
        assert_eq!(int8.dequantize(), absmax);
        // Steps of 7 / 448 = 1/64: 448 (0x7e), 224 (0x76), 64 (0x68), 0.
        let fp8 = Fp8E4m3.quantize(&[7.0, 3.5, 1.0, 0.0]);
        assert_eq!((fp8.offset(), fp8.codes()), (0.0, &[0x7e, 0x76, 0x68, 0][..]));
        assert_eq!(fp8.dequantize(), [7.0, 3.5, 1.0, 0.0]);
    }

    #[test]
    fn int8_rounds_to_even_and_saturates_above() {
        // Around 0 with absmax 128: 127.5 is clamped, 0.5 and 2.5 go to even codes.
        let int8 = Int8Mean.quantize_around(&[128.0, -128.0, 0.5, 1.5, 2.5], 0.0);
        assert_eq!(
            int8.codes().iter().map(|c| c.cast_signed()).collect::<Vec<_>>(),
            [127, -128, 0, 2, 2]
        );
    }

    #[test]
    fn a_subnormal_step_saturates() {
        // 1427 units of 2^-149 in steps of 3 (3.19 rounded down) are 476 steps; 448 is the most.
        let stored = Fp8E4m3.quantize(&[f32::from_bits(1427)]);
        assert_eq!(stored.dequantize(), [f32::from_bits(448 * 3)]);
    }

    #[test]
    fn equal_and_no_absmax_come_back_exactly() {
        for scheme in DoubleQuant::ALL {
            for (absmax, len) in [(0.75f32, 1), (0.75, 256), (0.75, 300), (0.0, 7), (1.0, 0)] {
                let stored = scheme.quantize(&vec![absmax; len]);
                assert_eq!(stored.dequantize(), vec![absmax; len], "{scheme:?}");
                let offset = if scheme == Fp8E4m3 { 0 } else { 4 };
                assert_eq!(stored.byte_len(), len + 4 * len.div_ceil(256) + offset);
            }
        }
    }

    #[test]
    fn blocks_are_independent_and_nothing_infinite_is_lost() {
        for scheme in DoubleQuant::ALL {
            for bad in [f32::NAN, f32::INFINITY] {
                let mut absmax = vec![1.0; 600];
                absmax[300] = bad;
                let values = scheme.quantize(&absmax).dequantize();
                assert!(values[256..512].iter().all(|a| !a.is_finite()), "{scheme:?} {bad}");
                let first = values[..256].iter().all(|a| a.is_finite());
                assert_eq!(first, scheme == Fp8E4m3, "{scheme:?} {bad}");
            }
        }
    }

    #[test]
    fn any_bytes_decode_and_wrong_lengths_are_errors() {
        for scheme in DoubleQuant::ALL {
            let codes: Vec<u8> = (0..=255).chain([9]).collect();
            let stored = DoubleQuantized::new(scheme, codes.clone(), vec![1.0, 2.0], 0.5).unwrap();
            assert_eq!(stored.dequantize().len(), 257);
            let error = DoubleQuantized::new(scheme, codes, vec![1.0], 0.5).unwrap_err();
            assert_eq!(error.to_string(), "`absmax2` is 1 values, must be 2 values ([2])");
        }
    }
}
