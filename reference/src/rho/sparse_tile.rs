//! `sparse_tile`: tiles of 8 x 8 values of each matrix, of which only the live ones are stored.
//!
//! A tile lives if any of its values has `|x| > threshold`; a threshold of 0 loses nothing but the
//! sign of zeros (beside the rounding of bf16 tiles). NaN lives. Tiles at the lower and right edge
//! are filled up with zeros. Seed 001 (line 748) names the precision only.
//!
//! Layout: a bitmap of all tiles, matrix by matrix, row by row of tiles, low bits first, its last
//! byte filled up with zeros; then 64 values of every live tile, row by row, bf16 or f32,
//! little-endian: `ceil(tiles / 8) + live 64 (2 or 4)` bytes.
use super::codec::{RhoCodec, check_payload};
use super::shape::{State, StateShape};
use crate::format::{BF16, BlockFormat};
use crate::invalid::Invalid;

/// Rows and columns of a tile.
const SIDE: usize = 8;
/// Values of a tile.
const TILE: usize = SIDE * SIDE;

/// How the values of live tiles are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TileValues {
    /// Two bytes, rounded to nearest even.
    Bf16,
    /// Four bytes, exact.
    F32,
}

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SparseTile {
    threshold: f32,
    values: TileValues,
}

/// The tiles of a matrix.
fn grid(shape: StateShape) -> (usize, usize) {
    (shape.rows().div_ceil(SIDE), shape.columns().div_ceil(SIDE))
}

/// Where value `at` of tile `tile` is in the state; `None` beyond the edge of its matrix.
fn position(shape: StateShape, tile: usize, at: usize) -> Option<usize> {
    let (high, wide) = grid(shape);
    let (matrix, tile) = (tile / (high * wide), tile % (high * wide));
    let row = tile / wide * SIDE + at / SIDE;
    let column = tile % wide * SIDE + at % SIDE;
    let inside = row < shape.rows() && column < shape.columns();
    inside.then(|| matrix * shape.matrix_len() + row * shape.columns() + column)
}

fn tiles(shape: StateShape) -> usize {
    let (high, wide) = grid(shape);
    // No more tiles than values, whose number fits.
    shape.matrices() * high * wide
}

impl SparseTile {
    /// A threshold of 0 and bf16 tiles.
    pub const DEFAULT: SparseTile = SparseTile { threshold: 0.0, values: TileValues::Bf16 };

    /// A threshold of at least 0 and finite.
    pub fn new(threshold: f32, values: TileValues) -> Result<SparseTile, Invalid> {
        match threshold.is_finite() && threshold >= 0.0 {
            true => Ok(SparseTile { threshold, values }),
            false => Err(Invalid::new("threshold", threshold, "at least 0 and finite")),
        }
    }

    const fn tile_bytes(self) -> usize {
        match self.values {
            TileValues::Bf16 => 2 * TILE,
            TileValues::F32 => 4 * TILE,
        }
    }

    fn tile(state: State, tile: usize) -> Vec<f32> {
        let value = |at: usize| position(state.shape(), tile, at).map(|at| state.values()[at]);
        (0..TILE).map(|at| value(at).unwrap_or_default()).collect()
    }

    fn lives(self, tile: &[f32]) -> bool {
        tile.iter().any(|x| x.is_nan() || x.abs() > self.threshold)
    }
}

impl RhoCodec for SparseTile {
    fn payload_bytes(&self, state: State) -> u64 {
        let all = tiles(state.shape());
        let live = (0..all).filter(|tile| self.lives(&Self::tile(state, *tile))).count();
        (all.div_ceil(8) + live * self.tile_bytes()) as u64
    }

    fn most_bytes(&self, shape: StateShape) -> u64 {
        let all = tiles(shape);
        all.div_ceil(8).saturating_add(all.saturating_mul(self.tile_bytes())) as u64
    }

    /// The bitmap: no tile may live.
    fn least_bytes(&self, shape: StateShape) -> u64 {
        tiles(shape).div_ceil(8) as u64
    }

    fn encode(&self, state: State, _: Option<State>) -> Result<Vec<u8>, Invalid> {
        let all = tiles(state.shape());
        let (mut payload, mut values) = (vec![0u8; all.div_ceil(8)], Vec::new());
        for index in 0..all {
            let tile = Self::tile(state, index);
            if self.lives(&tile) {
                payload[index / 8] |= 1 << (index % 8);
                values.extend(tile);
            }
        }
        match self.values {
            TileValues::Bf16 => payload.extend(BF16.encode(&values)?),
            TileValues::F32 => payload.extend(values.into_iter().flat_map(f32::to_le_bytes)),
        }
        Ok(payload)
    }

    fn decode(
        &self,
        payload: &[u8],
        shape: StateShape,
        _: Option<State>,
    ) -> Result<Vec<f32>, Invalid> {
        let all = tiles(shape);
        let Some((bitmap, stored)) = payload.split_at_checked(all.div_ceil(8)) else {
            let allowed = format!("at least {} bytes", all.div_ceil(8));
            return Err(Invalid::new("payload", format!("{} bytes", payload.len()), allowed));
        };
        let set =
            |tile: &usize| bitmap.get(tile / 8).is_some_and(|byte| byte >> (tile % 8) & 1 == 1);
        if (all..8 * bitmap.len()).any(|tile| set(&tile)) {
            return Err(Invalid::new("payload", "a bitmap with more", format!("{all} tiles")));
        }
        let live: Vec<usize> = (0..all).filter(set).collect();
        check_payload(payload.len(), bitmap.len() + live.len() * self.tile_bytes())?;
        let stored = match self.values {
            TileValues::Bf16 => BF16.decode(stored)?,
            TileValues::F32 => {
                let (fours, _) = stored.as_chunks();
                fours.iter().map(|four| f32::from_le_bytes(*four)).collect()
            }
        };
        let mut values = vec![0.0; shape.len()];
        for (tile, stored) in live.into_iter().zip(stored.chunks(TILE)) {
            for (at, x) in stored.iter().enumerate() {
                if let Some(at) = position(shape, tile, at) {
                    values[at] = *x;
                }
            }
        }
        Ok(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two matrices of 9 x 17: 2 x 3 tiles each.
    fn state() -> (StateShape, Vec<f32>) {
        let shape = StateShape::new(&[2, 9, 17]).unwrap();
        let mut x = vec![0.0; shape.len()];
        x[0] = 1.0;
        x[8 * 17 + 16] = -2.0;
        x[153 + 8] = 0.5;
        (shape, x)
    }

    #[test]
    fn live_tiles_are_stored_whole_behind_their_bitmap() {
        let (shape, x) = state();
        for (values, size) in [(TileValues::Bf16, 2), (TileValues::F32, 4)] {
            let codec = SparseTile::new(0.0, values).unwrap();
            let state = State::new(shape, &x).unwrap();
            let payload = codec.encode(state, None).unwrap();
            // Tile 0 and tile 5 of the first matrix, tile 1 of the second.
            assert_eq!(payload[..2], [0b1010_0001, 0]);
            assert_eq!(payload.len(), 2 + 3 * 64 * size);
            assert_eq!(codec.payload_bytes(state), payload.len() as u64);
            assert_eq!(payload[2 + size - 2..2 + size], [0x80, 0x3f]);
            assert_eq!(codec.decode(&payload, shape, None).unwrap(), x);
        }
    }

    #[test]
    fn tiles_at_the_threshold_are_dropped_and_nan_lives() {
        let (shape, mut x) = state();
        let codec = SparseTile::new(1.0, TileValues::F32).unwrap();
        let stored = |x: &[f32]| {
            let payload = codec.encode(State::new(shape, x).unwrap(), None).unwrap();
            codec.decode(&payload, shape, None).unwrap()
        };
        let mut want = vec![0.0; x.len()];
        want[8 * 17 + 16] = -2.0;
        assert_eq!(stored(&x), want);
        x[7 * 17 + 7] = f32::NAN;
        let back = stored(&x);
        assert!(back[7 * 17 + 7].is_nan());
        assert_eq!(back[0], 1.0);
        for threshold in [-1.0, f32::NAN, f32::INFINITY] {
            let error = SparseTile::new(threshold, TileValues::F32).unwrap_err();
            assert_eq!(error.field, "threshold");
        }
    }

    #[test]
    fn payloads_that_no_state_has_are_errors() {
        let (shape, x) = state();
        let codec = SparseTile::DEFAULT;
        let payload = codec.encode(State::new(shape, &x).unwrap(), None).unwrap();
        for len in [0, 1, 2, payload.len() - 1] {
            let error = codec.decode(&payload[..len], shape, None).unwrap_err();
            assert_eq!(error.field, "payload", "{len}");
        }
        let mut changed = payload.clone();
        changed[1] = 0b1_0000;
        let error = codec.decode(&changed, shape, None).unwrap_err();
        assert_eq!(error.allowed, "12 tiles");
        changed[1] = 0b1000;
        assert!(codec.decode(&changed, shape, None).is_err());
        let empty = StateShape::new(&[3, 0, 8]).unwrap();
        assert_eq!(codec.decode(&[], empty, None).unwrap(), [0.0; 0]);
    }
}
