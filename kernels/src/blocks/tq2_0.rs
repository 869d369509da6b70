//! `tq2_0`: 256 ternary values, `d = absmax` as f16 behind them, `code = round(x / d) + 1`, ties away
//! from zero: 2 where `x / d` is at least 1/2, 0 where it is at most -1/2.
//!
//! ```text
//! byte i of 0 .. 31     values i, i + 32, i + 64, i + 96, low bits first
//! byte i of 32 .. 63    the same of values 128 ..
//! bytes 64, 65          d
//! ```
//!
//! A comparison makes 1 of NaN, and is right of an infinite quotient: no block is unusual.
use super::{Blocks, Format, Shared};
use crate::codes::{Codes, floats, half::from_f16};

/// See the module.
#[derive(Debug)]
pub(crate) struct Tq2_0;

impl Format<256, 66> for Tq2_0 {
    const DIVISOR: f32 = 1.0;

    #[inline(always)]
    fn encode<I: Blocks>(isa: I, x: &[f32; 256], shared: &Shared, bytes: &mut [u8; 66]) {
        let (halves, runs) = (bytes[..64].as_chunks_mut::<32>().0, x.as_chunks::<128>().0);
        for (bytes, x) in halves.iter_mut().zip(runs) {
            let mut digits = [[0; 32]; 4];
            for (digits, x) in digits.iter_mut().zip(x.as_chunks::<32>().0) {
                isa.digits_of(x, shared.inverse, digits);
            }
            let [a, b, c, d] = digits;
            for i in 0..32 {
                bytes[i] = a[i] | b[i] << 2 | c[i] << 4 | d[i] << 6;
            }
        }
        bytes[64..].copy_from_slice(&shared.half.to_le_bytes());
    }

    #[inline(always)]
    fn decode<I: Codes>(_: I, bytes: &[u8; 66], x: &mut [f32; 256]) {
        let d = from_f16(u16::from_le_bytes([bytes[64], bytes[65]]));
        let (halves, runs) = (bytes[..64].as_chunks::<32>().0, x.as_chunks_mut::<128>().0);
        for (bytes, x) in halves.iter().zip(runs) {
            for (place, x) in x.as_chunks_mut::<32>().0.iter_mut().enumerate() {
                let mut codes = [0; 32];
                for (code, byte) in codes.iter_mut().zip(bytes) {
                    *code = byte >> (2 * place) & 3;
                }
                floats(&codes, false, (1.0, d), x);
            }
        }
    }
}
