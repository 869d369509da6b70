//! Projections of codes on device buffers of somebody else's: what a training step enqueues.
//!
//! ```text
//! quantize      codes, and one scale or one a row           statistics, scale, codes: no host copy
//! forward       y = relu(X W - threshold)                   the tiles of `linear`, codes stay packed
//! grad_input    s G W^T                                     floats by packed codes
//! grad_weight   (s X)^T G                                   floats, a tile of 64 x 64 for 256 units
//! ```
//!
//! Rows of codes lie as [`quantize`] writes them: along the last dimension, each on whole words of
//! 32 bits, first code in the low bits. A product sums along rows, so the forward one turns those
//! of the weight on the device first; nothing is quantized twice.
//!
//! Bounds: those of the rows `cube-*` of the projections; sums over no more codes than an i32 holds.
//! Buffers are below 2^30 words. Every function panics where a buffer is shorter than its shape says.
use crate::cube::product::{Product, Side, Sizes, TABLE};
use crate::cube::quantize::{Matrix, Plan, Written};
use crate::cube::{Handle, Output, Packing, Words, decode, spread, word};
use crate::projection::cube::{enqueue_outer, sizes};
use crate::projection::{Arranged, Matrices};
use cubecl::prelude::*;
use lowbit_reference::format::WeightFormat;
use lowbit_reference::op::projection::{DecoderTail, LowrankProjection};
use lowbit_reference::rule::{Granularity, Rule};

/// Units of a cube of the kernels here.
const UNITS: u32 = 256;

/// Words of a device: f32, or packed codes.
#[derive(Clone, Debug)]
pub struct Buffer(Words);

impl Buffer {
    /// The first `len` words of a buffer.
    ///
    /// # Panics
    ///
    /// Where it is shorter.
    pub fn new(handle: Handle, len: usize) -> Buffer {
        let bytes = handle.size_in_used();
        assert!(bytes >= 4 * len as u64, "{len} words of a buffer of {bytes} bytes");
        Buffer(Words::of(handle, len))
    }

    /// The words, of which there must be as many.
    fn words(&self, what: &str, len: usize) -> &Words {
        assert!(self.0.len() >= len, "{what}: {} words, must be {len}", self.0.len());
        &self.0
    }

    /// The buffer, which may be longer.
    pub fn handle(&self) -> Handle {
        self.0.handle()
    }
}

/// Codes of a tensor and their scales.
#[derive(Clone, Debug)]
pub struct Codes {
    /// Rows of whole words.
    pub words: Buffer,
    /// The scale first, or those of the rows.
    pub scales: Buffer,
    /// Whether each row has a scale: an input's may, of a weight all share one.
    pub per_row: bool,
    /// How a row is packed: sign1, ternary2 or int8.
    pub format: &'static dyn WeightFormat,
}

impl Codes {
    fn packing(&self) -> Packing {
        Packing::of(self.format.levels())
    }

    /// The scales of as many rows, and 1 where each has its own: what a row is multiplied by.
    fn scales(&self, what: &str, rows: usize) -> (&Words, u32) {
        let len = if self.per_row { rows } else { 1 };
        (self.scales.words(what, len), u32::from(self.per_row))
    }

    /// The words of as many rows.
    fn rows(&self, what: &str, [rows, row_len]: [usize; 2]) -> &Words {
        self.words.words(what, rows * self.packing().words(row_len))
    }
}

/// Which projection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `[B, H or 1, T, E] x [H, E, L] -> [B, H, T, L]`.
    Lowrank(LowrankProjection),
    /// `[B, H, T, L] x [H L, D] -> [B, 1, T, D]`.
    Decoder(DecoderTail),
}

impl Shape {
    fn matrices(&self) -> Matrices {
        match self {
            Shape::Lowrank(shape) => shape.matrices(),
            Shape::Decoder(shape) => shape.matrices(),
        }
    }
}

/// Words of a row of `len` codes.
pub fn words_of_row(format: &dyn WeightFormat, len: usize) -> usize {
    Packing::of(format.levels()).words(len)
}

/// sign1, ternary2 or int8 codes of `rows` rows of `row_len` finite values, at least one of each, by a rule
/// of one statistic (absmax or absmean) and, as its granularity says, a scale for each row or one
/// for all.
///
/// # Panics
///
/// Under a rule with groups in a row.
pub fn quantize<R: Runtime>(
    client: &ComputeClient<R>,
    x: &Buffer,
    [rows, row_len]: [usize; 2],
    (rule, format): (&Rule, &'static dyn WeightFormat),
) -> Codes {
    let (rule, levels) = (*rule, format.levels());
    let per_row = match rule.granularity {
        Granularity::Tensor => false,
        Granularity::Row => true,
        groups => panic!("{groups:?}: one scale, or one for each row"),
    };
    let (len, groups) = (rows * row_len, if per_row { rows } else { 1 });
    let matrix = Matrix { rule, levels, rows, row_len, groups, group_len: len / groups };
    let plan = Plan::new(matrix);
    let [sums, scales, packed] = plan.lengths().map(|len| Words::empty(client, len));
    let x = x.words("x", len);
    plan.enqueue(client, x, Written { sums: &sums, scales: &scales, packed: &packed });
    Codes { words: Buffer(packed), scales: Buffer(scales), per_row, format }
}

/// The values of codes, `[rows, row_len]` f32.
pub fn dequantize<R: Runtime>(
    client: &ComputeClient<R>,
    codes: &Codes,
    [rows, row_len]: [usize; 2],
) -> Buffer {
    let (len, packing) = (rows * row_len, codes.packing());
    let values = Words::empty(client, len);
    let (cubes, dim) = (spread(len.div_ceil(UNITS as usize)), CubeDim::new_1d(UNITS));
    let words = codes.rows("codes", [rows, row_len]).arg();
    let (scales, step) = codes.scales("scales", rows);
    let (scales, to) = (scales.arg(), values.arg());
    let row = DecodedRowLaunch::new(word(row_len), word(packing.words(row_len)), step);
    decoded::launch::<R>(client, cubes, dim, words, scales, to, word(len), row, packing);
    Buffer(values)
}

/// `y`, or `relu(y - threshold)`, f32 in the shape of the output.
///
/// # Panics
///
/// Where a sum would mix scales: if each row of a weight has its own, or of the input of a decoder of
/// several heads.
pub fn forward<R: Runtime>(
    client: &ComputeClient<R>,
    shape: &Shape,
    [x, w]: [&Codes; 2],
    threshold: Option<f32>,
) -> Buffer {
    let all = shape.matrices();
    let sizes = sizes(&all.forward);
    let turn = Turn { weight: sizes.pieces * all.rows, piece: all.rows, row: (0, 1), code: (1, 0) };
    let (words, scales, step) = input(x, &all);
    let x = (words.clone(), x.packing(), scales.clone());
    let w = turned(client, w, &sizes, (turn, &all));
    product(client, sizes, (x, step, w), threshold)
}

/// The gradient of the input, f32 in its shape, for the gradient `g` of `y` before any relu.
///
/// # Panics
///
/// As [`forward`].
pub fn grad_input<R: Runtime>(
    client: &ComputeClient<R>,
    shape: &Shape,
    g: &Buffer,
    w: &Codes,
) -> Buffer {
    let all = shape.matrices();
    let back = all.backward();
    // A matrix for each piece of the input, or for each input one for each head that uses it.
    let heads = if all.forward.pieces == 1 { back.pieces } else { 1 };
    let turn = Turn { weight: heads * all.rows, piece: all.rows, row: (1, 0), code: (0, 1) };
    let sizes = sizes(&back);
    let one = Words::empty(client, 1);
    unit::launch::<R>(client, spread(1), CubeDim::new_1d(1), one.arg());
    let g = g.words("g", all.forward.tokens() * all.forward.weights * all.forward.n);
    let g = (g.clone(), Packing::Float, one);
    let w = turned(client, w, &sizes, (turn, &all));
    product(client, sizes, (g, 0, w), None)
}

/// The gradient of the weight, f32 in its shape, for the gradient `g` of `y` before any relu.
///
/// # Panics
///
/// As [`forward`].
pub fn grad_weight<R: Runtime>(
    client: &ComputeClient<R>,
    shape: &Shape,
    x: &Codes,
    g: &Buffer,
) -> Buffer {
    let all = shape.matrices();
    let len = all.forward.weights * all.forward.pieces * all.rows * all.columns;
    let to = Words::empty(client, len);
    let (words, scales, step) = input(x, &all);
    let x = (words, x.packing(), scales);
    let g = g.words("g", all.forward.tokens() * all.forward.weights * all.forward.n);
    enqueue_outer(client, &all, x, step, (g.arg(), to.arg()));
    Buffer(to)
}

/// Words and scales of the input of the forward product, and their step.
fn input<'a>(x: &'a Codes, all: &Matrices) -> (&'a Words, &'a Words, u32) {
    let shape = &all.forward;
    assert!(!x.per_row || shape.pieces == 1, "x: a scale for each row, and sums mix rows");
    let rows = shape.tokens() * shape.inputs * shape.pieces;
    let (scales, step) = x.scales("x.scales", rows);
    (x.rows("x", [rows, shape.piece()]), scales, step)
}

fn product<R: Runtime>(
    client: &ComputeClient<R>,
    sizes: Sizes,
    (x, x_step, w): (Side, u32, Side),
    threshold: Option<f32>,
) -> Buffer {
    let y = Output::empty(client, sizes.outputs());
    let nothing = Words::empty(client, 1);
    Product::of_sides(sizes, (x, w), (x_step, nothing), threshold).enqueue(client, &y);
    Buffer(y.words())
}

/// Where a code of a turned matrix is in the packed weight: the row of it for each matrix and piece,
/// and the row and column for each row and code.
#[derive(Clone, Copy)]
struct Turn {
    weight: usize,
    piece: usize,
    row: (usize, usize),
    code: (usize, usize),
}

/// The packed weight in rows along what is summed over, and its scale where a product has it.
fn turned<R: Runtime>(
    client: &ComputeClient<R>,
    w: &Codes,
    sizes: &Sizes,
    (turn, all): (Turn, &Matrices),
) -> Side {
    assert!(!w.per_row, "w: a scale for each row, and sums mix rows");
    let packing = w.packing();
    let to_words = packing.words(sizes.piece);
    let rows = sizes.weights * sizes.pieces * sizes.n;
    let words = Words::empty(client, rows * to_words);
    let [len, n, pieces, piece] = [rows * to_words, sizes.n, sizes.pieces, sizes.piece].map(word);
    let [from_words, to_words] = [packing.words(all.columns), to_words].map(word);
    let [row_row, row_column, code_row, code_column] =
        [turn.row.0, turn.row.1, turn.code.0, turn.code.1].map(word);
    let shape = TurnShapeLaunch::new(
        len,
        n,
        pieces,
        piece,
        from_words,
        to_words,
        word(turn.weight),
        word(turn.piece),
        row_row,
        row_column,
        code_row,
        code_column,
    );
    let (cubes, dim) = (spread((len as usize).div_ceil(UNITS as usize)), CubeDim::new_1d(UNITS));
    let packed = [all.forward.weights * all.forward.pieces * all.rows, all.columns];
    let (from, to) = (w.rows("w", packed).arg(), words.arg());
    rearranged::launch::<R>(client, cubes, dim, from, to, shape, packing);
    let scales = Words::empty(client, TABLE as usize + 1);
    let (from, to) = (w.scales("w.scales", 1).0.arg(), scales.arg());
    placed::launch::<R>(client, spread(1), CubeDim::new_1d(1), from, to);
    (words, packing, scales)
}

/// The scale of floats.
#[cube(launch)]
fn unit(to: &mut Array<f32>) {
    to[0] = 1.0;
}

/// The first value, where products have the scale of a weight.
#[cube(launch)]
fn placed(from: &Array<f32>, to: &mut Array<f32>) {
    to[TABLE as usize] = from[0];
}

/// Values and words of a row, and 1 where each row has a scale.
#[derive(CubeType, CubeLaunch, Clone, Copy)]
struct DecodedRow {
    len: u32,
    words: u32,
    step: u32,
}

/// A unit a value.
#[cube(launch)]
fn decoded(
    words: &Array<u32>,
    scales: &Array<f32>,
    to: &mut Array<f32>,
    len: u32,
    of_row: DecodedRow,
    #[comptime] packing: Packing,
) {
    let at = CUBE_POS as u32 * UNITS + UNIT_POS;
    if at < len {
        let (row, k) = (at / of_row.len, at % of_row.len);
        let per_word = comptime!(packing.per_word());
        let word = words[(row * of_row.words + k / per_word) as usize];
        let scale = scales[(row * of_row.step) as usize];
        to[at as usize] = decode::<f32>(word, k % per_word, packing) * scale;
    }
}

#[derive(CubeType, CubeLaunch, Clone, Copy)]
struct TurnShape {
    /// Words to write.
    len: u32,
    n: u32,
    pieces: u32,
    /// Codes of a row that is written.
    piece: u32,
    from_words: u32,
    to_words: u32,
    weight: u32,
    piece_rows: u32,
    row_row: u32,
    row_column: u32,
    code_row: u32,
    code_column: u32,
}

/// A unit a word: its codes are gathered from where they are packed. Beyond the end of a row are
/// zero bits.
#[cube(launch)]
fn rearranged(
    from: &Array<u32>,
    to: &mut Array<u32>,
    shape: TurnShape,
    #[comptime] packing: Packing,
) {
    let at = CUBE_POS as u32 * UNITS + UNIT_POS;
    if at < shape.len {
        let per_word = comptime!(packing.per_word());
        let bits = comptime!(packing.bits());
        let mask = comptime!((1u32 << packing.bits()) - 1);
        let row = at / shape.to_words;
        let first = at % shape.to_words * per_word;
        let (n, matrix) = (row % shape.n, row / shape.n);
        let (piece, weight) = (matrix % shape.pieces, matrix / shape.pieces);
        let from_row = weight * shape.weight + piece * shape.piece_rows + n * shape.row_row;
        let mut gathered = 0u32;
        #[unroll]
        for j in 0..per_word {
            let k = first + j;
            if k < shape.piece {
                let r = from_row + k * shape.code_row;
                let c = n * shape.row_column + k * shape.code_column;
                let packed = from[(r * shape.from_words + c / per_word) as usize];
                let field = (packed >> (c % per_word * bits)) & mask;
                gathered |= field << comptime!(j * packing.bits());
            }
        }
        to[at as usize] = gathered;
    }
}
