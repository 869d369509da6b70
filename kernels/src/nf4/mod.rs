//! NF4: sixteen values by code, fifteen midpoints between them, an absmax per block: what
//! `quantize_nf4` and `dequantize_nf4` share.
//!
//! *Coding*: the code of a quotient is the number of midpoints below it. Plain code compares with all
//! fifteen. AVX2 searches: the middle one, then one of two, of four, of eight, each looked up by the
//! code so far. AVX-512 asks a table: cells of 1/16 from -1 to 1 hold at most one midpoint each (the
//! nearest two are 0.0804 apart), none of which is within 0.001 of a border, so that
//! `cell = trunc(16 q + 16)` may be off by a rounding; the code is the number of midpoints below the
//! cell, and one more if `q` is above that in the cell.
//!
//! *Quotients* are `x * (1 / max(absmax, 1e-38))`, or `x / max(absmax, 1e-38)` in a short last block,
//! whose absmax is then stored no less than 1e-38. In a block with an infinity or a NaN, NaN counts as
//! above every midpoint, which no vector code here does: such blocks go value by value.
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
pub(crate) mod dequantize;
pub(crate) mod double;
pub(crate) mod quantize;
use crate::codes::Codes;
use crate::quantize::isa::STEP;
use crate::quantize::scalar::Scalar;
use lowbit_reference::format::codebook::NF4_VALUES;
use lowbit_reference::format::nf4::Nibbles;

/// Values between neighbours.
pub(crate) const MIDPOINTS: [f32; 15] = midpoints();

const fn midpoints() -> [f32; 15] {
    let mut between = [0.0; 15];
    let mut i = 0;
    while i < 15 {
        between[i] = (NF4_VALUES[i] + NF4_VALUES[i + 1]) / 2.0;
        i += 1;
    }
    between
}

/// How an instruction set codes quotients.
pub(crate) trait Nf4: Codes {
    /// Codes of `x reciprocal`, from -1 to 1 to within an ulp.
    #[inline(always)]
    fn codes(self, x: &[f32; STEP], reciprocal: f32, codes: &mut [u8; STEP]) {
        let mut lanes = [0u32; STEP];
        for (lane, x) in lanes.iter_mut().zip(x) {
            let quotient = x * reciprocal;
            for midpoint in MIDPOINTS {
                *lane += u32::from(quotient > midpoint);
            }
        }
        for (code, lane) in codes.iter_mut().zip(&lanes) {
            *code = lane.to_le_bytes()[0];
        }
    }
}

impl Nf4 for Scalar {}

/// The code of one quotient, NaN included.
fn code(quotient: f32) -> u8 {
    let mut below = 0;
    for midpoint in MIDPOINTS {
        below += u8::from(midpoint < quotient || quotient.is_nan());
    }
    below
}

/// Packed bytes as their nibbles stand in memory where the first code is in the low one.
#[inline(always)]
fn low_first(bytes: &[u8; STEP / 2], nibbles: Nibbles) -> [u8; STEP / 2] {
    match nibbles {
        Nibbles::LowFirst => *bytes,
        Nibbles::HighFirst => {
            const LOW: u128 = 0x0f0f_0f0f_0f0f_0f0f_0f0f_0f0f_0f0f_0f0f;
            let all = u128::from_le_bytes(*bytes);
            (all >> 4 & LOW | (all & LOW) << 4).to_le_bytes()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lowbit_reference::format::codebook::Table;

    #[test]
    fn midpoints_are_those_of_the_table_and_alone_in_their_cells() {
        assert_eq!(MIDPOINTS[..], Table::Nf4.thresholds()[..]);
        let cells: Vec<i32> = MIDPOINTS.iter().map(|m| (16.0 * m + 16.0) as i32).collect();
        assert!(cells.is_sorted_by(|a, b| a < b), "{cells:?}");
        for midpoint in MIDPOINTS {
            let place = 16.0 * midpoint + 16.0;
            assert!((place - place.round()).abs() > 0.016, "{midpoint}");
        }
    }
}
