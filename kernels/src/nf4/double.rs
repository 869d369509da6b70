//! Double quantization: the absmax of every block in a byte, 256 of them under a second absmax.
//!
//! ```text
//! dynamic8     code = number of midpoints of the map below (a - mean) / absmax2
//! int8_mean    code = round((a - mean) (128 / absmax2)), ties to even, at most 127
//! fp8_e4m3     code = E4M3(a / (absmax2 / 448)), at most 448
//! ```
//!
//! A sixty-fourth of the values or fewer: plain loops. The mean is summed in f64, eight sums side by
//! side in the order of the blocks, on one thread. The code of the map is searched for in 8 steps.
use crate::rho_codec::floats::{e4m3, from_e4m3};
use lowbit_reference::format::DYNAMIC_MAP;
use lowbit_reference::format::double_quant::{DOUBLE_QUANT_BLOCK, DoubleQuant};

/// The least absmax that is divided by, here and in blocks of values.
pub(super) const LEAST_DIVISOR: f32 = 1e-38;
/// The largest E4M3.
const E4M3_MOST: f32 = 448.0;

/// Values between neighbours of the map, and one above all.
static MIDPOINTS: [f32; 256] = midpoints();

const fn midpoints() -> [f32; 256] {
    let mut between = [f32::INFINITY; 256];
    let mut i = 0;
    while i < 255 {
        between[i] = (DYNAMIC_MAP[i] + DYNAMIC_MAP[i + 1]) / 2.0;
        i += 1;
    }
    between
}

/// What is subtracted: the mean, where the scheme has one.
pub(super) fn offset(scheme: DoubleQuant, absmax: &[f32]) -> f32 {
    if scheme == DoubleQuant::Fp8E4m3 {
        return 0.0;
    }
    let mut sums = [0.0f64; 8];
    for eight in absmax.chunks(8) {
        for (sum, a) in sums.iter_mut().zip(eight) {
            *sum += f64::from(*a);
        }
    }
    (sums.iter().sum::<f64>() / absmax.len().max(1) as f64) as f32
}

/// The second absmax of a block, at most 256, and its codes.
pub(super) fn encode(
    scheme: DoubleQuant,
    offset: f32,
    (absmax, codes): (&[f32], &mut [u8]),
) -> f32 {
    let mut centred = [0.0; DOUBLE_QUANT_BLOCK];
    let centred = &mut centred[..absmax.len()];
    let mut most = 0.0f32;
    for (c, a) in centred.iter_mut().zip(absmax) {
        *c = a - offset;
        most = if c.abs() > most || c.is_nan() { c.abs() } else { most };
    }
    match scheme {
        DoubleQuant::Dynamic8 => dynamic8(most, centred, codes),
        DoubleQuant::Int8Mean => {
            let inverse = if most == 0.0 { 0.0 } else { 1.0 / most };
            for (code, c) in codes.iter_mut().zip(&*centred) {
                // A cast saturates.
                *code = ((c * (128.0 * inverse)).round_ties_even() as i8).cast_unsigned();
            }
            most
        }
        DoubleQuant::Fp8E4m3 => {
            let step = most / E4M3_MOST;
            for (code, c) in codes.iter_mut().zip(&*centred) {
                *code = if step == 0.0 { 0 } else { e4m3(c / step) };
            }
            most
        }
    }
}

/// Full blocks multiply by a reciprocal, a short one divides and stores what it divided by.
fn dynamic8(most: f32, centred: &[f32], codes: &mut [u8]) -> f32 {
    let divisor = if most < LEAST_DIVISOR { LEAST_DIVISOR } else { most };
    let full = centred.len() == DOUBLE_QUANT_BLOCK;
    let reciprocal = 1.0 / divisor;
    for (code, c) in codes.iter_mut().zip(centred) {
        *code = searched(if full { c * reciprocal } else { c / divisor });
    }
    if full { most } else { divisor }
}

/// The number of midpoints below a quotient; all of them for NaN.
#[inline(always)]
fn searched(quotient: f32) -> u8 {
    let mut at = 0;
    for step in [128, 64, 32, 16, 8, 4, 2, 1] {
        // What is not above is below, or NaN.
        let above = MIDPOINTS[at + step - 1] >= quotient;
        at += if above { 0 } else { step };
    }
    at as u8
}

/// The absmax of a block of codes: `number * step + offset`, rounded after each operation.
pub(super) fn decode(
    scheme: DoubleQuant,
    (absmax2, offset): (f32, f32),
    (codes, absmax): (&[u8], &mut [f32]),
) {
    let number = |code: u8| match scheme {
        DoubleQuant::Dynamic8 => DYNAMIC_MAP[usize::from(code)],
        DoubleQuant::Int8Mean => f32::from(code.cast_signed()),
        DoubleQuant::Fp8E4m3 => from_e4m3(code),
    };
    let step = match scheme {
        DoubleQuant::Dynamic8 => absmax2,
        DoubleQuant::Int8Mean => absmax2 / 128.0,
        DoubleQuant::Fp8E4m3 => absmax2 / E4M3_MOST,
    };
    for (absmax, code) in absmax.iter_mut().zip(codes) {
        *absmax = number(*code) * step + offset;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lowbit_reference::format::minifloat::E4M3FN;

    #[test]
    fn e4m3_is_that_of_the_format() {
        for code in 0..=255 {
            let (value, want) = (from_e4m3(code), E4M3FN.decode(code.into()));
            assert!(value == want || (value.is_nan() && want.is_nan()), "{code}");
        }
        let format = E4M3FN.saturating();
        for bits in (0..0x4500_0000u32).step_by(0x1_0001).chain([0x7f80_0000, 0x7fc0_0000]) {
            let x = f32::from_bits(bits);
            assert_eq!(u16::from(e4m3(x)), format.encode(x), "{x:e}");
        }
        for code in 0..126u8 {
            let middle = f32::midpoint(from_e4m3(code), from_e4m3(code + 1));
            for x in [middle.next_down(), middle, middle.next_up()] {
                assert_eq!(u16::from(e4m3(x)), format.encode(x), "{x:e}");
            }
        }
    }

    #[test]
    fn codes_are_those_of_the_schemes_at_ties_and_beyond() {
        let ties: Vec<f32> = (0..256u16).map(|i| f32::from(i) / 2.0).chain([128.0]).collect();
        use DoubleQuant::{Dynamic8, Fp8E4m3, Int8Mean};
        // Without an offset magnitudes are all there is to E4M3.
        let cases =
            [(Dynamic8, 0.0), (Int8Mean, 0.0), (Fp8E4m3, 0.0), (Dynamic8, 64.0), (Int8Mean, 64.0)];
        for (scheme, offset) in cases {
            for absmax in [&ties[1..], &ties[..100], &[0.0; 3], &[1e-40, 2e-40]] {
                let mut codes = vec![0; absmax.len()];
                let absmax2 = encode(scheme, offset, (absmax, &mut codes));
                let want = scheme.quantize_around(absmax, offset);
                assert_eq!(
                    (&codes[..], &[absmax2][..]),
                    (want.codes(), want.absmax2()),
                    "{scheme:?}"
                );
                let mut values = vec![0.0; absmax.len()];
                decode(scheme, (absmax2, want.offset()), (&codes, &mut values));
                assert_eq!(values, want.dequantize(), "{scheme:?}");
            }
        }
    }

    #[test]
    fn the_search_counts_midpoints() {
        let count = |q: f32| MIDPOINTS[..255].iter().filter(|m| **m < q || q.is_nan()).count();
        let near = MIDPOINTS[..255].iter().flat_map(|m| [m.next_down(), *m, m.next_up()]);
        for q in near.chain([f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, 2.0]) {
            assert_eq!(usize::from(searched(q)), count(q), "{q}");
        }
    }
}
