//! What the rows of `rho_decode` share: tasks, tails and where values go.
//!
//! A flat codec has blocks of one size, so that every task knows its place in the payload. The
//! lengths of sparse blocks and the live tiles are counted first, by one thread; then every task
//! knows its place as well. A payload that ends too early is a failure.
use crate::buffer::Buffer;
use crate::context::Context;
use crate::hardware::Need;
use crate::pool::Pool;
use crate::quantize::STREAMED;
use crate::quantize::isa::{Isa, Work, bytes_of};
use crate::rho_codec::blocks::{Bf16, Block, Fp8, Fp8Block, MxFp8, MxInt8};
use crate::rho_codec::sparse_positive::Positive;
use crate::rho_codec::{BLOCK, Codec, TASK, sparse_positive, sparse_tile};
use crate::{Determinism, Failure, Kernel, Prepared};
use lowbit_reference::op::rho::decode::{PayloadProblem, RhoDecode};
use lowbit_reference::op::rho::payload::StateProblem;
use lowbit_reference::op::{Arithmetic, Outputs, Tensor};
use lowbit_reference::rho::StateShape;
use std::marker::PhantomData;

/// Blocks decoded before they go past the caches: 1 KiB.
const STAGED: usize = 8;

/// Blocks on their way past the caches.
#[repr(C, align(64))]
struct Stage([[f32; BLOCK]; STAGED]);

/// Whole blocks of a flat codec; the last of all may be short.
struct Flat<'a> {
    codec: Codec,
    payload: &'a [u8],
    values: &'a mut [f32],
    /// Whether values go past the caches.
    stream: bool,
}

impl<I: Isa> Work<I> for Flat<'_> {
    #[inline(always)]
    fn run(self, isa: I) {
        match self.codec {
            Codec::Bf16 => self.decode::<I, Bf16, 64>(isa),
            Codec::Fp8 => self.decode::<I, Fp8, 32>(isa),
            Codec::Fp8Block => self.decode::<I, Fp8Block, 36>(isa),
            Codec::MxFp8 => self.decode::<I, MxFp8, 33>(isa),
            // No sparse codec comes here.
            _ => self.decode::<I, MxInt8, 33>(isa),
        }
    }
}

impl Flat<'_> {
    #[inline(always)]
    fn decode<I: Isa, B: Block<BYTES>, const BYTES: usize>(self, isa: I) {
        let (full, tail) = self.values.as_chunks_mut::<BLOCK>();
        let (body, rest) = self.payload.split_at(full.len() * BYTES);
        let blocks = body.as_chunks::<BYTES>().0;
        if self.stream {
            let mut stage = Stage([[0.0; BLOCK]; STAGED]);
            for (values, bytes) in full.chunks_mut(STAGED).zip(blocks.chunks(STAGED)) {
                for (x, bytes) in stage.0.iter_mut().zip(bytes) {
                    B::decode(bytes, x);
                }
                let ready = stage.0[..values.len()].as_flattened_mut();
                isa.stream(bytes_of(ready), bytes_of(values.as_flattened_mut()));
            }
            isa.fence();
        } else {
            for (x, bytes) in full.iter_mut().zip(blocks) {
                B::decode(bytes, x);
            }
        }
        if !tail.is_empty() {
            let (mut bytes, mut x) = ([0; BYTES], [0.0; BLOCK]);
            bytes[..rest.len()].copy_from_slice(rest);
            B::decode(&bytes, &mut x);
            tail.copy_from_slice(&x[..tail.len()]);
        }
    }
}

/// Whole blocks of `sparse_positive`; the last of all may be short.
struct Blocks<'a> {
    /// From the first of them to the end of all.
    payload: &'a [u8],
    values: &'a mut [f32],
}

impl<I: Positive> Work<I> for Blocks<'_> {
    #[inline(always)]
    fn run(self, isa: I) {
        let mut rest = self.payload;
        for values in self.values.chunks_mut(BLOCK) {
            let mut x = [0.0; BLOCK];
            let used = isa.decode_positive(rest, &mut x);
            values.copy_from_slice(&x[..values.len()]);
            rest = rest.get(used..).unwrap_or_default();
        }
    }
}

/// Strips of tiles of one matrix.
struct Tiles<'a> {
    /// From the first live tile of them to the end of all.
    stored: &'a [u8],
    live: &'a [u8],
    columns: usize,
    values: &'a mut [f32],
}

impl<I: Isa> Work<I> for Tiles<'_> {
    #[inline(always)]
    fn run(self, _: I) {
        let wide = self.columns.div_ceil(sparse_tile::SIDE);
        let strips = self.values.chunks_mut(sparse_tile::SIDE * self.columns);
        let mut stored = self.stored;
        for (strip, live) in strips.zip(self.live.chunks(wide)) {
            let used = sparse_tile::decode(stored, live, self.columns, strip);
            stored = stored.get(used..).unwrap_or_default();
        }
    }
}

/// The row of an instruction set.
#[derive(Debug)]
pub(super) struct Row<I>(PhantomData<fn() -> I>);

impl<I> Row<I> {
    pub(super) const fn new() -> Row<I> {
        Row(PhantomData)
    }
}

impl<I: Positive> Kernel<RhoDecode> for Row<I> {
    fn name(&self) -> &'static str {
        I::NAME
    }

    fn need(&self) -> Need {
        I::NEED
    }

    fn determinism(&self) -> Determinism {
        Determinism::EXACT
    }

    fn arithmetic(&self, _: &PayloadProblem) -> Arithmetic {
        Arithmetic::FLOAT
    }

    fn accepts(&self, problem: &PayloadProblem) -> Result<(), String> {
        Codec::named(problem.source.name).map(drop)
    }

    fn prepare<'p>(
        &self,
        problem: &'p PayloadProblem,
        context: &mut Context,
    ) -> Result<Box<dyn Prepared + 'p>, Failure> {
        let payload = context.copy("payload", &problem.payload);
        Ok(Box::new(Decode::<I>::new(&problem.source, payload, context)?))
    }
}

/// A row bound to its problem.
pub(crate) struct Decode<I> {
    isa: I,
    codec: Codec,
    shape: StateShape,
    pool: Pool,
    pub(crate) payload: Buffer<u8>,
    /// Flags of tiles.
    live: Buffer<u8>,
    pub(crate) values: Buffer<f32>,
}

fn too_short(payload: &[u8]) -> Failure {
    Failure(format!("a payload of {} bytes ends within the state", payload.len()))
}

impl<I: Positive> Decode<I> {
    /// A payload of a state of this shape and codec, to be decoded.
    pub(crate) fn new(
        source: &StateProblem,
        payload: Buffer<u8>,
        context: &mut Context,
    ) -> Result<Self, Failure> {
        let isa = I::detect().ok_or_else(|| Failure(format!("no {}", I::NAME)))?;
        let (codec, shape) = (Codec::named(source.name)?, source.shape);
        let tiles = if codec == Codec::SparseTile { sparse_tile::tiles(shape) } else { 0 };
        Ok(Decode {
            isa,
            codec,
            shape,
            pool: context.pool().clone(),
            payload,
            live: context.buffer("live", tiles),
            values: context.buffer("values", shape.len()),
        })
    }

    fn flat(&mut self) -> Result<(), Failure> {
        let Decode { isa, codec, .. } = *self;
        let (whole, tail) = (self.values.len() / BLOCK, self.values.len() % BLOCK);
        // Values that a short last block lacks are bytes it lacks: two each of bf16, else one.
        let lacking = if tail == 0 { BLOCK } else { BLOCK - tail } * (codec.block_bytes() / BLOCK);
        let last = if tail == 0 { 0 } else { codec.block_bytes() - lacking };
        if self.payload.len() < whole * codec.block_bytes() + last {
            return Err(too_short(&self.payload));
        }
        let stream = 4 * self.values.len() + self.payload.len() >= STREAMED;
        let payload = self.payload.chunks(TASK / BLOCK * codec.block_bytes());
        let tasks = payload.zip(self.values.chunks_mut(TASK));
        let tasks = tasks.map(|(payload, values)| Flat { codec, payload, values, stream });
        self.pool.for_each(tasks.collect(), |task| isa.enter(task));
        Ok(())
    }

    fn positive(&mut self) -> Result<(), Failure> {
        let isa = self.isa;
        let mut rest = &self.payload[..];
        let mut tasks = Vec::new();
        for values in self.values.chunks_mut(TASK) {
            let blocks = values.len().div_ceil(BLOCK);
            tasks.push(Blocks { payload: rest, values });
            for _ in 0..blocks {
                let bytes = sparse_positive::block_bytes(rest);
                rest = &rest[bytes.ok_or_else(|| too_short(&self.payload))?..];
            }
        }
        self.pool.for_each(tasks, |task| isa.enter(task));
        Ok(())
    }

    fn tiles(&mut self) -> Result<(), Failure> {
        let Decode { isa, shape, .. } = *self;
        let bitmap = self.live.len().div_ceil(8);
        let (bitmap, mut stored) =
            self.payload.split_at_checked(bitmap).ok_or_else(|| too_short(&self.payload))?;
        let live = sparse_tile::flags(bitmap, &mut self.live);
        if stored.len() < live * sparse_tile::BYTES {
            return Err(too_short(&self.payload));
        }
        let (mut tasks, mut live) = (Vec::new(), &self.live[..]);
        let mut values = &mut self.values[..];
        for part in sparse_tile::parts(shape) {
            let (own, others) = live.split_at(part.tiles);
            let (strips, later) = values.split_at_mut(part.values.len());
            tasks.push(Tiles { stored, live: own, columns: shape.columns(), values: strips });
            let alive = own.iter().filter(|flag| **flag == 1).count();
            stored = &stored[alive * sparse_tile::BYTES..];
            (live, values) = (others, later);
        }
        self.pool.for_each(tasks, |task| isa.enter(task));
        Ok(())
    }
}

impl<I: Positive> Prepared for Decode<I> {
    fn launch(&mut self) -> Result<(), Failure> {
        match self.codec {
            Codec::SparsePositive => self.positive(),
            Codec::SparseTile => self.tiles(),
            _ => self.flat(),
        }
    }

    fn forget(&mut self) -> Result<(), Failure> {
        self.values.fill(f32::NAN);
        Ok(())
    }

    fn read(&mut self) -> Result<Outputs, Failure> {
        Ok(Outputs(vec![("values", Tensor::F32(self.values.to_vec()))]))
    }
}
