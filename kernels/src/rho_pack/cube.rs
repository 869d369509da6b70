//! CubeCL `rho_pack`: eight blocks of 32 values a cube, in one launch and one pass.
//!
//! Every value has a unit. The 32 units of a block add up (or take the maximum) in a tree in
//! shared memory, each works out the scale for itself and then its own code, and the fields are
//! gathered into words. A block is a whole number of words in every format, so the words of the
//! state follow one another without padding, but for the last.
//!
//! Bounds: chains of 5 additions; 4 bytes read for each value, and the packed state written.
use crate::context::Context;
use crate::cube::quantize::{UNITS, refuse_non_finite, store};
use crate::cube::rule::{Choices, Numbers, code_of, numbers, scale_of};
use crate::cube::tile::gather;
use crate::cube::{Cube, Device, Ready, Session, field, spread, word};
use crate::hardware::Need;
use crate::{Failure, Kernel, Prepared, Threads};
use cubecl::prelude::*;
use lowbit_reference::op::quantize::QuantizeProblem;
use lowbit_reference::op::rho::pack::RhoPack;
use lowbit_reference::op::{Arithmetic, Outputs, Tensor};
use lowbit_reference::rho::RHO_BLOCK;

/// Values of a block.
const BLOCK: u32 = RHO_BLOCK as u32;

#[cube(launch)]
fn pack(
    x: &Array<f32>,
    scales: &mut Array<f32>,
    packed: &mut Array<u32>,
    len: u32,
    numbers: Numbers,
    #[comptime] choices: Choices,
) {
    let cube = CUBE_POS as u32;
    let at = cube * UNITS + UNIT_POS;
    let mut value = 0.0f32;
    if at < len {
        value = x[at as usize];
    }
    let mut shared = SharedMemory::<f32>::new(comptime!(UNITS as usize));
    let mut statistic = gather::<f32>(value.abs(), &mut shared, comptime!(choices.join()), BLOCK);
    if comptime!(!choices.absmax) {
        // The last block may be short; beyond it nothing is stored.
        statistic /= f32::cast_from(min(BLOCK, len - at / BLOCK * BLOCK));
    }
    let scale = scale_of(statistic, numbers, choices);
    let mut bits = 0u32;
    if at < len {
        bits = field(code_of(value, scale, 0.0, numbers, choices), choices.packing);
        let lane = at % BLOCK;
        if lane == 0 {
            scales[(at / BLOCK) as usize] = scale;
        }
    }
    let per_word = comptime!(choices.packing.per_word());
    store(bits, packed, cube * (UNITS / per_word), len.div_ceil(per_word), choices.packing);
}

impl<R: Device> Kernel<RhoPack> for Cube<R> {
    fn name(&self) -> &'static str {
        R::NAME
    }
    fn need(&self) -> Need {
        R::NEED
    }
    fn threads(&self) -> Threads {
        Threads::Own
    }
    fn arithmetic(&self, _: &QuantizeProblem) -> Arithmetic {
        Arithmetic::FLOAT_GPU
    }
    fn accepts(&self, p: &QuantizeProblem) -> Result<(), String> {
        refuse_non_finite(&p.x)?;
        self.binds(4 * p.x.len())
    }
    fn prepare<'p>(
        &self,
        p: &'p QuantizeProblem,
        context: &mut Context,
    ) -> Result<Box<dyn Prepared + 'p>, Failure> {
        let mut session = Session::<R>::open(context)?;
        let choices = Choices::of(&p.rule, p.levels());
        let len = p.x.len();
        let x = session.upload(&p.x)?;
        let scales = session.output(context, "scales", len.div_ceil(RHO_BLOCK))?;
        let packed = session.output(context, "packed", choices.packing.words(len))?;
        let (scales_out, packed_out) = (scales.clone(), packed.clone());
        let enqueue = move |client: &ComputeClient<R>| {
            let (count, dim) = (spread(len.div_ceil(UNITS as usize)), CubeDim::new_1d(UNITS));
            let (x, scales, packed) = (x.arg(), scales_out.arg(), packed_out.arg());
            let (len, numbers) = (word(len), numbers::<R>(&p.rule));
            pack::launch::<R>(client, count, dim, x, scales, packed, len, numbers, choices);
        };
        let answer = move |session: &Session<R>| {
            let mut bytes: Vec<u8> = session.read(&packed)?;
            bytes.truncate(choices.packing.bytes(len));
            let scales = Tensor::F32(session.read(&scales)?);
            Ok(Outputs(vec![("scales", scales), ("packed", Tensor::U8(bytes))]))
        };
        Ok(Box::new(Ready::new(session, enqueue, answer)))
    }
}
