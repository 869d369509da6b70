//! `lowrank_delta`: what a state has gained on an anchor, as a matrix of rank `r` per batch and head.
//!
//! `delta = state - anchor`, `delta ~ U_r (S_r V_rᵀ)`, the truncated singular value decomposition:
//! of all matrices of rank `r` the nearest one, at the squared distance `sum over i > r of s_i^2`
//! (Eckart-Young). A linear-attention state gains one outer product a token, so a delta over no
//! more than `r` tokens is kept to rounding. Seed 001 (line 762) names the codec only.
//!
//! Layout, matrix by matrix, all f32, little-endian: `U_r` row by row (`rows x r`), then
//! `S_r V_rᵀ` row by row (`r x columns`), where `r` is at most `min(rows, columns)`: `4 r (rows +
//! columns)` bytes a matrix. The anchor is not part of the payload: both sides hold it.
//!
//! NaN and infinities have no decomposition: they are errors, as is a delta that overflows f32.
use super::codec::{RhoCodec, check_payload, f32_at};
use super::shape::{State, StateShape};
use super::svd::svd;
use crate::invalid::Invalid;
use crate::op::shape;

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LowrankDelta {
    rank: usize,
}

impl LowrankDelta {
    /// Rank 16.
    pub const DEFAULT: LowrankDelta = LowrankDelta { rank: 16 };

    /// Of a rank of at least 1.
    pub fn new(rank: usize) -> Result<LowrankDelta, Invalid> {
        Invalid::check_range("rank", rank, (1, usize::MAX))?;
        Ok(LowrankDelta { rank })
    }

    /// The terms kept of a matrix: no more than it has.
    fn terms(self, shape: StateShape) -> usize {
        self.rank.min(shape.rows()).min(shape.columns())
    }

    /// Bytes of the payload of one matrix, at most twice those of the matrix.
    fn matrix_bytes(self, shape: StateShape) -> usize {
        4 * self.terms(shape) * (shape.rows() + shape.columns())
    }

    fn encode_matrix(self, delta: &[f64], shape: StateShape) -> Vec<u8> {
        let svd = svd(delta, shape.columns());
        let terms = self.terms(shape);
        let left = (0..shape.rows()).flat_map(|i| (0..terms).map(move |k| (k, i)));
        let right = (0..terms).flat_map(|k| (0..shape.columns()).map(move |j| (k, j)));
        let left = left.map(|(k, i)| svd.u[k][i] as f32);
        let right = right.map(|(k, j)| (svd.s[k] * svd.v[k][j]) as f32);
        left.chain(right).flat_map(f32::to_le_bytes).collect()
    }
}

/// The values of the anchor, or zeros.
fn anchor_values(anchor: Option<State>, shape: StateShape) -> Result<Vec<f32>, Invalid> {
    match anchor {
        None => Ok(vec![0.0; shape.len()]),
        Some(anchor) if anchor.shape() == shape => Ok(anchor.values().to_vec()),
        Some(anchor) => {
            Err(Invalid::new("anchor", format!("{:?}", anchor.shape()), format!("{shape:?}")))
        }
    }
}

impl RhoCodec for LowrankDelta {
    fn payload_bytes(&self, state: State) -> u64 {
        self.most_bytes(state.shape())
    }

    fn most_bytes(&self, shape: StateShape) -> u64 {
        (shape.matrices() * self.matrix_bytes(shape)) as u64
    }

    fn encode(&self, state: State, anchor: Option<State>) -> Result<Vec<u8>, Invalid> {
        let shape = state.shape();
        let anchor = anchor_values(anchor, shape)?;
        let difference = |(x, a): (&f32, &f32)| f64::from(*x) - f64::from(*a);
        let delta: Vec<f64> = state.values().iter().zip(&anchor).map(difference).collect();
        if let Some(at) = delta.iter().position(|x| !(*x as f32).is_finite()) {
            let found = format!("{} at {at} over the anchor", delta[at]);
            return Err(Invalid::new("state", found, "finite"));
        }
        let matrices = delta.chunks(shape.matrix_len().max(1));
        Ok(matrices.flat_map(|delta| self.encode_matrix(delta, shape)).collect())
    }

    fn decode(
        &self,
        payload: &[u8],
        shape: StateShape,
        anchor: Option<State>,
    ) -> Result<Vec<f32>, Invalid> {
        check_payload(payload.len(), shape.matrices() * self.matrix_bytes(shape))?;
        // Few bytes of factors can stand for a state that no memory holds.
        shape::values("shape", &[shape.matrices(), shape.rows(), shape.columns()])?;
        let mut values = anchor_values(anchor, shape)?;
        let (terms, columns) = (self.terms(shape), shape.columns());
        let right_at = shape.rows() * terms;
        let matrices = payload.chunks(self.matrix_bytes(shape).max(1));
        for (bytes, x) in matrices.zip(values.chunks_mut(shape.matrix_len().max(1))) {
            let value = |at: usize| f64::from(f32_at(bytes, 4 * at));
            for (at, x) in x.iter_mut().enumerate() {
                let (i, j) = (at / columns, at % columns);
                let term = |k: usize| value(i * terms + k) * value(right_at + k * columns + j);
                *x = (f64::from(*x) + (0..terms).map(term).sum::<f64>()) as f32;
            }
        }
        Ok(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Distribution, Stream, realistic};

    fn normal(shape: StateShape, seed: u64) -> Vec<f32> {
        let len = (shape.len(), shape.columns());
        realistic(Distribution::Normal, (seed, Stream::State), len, 1.0)
    }

    #[test]
    fn a_delta_of_low_rank_is_kept_and_the_layout_is_that_of_the_module() {
        let shape = StateShape::new(&[2, 3, 2]).unwrap();
        let anchor = [1.0f32; 12];
        let mut x = anchor;
        // 5 (0.6, 0, 0.8) (0, 1) in the second matrix.
        (x[7], x[11]) = (4.0, 5.0);
        let codec = LowrankDelta::new(1).unwrap();
        let (state, anchor) = (State::new(shape, &x).unwrap(), State::new(shape, &anchor).unwrap());
        let payload = codec.encode(state, Some(anchor)).unwrap();
        assert_eq!(payload.len(), 2 * 4 * (3 + 2));
        assert_eq!(codec.payload_bytes(state), 40);
        let value = |at: usize| f32_at(&payload, 20 + 4 * at);
        assert_eq!([0, 1, 2, 3, 4].map(value), [0.6, 0.0, 0.8, 0.0, 5.0]);
        assert_eq!(codec.decode(&payload, shape, Some(anchor)).unwrap(), x);
        // Without the anchor only the delta is there.
        assert_eq!(codec.decode(&payload, shape, None).unwrap()[7], 3.0);
    }

    #[test]
    fn the_error_is_that_of_eckart_and_young() {
        let shape = StateShape::new(&[3, 10, 14]).unwrap();
        let (x, anchor) = (normal(shape, 1), normal(shape, 2));
        let state = State::new(shape, &x).unwrap();
        let anchor = State::new(shape, &anchor).unwrap();
        let delta: Vec<f64> =
            x.iter().zip(anchor.values()).map(|(x, a)| f64::from(*x) - f64::from(*a)).collect();
        for rank in [1, 4, 9, 10, 99] {
            let codec = LowrankDelta::new(rank).unwrap();
            let payload = codec.encode(state, Some(anchor)).unwrap();
            assert_eq!(payload.len(), 3 * 4 * rank.min(10) * 24);
            let back = codec.decode(&payload, shape, Some(anchor)).unwrap();
            for (m, delta) in delta.chunks(140).enumerate() {
                let s = svd(delta, 14).s;
                let left = s.iter().skip(rank).map(|s| s * s).sum::<f64>().sqrt();
                let at = m * 140..(m + 1) * 140;
                let off = x[at.clone()].iter().zip(&back[at]);
                let off =
                    off.map(|(x, q)| (f64::from(*x) - f64::from(*q)).powi(2)).sum::<f64>().sqrt();
                // Two factors and the sum, each rounded to f32: 2^-24 of at most 2 s[0] per value.
                let bound = 3.0 * f64::from(f32::EPSILON) * s[0] * 140f64.sqrt();
                assert!((off - left).abs() <= bound, "{rank} {m}: {off} {left}");
            }
        }
    }

    #[test]
    fn what_has_no_decomposition_is_an_error() {
        let shape = StateShape::new(&[2, 2]).unwrap();
        let codec = LowrankDelta::DEFAULT;
        let encode = |x: &[f32; 4], anchor: &[f32; 4]| {
            let anchor = State::new(shape, anchor).unwrap();
            codec.encode(State::new(shape, x).unwrap(), Some(anchor))
        };
        for (x, anchor) in [(f32::NAN, 0.0), (f32::INFINITY, 0.0), (f32::MAX, f32::MIN)] {
            let error = encode(&[0.0, x, 0.0, 0.0], &[anchor; 4]).unwrap_err();
            assert_eq!((error.field.as_str(), error.allowed.as_str()), ("state", "finite"));
        }
        let payload = encode(&[1.0; 4], &[0.0; 4]).unwrap();
        let error = codec.decode(&payload[1..], shape, None).unwrap_err();
        assert_eq!((error.field.as_str(), error.allowed.as_str()), ("payload", "32 bytes"));
        let other = StateShape::new(&[1, 4]).unwrap();
        let anchor = Some(State::new(other, &[0.0; 4]).unwrap());
        assert_eq!(codec.decode(&payload, shape, anchor).unwrap_err().field, "anchor");
        assert_eq!(LowrankDelta::new(0).unwrap_err().field, "rank");
        let empty = StateShape::new(&[3, 0, 5]).unwrap();
        assert_eq!(codec.decode(&[], empty, None).unwrap(), [0.0; 0]);
    }

    #[test]
    fn states_that_no_memory_holds_are_refused_before_there_is_one() {
        let field = |dims: &[usize], payload: usize| {
            let shape = StateShape::new(dims).unwrap();
            let codec = LowrankDelta::new(1).unwrap();
            codec.decode(&vec![0; payload], shape, None).unwrap_err().field
        };
        assert_eq!(field(&[1 << 28, 1 << 28], 8), "payload");
        // All its factors are here: 256 KiB for 4 GiB.
        assert_eq!(field(&[1 << 15, 1 << 15], 1 << 18), "shape");
    }
}
