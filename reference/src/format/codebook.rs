//! Code books: ascending values in [-1, 1], one of which stands for each quotient `x / absmax`.
//!
//! The rule is that of bitsandbytes ("default" backend): a block's quotients are
//! `x * (1 / max(absmax, 1e-38))` in f32, and `x / max(absmax, 1e-38)` in a trailing partial block,
//! where the floored absmax is also the one stored. (bitsandbytes then clamps to [-1, 1], which
//! changes no code.) The code is the number of midpoints below the quotient, so that a tie goes to
//! the lower value; midpoints are f32, `(a + b) / 2`. (Four of them, 0|1, 8|9, 12|13 and 14|15 of NF4,
//! lie halfway between two f32; the literals in its CUDA kernels and in onnxruntime round to the
//! other neighbour, so there a quotient that equals one of these midpoints has another code.)
//!
//! A NaN makes its block's absmax NaN and counts as above every midpoint, as in `torch.bucketize`;
//! under an infinite absmax finite values have the quotient 0 and infinite ones NaN.
use super::statistic::absmax;

/// The least absmax that is divided by. Subnormal; its reciprocal is finite.
const LEAST_DIVISOR: f32 = 1e-38;

/// The sixteen values of NF4 by code: quantiles of the normal distribution, `create_normal_map` of
/// bitsandbytes with offset 0.9677083 (QLoRA, 2305.14314).
pub static NF4_VALUES: [f32; 16] = [
    -1.0,
    -0.696_192_8,
    -0.525_073_05,
    -0.394_917_5,
    -0.284_441_38,
    -0.184_773_43,
    -0.091_050_036,
    0.0,
    0.079_580_3,
    0.160_930_2,
    0.246_112_3,
    0.337_915_24,
    0.440_709_83,
    0.562_617,
    0.722_956_84,
    1.0,
];

/// The sixteen values of FP4 by code (sign, two exponent bits, mantissa bit) as in bitsandbytes,
/// divided by the largest, 12; its smallest nonzero value is 1/16 there.
pub static FP4_VALUES: [f32; 16] = [
    0.0,
    0.005_208_333_5,
    0.666_666_7,
    1.0,
    0.333_333_34,
    0.5,
    0.166_666_67,
    0.25,
    0.0,
    -0.005_208_333_5,
    -0.666_666_7,
    -1.0,
    -0.333_333_34,
    -0.5,
    -0.166_666_67,
    -0.25,
];

/// A table of sixteen values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// [`NF4_VALUES`].
    Nf4,
    /// [`FP4_VALUES`].
    Fp4,
}

impl Table {
    /// Value of each code.
    pub fn values(self) -> &'static [f32; 16] {
        match self {
            Table::Nf4 => &NF4_VALUES,
            Table::Fp4 => &FP4_VALUES,
        }
    }

    /// The codes in ascending order of their values. FP4 has two zeros, code 0 before code 8, so
    /// the code of a quotient in `(0, 0.0026]` is 8.
    pub fn ascending(self) -> [u8; 16] {
        match self {
            Table::Nf4 => [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
            Table::Fp4 => [11, 10, 13, 12, 15, 14, 9, 0, 8, 1, 6, 7, 4, 5, 2, 3],
        }
    }

    /// The midpoints between neighbouring values.
    pub fn thresholds(self) -> Vec<f32> {
        midpoints(&self.sorted()).collect()
    }

    /// The code of a quotient.
    pub fn code(self, quotient: f32) -> u8 {
        self.ascending()[nearest(&self.sorted(), quotient)]
    }

    fn sorted(self) -> [f32; 16] {
        self.ascending().map(|code| self.values()[usize::from(code)])
    }
}

fn midpoints(ascending: &[f32]) -> impl Iterator<Item = f32> {
    ascending.windows(2).map(|pair| (pair[0] + pair[1]) / 2.0)
}

/// Position of the value that stands for a quotient.
pub(super) fn nearest(ascending: &[f32], quotient: f32) -> usize {
    midpoints(ascending).filter(|midpoint| *midpoint < quotient || quotient.is_nan()).count()
}

/// The absmax to store and the quotients of a block that should have `block_size` values.
pub(super) fn quotients(block: &[f32], block_size: usize) -> (f32, Vec<f32>) {
    let absmax = absmax(block);
    let divisor = if absmax < LEAST_DIVISOR { LEAST_DIVISOR } else { absmax };
    match block.len() == block_size {
        true => (absmax, block.iter().map(|x| x * (1.0 / divisor)).collect()),
        false => (divisor, block.iter().map(|x| x / divisor).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_midpoint_goes_to_the_lower_value_and_nan_to_the_last() {
        for table in [Table::Nf4, Table::Fp4] {
            for (i, midpoint) in table.thresholds().into_iter().enumerate() {
                let ascending = table.ascending();
                assert_eq!(table.code(midpoint), ascending[i], "{table:?} {midpoint}");
                assert_eq!(table.code(midpoint.next_up()), ascending[i + 1], "{midpoint}");
            }
            assert_eq!(table.code(f32::NAN), table.ascending()[15]);
            assert_eq!(table.code(f32::NEG_INFINITY), table.ascending()[0]);
        }
        assert_eq!([Table::Fp4.code(0.0), Table::Fp4.code(-0.0), Table::Fp4.code(1e-3)], [0, 0, 8]);
        assert_eq!([Table::Nf4.code(0.0), Table::Nf4.code(-0.0)], [7, 7]);
    }

    #[test]
    fn the_order_of_codes_is_that_of_their_values() {
        for table in [Table::Nf4, Table::Fp4] {
            let mut order: Vec<u8> = (0..16).collect();
            let value = |code: &u8| table.values()[usize::from(*code)];
            order.sort_by(|a, b| value(a).total_cmp(&value(b)));
            assert_eq!(table.ascending(), order[..]);
        }
    }

    #[test]
    fn full_blocks_multiply_by_a_reciprocal_and_partial_ones_divide() {
        let x = [3.0f32, -7.0];
        let (absmax, full) = quotients(&x, 2);
        let (_, partial) = quotients(&x, 64);
        assert_eq!((absmax, full[1], partial[1]), (7.0, -1.0, -1.0));
        assert_eq!((full[0], partial[0]), (3.0 * (1.0f32 / 7.0), 3.0f32 / 7.0));
        assert_ne!(full[0], partial[0]);
    }

    #[test]
    fn tiny_blocks_are_divided_by_a_floor() {
        assert_eq!(quotients(&[0.0, -0.0], 2), (0.0, vec![0.0, -0.0]));
        assert_eq!(quotients(&[0.0], 2), (1e-38, vec![0.0]));
        let (absmax, quotient) = quotients(&[1e-40], 1);
        assert!(absmax == 1e-40 && quotient[0] < 0.011);
        let (absmax, quotient) = quotients(&[f32::INFINITY, 1.0], 2);
        assert!(absmax.is_infinite() && quotient[0].is_nan() && quotient[1] == 0.0);
        assert!(quotients(&[1.0, f32::NAN], 2).0.is_nan());
    }
}
