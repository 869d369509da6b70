//! What the rows of `rho_encode` share: tasks, tails and where bytes go.
//!
//! A flat codec has blocks of one size, so that every task knows its place in the payload. What a
//! task of a sparse codec takes is known when it is done: tasks write into room for the most they
//! can take, and their bytes are then moved together, in order, whatever thread made them.
use crate::buffer::Buffer;
use crate::context::Context;
use crate::hardware::Need;
use crate::pool::Pool;
use crate::quantize::STREAMED;
use crate::quantize::isa::{AHEAD, Isa, Work};
use crate::rho_codec::blocks::{Bf16, Block, Fp8, Fp8Block, MxFp8, MxInt8};
use crate::rho_codec::sparse_positive::Positive;
use crate::rho_codec::{BLOCK, Codec, STAGED, TASK, cut, sparse_positive, sparse_tile};
use crate::{Determinism, Failure, Kernel, Prepared};
use lowbit_reference::op::rho::encode::RhoEncode;
use lowbit_reference::op::rho::payload::StateProblem;
use lowbit_reference::op::{Arithmetic, Outputs, Tensor};
use lowbit_reference::rho::StateShape;
use std::marker::PhantomData;

/// Blocks on their way past the caches.
#[repr(C, align(64))]
struct Stage<const BYTES: usize>([[u8; BYTES]; STAGED]);

/// Whole blocks of a flat codec; the last of all may be short.
struct Flat<'a> {
    codec: Codec,
    x: &'a [f32],
    payload: &'a mut [u8],
    /// Whether bytes go past the caches.
    stream: bool,
}

impl<I: Isa> Work<I> for Flat<'_> {
    #[inline(always)]
    fn run(self, isa: I) {
        match self.codec {
            Codec::Bf16 => self.encode::<I, Bf16, 64>(isa),
            Codec::Fp8 => self.encode::<I, Fp8, 32>(isa),
            Codec::Fp8Block => self.encode::<I, Fp8Block, 36>(isa),
            Codec::MxFp8 => self.encode::<I, MxFp8, 33>(isa),
            // No sparse codec comes here.
            _ => self.encode::<I, MxInt8, 33>(isa),
        }
    }
}

impl Flat<'_> {
    #[inline(always)]
    fn encode<I: Isa, B: Block<BYTES>, const BYTES: usize>(self, isa: I) {
        let (full, tail) = self.x.as_chunks::<BLOCK>();
        let (body, rest) = self.payload.split_at_mut(full.len() * BYTES);
        if self.stream {
            let mut stage = Stage([[0; BYTES]; STAGED]);
            for (x, out) in full.chunks(STAGED).zip(body.chunks_mut(STAGED * BYTES)) {
                for (x, bytes) in x.iter().zip(&mut stage.0) {
                    isa.prefetch(x, AHEAD);
                    B::encode(isa, x, bytes);
                }
                isa.stream(&stage.0.as_flattened()[..out.len()], out);
            }
            isa.fence();
        } else {
            for (x, bytes) in full.iter().zip(body.as_chunks_mut().0) {
                B::encode(isa, x, bytes);
            }
        }
        if !tail.is_empty() {
            let (mut x, mut bytes) = ([0.0; BLOCK], [0; BYTES]);
            x[..tail.len()].copy_from_slice(tail);
            B::encode(isa, &x, &mut bytes);
            rest.copy_from_slice(&bytes[..rest.len()]);
        }
    }
}

/// Whole blocks of `sparse_positive`; the last of all may be short.
struct Blocks<'a> {
    x: &'a [f32],
    /// Room for the most they take.
    room: &'a mut [u8],
    /// Bytes they took.
    used: &'a mut usize,
}

impl<I: Positive> Work<I> for Blocks<'_> {
    #[inline(always)]
    fn run(self, isa: I) {
        let (full, tail) = self.x.as_chunks::<BLOCK>();
        let (mut padded, mut bytes, mut at) = ([0.0; BLOCK], [0; sparse_positive::MOST], 0);
        padded[..tail.len()].copy_from_slice(tail);
        let last = (!tail.is_empty()).then_some(&padded);
        for x in full.iter().chain(last) {
            isa.prefetch(x, AHEAD);
            let len = isa.encode_positive(x, &mut bytes);
            // A block that is not the last has room for its most; what is too much is overwritten.
            match self.room[at..].first_chunk_mut() {
                Some(room) => *room = bytes,
                None => self.room[at..at + len].copy_from_slice(&bytes[..len]),
            }
            at += len;
        }
        *self.used = at;
    }
}

/// Strips of tiles of one matrix.
struct Tiles<'a> {
    x: &'a [f32],
    columns: usize,
    /// A flag for each tile.
    live: &'a mut [u8],
    /// Room for all tiles.
    room: &'a mut [u8],
    /// Bytes the live ones took.
    used: &'a mut usize,
}

impl<I: Isa> Work<I> for Tiles<'_> {
    #[inline(always)]
    fn run(self, _: I) {
        let (wide, mut at) = (self.columns.div_ceil(sparse_tile::SIDE), 0);
        let strips = self.x.chunks(sparse_tile::SIDE * self.columns);
        for (strip, live) in strips.zip(self.live.chunks_mut(wide)) {
            let room = &mut self.room[at..];
            at += sparse_tile::BYTES * sparse_tile::encode(strip, self.columns, live, room);
        }
        *self.used = at;
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

impl<I: Positive> Kernel<RhoEncode> for Row<I> {
    fn name(&self) -> &'static str {
        I::NAME
    }

    fn need(&self) -> Need {
        I::NEED
    }

    fn determinism(&self) -> Determinism {
        Determinism::EXACT
    }

    fn arithmetic(&self, _: &StateProblem) -> Arithmetic {
        Arithmetic::FLOAT
    }

    fn accepts(&self, problem: &StateProblem) -> Result<(), String> {
        Codec::named(problem.name).map(drop)
    }

    fn prepare<'p>(
        &self,
        problem: &'p StateProblem,
        context: &mut Context,
    ) -> Result<Box<dyn Prepared + 'p>, Failure> {
        Ok(Box::new(Encode::<I>::new(problem, context)?))
    }
}

/// A row bound to its problem.
pub(crate) struct Encode<I> {
    isa: I,
    codec: Codec,
    shape: StateShape,
    pool: Pool,
    pub(crate) x: Buffer<f32>,
    /// Flags of tiles.
    live: Buffer<u8>,
    /// What tasks of a sparse codec write; empty for the others.
    room: Buffer<u8>,
    payload: Buffer<u8>,
    /// Bytes of the payload, once there is one.
    len: usize,
}

impl<I: Positive> Encode<I> {
    /// A state of a problem, to be encoded.
    pub(crate) fn new(problem: &StateProblem, context: &mut Context) -> Result<Self, Failure> {
        let isa = I::detect().ok_or_else(|| Failure(format!("no {}", I::NAME)))?;
        let (codec, shape) = (Codec::named(problem.name)?, problem.shape);
        let sparse = matches!(codec, Codec::SparsePositive | Codec::SparseTile);
        let tiles = if codec == Codec::SparseTile { sparse_tile::tiles(shape) } else { 0 };
        Ok(Encode {
            isa,
            codec,
            shape,
            pool: context.pool().clone(),
            x: context.copy("x", &problem.x),
            live: context.buffer("live", tiles),
            room: context.buffer("room", if sparse { problem.most_bytes } else { 0 }),
            payload: context.buffer("payload", problem.most_bytes),
            len: 0,
        })
    }

    /// The payload of the last launch.
    pub(crate) fn payload(&self) -> &[u8] {
        &self.payload[..self.len]
    }

    fn flat(&mut self) {
        let Encode { isa, codec, .. } = *self;
        let stream = 4 * self.x.len() + self.payload.len() >= STREAMED;
        let payload = self.payload.chunks_mut(TASK / BLOCK * codec.block_bytes());
        let tasks = self.x.chunks(TASK).zip(payload);
        let tasks = tasks.map(|(x, payload)| Flat { codec, x, payload, stream });
        self.pool.for_each(tasks.collect(), |task| isa.enter(task));
        self.len = self.payload.len();
    }

    fn positive(&mut self) {
        let isa = self.isa;
        let mut used = vec![0; self.x.len().div_ceil(TASK)];
        let sizes = TASK / BLOCK * sparse_positive::MOST;
        let tasks = self.x.chunks(TASK).zip(self.room.chunks_mut(sizes)).zip(&mut used);
        let tasks = tasks.map(|((x, room), used)| Blocks { x, room, used });
        self.pool.for_each(tasks.collect(), |task| isa.enter(task));
        let made = self.room.chunks(sizes).zip(&used).map(|(room, used)| &room[..*used]);
        self.len = gather(&self.pool, made.collect(), &mut self.payload);
    }

    fn tiles(&mut self) {
        let Encode { isa, shape, .. } = *self;
        let parts = sparse_tile::parts(shape);
        let (columns, bytes) = (shape.columns(), self.live.len().div_ceil(8));
        let sizes = || parts.iter().map(|part| part.tiles * sparse_tile::BYTES);
        let mut used = vec![0; parts.len()];
        let live = cut(&mut self.live, parts.iter().map(|part| part.tiles));
        let room = cut(&mut self.room, sizes());
        let tasks = parts.iter().zip(live).zip(room).zip(&mut used);
        let tasks = tasks.map(|(((part, live), room), used)| {
            let x = &self.x[part.values.clone()];
            Tiles { x, columns, live, room, used }
        });
        self.pool.for_each(tasks.collect(), |task| isa.enter(task));
        let (bitmap, stored) = self.payload.split_at_mut(bytes);
        sparse_tile::bitmap(&self.live, bitmap);
        let room = cut(&mut self.room, sizes());
        let made = room.into_iter().zip(&used).map(|(room, used)| &room[..*used]);
        self.len = bytes + gather(&self.pool, made.collect(), stored);
    }
}

/// Pieces one after the other; answers how long they are together.
fn gather(pool: &Pool, pieces: Vec<&[u8]>, to: &mut [u8]) -> usize {
    let sizes = pieces.iter().map(|piece| piece.len());
    let len = sizes.clone().sum();
    let places = cut(to, sizes);
    let moves = pieces.iter().zip(places).collect();
    pool.for_each(moves, |(piece, place): (&&[u8], &mut [u8])| place.copy_from_slice(piece));
    len
}

impl<I: Positive> Prepared for Encode<I> {
    fn launch(&mut self) -> Result<(), Failure> {
        match self.codec {
            Codec::SparsePositive => self.positive(),
            Codec::SparseTile => self.tiles(),
            _ => self.flat(),
        }
        Ok(())
    }

    fn forget(&mut self) -> Result<(), Failure> {
        self.payload.fill(0xff);
        self.len = 0;
        Ok(())
    }

    fn read(&mut self) -> Result<Outputs, Failure> {
        Ok(Outputs(vec![("payload", Tensor::U8(self.payload().to_vec()))]))
    }
}
