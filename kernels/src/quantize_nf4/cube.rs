//! CubeCL `quantize_nf4`: a cube for 256 values, or for a block where that is longer; one pass.
//!
//! The largest magnitude is found as an integer, so that NaN is above all and subnormals keep
//! their bits. The code is the number of midpoints below the quotient `x (1 / absmax)` (in a short
//! block `x / absmax`); nibbles meet in shared memory, the first of two in the high one.
//!
//! Bounds: WGSL divides within 2.5 ulp and the product is rounded once, so a code may be the next
//! where its quotient is within 6 ulp of a midpoint; blocks of subnormals need a device that keeps
//! them. 4 bytes read for each value, half a byte written; values of blocks above 256 wait in
//! registers, at most 16 in each unit.
use crate::context::Context;
use crate::cube::tile::{Join, gather, joined};
use crate::cube::{Cube, Device, Ready, Session, spread, word};
use crate::hardware::Need;
use crate::nf4::MIDPOINTS;
use crate::{Failure, Kernel, Prepared, Threads};
use cubecl::prelude::*;
use lowbit_reference::format::codebook::Table;
use lowbit_reference::format::nf4::Nibbles;
use lowbit_reference::op::nf4::quantize::{QuantizeNf4, QuantizeNf4Problem};
use lowbit_reference::op::{Arithmetic, Outputs, Tensor};

/// Units of a cube.
const UNITS: u32 = 256;
/// The bits of 1e-38, the least that is divided by.
const LEAST_DIVISOR: u32 = 1e-38f32.to_bits();
/// The code of zero, which stands for a missing last one.
const ZERO: u32 = 7;

/// Codes of a word.
const CODES: u32 = 8;

/// What is compiled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Block {
    /// Values that share an absmax.
    size: u32,
    /// Whether the first of two codes lies in the high nibble.
    high_first: bool,
}

impl Block {
    /// Values of a unit.
    const fn each(self) -> u32 {
        self.size.div_ceil(UNITS)
    }

    /// Neighbouring units that share a block.
    const fn lanes(self) -> u32 {
        if self.size < UNITS { self.size } else { UNITS }
    }
}

/// How many midpoints are below a quotient; all are below NaN.
#[cube]
fn code(quotient: f32) -> u32 {
    let mut below = 0u32;
    #[unroll]
    for i in 0..15u32 {
        let midpoint = f32::new(comptime!(MIDPOINTS[i as usize]));
        below += select(quotient > midpoint, 1u32, 0u32);
    }
    select(quotient.is_nan(), 15u32, below)
}

#[cube(launch)]
fn quantize(
    x: &Array<u32>,
    absmax: &mut Array<u32>,
    packed: &mut Array<u32>,
    len: u32,
    #[comptime] block: Block,
) {
    let each = comptime!(block.each());
    let from = CUBE_POS as u32 * comptime!(UNITS * each);
    let mut values = Array::<u32>::new(comptime!(each as usize));
    let mut largest = 0u32;
    #[unroll]
    for i in 0..each {
        let at = from + i * UNITS + UNIT_POS;
        values[i as usize] = 0u32;
        if at < len {
            values[i as usize] = x[at as usize];
        }
        largest = joined::<u32>(largest, values[i as usize] & 0x7fff_ffff, Join::Larger);
    }
    let mut shared = SharedMemory::<u32>::new(comptime!(UNITS as usize));
    let most = gather::<u32>(largest, &mut shared, Join::Larger, comptime!(block.lanes()));
    let first = (from + UNIT_POS) / block.size * block.size;
    let short = first + block.size > len;
    let divisor = max(most, LEAST_DIVISOR);
    let lane = UNIT_POS % comptime!(block.lanes());
    if lane == 0 && first < len {
        absmax[(first / block.size) as usize] = select(short, divisor, most);
    }
    let by = f32::reinterpret(divisor);
    let reciprocal = 1.0 / by;
    #[unroll]
    for i in 0..each {
        let x = f32::reinterpret(values[i as usize]);
        let quotient = select(short, x / by, x * reciprocal);
        // A block of zeros has no quotients where subnormals are flushed, and a last nibble that is
        // missing none in a block of NaN.
        let missing = from + i * UNITS + UNIT_POS >= len;
        shared[UNIT_POS as usize] = select(most == 0 || missing, ZERO, code(quotient));
        sync_cube();
        let to = (from + i * UNITS) / CODES + UNIT_POS;
        if UNIT_POS < UNITS / CODES && to < len.div_ceil(CODES) {
            let mut whole = 0u32;
            #[unroll]
            for j in 0..CODES {
                let nibble = comptime!(if block.high_first { j ^ 1 } else { j });
                whole |= shared[(UNIT_POS * CODES + j) as usize] << comptime!(4 * nibble);
            }
            packed[to as usize] = whole;
        }
        sync_cube();
    }
}

impl<R: Device> Kernel<QuantizeNf4> for Cube<R> {
    fn name(&self) -> &'static str {
        R::NAME
    }
    fn need(&self) -> Need {
        R::NEED
    }
    fn threads(&self) -> Threads {
        Threads::Own
    }
    fn arithmetic(&self, _: &QuantizeNf4Problem) -> Arithmetic {
        Arithmetic::FLOAT_GPU
    }
    fn accepts(&self, p: &QuantizeNf4Problem) -> Result<(), String> {
        if p.format.table() != Table::Nf4 || p.format.double_quant().is_some() {
            return Err("no table but NF4's, and no double quantization".into());
        }
        self.binds(4 * p.x.len())
    }
    fn prepare<'p>(
        &self,
        p: &'p QuantizeNf4Problem,
        context: &mut Context,
    ) -> Result<Box<dyn Prepared + 'p>, Failure> {
        let mut session = Session::<R>::open(context)?;
        let (len, size) = (p.x.len(), p.format.block_size());
        let high_first = p.format.nibbles() == Nibbles::HighFirst;
        let block = Block { size: word(size), high_first };
        let x = session.upload(&p.x)?;
        let absmax = session.output(context, "absmax", len.div_ceil(size))?;
        let packed = session.output(context, "packed", len.div_ceil(CODES as usize))?;
        let (absmax_out, packed_out) = (absmax.clone(), packed.clone());
        let enqueue = move |client: &ComputeClient<R>| {
            let cubes = len.div_ceil((UNITS * block.each()) as usize);
            let (count, dim) = (spread(cubes), CubeDim::new_1d(UNITS));
            let (x, absmax, packed) = (x.arg(), absmax_out.arg(), packed_out.arg());
            quantize::launch::<R>(client, count, dim, x, absmax, packed, word(len), block);
        };
        let answer = move |session: &Session<R>| {
            let mut bytes: Vec<u8> = session.read(&packed)?;
            bytes.truncate(len.div_ceil(2));
            let absmax = Tensor::F32(session.read(&absmax)?);
            Ok(Outputs(vec![("packed", Tensor::U8(bytes)), ("absmax", absmax)]))
        };
        Ok(Box::new(Ready::new(session, enqueue, answer)))
    }
}
