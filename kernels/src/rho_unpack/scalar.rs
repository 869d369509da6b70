//! `rho_unpack` scalar: one value at a time, whatever the machine.
//!
//! `value = (stored - 1) * scale` for `ternary2`, `(2 bit - 1) * scale` for `sign1`: the code is an
//! integer of at most 128 in magnitude, exact in f32, so the product is the only rounding.
use super::rows::{Row, STEP, Unpack};
use crate::quantize::scalar::Scalar;

/// The row.
pub(super) static ROW: Row<Scalar> = Row::new();

impl Unpack for Scalar {
    #[inline(always)]
    fn unpack_int8(self, bytes: &[u8; STEP], scale: f32, values: &mut [f32; STEP]) {
        for (value, byte) in values.iter_mut().zip(bytes) {
            *value = f32::from(byte.cast_signed()) * scale;
        }
    }

    #[inline(always)]
    fn unpack_ternary2(self, fields: u64, scale: f32, values: &mut [f32; STEP]) {
        for (value, byte) in values.as_chunks_mut::<4>().0.iter_mut().zip(fields.to_le_bytes()) {
            for (i, value) in value.iter_mut().enumerate() {
                *value = f32::from(((byte >> (2 * i)) & 3).cast_signed() - 1) * scale;
            }
        }
    }

    #[inline(always)]
    fn unpack_sign1(self, bits: u32, scale: f32, values: &mut [f32; STEP]) {
        for (value, byte) in values.as_chunks_mut::<8>().0.iter_mut().zip(bits.to_le_bytes()) {
            for (i, value) in value.iter_mut().enumerate() {
                *value = f32::from(2 * ((byte >> i) & 1).cast_signed() - 1) * scale;
            }
        }
    }
}
