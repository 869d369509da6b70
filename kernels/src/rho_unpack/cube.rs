//! CubeCL `rho_unpack`: `value = code * scale`, a unit a value.
//!
//! Neighbouring units read the same word and the same scale, and write neighbouring values; a
//! block is a whole number of words, so value `i` is field `i` of the stream of words.
//!
//! Bounds: one rounding, so the bits of the reference; 4 bytes written for each value.
use crate::context::Context;
use crate::cube::{Cube, Device, Packing, Ready, Session, decode, floats, padded, spread, word};
use crate::hardware::Need;
use crate::{Failure, Kernel, Prepared, Threads};
use cubecl::prelude::*;
use lowbit_reference::op::Arithmetic;
use lowbit_reference::op::rho::unpack::{RhoUnpack, UnpackProblem};
use lowbit_reference::rho::RHO_BLOCK;

/// Units of a cube.
const UNITS: u32 = 256;
/// Values of a block.
const BLOCK: u32 = RHO_BLOCK as u32;

#[cube(launch)]
fn unpack(
    packed: &Array<u32>,
    scales: &Array<f32>,
    values: &mut Array<f32>,
    len: u32,
    #[comptime] packing: Packing,
) {
    let at = CUBE_POS as u32 * UNITS + UNIT_POS;
    let per_word = comptime!(packing.per_word());
    if at < len {
        let code = decode::<f32>(packed[(at / per_word) as usize], at % per_word, packing);
        values[at as usize] = code * scales[(at / BLOCK) as usize];
    }
}

impl<R: Device> Kernel<RhoUnpack> for Cube<R> {
    fn name(&self) -> &'static str {
        R::NAME
    }
    fn need(&self) -> Need {
        R::NEED
    }
    fn threads(&self) -> Threads {
        Threads::Own
    }
    fn arithmetic(&self, _: &UnpackProblem) -> Arithmetic {
        Arithmetic::FLOAT_GPU
    }
    fn accepts(&self, p: &UnpackProblem) -> Result<(), String> {
        self.binds(4 * p.source.x.len())
    }
    fn prepare<'p>(
        &self,
        p: &'p UnpackProblem,
        context: &mut Context,
    ) -> Result<Box<dyn Prepared + 'p>, Failure> {
        let mut session = Session::<R>::open(context)?;
        let (len, packing) = (p.source.x.len(), Packing::of(p.source.levels()));
        let words = padded(&p.packed, p.packed.len(), packing.words(len));
        let (packed, scales) = (session.upload(&words)?, session.upload(&p.quantized.scales())?);
        let values = session.output(context, "values", len)?;
        let values_out = values.clone();
        let enqueue = move |client: &ComputeClient<R>| {
            let (count, dim) = (spread(len.div_ceil(UNITS as usize)), CubeDim::new_1d(UNITS));
            let (packed, scales, values) = (packed.arg(), scales.arg(), values_out.arg());
            unpack::launch::<R>(client, count, dim, packed, scales, values, word(len), packing);
        };
        Ok(Box::new(Ready::new(session, enqueue, floats("values", values))))
    }
}
