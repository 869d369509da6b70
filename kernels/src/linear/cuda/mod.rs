//! `cuda-dp4a` and `cuda-mma`: CUDA C++ as text, for int8 activations.
//!
//! `codes.cuh` says how codes lie and what is left of a format, `gemv.cu` and `gemm.cu` multiply,
//! `ptx.cuh` has the instructions that CUDA C++ lacks. NVRTC compiles them for the device at the
//! first launch; `scripts/gpu/nvrtc.py` does so without a device and looks for the instructions,
//! `scripts/gpu/emulator` runs them on threads of the processor beside a plain product.
//!
//! The weight is repacked once, in [`Prepared`]: byte `i` of `word >> (bits s)` is code `4 s + i`,
//! so that a shift and a mask open four codes. Rows are whole steps of 64 codes (128 of `sign1`);
//! beyond K activations are 0. A format is a line of [`form`] and one in `codes.cuh`.
//!
//! Bounds: sums wrap modulo 2^32 and are exact where the sum of products is below 2^31, for every K
//! the op allows; 49,152 bytes of shared memory; compute capability 8.0.
use crate::context::Context;
use crate::cube::{CUDA, Packing, Raw, Ready, Session, floats, padded, step, word};
use crate::hardware::Need;
use crate::rules::dense_codes;
use crate::{Failure, Kernel, Prepared, Threads};
use cubecl::cuda::CudaRuntime;
use cubecl::prelude::*;
use lowbit_reference::op::Arithmetic;
use lowbit_reference::op::linear::{Linear, LinearProblem};

const CODES: &str = include_str!("codes.cuh");
const PTX: &str = include_str!("ptx.cuh");

/// A kernel and the tile that a block of threads makes.
#[derive(Debug)]
pub(super) struct Cuda {
    name: &'static str,
    entry: &'static str,
    body: &'static str,
    threads: u32,
    /// Tokens and rows of the weight.
    tile: (usize, usize),
}

/// A token at a time.
pub(super) static DP4A: Cuda = Cuda {
    name: "cuda-dp4a",
    entry: "gemv",
    body: include_str!("gemv.cu"),
    threads: 128,
    tile: (1, 16),
};

/// Many tokens, on tensor cores.
pub(super) static MMA: Cuda = Cuda {
    name: "cuda-mma",
    entry: "gemm",
    body: include_str!("gemm.cu"),
    threads: 256,
    tile: (128, 128),
};

/// Source of `products`: what tensor cores do where nothing is to be fetched.
pub(crate) fn products() -> String {
    let (chains, units) = (crate::probe::device::CHAINS, crate::probe::device::UNITS.1);
    let sizes = format!("#define CHAINS {chains}\n#define UNITS {units}\n");
    format!("#define INT8\n{sizes}{CODES}{PTX}{}", include_str!("products.cu"))
}

/// How a weight is packed, its name in `codes.cuh`, and what its words are turned by.
fn form(format: &str) -> Result<(Packing, &'static str, u32), String> {
    let packing = Packing::named(format)?;
    match packing {
        Packing::Sign1 => Ok((packing, "SIGN1", 0)),
        Packing::Ternary2 => Ok((packing, "TERNARY2", 0)),
        // Two's complement plus 8.
        Packing::Int4 => Ok((packing, "INT4", 0x8888_8888)),
        Packing::Int8 => Ok((packing, "INT8", 0)),
        _ => Err(format!("no {format} weights")),
    }
}

/// Codes of a row on the device: whole steps.
fn codes_of_row(p: &LinearProblem, packing: Packing) -> usize {
    p.k.next_multiple_of(if packing == Packing::Sign1 { 128 } else { 64 })
}

/// The codes of a word in the order of `codes.cuh`.
fn apart(word: u32, packing: Packing) -> u32 {
    let bits = packing.bits();
    let code = |i: u32| word >> (bits * i) & (u32::MAX >> (32 - bits));
    (0..packing.per_word()).fold(0, |all, i| all | code(i) << (8 * (i % 4) + bits * (i / 4)))
}

impl Kernel<Linear> for Cuda {
    fn name(&self) -> &'static str {
        self.name
    }
    fn need(&self) -> Need {
        Need::CudaAmpere
    }
    fn threads(&self) -> Threads {
        Threads::Own
    }
    fn arithmetic(&self, _: &LinearProblem) -> Arithmetic {
        Arithmetic::INTEGER_GPU
    }
    fn accepts(&self, p: &LinearProblem) -> Result<(), String> {
        let (packing, ..) = form(dense_codes(p)?.0.format.name())?;
        let codes = codes_of_row(p, packing);
        let words = [p.m * codes / 4, p.n * packing.words(codes), p.m * p.n];
        CUDA.binds(4 * words.into_iter().fold(0, usize::max))
    }
    fn prepare<'p>(
        &self,
        p: &'p LinearProblem,
        context: &mut Context,
    ) -> Result<Box<dyn Prepared + 'p>, Failure> {
        let mut session = Session::<CudaRuntime>::open(context)?;
        let (weight, x) = dense_codes(p)?;
        let (packing, form, turned) = form(weight.format.name())?;
        let codes = codes_of_row(p, packing);
        let words = packing.words(codes);
        let rows = padded(&weight.bytes, weight.row_bytes, words);
        let rows: Vec<u32> = rows.iter().map(|word| apart(word ^ turned, packing)).collect();
        let scales: Vec<f32> = x.scales.iter().chain(&weight.scales).copied().collect();
        let sizes = [p.m, p.n, words / 4].map(word);
        let steps = [step(&x.scales), step(&weight.scales), word(x.scales.len())];
        let y = session.output(context, "y", p.m * p.n)?;
        let raw = Raw {
            entry: self.entry,
            source: format!("#define {form}\n{CODES}{PTX}{}", self.body).into(),
            units: CubeDim::new_1d(self.threads),
            buffers: vec![
                session.upload(&padded(i8::as_bytes(&x.codes), p.k, codes / 4))?,
                session.upload(&rows)?,
                session.upload(&scales)?,
                y.words_and_guard(),
                session.upload(&[sizes, steps].concat())?,
            ],
            cubes: p.m.div_ceil(self.tile.0) * p.n.div_ceil(self.tile.1),
        };
        let enqueue = move |client: &ComputeClient<CudaRuntime>| raw.enqueue(client);
        Ok(Box::new(Ready::new(session, enqueue, floats("y", y))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shift_and_a_mask_open_four_neighbours() {
        for (packing, mask) in
            [(Packing::Sign1, 1), (Packing::Ternary2, 3), (Packing::Int4, 15), (Packing::Int8, 255)]
        {
            let (bits, word) = (packing.bits(), 0x9b1e_47d2u32);
            for code in 0..packing.per_word() {
                let byte = apart(word, packing) >> (bits * (code / 4)) >> (8 * (code % 4)) & mask;
                assert_eq!(byte, word >> (bits * code) & mask, "{packing:?} {code}");
            }
        }
    }
}
