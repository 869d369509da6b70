//! `wgsl-dot4`: int8 activations by `dot4I8Packed`, which CubeCL 0.10 cannot say.
//!
//! The shaders are WGSL, word for word: `codes.wgsl` opens packed codes to four signed bytes in a
//! word, `gemv.wgsl` and `gemm.wgsl` multiply. A format is a function of the first and a line of
//! [`four`]. Where a GPU has an instruction for the sum of four products of bytes, drivers use it
//! for the built-in; else it is what the plain code of `cube-wgpu` is.
//!
//! Bounds: `|sum| < 2^31` for every K the op allows; 4,160 bytes of shared memory;
//! buffers below the adapter's binding limit.
use crate::context::Context;
use crate::cube::{Packing, Raw, Ready, Session, WGPU, floats, padded, step, word};
use crate::hardware::Need;
use crate::rules::dense_codes;
use crate::{Failure, Kernel, Prepared, Threads};
use cubecl::prelude::*;
use cubecl::wgpu::WgpuRuntime;
use lowbit_reference::op::Arithmetic;
use lowbit_reference::op::linear::{Linear, LinearProblem};

const CODES: &str = include_str!("codes.wgsl");
const GEMV: &str = include_str!("gemv.wgsl");
const GEMM: &str = include_str!("gemm.wgsl");

/// The row.
#[derive(Debug)]
pub(super) struct Dot4;

/// How a weight's words become words of four codes.
fn four(format: &str) -> Result<(Packing, &'static str), String> {
    let packing = Packing::named(format)?;
    match packing {
        Packing::Sign1 => Ok((packing, "four_of_sign1")),
        Packing::Ternary2 => Ok((packing, "four_of_ternary2")),
        Packing::Int8 => Ok((packing, "four_of_int8")),
        Packing::Int4 => Ok((packing, "four_of_int4")),
        _ => Err(format!("no {format} weights")),
    }
}

impl Kernel<Linear> for Dot4 {
    fn name(&self) -> &'static str {
        "wgsl-dot4"
    }
    fn need(&self) -> Need {
        Need::Wgpu
    }
    fn threads(&self) -> Threads {
        Threads::Own
    }
    fn arithmetic(&self, _: &LinearProblem) -> Arithmetic {
        Arithmetic::INTEGER_GPU
    }
    fn accepts(&self, p: &LinearProblem) -> Result<(), String> {
        let (packing, _) = four(dense_codes(p)?.0.format.name())?;
        let words = [p.m * p.k.div_ceil(4), p.n * packing.words(p.k), p.m * p.n];
        WGPU.binds(4 * words.into_iter().fold(0, usize::max))
    }
    fn prepare<'p>(
        &self,
        p: &'p LinearProblem,
        context: &mut Context,
    ) -> Result<Box<dyn Prepared + 'p>, Failure> {
        let mut session = Session::<WgpuRuntime>::open(context)?;
        let (weight, x) = dense_codes(p)?;
        let (packing, four) = four(weight.format.name())?;
        let (x_words, w_words) = (Packing::Int8.words(p.k), packing.words(p.k));
        let (body, tile, units) = match p.m {
            1 => (GEMV, 4, CubeDim::new_2d(32, 4)),
            _ => (GEMM, 64, CubeDim::new_2d(16, 16)),
        };
        let width = packing.per_word() / 4;
        let [m, n, x_len, w_len, x_scales] = [p.m, p.n, x_words, w_words, x.scales.len()].map(word);
        let (x_step, w_step) = (step(&x.scales), step(&weight.scales));
        let source = format!(
            "const M = {m}u;\nconst N = {n}u;\nconst X_WORDS = {x_len}u;\n\
             const W_WORDS = {w_len}u;\nconst WIDTH = {width}u;\nconst X_STEP = {x_step}u;\n\
             const W_STEP = {w_step}u;\nconst W_SCALES = {x_scales}u;\n{CODES}\
             fn four(word: u32, i: u32) -> u32 {{ return {four}(word, i); }}\n{body}"
        );
        let scales: Vec<f32> = x.scales.iter().chain(&weight.scales).copied().collect();
        let y = session.output(context, "y", p.m * p.n)?;
        let buffers = vec![
            session.upload(&padded(i8::as_bytes(&x.codes), p.k, x_words))?,
            session.upload(&padded(&weight.bytes, weight.row_bytes, w_words))?,
            session.upload(&scales)?,
            y.words_and_guard(),
        ];
        let cubes = p.n.div_ceil(tile) * if p.m == 1 { 1 } else { p.m.div_ceil(tile) };
        let raw = Raw { entry: "main", source: source.into(), units, buffers, cubes };
        let enqueue = move |client: &ComputeClient<WgpuRuntime>| raw.enqueue(client);
        Ok(Box::new(Ready::new(session, enqueue, floats("y", y))))
    }
}
