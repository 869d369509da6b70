//! Weights with a scale per block along `K`: one layout, one loop, and a tile per instruction set.
//!
//! *Meaning.* `y[i, j] = sx[i] sum_b s[j, b] D[i, j, b]`, where `D` is the dot of block `b` of row
//! `j` with the activations it meets. With integer activations `D` is an exact i32 and the sum over
//! blocks is f32, one fused multiply-add a block; with f32 activations all of it is f32.
//!
//! *Codes.* Every format is stored as unsigned codes of 2, 4 or 8 bits, and a code `u` stands for
//! `u - bias`, for `table[u]`, or for `u - z` with a zero point `z` per row and block. Tables of
//! integers are looked up as `table[u] + bias`, which is unsigned again, so that one kernel does
//! `sum x (u - bias) = sum x u - bias sum x`; a token brings `-bias sum x` of each block with it.
//! Activations with a zero point add `-zx sum w`, for which the sums of the codes are stored, too.
//! | bits | formats | bias |
//! |---|---|---|
//! | 8 | int8, q8_0 | 128, or zero points |
//! | 4 | int4, q4_0 (uint4: 0) | 8, or zero points |
//! | 4, table | nf4_i8; mxfp4 doubled, under half its scale | 128 |
//! | 2 | ternary2, ternary3, sign1, tq2_0 | 1 |
//!
//! *Layout* `quads16`. Sixteen rows are a panel. A block of a panel is a run of 64-byte units; a
//! unit holds 4 bytes of each row, side by side (so a 32-bit lane is a row, and no sum crosses
//! lanes), and byte `q` holds the codes of `k = q, q + 4, q + 8, ..` of the unit, low bits first:
//! a field of all 64 bytes then meets four neighbouring activations, broadcast. Scales and zero
//! points lie beside the codes, 16 of a block together. `planes16` is the same with rows
//! innermost, for rows without byte shuffles. Blocks whose length is no multiple of a unit, and
//! panels with fewer than 16 rows, are filled up with zeros; activations there are zero.
//!
//! *Bounds.* A lane adds at most `255 * 128` a value, so `sum x u` may pass 2^31 only in blocks
//! of more than 65793 values, and it wraps: what is left after the bias is exact while
//! `|D| < 2^31`, which `linear::MAX_K` grants.
#[cfg(target_arch = "x86_64")]
pub(super) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(super) mod avx512vnni;
mod panels;
mod run;
pub(super) mod scalar;
mod source;
#[cfg(all(test, target_arch = "x86_64"))]
mod tests;
mod token;
mod weights;
use super::rows;
use crate::context::Context;
use crate::{Failure, Prepared};
use lowbit_reference::op::linear::{Activation, LinearProblem, Weight};
pub(super) use panels::{Codebook, Panel};
use run::Activations;
use token::Source;
pub(super) use token::{Tokens, Value};
use weights::Weights;

/// Rows of a panel.
pub(super) const ROWS: usize = 16;
/// Neighbouring values of a row in a unit's field.
pub(super) const QUAD: usize = 4;
/// Four bytes of each row of a panel.
pub(super) type Unit = [u8; QUAD * ROWS];
/// The activations of `M` tokens that meet a unit, field by field.
pub(super) type Step<T, const FIELDS: usize, const M: usize> = [[[T; QUAD]; M]; FIELDS];
/// The products of a panel's rows with each of `M` tokens, for `P` panels.
pub(super) type Sums<const P: usize, const M: usize> = [[[f32; ROWS]; P]; M];

/// A code is its value plus the bias.
pub(super) const PLAIN: u8 = 0;
/// A code is an index into a table.
pub(super) const TABLE: u8 = 1;
/// A code is its value plus the zero point of its row and block.
pub(super) const ZERO_POINT: u8 = 2;

/// How an instruction set multiplies panels by tokens.
pub(super) trait Tile<T: Value>: Copy + Sync {
    /// Whether it wants `planes16` instead of `quads16`.
    const PLANES: bool = false;
    /// `sum_b s D` of every row of `P` panels with each of `M` tokens. The order of additions does
    /// not depend on `P`.
    fn tile<const FIELDS: usize, const CODE: u8, const P: usize, const M: usize>(
        self,
        book: &Codebook,
        panels: [Panel<'_>; P],
        x: Tokens<'_, T, FIELDS, M>,
    ) -> Sums<P, M>;
}

/// Whether a problem belongs here: all that the loop over whole rows leaves, weights with a scale or
/// zero point per block, of four bits, or with a table.
pub(super) fn takes(problem: &LinearProblem) -> bool {
    rows::accepts(problem).is_err()
}

/// Whether these loops, or those of whole rows, know the weights of a problem.
pub(super) fn accepts(problem: &LinearProblem) -> Result<(), String> {
    if takes(problem) { Weights::of(&problem.weight).map(drop) } else { Ok(()) }
}

/// Bind a problem to an instruction set. A table of floats makes floats of integer activations.
pub(super) fn prepare<'p, I: Tile<i8> + Tile<f32> + 'p>(
    isa: I,
    problem: &'p LinearProblem,
    context: &mut Context,
) -> Result<Box<dyn Prepared + 'p>, Failure> {
    let weights = Weights::of(&problem.weight)?;
    let source = match &problem.activation {
        Activation::F32(x) => Source::Floats(context.copy("x", x)),
        Activation::I8(x) => Source::Signed(context.copy("x", &x.codes)),
        Activation::U8(x) => Source::Unsigned(context.copy("x", &x.codes)),
    };
    let tokens = 0..problem.m;
    let x = Activations {
        rows: problem.rows,
        scales: tokens.clone().map(|i| problem.activation_scale(i)).collect(),
        zero_points: tokens.map(|i| problem.activation_zero_point(i)).collect(),
        source,
    };
    let floats = match &problem.weight {
        Weight::Table(weight) => !weight.format.integer(),
        Weight::Codes(_) | Weight::Blocks(_) => false,
    };
    match x.source {
        Source::Signed(_) | Source::Unsigned(_) if !floats => {
            Ok(run::bind::<I, i8>(isa, &weights, x, context))
        }
        _ => Ok(run::bind::<I, f32>(isa, &weights, x, context)),
    }
}
