//! The kernels of the gradients: see [`super`].
use crate::cube::Packing;
use crate::cube::tile::{SIDE, Tile, multiply, zeros};
use cubecl::prelude::*;

/// Units of a cube that masks a gradient.
pub(super) const UNITS: u32 = 256;
/// Side of a tile of the gradient of the weight.
pub(super) const TILE: u32 = 64;
/// Tokens of a tile.
const DEPTH: u32 = 16;

/// The gradient where the output is above the threshold.
#[cube(launch)]
pub(super) fn mask(
    y: &Array<f32>,
    g: &Array<f32>,
    masked: &mut Array<f32>,
    threshold: f32,
    len: u32,
) {
    let at = CUBE_POS as u32 * UNITS + UNIT_POS;
    if at < len {
        let passes = y[at as usize] - threshold > 0.0;
        masked[at as usize] = select(passes, g[at as usize], 0.0);
    }
}

const UNIT_TILE: Tile = Tile {
    rows: TILE / SIDE,
    columns: TILE / SIDE,
    depth: DEPTH,
    row_pitch: TILE + 1,
    column_pitch: TILE + 1,
    integer: false,
};

/// Sizes of the gradient of the weight: of each matrix `k x n` values, in rows of `columns` among
/// `rows`, the rest of which are zero.
#[derive(CubeType, CubeLaunch, Clone, Copy)]
pub(super) struct OuterShape {
    batch: u32,
    time: u32,
    inputs: u32,
    pieces: u32,
    weights: u32,
    piece: u32,
    n: u32,
    rows: u32,
    columns: u32,
    /// Words of a row of the input, and whether each token has a scale.
    x_words: u32,
    sx_step: u32,
}

/// Value `k` of a row of words, times the scale of its token.
#[cube]
fn value(
    x: &Array<u32>,
    row: u32,
    k: u32,
    scale: f32,
    shape: OuterShape,
    #[comptime] packing: Packing,
) -> f32 {
    let per_word = comptime!(packing.per_word());
    let word = x[(row * shape.x_words + k / per_word) as usize];
    crate::cube::decode::<f32>(word, k % per_word, packing) * scale
}

/// Which tile a cube makes, of which matrix.
#[derive(CubeType, Clone, Copy)]
struct Place {
    weight: u32,
    input: u32,
    piece: u32,
    first_k: u32,
    first_n: u32,
}

/// Inputs and gradients of 16 tokens, counted over all sequences; zeros where they end.
#[cube]
fn fetch(
    x: &Array<u32>,
    x_scales: &Array<f32>,
    g: &Array<f32>,
    xs: &mut SharedMemory<f32>,
    gs: &mut SharedMemory<f32>,
    first: u32,
    place: Place,
    shape: OuterShape,
    #[comptime] packing: Packing,
) {
    #[unroll]
    for step in 0..comptime!(DEPTH * TILE / (SIDE * SIDE)) {
        let at = step * comptime!(SIDE * SIDE) + UNIT_POS;
        let (depth, column) = (at / TILE, at % TILE);
        let (b, t) = ((first + depth) / shape.time, (first + depth) % shape.time);
        let mut x_value = 0.0f32;
        let mut g_value = 0.0f32;
        if b < shape.batch {
            let k = place.first_k + column;
            if k < shape.piece {
                let input = b * shape.inputs + place.input;
                let scale = x_scales[((input * shape.time + t) * shape.sx_step) as usize];
                let row = (input * shape.pieces + place.piece) * shape.time + t;
                x_value = value(x, row, k, scale, shape, packing);
            }
            let n = place.first_n + column;
            if n < shape.n {
                let row = (b * shape.weights + place.weight) * shape.time + t;
                g_value = g[(row * shape.n + n) as usize];
            }
        }
        let to = depth * comptime!(TILE + 1) + column;
        xs[to as usize] = x_value;
        gs[to as usize] = g_value;
    }
}

/// `grad_weight[w, p, k, n] = sum_(b, t) x[b, i, p, t, k] g[b, w, t, n]`.
#[cube(launch)]
pub(super) fn outer(
    x: &Array<u32>,
    x_scales: &Array<f32>,
    g: &Array<f32>,
    to: &mut Array<f32>,
    shape: OuterShape,
    #[comptime] packing: Packing,
) {
    let mut xs = SharedMemory::<f32>::new(comptime!((DEPTH * (TILE + 1)) as usize));
    let mut gs = SharedMemory::<f32>::new(comptime!((DEPTH * (TILE + 1)) as usize));
    let (across, down) = (shape.columns.div_ceil(TILE), shape.rows.div_ceil(TILE));
    let tile = CUBE_POS as u32;
    let weight = tile / across / down / shape.pieces;
    let place = Place {
        weight,
        input: weight * shape.inputs / shape.weights,
        piece: tile / across / down % shape.pieces,
        first_k: tile / across % down * TILE,
        first_n: tile % across * TILE,
    };
    let mut sums = zeros::<f32>(comptime!(UNIT_TILE.rows * UNIT_TILE.columns));
    let mut first = 0u32;
    let mut end = 0u32;
    if weight < shape.weights {
        end = shape.batch * shape.time;
    }
    while first < end {
        fetch(x, x_scales, g, &mut xs, &mut gs, first, place, shape, packing);
        sync_cube();
        multiply::<f32, f32>(&xs, &gs, &mut sums, 0u32, UNIT_TILE);
        sync_cube();
        first += DEPTH;
    }
    write(&sums, to, place, shape);
}

/// Write a unit's sums: zeros for what is packed and not used.
#[cube]
fn write(sums: &Array<f32>, to: &mut Array<f32>, place: Place, shape: OuterShape) {
    let per = comptime!(TILE / SIDE);
    #[unroll]
    for i in 0..per {
        let k = place.first_k + i * SIDE + UNIT_POS_Y;
        #[unroll]
        for j in 0..per {
            let n = place.first_n + j * SIDE + UNIT_POS_X;
            if place.weight < shape.weights && k < shape.rows && n < shape.columns {
                let matrix = place.weight * shape.pieces + place.piece;
                let at = (matrix * shape.rows + k) * shape.columns + n;
                to[at as usize] = sums[comptime!((i * per + j) as usize)];
            }
        }
    }
}
