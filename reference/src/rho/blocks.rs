//! Codecs of flat blocks: the state is read as one row of values, 32 to a block, the last block
//! possibly short. A block is its scale, then its codes, low bits first; blocks follow each other.
//!
//! | codec | scale | bytes of `n` values |
//! |---|---|---|
//! | [`Fp32`](FlatBlocks::Fp32), [`Float`](FlatBlocks::Float) | none | `n` times 4, 2 or 1 |
//! | [`Scaled`](FlatBlocks::Scaled) (seed 002, lines 852-938) | f32, [`RhoFormat::rule`] | 4 + codes |
//! | [`Fp8Scaled`](FlatBlocks::Fp8Scaled) | f32, `absmax / 448`, 1 where that is 0 | 4 + n |
//! | [`Mx`](FlatBlocks::Mx) | a power of two, a byte | 1 + ceil(n bits / 8) |
//!
//! Sources of the last two, which seed 001 names only: per-block scaling of "FP8 Formats for Deep
//! Learning" (2209.05433) and OCP Microscaling v1.0. `Fp8Scaled` keeps NaN and takes its scale from
//! the finite values, so that infinities saturate. `Scaled` treats neither as the source does: NaN or
//! an infinity spoils its block and no other, as [`crate::rule`] says; so do `Float` and `Mx` in
//! their files.
use super::codec::{RhoCodec, check_payload, f32_at};
use super::shape::{State, StateShape};
use super::{RHO_BLOCK, RhoFormat};
use crate::format::minifloat::E4M3FN;
use crate::format::{BlockFormat, Float, MX_BLOCK, Mx};
use crate::invalid::Invalid;
use crate::rule::{Groups, dequantize_groups, quantize};

/// See the module.
#[derive(Clone, Copy, Debug)]
pub enum FlatBlocks {
    /// The values themselves, little-endian.
    Fp32,
    /// Each value as a smaller float.
    Float(&'static Float),
    /// Integer codes under an f32 scale.
    Scaled(RhoFormat),
    /// E4M3 codes under an f32 scale, saturating.
    Fp8Scaled,
    /// A format of the OCP Microscaling family.
    Mx(&'static Mx),
}

impl FlatBlocks {
    /// Bytes of a block of `len` values, from 1 to 32.
    fn block_bytes(&self, len: usize) -> usize {
        match self {
            FlatBlocks::Fp32 => 4 * len,
            FlatBlocks::Float(format) => len * format.block_bytes(),
            FlatBlocks::Scaled(format) => 4 + format.codes.row_bytes(len),
            FlatBlocks::Fp8Scaled => 4 + len,
            FlatBlocks::Mx(format) => 1 + (len * format.element().bits() as usize).div_ceil(8),
        }
    }

    fn bytes(&self, len: usize) -> usize {
        let short = match len % RHO_BLOCK {
            0 => 0,
            rest => self.block_bytes(rest),
        };
        len / RHO_BLOCK * self.block_bytes(RHO_BLOCK) + short
    }

    fn encode_block(&self, x: &[f32]) -> Result<Vec<u8>, Invalid> {
        match self {
            FlatBlocks::Fp32 => Ok(x.iter().flat_map(|x| x.to_le_bytes()).collect()),
            FlatBlocks::Float(format) => format.encode(x),
            FlatBlocks::Scaled(format) => {
                let q = quantize(&format.rule(), format.codes.levels(), x, RHO_BLOCK);
                let codes = format.codes.pack(&q.codes);
                let codes =
                    codes.map_err(|error| Invalid::new("state", error, "values with codes"))?;
                Ok(q.scales().iter().flat_map(|s| s.to_le_bytes()).chain(codes).collect())
            }
            FlatBlocks::Fp8Scaled => {
                let scale = fp8_scale(x);
                let code = |x: &f32| E4M3FN.saturating().encode(x / scale) as u8;
                Ok(scale.to_le_bytes().into_iter().chain(x.iter().map(code)).collect())
            }
            FlatBlocks::Mx(format) => {
                // Zeros change neither the scale nor the codes before them.
                let mut whole = x.to_vec();
                whole.resize(MX_BLOCK, 0.0);
                let mut bytes = format.encode(&whole)?;
                bytes.truncate(self.block_bytes(x.len()));
                Ok(bytes)
            }
        }
    }

    fn decode_block(&self, bytes: &[u8], len: usize) -> Result<Vec<f32>, Invalid> {
        match self {
            FlatBlocks::Fp32 => Ok((0..len).map(|i| f32_at(bytes, 4 * i)).collect()),
            FlatBlocks::Float(format) => format.decode(bytes),
            FlatBlocks::Scaled(format) => {
                let (scale, codes) = (f32_at(bytes, 0), bytes.get(4..).unwrap_or_default());
                let codes = format.codes.unpack(codes, len);
                let allowed = || format!("codes of {}", format.codes.name());
                let codes = codes.map_err(|error| Invalid::new("payload", error, allowed()))?;
                let (rule, groups) = (format.rule(), Groups::runs(len, RHO_BLOCK));
                Ok(dequantize_groups(&rule, (&codes, &[rule.under(scale)]), &groups))
            }
            FlatBlocks::Fp8Scaled => {
                let value = |code: &u8| E4M3FN.decode(u16::from(*code)) * f32_at(bytes, 0);
                Ok(bytes.iter().skip(4).map(value).collect())
            }
            FlatBlocks::Mx(format) => {
                let mut whole = bytes.to_vec();
                whole.resize(format.block_bytes(), 0);
                let mut x = format.decode(&whole)?;
                x.truncate(len);
                Ok(x)
            }
        }
    }
}

/// `absmax / 448` of the finite values, 1 where that is 0.
fn fp8_scale(x: &[f32]) -> f32 {
    let finite = x.iter().filter(|x| x.is_finite());
    let scale = finite.fold(0.0, |largest: f32, x| largest.max(x.abs())) / E4M3FN.max();
    if scale == 0.0 { 1.0 } else { scale }
}

impl RhoCodec for FlatBlocks {
    fn payload_bytes(&self, state: State) -> u64 {
        self.bytes(state.values().len()) as u64
    }

    fn most_bytes(&self, shape: StateShape) -> u64 {
        self.bytes(shape.len()) as u64
    }

    fn encode(&self, state: State, _: Option<State>) -> Result<Vec<u8>, Invalid> {
        let blocks = state.values().chunks(RHO_BLOCK).map(|x| self.encode_block(x));
        Ok(blocks.collect::<Result<Vec<_>, _>>()?.concat())
    }

    fn decode(
        &self,
        payload: &[u8],
        shape: StateShape,
        _: Option<State>,
    ) -> Result<Vec<f32>, Invalid> {
        check_payload(payload.len(), self.bytes(shape.len()))?;
        let blocks = payload.chunks(self.block_bytes(RHO_BLOCK)).enumerate();
        let values = blocks.map(|(block, bytes)| {
            let len = (shape.len() - block * RHO_BLOCK).min(RHO_BLOCK);
            self.decode_block(bytes, len)
        });
        Ok(values.collect::<Result<Vec<_>, _>>()?.concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{BF16, MXFP8_E4M3, MXINT6, MXINT8};
    use crate::rho::{BINARY_BLOCK, INT8_BLOCK, TERNARY_BLOCK};

    fn round_trip(codec: &FlatBlocks, x: &[f32]) -> (Vec<u8>, Vec<f32>) {
        let shape = StateShape::new(&[1, x.len()]).unwrap();
        let payload = codec.encode(State::new(shape, x).unwrap(), None).unwrap();
        let back = codec.decode(&payload, shape, None).unwrap();
        (payload, back)
    }

    #[test]
    fn blocks_are_scale_then_codes() {
        let (payload, back) = round_trip(&FlatBlocks::Scaled(INT8_BLOCK), &[127.0, -3.0, 0.5]);
        assert_eq!(payload, [0, 0, 0x80, 0x3f, 127, 0xfd, 1]);
        assert_eq!(back, [127.0, -3.0, 1.0]);
        let (payload, back) = round_trip(&FlatBlocks::Fp8Scaled, &[896.0, -1.0, 0.0]);
        assert_eq!(payload, [0, 0, 0, 0x40, 0x7e, 0xb0, 0]);
        assert_eq!(back, [896.0, -1.0, 0.0]);
        let (payload, back) = round_trip(&FlatBlocks::Mx(&MXINT6), &[1.0, -0.5, 0.0625]);
        assert_eq!(payload, [127, 0x10, 0x1e, 0]);
        assert_eq!(back, [1.0, -0.5, 0.0625]);
        assert_eq!(round_trip(&FlatBlocks::Fp32, &[1.0]).0, [0, 0, 0x80, 0x3f]);
    }

    #[test]
    fn every_block_has_its_own_scale_and_the_last_may_be_short() {
        let x: Vec<f32> = (0..44).map(|i| if i < 32 { 1.0 } else { 64.0 }).collect();
        let table = [
            (FlatBlocks::Fp32, 176),
            (FlatBlocks::Float(&BF16), 88),
            (FlatBlocks::Scaled(INT8_BLOCK), 52),
            (FlatBlocks::Scaled(TERNARY_BLOCK), 19),
            (FlatBlocks::Scaled(BINARY_BLOCK), 14),
            (FlatBlocks::Fp8Scaled, 52),
            (FlatBlocks::Mx(&MXFP8_E4M3), 46),
            (FlatBlocks::Mx(&MXINT6), 35),
        ];
        for (codec, bytes) in table {
            let (payload, back) = round_trip(&codec, &x);
            assert_eq!((payload.len(), codec.bytes(44)), (bytes, bytes), "{codec:?}");
            assert_eq!(back, x, "{codec:?}");
        }
    }

    #[test]
    fn what_is_not_finite_is_as_documented() {
        let x = [f32::NAN, f32::INFINITY, -2.0, f32::NEG_INFINITY];
        let (_, back) = round_trip(&FlatBlocks::Fp8Scaled, &x);
        assert!(back[0].is_nan());
        assert_eq!(back[1..], [2.0, -2.0, -2.0]);
        assert_eq!(round_trip(&FlatBlocks::Fp8Scaled, &[f32::INFINITY, 0.0]).1, [448.0, 0.0]);
        let (_, back) = round_trip(&FlatBlocks::Scaled(INT8_BLOCK), &x);
        assert!(back.iter().all(|x| x.is_nan()));
        assert!(round_trip(&FlatBlocks::Mx(&MXINT8), &x).1.iter().all(|x| x.is_nan()));
        assert_eq!(round_trip(&FlatBlocks::Fp8Scaled, &[1e-45]).1, [0.0]);
    }

    #[test]
    fn wrong_lengths_and_patterns_are_errors() {
        let shape = StateShape::new(&[2, 3, 7]).unwrap();
        let ternary = FlatBlocks::Scaled(TERNARY_BLOCK);
        let mut payload = ternary.encode(State::new(shape, &[1.0; 42]).unwrap(), None).unwrap();
        for len in [0, payload.len() - 1] {
            let error = ternary.decode(&payload[..len], shape, None).unwrap_err();
            assert_eq!((error.field.as_str(), error.allowed.as_str()), ("payload", "19 bytes"));
        }
        payload[5] = 0xff;
        let error = ternary.decode(&payload, shape, None).unwrap_err();
        assert_eq!(error.allowed, "codes of ternary2");
        payload.push(0);
        assert!(ternary.decode(&payload, shape, None).is_err());
        let empty = StateShape::new(&[0, 7]).unwrap();
        assert_eq!(ternary.decode(&[], empty, None).unwrap(), [0.0; 0]);
    }
}
