//! Products of matrices on the device: one for a single token, one for many.
//!
//! ```text
//! x[B, inputs, pieces, T, K / pieces]      w[weights, pieces, N, K / pieces]
//! y[b, w, t, n] = relu(s_x s_w[n] sum_k x[k] w[n, k] - threshold)             one scale a row
//! y[b, w, t, n] = relu(s_x sum_g s_w[n, g] sum_{k in g} x[k] w[n, k] - threshold)       groups
//! ```
//!
//! `linear` has one input, one piece and one weight; the projections have more. What is summed is
//! an *item*: four codes as signed bytes in a word where both sides are integers, whose products
//! `dot4` adds at once, else one f32. A format is one branch of [`super::codes`], and the kernels
//! know nothing of it.
//!
//! Zero points are taken off the sums, not the codes, so that codes stay bytes. With codes `x` and
//! `w`, `G` values in a group and the sums `W = sum w`, which do not change, and `X = sum x`:
//! `sum (x - zx) (w - zw) = sum x w - zx W - zw (X - G zx)`.
//! Codes of `uint8` are read as signed bytes of 128 less then, and so are their zero points. Where
//! items are floats, a code less its zero point is one, times the scale of its group.
//!
//! Bounds: `|sum| < 2^31` for every depth an op allows, and what wraps on the way there wraps back;
//! at most 16,640 bytes of shared memory; buffers below the adapter's binding limit, so
//! indices are below 2^30.
mod gemm;
mod gemv;
use super::tile::{self, SIDE, Tile, add};
use super::{Device, Output, Packing, Session, Words, decode, four, spread, step, vector, word};
use crate::Failure;
use cubecl::prelude::*;

/// Items of a tile of a GEMM, where a row has as many.
const DEPTH: u32 = 32;
/// Items of a tile where it has not, or where a scale holds for fewer.
const SHORT: u32 = 8;

/// Tokens and matrices; see the module.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub(crate) batch: usize,
    pub(crate) time: usize,
    pub(crate) inputs: usize,
    pub(crate) pieces: usize,
    pub(crate) weights: usize,
    pub(crate) n: usize,
    /// Values of a piece.
    pub(crate) piece: usize,
    /// Values that share a scale of the weight, where there are more scales than one a row.
    pub(crate) group: Option<usize>,
}

impl Sizes {
    /// Scales of a row of a weight.
    fn groups(&self) -> usize {
        self.group.map_or(1, |group| self.piece.div_ceil(group))
    }

    /// Outputs.
    pub(crate) fn outputs(&self) -> usize {
        self.batch * self.weights * self.time * self.n
    }
}

/// The tokens: rows of whole words, one a piece.
#[derive(Clone, Debug)]
pub(crate) struct Tokens {
    pub(crate) words: Words,
    pub(crate) packing: Packing,
    /// One scale for all or one a token, `[B, inputs, T]`; `[1]` for floats.
    pub(crate) scales: Vec<f32>,
    /// As many zero points as scales, or none.
    pub(crate) zero_points: Vec<i32>,
}

/// The weights: rows of whole words, one a piece.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    pub(crate) words: Words,
    pub(crate) packing: Packing,
    /// One scale for all, or one for each group of each row.
    pub(crate) scales: Vec<f32>,
    /// As many zero points as scales, or none.
    pub(crate) zero_points: Vec<i32>,
    /// The sum of the codes of each group of each row, where tokens have zero points.
    pub(crate) sums: Vec<i32>,
    /// The values of a table, whole numbers if these are.
    pub(crate) table: [f32; 16],
    /// Whether codes, or a table's values, are integers.
    pub(crate) integer: bool,
}

/// What a kernel is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Variant {
    x: Packing,
    w: Packing,
    /// Whether items are four codes, not one f32.
    integer: bool,
    /// Whether scales belong to groups.
    grouped: bool,
    x_zero: bool,
    w_zero: bool,
    relu: bool,
    /// Items of a tile.
    depth: u32,
    /// Rows of a tile that each unit makes.
    rows: u32,
}

impl Variant {
    /// Without zero points.
    fn new(sizes: &Sizes, [x, w]: [Packing; 2], integer: bool, relu: bool) -> Variant {
        let items = sizes.piece.div_ceil(if integer { 4 } else { 1 });
        let long = items > 2 * SHORT as usize;
        let whole = sizes.group.is_none_or(|group| group % (4 * DEPTH as usize) == 0);
        Variant {
            x,
            w,
            integer,
            grouped: sizes.group.is_some(),
            x_zero: false,
            w_zero: false,
            relu,
            depth: if !integer || (long && whole) { DEPTH } else { SHORT },
            rows: if sizes.time > SIDE as usize { 4 } else { 1 },
        }
    }

    /// Items in a word.
    fn items(self, packing: Packing) -> u32 {
        packing.per_word() / if self.integer { 4 } else { 1 }
    }

    /// Whether a float of an operand is more than its code.
    fn valued(self, weight: bool) -> bool {
        !self.integer && if weight { self.w_zero || self.grouped } else { self.x_zero }
    }
}

/// Sizes as kernels see them: of tokens and matrices, of rows in words, of groups in codes.
#[derive(CubeType, CubeLaunch, Clone, Copy)]
struct Shape {
    batch: u32,
    time: u32,
    inputs: u32,
    pieces: u32,
    weights: u32,
    n: u32,
    /// Codes of a piece, and words of it on either side.
    piece: u32,
    x_words: u32,
    w_words: u32,
    /// Values that share a scale of the weight, and how many such there are in a row.
    group: u32,
    groups: u32,
    /// 1 where each token, or each group of the weight, has a scale, 0 where all share one.
    sx_step: u32,
    sw_step: u32,
    /// Where the zero points of weights are, and the sums of their codes.
    zw_at: u32,
    sums_at: u32,
    threshold: f32,
}

/// Where a table's values end and scales of weights begin.
pub(crate) const TABLE: u32 = 16;

/// An item of a word of a table: a value of it, or four as bytes.
#[cube]
fn chosen<E: Numeric>(
    word: u32,
    #[comptime] index: u32,
    table: &Array<f32>,
    #[comptime] integer: bool,
) -> E {
    if comptime!(integer) {
        let mut bytes = 0u32;
        #[unroll]
        for i in 0..4u32 {
            let nibble = (word >> comptime!(16 * index + 4 * i)) & 15;
            let value = i32::cast_from(table[nibble as usize]);
            bytes |= (u32::cast_from(value) & 255) << comptime!(8 * i);
        }
        E::cast_from(bytes)
    } else {
        let nibble = (word >> comptime!(4 * index)) & 15;
        E::cast_from(table[nibble as usize])
    }
}

/// Item `index` of a word.
#[cube]
fn item<E: Numeric>(
    word: u32,
    #[comptime] index: u32,
    table: &Array<f32>,
    #[comptime] packing: Packing,
    #[comptime] integer: bool,
) -> E {
    if comptime!(packing == Packing::Table) {
        chosen::<E>(word, index, table, integer)
    } else if comptime!(integer) {
        E::cast_from(four(word, index, packing))
    } else {
        decode::<E>(word, index, packing)
    }
}

/// What zero points take off the sum of a group: see the module. `x_sum` is that of the codes of
/// the token, `scale_at` counts the scales of weights. Unsigned, since C++ lets no signed sum wrap.
#[cube]
fn zero_points(
    x_sum: i32,
    token: u32,
    scale_at: u32,
    codes: u32,
    zeros: &Array<i32>,
    shape: Shape,
    #[comptime] variant: Variant,
) -> u32 {
    let mut off = 0u32;
    let mut zx = 0u32;
    if comptime!(variant.x_zero) {
        zx = u32::cast_from(zeros[(token * shape.sx_step) as usize]);
        off += zx * u32::cast_from(zeros[(shape.sums_at + scale_at) as usize]);
    }
    if comptime!(variant.w_zero) {
        let zw = u32::cast_from(zeros[(shape.zw_at + scale_at * shape.sw_step) as usize]);
        off += zw * (u32::cast_from(x_sum) - codes * zx);
    }
    off
}

/// What lies beyond the end of a row: codes of 0.
const fn padding(packing: Packing) -> u32 {
    match packing {
        Packing::Uint8 => 0x8080_8080,
        _ => 0,
    }
}

/// A float of a code: less its zero point, times its group's scale, and zero beyond the row's end.
#[cube]
fn valued<E: Numeric>(
    value: E,
    row: u32,
    code: u32,
    scales: &Array<f32>,
    zeros: &Array<i32>,
    shape: Shape,
    #[comptime] variant: Variant,
    #[comptime] weight: bool,
) -> E {
    let mut valued = value;
    if comptime!(variant.valued(weight)) {
        if code >= shape.piece {
            valued = E::from_int(0);
        } else if comptime!(weight) {
            let at = row * shape.groups + code / shape.group;
            if comptime!(variant.w_zero) {
                valued -= E::cast_from(zeros[(shape.zw_at + at * shape.sw_step) as usize]);
            }
            if comptime!(variant.grouped) {
                valued *= E::cast_from(scales[(TABLE + at * shape.sw_step) as usize]);
            }
        } else {
            valued -= E::cast_from(zeros[(row * shape.sx_step) as usize]);
        }
    }
    valued
}

/// The output of a sum that has its weight's scale already.
#[cube]
fn finish(value: f32, shape: Shape, #[comptime] variant: Variant) -> f32 {
    if comptime!(variant.relu) {
        let above = value - shape.threshold;
        // A NaN is not below zero, and stays.
        select(above <= 0.0, 0.0, above)
    } else {
        value
    }
}

/// Words of one side, how they are packed, and its scales: the one of a weight behind [`TABLE`] words.
pub(crate) type Side = (Words, Packing, Words);

/// A product that waits for its tokens.
#[derive(Debug)]
pub(crate) struct Product {
    sizes: Sizes,
    variant: Variant,
    x: Words,
    x_scales: Words,
    w: Words,
    w_scales: Words,
    zeros: Words,
    threshold: f32,
    steps: [u32; 2],
    ats: [usize; 2],
}

impl Product {
    /// Upload what stands beside the codes. A threshold asks for a relu.
    pub(crate) fn new<R: Device>(
        session: &Session<R>,
        sizes: Sizes,
        (x, w): (Tokens, Rows),
        threshold: Option<f32>,
    ) -> Result<Product, Failure> {
        let integer = w.integer && x.packing != Packing::Float;
        let signed =
            |zero: &i32| if integer && x.packing == Packing::Uint8 { zero - 128 } else { *zero };
        let mut zeros: Vec<i32> = x.zero_points.iter().map(signed).collect();
        let zw_at = zeros.len();
        zeros.extend(&w.zero_points);
        let sums_at = zeros.len();
        zeros.extend(&w.sums);
        let variant = Variant {
            x_zero: !x.zero_points.is_empty(),
            w_zero: !w.zero_points.is_empty(),
            ..Variant::new(&sizes, [x.packing, w.packing], integer, threshold.is_some())
        };
        let scales: Vec<f32> = w.table.iter().chain(&w.scales).copied().collect();
        Ok(Product {
            sizes,
            variant,
            steps: [step(&x.scales), step(&w.scales)],
            ats: [zw_at, sums_at],
            x_scales: session.upload(&x.scales)?,
            w_scales: session.upload(&scales)?,
            zeros: session.upload(&zeros)?,
            x: x.words,
            w: w.words,
            threshold: threshold.unwrap_or(0.0),
        })
    }

    /// Of codes, or floats and codes, that were made on the device: nothing is uploaded. `x_step` is 1
    /// where each token of an input has a scale (see [`step`]). `nothing` is some buffer.
    pub(crate) fn of_sides(
        sizes: Sizes,
        (x, w): (Side, Side),
        (x_step, nothing): (u32, Words),
        threshold: Option<f32>,
    ) -> Product {
        let ((x, x_packing, x_scales), (w, w_packing, w_scales)) = (x, w);
        let (integer, relu) = (x_packing != Packing::Float, threshold.is_some());
        let variant = Variant::new(&sizes, [x_packing, w_packing], integer, relu);
        let (zeros, threshold) = (nothing, threshold.unwrap_or(0.0));
        let (steps, ats) = ([x_step, 0], [0; 2]);
        Product { sizes, variant, x, x_scales, w, w_scales, zeros, threshold, steps, ats }
    }

    fn shape<R: Runtime>(&self) -> ShapeLaunch<R> {
        let Sizes { batch, time, inputs, pieces, weights, n, piece, .. } = self.sizes;
        let Variant { x, w, .. } = self.variant;
        let group = self.sizes.group.unwrap_or(piece).max(1);
        let [batch, time, inputs, pieces] = [batch, time, inputs, pieces].map(word);
        let [weights, n, piece_len, group] = [weights, n, piece, group].map(word);
        let [x_words, w_words] = [x, w].map(|packing| word(packing.words(piece)));
        let groups = word(self.sizes.groups());
        let ([sx, sw], [zw_at, sums_at]) = (self.steps, self.ats.map(word));
        ShapeLaunch::new(
            batch,
            time,
            inputs,
            pieces,
            weights,
            n,
            piece_len,
            x_words,
            w_words,
            group,
            groups,
            sx,
            sw,
            zw_at,
            sums_at,
            self.threshold,
        )
    }

    /// Multiply into `y`, `[B, weights, T, N]`.
    pub(crate) fn enqueue<R: Runtime>(&self, client: &ComputeClient<R>, y: &Output) {
        if self.sizes.outputs() == 0 || self.sizes.piece == 0 {
            y.clear(client);
        } else if self.sizes.batch * self.sizes.time == 1 {
            gemv::enqueue(self, client, y);
        } else {
            gemm::enqueue(self, client, y);
        }
    }
}
