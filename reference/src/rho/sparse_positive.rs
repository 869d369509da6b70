//! `sparse_positive`: the `k` largest positive values of every 32, a byte each.
//!
//! Layout of a block: a bitmap (u32, bit `i` for value `i`), the scale `s = max / 255` (f32), both
//! little-endian, then one byte `round_half_even(x / s)` per kept value, in order: `8 + kept`
//! bytes. Of equal values the earlier is kept. Zero, negative values and NaN are not kept and
//! decode to 0; infinity counts as the largest finite f32. Seed 001 (line 761) names the codec only.
use super::RHO_BLOCK;
use super::codec::{RhoCodec, f32_at};
use super::shape::{State, StateShape};
use crate::invalid::Invalid;

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SparsePositive {
    k: usize,
}

/// Bitmap and scale.
const HEADER: usize = 8;

/// The positive part, finite; 0 for NaN.
fn positive(x: f32) -> f32 {
    if x > 0.0 { x.min(f32::MAX) } else { 0.0 }
}

impl SparsePositive {
    /// Up to 16 values of a block.
    pub const DEFAULT: SparsePositive = SparsePositive { k: 16 };

    /// Up to `k` values of a block, from 1 to 32.
    pub fn new(k: usize) -> Result<SparsePositive, Invalid> {
        Invalid::check_range("k", k, (1, RHO_BLOCK))?;
        Ok(SparsePositive { k })
    }

    /// What the codec drops by definition: the share of negative values in `sum x^2`; 0 for zeros.
    pub fn negative_energy_dropped(x: &[f32]) -> f64 {
        let energy = |x: f32| f64::from(x) * f64::from(x);
        let all: f64 = x.iter().map(|x| energy(*x)).sum();
        let negative: f64 = x.iter().map(|x| energy(x.min(0.0))).sum();
        if all == 0.0 { 0.0 } else { negative / all }
    }

    /// The scale of a block and the positions kept, in order.
    fn kept(self, block: &[f32]) -> (f32, Vec<usize>) {
        let value = |i: &usize| positive(block[*i]);
        let mut order: Vec<usize> = (0..block.len()).filter(|i| value(i) > 0.0).collect();
        // A stable sort: earlier first among equals.
        order.sort_by(|a, b| value(b).total_cmp(&value(a)));
        order.truncate(self.k);
        let scale = order.first().map_or(0.0, |first| value(first) / 255.0);
        if scale == 0.0 {
            // Below 255 times the smallest f32 there is no scale.
            order.clear();
        }
        order.sort_unstable();
        (scale, order)
    }

    fn encode_block(self, block: &[f32]) -> Vec<u8> {
        let (scale, kept) = self.kept(block);
        let bitmap = kept.iter().fold(0u32, |bitmap, i| bitmap | 1 << i);
        let code = |i: &usize| {
            let code = (positive(block[*i]) / scale).round_ties_even().min(255.0);
            (code as i16).cast_unsigned() as u8
        };
        let header = bitmap.to_le_bytes().into_iter().chain(scale.to_le_bytes());
        header.chain(kept.iter().map(code)).collect()
    }

    /// The values of a block of `len` and the bytes it took.
    fn decode_block(self, payload: &[u8], len: usize) -> Result<(Vec<f32>, usize), Invalid> {
        let short = |needed: usize| {
            Invalid::new("payload", format!("{} bytes", payload.len()), format!("{needed} or more"))
        };
        let Some((bitmap, _)) = payload.split_first_chunk::<4>() else { return Err(short(HEADER)) };
        let bitmap = u32::from_le_bytes(*bitmap);
        let kept = bitmap.count_ones() as usize;
        if kept > self.k || u64::from(bitmap) >> len != 0 {
            let allowed = format!("at most {} of {len} values", self.k);
            return Err(Invalid::new("payload", format!("bitmap {bitmap:#x}"), allowed));
        }
        let codes = payload.get(HEADER..HEADER + kept).ok_or_else(|| short(HEADER + kept))?;
        let mut codes = codes.iter().map(|code| f32::from(*code) * f32_at(payload, 4));
        let value = |i: usize| if bitmap >> i & 1 == 1 { codes.next() } else { None };
        let values = (0..len).map(value).map(Option::unwrap_or_default).collect();
        Ok((values, HEADER + kept))
    }
}

impl RhoCodec for SparsePositive {
    fn payload_bytes(&self, state: State) -> u64 {
        let block = |block: &[f32]| (HEADER + self.kept(block).1.len()) as u64;
        state.values().chunks(RHO_BLOCK).map(block).sum()
    }

    fn most_bytes(&self, shape: StateShape) -> u64 {
        let (full, rest) = (shape.len() / RHO_BLOCK, shape.len() % RHO_BLOCK);
        let kept = full * self.k.min(RHO_BLOCK) + self.k.min(rest);
        (shape.len().div_ceil(RHO_BLOCK) * HEADER + kept) as u64
    }

    /// Headers: a block may keep nothing.
    fn least_bytes(&self, shape: StateShape) -> u64 {
        (shape.len().div_ceil(RHO_BLOCK) * HEADER) as u64
    }

    fn encode(&self, state: State, _: Option<State>) -> Result<Vec<u8>, Invalid> {
        Ok(state.values().chunks(RHO_BLOCK).flat_map(|block| self.encode_block(block)).collect())
    }

    fn decode(
        &self,
        payload: &[u8],
        shape: StateShape,
        _: Option<State>,
    ) -> Result<Vec<f32>, Invalid> {
        let (mut values, mut rest) = (Vec::new(), payload);
        while values.len() < shape.len() {
            let len = (shape.len() - values.len()).min(RHO_BLOCK);
            let (block, used) = self.decode_block(rest, len)?;
            values.extend(block);
            rest = &rest[used..];
        }
        match rest.len() {
            0 => Ok(values),
            more => Err(Invalid::new("payload", format!("{more} bytes too long"), "all blocks")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(codec: SparsePositive, x: &[f32]) -> (StateShape, Vec<u8>) {
        let shape = StateShape::new(&[1, x.len()]).unwrap();
        let state = State::new(shape, x).unwrap();
        let payload = codec.encode(state, None).unwrap();
        assert_eq!(payload.len() as u64, codec.payload_bytes(state));
        (shape, payload)
    }

    #[test]
    fn the_largest_positive_values_are_kept_and_of_equals_the_earlier() {
        let codec = SparsePositive::new(3).unwrap();
        let x = [-9.0, 2.0, 255.0, 0.0, 2.0, 1.0, f32::NAN, 2.0];
        let (shape, payload) = encode(codec, &x);
        assert_eq!(payload, [0b0001_0110, 0, 0, 0, 0, 0, 0x80, 0x3f, 2, 255, 2]);
        let back = codec.decode(&payload, shape, None).unwrap();
        assert_eq!(back, [0.0, 2.0, 255.0, 0.0, 2.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn codes_round_to_even_and_edges_are_as_documented() {
        let codec = SparsePositive::DEFAULT;
        let decoded = |x: &[f32]| {
            let (shape, payload) = encode(codec, x);
            (payload.len(), codec.decode(&payload, shape, None).unwrap())
        };
        assert_eq!(decoded(&[255.0, 0.5, 1.5, 2.5]), (12, vec![255.0, 0.0, 2.0, 2.0]));
        assert_eq!(decoded(&[-1.0, -0.0, 0.0]), (8, vec![0.0; 3]));
        let (bytes, values) = decoded(&[f32::INFINITY, f32::NEG_INFINITY, 1.0]);
        assert_eq!((bytes, values[1]), (10, 0.0));
        // 255 times a rounded 255th.
        assert!((values[0] / f32::MAX - 1.0).abs() <= f32::EPSILON);
        assert_eq!(decoded(&[1e-45]), (8, vec![0.0]));
        // A scale of one and a half smallest floats is one of them.
        assert_eq!(decoded(&[f32::from_bits(380)]), (9, vec![f32::from_bits(255)]));
        assert_eq!(decoded(&[1.0; 40]).0, 8 + 16 + 8 + 8);
        assert_eq!(SparsePositive::negative_energy_dropped(&[1.0, -3.0, 0.0]), 0.9);
        assert_eq!(SparsePositive::negative_energy_dropped(&[0.0]), 0.0);
    }

    #[test]
    fn payloads_that_no_state_has_are_errors() {
        let codec = SparsePositive::new(2).unwrap();
        let (shape, payload) = encode(codec, &[1.0, 2.0, -1.0]);
        assert_eq!(payload.len(), 10);
        for len in 0..10 {
            let error = codec.decode(&payload[..len], shape, None).unwrap_err();
            assert_eq!(error.field, "payload", "{len}");
        }
        let long = [payload.as_slice(), &[0]].concat();
        assert!(codec.decode(&long, shape, None).is_err());
        for bitmap in [0b111u8, 0b1001] {
            let mut changed = long.clone();
            changed[0] = bitmap;
            let error = codec.decode(&changed, shape, None).unwrap_err();
            assert_eq!(error.allowed, "at most 2 of 3 values", "{bitmap:#b}");
        }
        assert_eq!(SparsePositive::new(0).unwrap_err().field, "k");
        assert_eq!(SparsePositive::new(33).unwrap_err().field, "k");
    }
}
