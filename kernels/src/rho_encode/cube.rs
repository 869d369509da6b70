//! CubeCL `rho_encode`: eight blocks of 32 values a cube, in one launch and one pass.
//!
//! Every value has a unit and is read as bits. Where a block has a power of two, its 32 units find
//! the largest magnitude in a tree, as an integer: NaN is above all. Codes meet as bytes in shared
//! memory, since blocks of 33 bytes end within a word, and leave as words.
//!
//! Bounds: none, every bit is fixed; 4 bytes read for each value, and the payload written.
use crate::context::Context;
use crate::cube::tile::{Join, gather};
use crate::cube::{Cube, Device, Ready, Session, spread, word};
use crate::hardware::Need;
use crate::rho_codec::Codec;
use crate::rho_codec::cube::{UNITS, VALUES, bf16, e4m3, sixty_fourths, times_power};
use crate::{Determinism, Failure, Kernel, Prepared, Threads};
use cubecl::prelude::*;
use lowbit_reference::op::rho::encode::RhoEncode;
use lowbit_reference::op::rho::payload::StateProblem;
use lowbit_reference::op::{Arithmetic, Outputs, Tensor};

#[cube(launch)]
fn encode(
    x: &Array<u32>,
    payload: &mut Array<u32>,
    len: u32,
    words: u32,
    #[comptime] codec: Codec,
) {
    let cube = CUBE_POS as u32;
    let at = cube * UNITS + UNIT_POS;
    let mut bits = 0u32;
    if at < len {
        bits = x[at as usize];
    }
    let block_bytes = comptime!(codec.block_bytes() as u32);
    let cube_bytes = comptime!(UNITS / VALUES * block_bytes);
    let mut bytes = SharedMemory::<u32>::new(comptime!(cube_bytes as usize));
    let (first, lane) = (UNIT_POS / VALUES * block_bytes, UNIT_POS % VALUES);
    let place = first + comptime!(codec.head()) + lane * comptime!(codec.each());
    let magnitude = bits & 0x7fff_ffff;
    let mut scale = 127u32;
    if comptime!(codec.power().is_some()) {
        let mut shared = SharedMemory::<u32>::new(comptime!(UNITS as usize));
        let most = gather::<u32>(magnitude, &mut shared, Join::Larger, VALUES);
        let largest = comptime!(codec.power().unwrap_or(0));
        let field = most >> 23;
        scale = select(field == 255, 254u32, max(field, largest) - largest);
        if lane == 0 {
            bytes[first as usize] = select(most > 0x7f80_0000, 255u32, scale);
        }
        // A block with a NaN has no codes.
        bits = select(most > 0x7f80_0000, 0u32, bits);
    }
    if comptime!(codec == Codec::Bf16) {
        let code = bf16(bits);
        bytes[place as usize] = code & 255;
        bytes[(place + 1) as usize] = code >> 8;
    } else {
        let magnitude = bits & 0x7fff_ffff;
        let normal = times_power(magnitude, 127 - i32::cast_from(scale));
        if comptime!(codec == Codec::MxInt8) {
            bytes[place as usize] = sixty_fourths(normal, magnitude, bits > 0x7fff_ffff);
        } else {
            bytes[place as usize] = e4m3(normal, magnitude) | ((bits >> 24) & 0x80);
        }
    }
    sync_cube();
    let cube_words = comptime!(cube_bytes / 4);
    let mut own = UNIT_POS;
    while own < cube_words {
        let to = cube * cube_words + own;
        if to < words {
            let mut whole = 0u32;
            #[unroll]
            for i in 0..4u32 {
                whole |= bytes[(own * 4 + i) as usize] << comptime!(8 * i);
            }
            payload[to as usize] = whole;
        }
        own += UNITS;
    }
}

impl<R: Device> Kernel<RhoEncode> for Cube<R> {
    fn name(&self) -> &'static str {
        R::NAME
    }
    fn need(&self) -> Need {
        R::NEED
    }
    fn threads(&self) -> Threads {
        Threads::Own
    }
    fn determinism(&self) -> Determinism {
        Determinism::EXACT
    }
    fn arithmetic(&self, _: &StateProblem) -> Arithmetic {
        Arithmetic::FLOAT_GPU
    }
    fn accepts(&self, p: &StateProblem) -> Result<(), String> {
        match Codec::named(p.name)? {
            Codec::Bf16 | Codec::Fp8 | Codec::MxFp8 | Codec::MxInt8 => self.binds(4 * p.x.len()),
            _ => Err(format!("no encoder of {}", p.name)),
        }
    }
    fn prepare<'p>(
        &self,
        p: &'p StateProblem,
        context: &mut Context,
    ) -> Result<Box<dyn Prepared + 'p>, Failure> {
        let mut session = Session::<R>::open(context)?;
        let (len, codec) = (p.x.len(), Codec::named(p.name)?);
        let bytes = codec.bytes(len);
        let words = bytes.div_ceil(4);
        let x = session.upload(&p.x)?;
        let payload = session.output(context, "payload", words)?;
        let payload_out = payload.clone();
        let enqueue = move |client: &ComputeClient<R>| {
            let (count, dim) = (spread(len.div_ceil(UNITS as usize)), CubeDim::new_1d(UNITS));
            let (x, payload) = (x.arg(), payload_out.arg());
            encode::launch::<R>(client, count, dim, x, payload, word(len), word(words), codec);
        };
        let answer = move |session: &Session<R>| {
            let mut made: Vec<u8> = session.read(&payload)?;
            made.truncate(bytes);
            Ok(Outputs(vec![("payload", Tensor::U8(made))]))
        };
        Ok(Box::new(Ready::new(session, enqueue, answer)))
    }
}
