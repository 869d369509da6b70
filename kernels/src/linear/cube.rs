//! CubeCL `linear`: one GEMV and one GEMM for every weight and both activations.
//!
//! A code is decoded to the type the sum is made in, i32 or f32, so a format is one branch of
//! [`decode`], and the two kernels know nothing of it:
//! `y[i, j] = f32(sum_k x[i, k] w[j, k]) * (sx[i] * sw[j])`, and without `sx` for f32.
//!
//! GEMV (m = 1): 32 units stride over the words of two rows at once, so weights are read once and
//! in order, and add up in shared memory. GEMM: a cube of 16 x 16 units makes a tile of 16 rows
//! (64 once m > 16) by 64 columns, 32 deep at a time; each depth is decoded once into shared
//! memory, where a code of `w` serves every row of the tile and one of `x` 64 columns. Rows of
//! `x` are padded with zeros to whole words of `w`, so no tail needs care: what pads `w` is
//! multiplied by zero.
//!
//! Bounds: `|sum| <= 128 reach k`, in i32 for every `k` the op allows (131,071 for int8 weights); 16,640 bytes of
//! shared memory; buffers below the adapter's binding limit, so indices are below 2^30.
use crate::context::Context;
use crate::cube::{Cube, Device, Packing, Ready, Session, Words, decode, padded, spread, word};
use crate::hardware::Need;
use crate::rules::{classic_activation, classic_weight, contiguous};
use crate::{Failure, Kernel, Prepared, Threads};
use cubecl::prelude::*;
use lowbit_reference::op::linear::{Activation, Linear, LinearProblem, PackedWeight};
use lowbit_reference::op::{Arithmetic, Outputs, Tensor};

/// Units that share a row of a GEMV.
const LANES: u32 = 32;
/// Groups of lanes in a cube of a GEMV.
const GROUPS: u32 = 4;
/// Rows a group of lanes makes at once.
const ROWS: u32 = 2;
/// Side of a cube of a GEMM.
const SIDE: u32 = 16;
/// Columns of a GEMM's tile.
const COLUMNS: u32 = 64;
/// Depth of a GEMM's tile: the codes of the fullest word.
const DEPTH: u32 = 32;

/// Sizes, all in elements or words.
#[derive(CubeType, CubeLaunch, Clone, Copy)]
struct Shape {
    m: u32,
    n: u32,
    /// Words of a row of `x` and of `w`.
    x_words: u32,
    w_words: u32,
    /// 1 where each row of `x` or `w` has a scale, 0 where all share one.
    sx_step: u32,
    sw_step: u32,
}

/// What a kernel is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Variant {
    x: Packing,
    w: Packing,
    /// Rows of a GEMM's tile that each unit makes.
    rows: u32,
}

/// A panel of a packed matrix: some of its rows, at all depths.
#[derive(CubeType, Clone, Copy)]
struct Panel {
    first: u32,
    rows: u32,
    words: u32,
}

/// The scaled value of a sum.
#[cube]
fn finish<A: Numeric>(sum: A, sx: f32, sw: f32, #[comptime] x: Packing) -> f32 {
    if comptime!(x == Packing::Float) {
        f32::cast_from(sum) * sw
    } else {
        f32::cast_from(sum) * (sx * sw)
    }
}

#[cube(launch)]
fn gemv<A: Numeric>(
    x: &Array<u32>,
    w: &Array<u32>,
    sx: &Array<f32>,
    sw: &Array<f32>,
    y: &mut Array<f32>,
    shape: Shape,
    #[comptime] variant: Variant,
) {
    let x_per = comptime!(variant.x.per_word());
    let x_words = comptime!(variant.w.per_word() / variant.x.per_word());
    let lane = UNIT_POS_X;
    let first = (CUBE_POS as u32 * GROUPS + UNIT_POS_Y) * ROWS;
    let mut sums = Array::<A>::new(comptime!(ROWS as usize));
    let mut words = Array::<u32>::new(comptime!(ROWS as usize));
    #[unroll]
    for r in 0..ROWS {
        sums[r as usize] = A::from_int(0);
    }
    let mut at = lane;
    while at < shape.w_words {
        #[unroll]
        for r in 0..ROWS {
            // Rows beyond the last repeat it; they are not stored.
            words[r as usize] = w[(min(first + r, shape.n - 1) * shape.w_words + at) as usize];
        }
        #[unroll]
        for p in 0..x_words {
            let values = x[(at * x_words + p) as usize];
            #[unroll]
            for j in 0..x_per {
                let value = decode::<A>(values, j, variant.x);
                #[unroll]
                for r in 0..ROWS {
                    let code = decode::<A>(words[r as usize], p * x_per + j, variant.w);
                    sums[r as usize] += value * code;
                }
            }
        }
        at += LANES;
    }
    let mut shared = SharedMemory::<A>::new(comptime!((LANES * GROUPS * ROWS) as usize));
    let base = UNIT_POS_Y * ROWS * LANES;
    #[unroll]
    for r in 0..ROWS {
        shared[(base + r * LANES + lane) as usize] = sums[r as usize];
    }
    sync_cube();
    #[unroll]
    for halving in 0..comptime!(LANES.ilog2()) {
        let step = comptime!(LANES >> (halving + 1));
        if lane < step {
            #[unroll]
            for r in 0..ROWS {
                let to = base + r * LANES + lane;
                shared[to as usize] = shared[to as usize] + shared[(to + step) as usize];
            }
        }
        sync_cube();
    }
    if lane < ROWS && first + lane < shape.n {
        let scale = sw[((first + lane) * shape.sw_step) as usize];
        let sum = shared[(base + lane * LANES) as usize];
        y[(first + lane) as usize] = finish::<A>(sum, sx[0], scale, variant.x);
    }
}

/// Decode `DEPTH` columns of `rows` rows into shared memory, depth by depth; zeros where the
/// matrix has ended. Neighbouring units read along a row, and the odd pitch spreads their writes
/// over the banks.
#[cube]
fn load<A: Numeric>(
    from: &Array<u32>,
    shared: &mut SharedMemory<A>,
    panel: Panel,
    depth: u32,
    #[comptime] rows: u32,
    #[comptime] packing: Packing,
) {
    let per_word = comptime!(packing.per_word());
    #[unroll]
    for step in 0..comptime!(rows * DEPTH / (SIDE * SIDE)) {
        let item = step * comptime!(SIDE * SIDE) + UNIT_POS;
        let (column, row) = (item % DEPTH, item / DEPTH);
        let at = (depth + column) / per_word;
        let mut value = A::from_int(0);
        if panel.first + row < panel.rows && at < panel.words {
            let word = from[((panel.first + row) * panel.words + at) as usize];
            value = decode::<A>(word, (depth + column) % per_word, packing);
        }
        shared[(column * comptime!(rows + 1) + row) as usize] = value;
    }
}

#[cube(launch)]
fn gemm<A: Numeric>(
    x: &Array<u32>,
    w: &Array<u32>,
    sx: &Array<f32>,
    sw: &Array<f32>,
    y: &mut Array<f32>,
    shape: Shape,
    #[comptime] variant: Variant,
) {
    let rows = comptime!(variant.rows * SIDE);
    let columns = comptime!(COLUMNS / SIDE);
    let mut xs = SharedMemory::<A>::new(comptime!((DEPTH * (variant.rows * SIDE + 1)) as usize));
    let mut ws = SharedMemory::<A>::new(comptime!((DEPTH * (COLUMNS + 1)) as usize));
    let tiles = shape.n.div_ceil(COLUMNS);
    let tile = CUBE_POS as u32;
    let x_panel = Panel { first: tile / tiles * rows, rows: shape.m, words: shape.x_words };
    let w_panel = Panel { first: tile % tiles * COLUMNS, rows: shape.n, words: shape.w_words };
    let mut sums = Array::<A>::new(comptime!((variant.rows * COLUMNS / SIDE) as usize));
    #[unroll]
    for i in 0..comptime!(variant.rows * COLUMNS / SIDE) {
        sums[i as usize] = A::from_int(0);
    }
    let mut depth = 0u32;
    // The trip count is the same for all units, so the barriers are met by all of them.
    while depth < shape.w_words * comptime!(variant.w.per_word()) {
        load::<A>(x, &mut xs, x_panel, depth, rows, variant.x);
        load::<A>(w, &mut ws, w_panel, depth, COLUMNS, variant.w);
        sync_cube();
        for k in 0..DEPTH {
            #[unroll]
            for i in 0..variant.rows {
                let value = xs[(k * (rows + 1) + i * SIDE + UNIT_POS_Y) as usize];
                #[unroll]
                for j in 0..columns {
                    let code = ws[(k * (COLUMNS + 1) + j * SIDE + UNIT_POS_X) as usize];
                    sums[(i * columns + j) as usize] += value * code;
                }
            }
        }
        sync_cube();
        depth += DEPTH;
    }
    #[unroll]
    for i in 0..variant.rows {
        let row = x_panel.first + i * SIDE + UNIT_POS_Y;
        #[unroll]
        for j in 0..columns {
            let column = w_panel.first + j * SIDE + UNIT_POS_X;
            if row < shape.m && column < shape.n {
                let (sx, sw) =
                    (sx[(row * shape.sx_step) as usize], sw[(column * shape.sw_step) as usize]);
                let sum = sums[(i * columns + j) as usize];
                y[(row * shape.n + column) as usize] = finish::<A>(sum, sx, sw, variant.x);
            }
        }
    }
}

/// Sizes of a problem as the device sees it.
struct Plan {
    variant: Variant,
    x_words: usize,
    w_words: usize,
}

impl Plan {
    fn new(p: &LinearProblem, weight: &PackedWeight) -> Plan {
        let w = Packing::of(weight.format.levels());
        let x = match p.activation {
            Activation::F32(_) => Packing::Float,
            Activation::I8(_) | Activation::U8(_) => Packing::Int8,
        };
        let w_words = w.words(p.k);
        let x_words = w_words * (w.per_word() / x.per_word()) as usize;
        let rows = if p.m > SIDE as usize { 4 } else { 1 };
        Plan { variant: Variant { x, w, rows }, x_words, w_words }
    }

    /// Cubes, and units of each.
    fn cubes(&self, p: &LinearProblem) -> (usize, CubeDim) {
        if p.m == 1 {
            return (p.n.div_ceil((GROUPS * ROWS) as usize), CubeDim::new_2d(LANES, GROUPS));
        }
        let tiles = p.m.div_ceil((self.variant.rows * SIDE) as usize);
        (tiles * p.n.div_ceil(COLUMNS as usize), CubeDim::new_2d(SIDE, SIDE))
    }

    fn activations(&self, p: &LinearProblem) -> (Vec<u32>, Vec<f32>) {
        match &p.activation {
            Activation::F32(x) => (padded(f32::as_bytes(x), 4 * p.k, self.x_words), vec![1.0]),
            Activation::I8(x) => {
                (padded(i8::as_bytes(&x.codes), p.k, self.x_words), x.scales.clone())
            }
            Activation::U8(x) => (padded(&x.codes, p.k, self.x_words), x.scales.clone()),
        }
    }
}

/// What both kernels are launched with.
struct Buffers {
    x: Words,
    w: Words,
    sx: Words,
    sw: Words,
}

impl<R: Device> Kernel<Linear> for Cube<R> {
    fn name(&self) -> &'static str {
        R::NAME
    }
    fn need(&self) -> Need {
        R::NEED
    }
    fn threads(&self) -> Threads {
        Threads::Own
    }
    fn arithmetic(&self, problem: &LinearProblem) -> Arithmetic {
        match problem.activation {
            Activation::F32(_) => Arithmetic::FLOAT_GPU,
            Activation::I8(_) | Activation::U8(_) => Arithmetic::INTEGER_GPU,
        }
    }
    fn accepts(&self, p: &LinearProblem) -> Result<(), String> {
        contiguous(p)?;
        classic_activation(p)?;
        let plan = Plan::new(p, classic_weight(p)?);
        let words = [p.m * plan.x_words, p.n * plan.w_words, p.m * p.n];
        self.binds(4 * words.into_iter().fold(0, usize::max))
    }
    fn prepare<'p>(
        &self,
        p: &'p LinearProblem,
        context: &mut Context,
    ) -> Result<Box<dyn Prepared + 'p>, Failure> {
        let mut session = Session::<R>::open(context)?;
        let weight = classic_weight(p)?;
        let plan = Plan::new(p, weight);
        let (x, sx) = plan.activations(p);
        let buffers = Buffers {
            x: session.upload(&x)?,
            w: session.upload(&padded(&weight.bytes, weight.row_bytes, plan.w_words))?,
            sx: session.upload(&sx)?,
            sw: session.upload(&weight.scales)?,
        };
        let y = session.output(context, "y", p.m * p.n)?;
        let steps = [sx.len(), weight.scales.len()].map(|scales| u32::from(scales > 1));
        let shape = [p.m, p.n, plan.x_words, plan.w_words].map(word);
        let (cubes, dim) = plan.cubes(p);
        let (variant, out) = (plan.variant, y.clone());
        let enqueue = move |client: &ComputeClient<R>| {
            let [m, n, x_words, w_words] = shape;
            let shape = ShapeLaunch::new(m, n, x_words, w_words, steps[0], steps[1]);
            let (count, y) = (spread(cubes), out.arg());
            let [x, w, sx, sw] = [&buffers.x, &buffers.w, &buffers.sx, &buffers.sw].map(Words::arg);
            let launch = match (m == 1, variant.x == Packing::Float) {
                (true, true) => gemv::launch::<f32, R>,
                (true, false) => gemv::launch::<i32, R>,
                (false, true) => gemm::launch::<f32, R>,
                (false, false) => gemm::launch::<i32, R>,
            };
            launch(client, count, dim, x, w, sx, sw, y, shape, variant);
        };
        let answer =
            move |session: &Session<R>| Ok(Outputs(vec![("y", Tensor::F32(session.read(&y)?))]));
        Ok(Box::new(Ready::new(session, enqueue, answer)))
    }
}
