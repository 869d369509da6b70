//! CubeCL `dequantize_nf4`: `x = table[code] * absmax`, a unit a value.
//!
//! Bounds: one rounding, so the bits of the reference where subnormals are kept; 4 bytes written
//! for each value, half a byte read.
use crate::context::Context;
use crate::cube::{Cube, Device, Ready, Session, floats, padded, spread, word};
use crate::hardware::Need;
use crate::{Failure, Kernel, Prepared, Threads};
use cubecl::prelude::*;
use lowbit_reference::format::nf4::{Absmax, Nf4Tensor, Nibbles};
use lowbit_reference::op::Arithmetic;
use lowbit_reference::op::nf4::dequantize::DequantizeNf4;

/// Units of a cube.
const UNITS: u32 = 256;

#[cube(launch)]
fn dequantize(
    packed: &Array<u32>,
    absmax: &Array<f32>,
    table: &Array<f32>,
    values: &mut Array<f32>,
    len: u32,
    block_size: u32,
    #[comptime] high_first: bool,
) {
    let at = CUBE_POS as u32 * UNITS + UNIT_POS;
    if at < len {
        let mut nibble = at % 8;
        if comptime!(high_first) {
            nibble ^= 1;
        }
        let code = (packed[(at / 8) as usize] >> (4 * nibble)) & 15;
        values[at as usize] = table[code as usize] * absmax[(at / block_size) as usize];
    }
}

impl<R: Device> Kernel<DequantizeNf4> for Cube<R> {
    fn name(&self) -> &'static str {
        R::NAME
    }
    fn need(&self) -> Need {
        R::NEED
    }
    fn threads(&self) -> Threads {
        Threads::Own
    }
    fn arithmetic(&self, _: &Nf4Tensor) -> Arithmetic {
        Arithmetic::FLOAT_GPU
    }
    fn accepts(&self, p: &Nf4Tensor) -> Result<(), String> {
        match p.absmax() {
            Absmax::Float(_) => self.binds(4 * p.len()),
            Absmax::Double(_) => Err("no double quantization".into()),
        }
    }
    fn prepare<'p>(
        &self,
        p: &'p Nf4Tensor,
        context: &mut Context,
    ) -> Result<Box<dyn Prepared + 'p>, Failure> {
        let mut session = Session::<R>::open(context)?;
        let Absmax::Float(absmax) = p.absmax() else { return Err(Failure("no floats".into())) };
        let (len, format, bytes) = (p.len(), p.format(), p.packed().len());
        let high_first = format.nibbles() == Nibbles::HighFirst;
        let block_size = word(format.block_size());
        let packed = session.upload(&padded(p.packed(), bytes, bytes.div_ceil(4)))?;
        let (absmax, table) = (session.upload(absmax)?, session.upload(format.table().values())?);
        let values = session.output(context, "values", len)?;
        let values_out = values.clone();
        let enqueue = move |client: &ComputeClient<R>| {
            let (count, dim) = (spread(len.div_ceil(UNITS as usize)), CubeDim::new_1d(UNITS));
            let (packed, absmax, table) = (packed.arg(), absmax.arg(), table.arg());
            let (values, len) = (values_out.arg(), word(len));
            dequantize::launch::<R>(
                client, count, dim, packed, absmax, table, values, len, block_size, high_first,
            );
        };
        Ok(Box::new(Ready::new(session, enqueue, floats("values", values))))
    }
}
