//! `nf4_i8`: NF4 with its table rounded to int8, so that products with int8 activations are
//! integers.
//!
//! ```text
//! code  = the NF4 code of x (blocks of 64, the midpoints of the float table)
//! table = round(127 nf4)                        ties do not occur
//! x'    = table[code] * (absmax / 127)          absmax in f32
//! ```
//!
//! Bytes and absmax are those of NF4, so weights of the one are weights of the other without a
//! change; only the values differ, by at most `0.5 / 127` of a block's absmax. -1, 0 and 1 stay
//! what they are, up to the rounding of `absmax / 127`.

/// The sixteen values by code, in units of `absmax / 127`.
pub static NF4_I8_VALUES: [i8; 16] =
    [-127, -88, -67, -50, -36, -23, -12, 0, 10, 20, 31, 43, 56, 71, 92, 127];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Distribution, Stream, realistic};
    use crate::format::codebook::NF4_VALUES;
    use crate::format::table::{NF4, NF4_I8};
    use crate::quality::quality;

    #[test]
    fn the_table_is_the_rounded_one() {
        assert_eq!(NF4_VALUES.map(|value| (127.0 * value).round()), NF4_I8_VALUES.map(f32::from));
        let off = |(float, int): (&f32, &i8)| (float - f32::from(*int) / 127.0).abs();
        assert!(NF4_VALUES.iter().zip(&NF4_I8_VALUES).map(off).fold(0.0, f32::max) < 0.5 / 127.0);
    }

    /// On normal data the rounded table costs 0.03 dB.
    #[test]
    fn on_normal_data_the_rounded_table_costs_three_hundredths_of_a_decibel() {
        let x = realistic(Distribution::Normal, (11, Stream::Weight), (1 << 21, 4096), 1.0);
        let [nf4, nf4_i8] = [&NF4, &NF4_I8].map(|format| {
            let tensor = format.quantize(&x);
            quality(&x, format.dequantize(&tensor.codes, &tensor.absmax)).sqnr_db.unwrap()
        });
        println!("normal data, 2^21 values: nf4 {nf4:.3} dB, nf4_i8 {nf4_i8:.3} dB");
        assert!((nf4 - 20.726).abs() < 0.05, "{nf4}");
        assert!((nf4 - nf4_i8 - 0.029).abs() < 0.005, "{nf4} {nf4_i8}");
    }
}
