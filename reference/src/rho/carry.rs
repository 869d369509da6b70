//! A state that is compressed at the end of every chunk and goes on from what is left of it.
//!
//! ```text
//! x_c = decay s_(c-1) + u_c            two f32 roundings
//! s_c = decode(encode(x_c))            the codec; its anchor is s_(c-1)
//! e_c = decay e_(c-1) + u_c            the same without a codec
//! ```
//!
//! `s_c - e_c` is the drift. If one pass of the codec is never more than `b` off, the drift of a
//! value is at most `b (1 - decay^c) / (1 - decay)`: it levels off at `b / (1 - decay)`, and what a
//! codec loses in one chunk fades with the state that it was lost from.
use super::codec::RhoCodec;
use super::shape::{State, StateShape};
use crate::invalid::Invalid;
use crate::quality::{Quality, quality};

/// What is left of a state after one more chunk, before its update: exact in f32, and near enough
/// to 1 that an error is remembered for some sixteen chunks.
pub const DECAY: f32 = 0.9375;

/// A state after every chunk: `[chunks, values]`, with a codec and without.
#[derive(Clone, Debug, PartialEq)]
pub struct Carried {
    /// As the codec leaves it.
    pub states: Vec<f32>,
    /// As it is without a codec.
    pub exact: Vec<f32>,
    /// Bytes of each payload.
    pub payload_bytes: Vec<u64>,
}

/// One update: the state fades and gains.
pub fn update(state: &[f32], gain: &[f32]) -> Vec<f32> {
    state.iter().zip(gain).map(|(s, u)| DECAY * s + u).collect()
}

/// Carry `start` over the chunks of `updates`, `[chunks, values]`.
///
/// Errors: tensors of other lengths than the shape, and what the codec refuses.
pub fn carry(
    codec: &dyn RhoCodec,
    shape: StateShape,
    (start, updates): (&[f32], &[f32]),
) -> Result<Carried, Invalid> {
    let len = shape.len();
    Invalid::check_len("start", start.len(), &[len])?;
    let chunks = updates.len().checked_div(len).unwrap_or(0);
    Invalid::check_len("updates", updates.len(), &[chunks, len])?;
    let (mut state, mut exact) = (start.to_vec(), start.to_vec());
    let mut out = Carried { states: Vec::new(), exact: Vec::new(), payload_bytes: Vec::new() };
    for gain in updates.chunks(len.max(1)) {
        exact = update(&exact, gain);
        let next = update(&state, gain);
        let anchor = Some(State::new(shape, &state)?);
        let payload = codec.encode(State::new(shape, &next)?, anchor)?;
        state = codec.decode(&payload, shape, anchor)?;
        out.states.extend(&state);
        out.exact.extend(&exact);
        out.payload_bytes.push(payload.len() as u64);
    }
    Ok(out)
}

impl Carried {
    /// The drift at the end of each chunk.
    pub fn drift(&self) -> Vec<Quality> {
        let len = self.states.len().checked_div(self.payload_bytes.len()).unwrap_or(0).max(1);
        let chunks = self.exact.chunks(len).zip(self.states.chunks(len));
        chunks.map(|(exact, state)| quality(exact, state.iter().copied())).collect()
    }
}
