//! The projections as batches of matrices, forward and back.
//!
//! ```text
//!                      input [B, inputs, pieces, T, K / pieces]    output [B, weights, T, N]
//! lowrank_projection   [B, H or 1, 1, T, E]                        [B, H, T, L]
//! decoder_tail         [B, 1, H, T, L]                             [B, 1, T, D]
//! ```
//!
//! The gradient of the input is the same kind of product, of the gradient of the output and the
//! weight: an output head becomes a piece where all share one input, and a piece of the input a
//! matrix. Rows of a matrix are summed along K, so one of the two needs the weight with rows and
//! columns swapped. Fields of bits are moved as they are, once, when the problem is prepared;
//! int4, which the loop of `linear` does not know, becomes int8 then.
use crate::linear::batched::{Shape, Weights};
use lowbit_reference::format::{INT8, WeightFormat};
use lowbit_reference::op::projection::{Contraction, DecoderTail, LowrankProjection, Weight};

/// A projection of the table above.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Matrices {
    /// The forward product.
    pub(crate) forward: Shape,
    /// Rows of the packed weight that a piece of a matrix has, used or not.
    pub(crate) rows: usize,
    /// Columns of the packed weight, used or not.
    pub(crate) columns: usize,
}

/// A contraction that is matrices.
pub(crate) trait Arranged: Contraction + Copy + Send + std::fmt::Debug + 'static {
    /// See the table of the module.
    fn matrices(&self) -> Matrices;
}

impl Arranged for LowrankProjection {
    fn matrices(&self) -> Matrices {
        let &LowrankProjection { batch, input_heads, heads, time, embd, packed_latent, latent } =
            self;
        let forward = Shape {
            batch,
            time,
            inputs: input_heads,
            pieces: 1,
            weights: heads,
            k: embd,
            n: latent,
        };
        Matrices { forward, rows: embd, columns: packed_latent }
    }
}

impl Arranged for DecoderTail {
    fn matrices(&self) -> Matrices {
        let &DecoderTail { batch, heads, time, latent, latent_total, dim } = self;
        let k = heads * latent;
        let forward = Shape { batch, time, inputs: 1, pieces: heads, weights: 1, k, n: dim };
        Matrices { forward, rows: latent_total / heads, columns: dim }
    }
}

impl Matrices {
    /// The product that makes the gradient of the input.
    pub(crate) fn backward(&self) -> Shape {
        let Shape { inputs, pieces, weights, n, .. } = self.forward;
        let users = weights / inputs;
        Shape {
            pieces: users,
            weights: inputs * pieces,
            k: users * n,
            n: self.forward.piece(),
            ..self.forward
        }
    }

    /// The matrices of the forward product: columns of the packed weight become rows.
    pub(crate) fn forward_weights(&self, weight: &Weight) -> Weights {
        let (shape, piece) = (self.forward, self.forward.piece());
        let row = |w, k| (w * shape.pieces + k / piece) * self.rows + k % piece;
        repack(weight, &shape, |w, n, k| (row(w, k), n))
    }

    /// Those of the backward product.
    pub(crate) fn backward_weights(&self, weight: &Weight) -> Weights {
        let shape = self.backward();
        let (pieces, n) = (self.forward.pieces, self.forward.n);
        let row = |w: usize, piece: usize, user: usize| {
            ((w / pieces * shape.pieces + user) * pieces + w % pieces) * self.rows + piece
        };
        repack(weight, &shape, |w, piece, k| (row(w, piece, k / n), k % n))
    }
}

/// Bits of a code.
fn bits(format: &dyn WeightFormat) -> usize {
    match format.name() {
        "sign1" => 1,
        "ternary2" => 2,
        "int4" => 4,
        _ => 8,
    }
}

/// Rows of `shape.k` codes, taken from the row and column of the packed weight that `place` says
/// for matrix, row and code. Codes that do not exist are zero bits.
fn repack(
    weight: &Weight,
    shape: &Shape,
    place: impl Fn(usize, usize, usize) -> (usize, usize),
) -> Weights {
    let from = bits(weight.format);
    let (format, to): (&'static dyn WeightFormat, usize) =
        if from == 4 { (&INT8, 8) } else { (weight.format, from) };
    let row_bytes = (shape.k * to).div_ceil(8);
    let mut bytes = vec![0; shape.weights * shape.n * row_bytes];
    for (j, row) in bytes.chunks_exact_mut(row_bytes).enumerate() {
        for k in 0..shape.k {
            let (r, c) = place(j / shape.n, j % shape.n, k);
            let byte = weight.bytes[r * weight.row_bytes + c * from / 8];
            let field = (byte >> (c * from % 8)) & (0xff >> (8 - from));
            // A nibble from 8 on stands for itself less 16.
            let field = if from == 4 { (field ^ 8).wrapping_sub(8) } else { field };
            row[k * to / 8] |= field << (k * to % 8);
        }
    }
    Weights { format, bytes, row_bytes, scale: weight.scale }
}
