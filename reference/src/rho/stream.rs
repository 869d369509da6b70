//! `rho_stream`: linear attention whose state is stored, and compressed, as it is carried on.
//!
//! Per batch and head, for each token `t`, with an f32 state `S` that begins at zero:
//!
//! ```text
//! S   += k_t v_tᵀ          o_t = q_tᵀ S
//! S    = decode(encode(S)) in the precision, after every token
//! S    = decode(encode(S)) in the compression, after the token that ends an interval
//! ```
//!
//! ("Transformers are RNNs", 2006.16236, without its normalizer.) Sums are f64, rounded to f32
//! once per value. A token reads the state before it is stored. Beside it runs the state that is
//! never rounded by a codec, from which the drift is measured at the end of every chunk.
//!
//! Windows (seed 001, lines 774-796: `carry_across_tbptt`, `detach_between_windows`): at the border
//! of a window of so many chunks the state is carried on or, if not carried, both states begin at
//! zero again. Detaching changes no value; it is where gradients stop.
use super::codec::{RhoCodec, rho_compression, rho_precision};
use super::shape::{State, StateShape};
use crate::config::lowbit::{LowBitRhoConfig, RhoCompressionInterval};
use crate::invalid::Invalid;
use crate::op::shape::values;
use crate::quality::{Quality, quality};
use std::ops::Range;

/// How a state is carried over chunks.
#[derive(Clone, Copy, Debug)]
pub struct RhoStream<'a> {
    /// How the state is stored after every token.
    pub precision: &'a dyn RhoCodec,
    /// What is applied at the interval; its anchor is the state at the start of the chunk.
    pub compression: Option<&'a dyn RhoCodec>,
    /// When: after every token, after the last one of a chunk, or that in evaluations only.
    pub interval: RhoCompressionInterval,
    /// Whether this is an evaluation.
    pub evaluating: bool,
    /// Tokens of a chunk, at least 1; the last may have fewer.
    pub chunk_len: usize,
    /// Chunks of a window, at least 1.
    pub window_chunks: usize,
    /// Whether the state is carried into the next window.
    pub carry_across_tbptt: bool,
    /// Whether gradients stop at the border of a window.
    pub detach_between_windows: bool,
}

/// What is streamed: `q` and `k` are `[batch, heads, tokens, key_dim]`, `v` is
/// `[batch, heads, tokens, value_dim]`, row-major.
#[derive(Clone, Copy, Debug)]
pub struct Tokens<'a> {
    /// `[batch, heads, tokens, key_dim, value_dim]`.
    pub shape: [usize; 5],
    /// Queries.
    pub q: &'a [f32],
    /// Keys.
    pub k: &'a [f32],
    /// Values.
    pub v: &'a [f32],
}

/// The end of a chunk.
#[derive(Clone, Debug, PartialEq)]
pub struct Chunk {
    /// Its tokens.
    pub tokens: Range<usize>,
    /// The carried state against the one no codec touched.
    pub drift: Quality,
    /// Bytes of the payload in which the state leaves the chunk.
    pub stored_bytes: u64,
    /// How often the compression was applied in it.
    pub compressions: usize,
}

/// What comes out.
#[derive(Clone, Debug, PartialEq)]
pub struct Streamed {
    /// `o`, `[batch, heads, tokens, value_dim]`.
    pub output: Vec<f32>,
    /// The state after the last token, `[batch, heads, key_dim, value_dim]`.
    pub state: Vec<f32>,
    /// Every chunk, in order.
    pub chunks: Vec<Chunk>,
    /// Tokens from which no gradient flows to earlier ones: the first ones of windows that are
    /// detached or do not take the state over.
    pub gradient_stops: Vec<usize>,
}

impl Tokens<'_> {
    fn check(&self) -> Result<StateShape, Invalid> {
        let [batch, heads, tokens, key, value] = self.shape;
        Invalid::check_len("q", self.q.len(), &[batch, heads, tokens, key])?;
        Invalid::check_len("k", self.k.len(), &[batch, heads, tokens, key])?;
        Invalid::check_len("v", self.v.len(), &[batch, heads, tokens, value])?;
        // A few tokens, or none, can ask for a state that no memory holds.
        values("state", &[batch, heads, key, value])?;
        // Tokens without a value would be counted all the same.
        values("tokens", &[tokens])?;
        StateShape::new(&[batch, heads, key, value])
    }

    /// The row of a tensor for a matrix of the state and a token.
    fn row<'t>(&self, tensor: &'t [f32], (matrix, token): (usize, usize), dim: usize) -> &'t [f32] {
        let start = (matrix * self.shape[2] + token) * dim;
        &tensor[start..start + dim]
    }

    /// `S += k vᵀ` in every matrix.
    fn update(&self, state: &mut [f32], shape: StateShape, token: usize) {
        let (rows, columns) = (shape.rows(), shape.columns());
        for (matrix, state) in state.chunks_mut(shape.matrix_len().max(1)).enumerate() {
            let k = self.row(self.k, (matrix, token), rows);
            let v = self.row(self.v, (matrix, token), columns);
            for (at, s) in state.iter_mut().enumerate() {
                let gain = f64::from(k[at / columns]) * f64::from(v[at % columns]);
                *s = (f64::from(*s) + gain) as f32;
            }
        }
    }

    /// `o = qᵀ S` of every matrix, into its place.
    fn read(&self, state: &[f32], shape: StateShape, token: usize, output: &mut [f32]) {
        let (rows, columns) = (shape.rows(), shape.columns());
        // Matrices without a column may be of any number.
        for matrix in 0..if columns == 0 { 0 } else { shape.matrices() } {
            let q = self.row(self.q, (matrix, token), rows);
            let start = (matrix * self.shape[2] + token) * columns;
            for (j, o) in output[start..start + columns].iter_mut().enumerate() {
                let s = |i: usize| f64::from(state[(matrix * rows + i) * columns + j]);
                *o = (0..rows).map(|i| f64::from(q[i]) * s(i)).sum::<f64>() as f32;
            }
        }
    }
}

/// The state a codec gives back and the bytes in between.
fn store(
    codec: &dyn RhoCodec,
    shape: StateShape,
    state: &[f32],
    anchor: &[f32],
) -> Result<(Vec<f32>, u64), Invalid> {
    let anchor = Some(State::new(shape, anchor)?);
    let payload = codec.encode(State::new(shape, state)?, anchor)?;
    Ok((codec.decode(&payload, shape, anchor)?, payload.len() as u64))
}

impl RhoStream<'static> {
    /// What a config asks for, under the default codecs of its words, in chunks of so many tokens
    /// and windows of so many chunks.
    ///
    /// Errors: a config this suite does not [support](LowBitRhoConfig::validate).
    pub fn of_config(
        config: &LowBitRhoConfig,
        evaluating: bool,
        (chunk_len, window_chunks): (usize, usize),
    ) -> Result<RhoStream<'static>, Invalid> {
        config.validate()?;
        let unknown = |field: &str, word: &str| {
            Invalid::new(field, word, "a word with a codec").within("model.rho")
        };
        let (precision, compression) = (config.precision.as_str(), config.compression.as_str());
        let precision = rho_precision(precision).ok_or_else(|| unknown("precision", precision))?;
        let compression =
            rho_compression(compression).ok_or_else(|| unknown("compression", compression))?;
        Ok(RhoStream {
            precision: precision.codec,
            compression: compression.codec,
            interval: config.compression_interval,
            evaluating,
            chunk_len,
            window_chunks,
            carry_across_tbptt: config.carry_across_tbptt,
            detach_between_windows: config.detach_between_windows,
        })
    }
}

impl RhoStream<'_> {
    fn compresses(&self, ends_chunk: bool) -> Option<&dyn RhoCodec> {
        let now = match self.interval {
            RhoCompressionInterval::Step => true,
            RhoCompressionInterval::Chunk => ends_chunk,
            RhoCompressionInterval::EvalOnly => ends_chunk && self.evaluating,
        };
        self.compression.filter(|_| now)
    }
}

/// Stream tokens through a carried state.
///
/// Errors: tensors of other lengths than their shapes, a chunk or window of nothing, and what the
/// codecs refuse.
pub fn rho_stream(stream: &RhoStream, tokens: &Tokens) -> Result<Streamed, Invalid> {
    Invalid::check_range("chunk_len", stream.chunk_len, (1, usize::MAX))?;
    Invalid::check_range("window_chunks", stream.window_chunks, (1, usize::MAX))?;
    let shape = tokens.check()?;
    let count = tokens.shape[2];
    let mut out = Streamed {
        output: vec![0.0; tokens.v.len()],
        state: vec![0.0; shape.len()],
        chunks: Vec::new(),
        gradient_stops: Vec::new(),
    };
    let mut exact = out.state.clone();
    for (index, start) in (0..count).step_by(stream.chunk_len).enumerate() {
        if index > 0 && index.is_multiple_of(stream.window_chunks) {
            if !stream.carry_across_tbptt {
                out.state.fill(0.0);
                exact.fill(0.0);
            }
            if stream.detach_between_windows || !stream.carry_across_tbptt {
                out.gradient_stops.push(start);
            }
        }
        let end = count.min(start.saturating_add(stream.chunk_len));
        let anchor = out.state.clone();
        let (mut stored_bytes, mut compressions) = (0, 0);
        for token in start..end {
            tokens.update(&mut exact, shape, token);
            tokens.update(&mut out.state, shape, token);
            tokens.read(&out.state, shape, token, &mut out.output);
            (out.state, stored_bytes) = store(stream.precision, shape, &out.state, &anchor)?;
            if let Some(codec) = stream.compresses(token + 1 == end) {
                (out.state, stored_bytes) = store(codec, shape, &out.state, &anchor)?;
                compressions += 1;
            }
        }
        let drift = quality(&exact, out.state.iter().copied());
        out.chunks.push(Chunk { tokens: start..end, drift, stored_bytes, compressions });
    }
    Ok(out)
}
