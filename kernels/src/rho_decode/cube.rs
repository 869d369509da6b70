//! CubeCL `rho_decode`: a unit a value, read from the bytes of its block.
//!
//! Neighbouring units read neighbouring bytes, and the same scale.
//!
//! Bounds: none, every bit is fixed; but of `fp8_block`, a product rounded once, the signs of zeros
//! and subnormal products are the device's. 4 bytes written for each value, and the payload read.
use crate::context::Context;
use crate::cube::{Cube, Device, Ready, Session, floats, padded, spread, word};
use crate::hardware::Need;
use crate::rho_codec::Codec;
use crate::rho_codec::cube::{UNITS, VALUES, value};
use crate::{Failure, Kernel, Prepared, Threads};
use cubecl::prelude::*;
use lowbit_reference::op::Arithmetic;
use lowbit_reference::op::rho::decode::{PayloadProblem, RhoDecode};

/// A byte of words.
#[cube]
fn byte(words: &Array<u32>, at: u32) -> u32 {
    (words[(at / 4) as usize] >> (at % 4 * 8)) & 255
}

#[cube(launch)]
fn decode(payload: &Array<u32>, values: &mut Array<u32>, len: u32, #[comptime] codec: Codec) {
    let at = CUBE_POS as u32 * UNITS + UNIT_POS;
    if at < len {
        let first = at / VALUES * comptime!(codec.block_bytes() as u32);
        let place = first + comptime!(codec.head()) + at % VALUES * comptime!(codec.each());
        let mut code = byte(payload, place);
        if comptime!(codec.each() == 2) {
            code |= byte(payload, place + 1) << 8;
        }
        let mut scale = 0u32;
        #[unroll]
        for i in 0..comptime!(codec.head()) {
            scale |= byte(payload, first + i) << comptime!(8 * i);
        }
        values[at as usize] = value(code, scale, codec);
    }
}

impl<R: Device> Kernel<RhoDecode> for Cube<R> {
    fn name(&self) -> &'static str {
        R::NAME
    }
    fn need(&self) -> Need {
        R::NEED
    }
    fn threads(&self) -> Threads {
        Threads::Own
    }
    fn arithmetic(&self, _: &PayloadProblem) -> Arithmetic {
        Arithmetic::FLOAT_GPU
    }
    fn accepts(&self, p: &PayloadProblem) -> Result<(), String> {
        match Codec::named(p.source.name)? {
            Codec::SparsePositive | Codec::SparseTile => {
                Err(format!("no decoder of {}", p.source.name))
            }
            _ => self.binds(4 * p.source.x.len()),
        }
    }
    fn prepare<'p>(
        &self,
        p: &'p PayloadProblem,
        context: &mut Context,
    ) -> Result<Box<dyn Prepared + 'p>, Failure> {
        let mut session = Session::<R>::open(context)?;
        let (len, codec) = (p.source.x.len(), Codec::named(p.source.name)?);
        let bytes = p.payload.len();
        let payload = session.upload(&padded(&p.payload, bytes, bytes.div_ceil(4)))?;
        let values = session.output(context, "values", len)?;
        let values_out = values.clone();
        let enqueue = move |client: &ComputeClient<R>| {
            let (count, dim) = (spread(len.div_ceil(UNITS as usize)), CubeDim::new_1d(UNITS));
            let (payload, values) = (payload.arg(), values_out.arg());
            decode::launch::<R>(client, count, dim, payload, values, word(len), codec);
        };
        Ok(Box::new(Ready::new(session, enqueue, floats("values", values))))
    }
}
