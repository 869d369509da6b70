//! The product of many tokens: 16 x 16 units make a tile of 16 or 64 tokens by 64 outputs.
//!
//! Both sides of a tile are fetched in vectors of up to four words and opened into shared memory as
//! items, 32 deep (8 where groups or rows are short); an item of `w` then serves every token of the
//! tile, one of `x` 64 outputs. Each unit makes 1 x 4 or 4 x 4 outputs.
use super::{
    Output, Packing, Product, SIDE, Shape, TABLE, Tile, Variant, finish, item, padding, spread,
    tile, valued, vector, word, zero_points,
};
use crate::cube::sum4;
use cubecl::prelude::*;

/// Outputs of a tile, along a row.
const COLUMNS: u32 = 64;

/// Rows of a matrix that a tile takes, and where it is in them.
#[derive(CubeType, Clone, Copy)]
struct Panel {
    /// Number of its first row in the whole matrix, and how many rows there are from there on.
    first: u32,
    rows: u32,
    /// Words of a row, and those before the tile.
    words: u32,
    from: u32,
}

/// What an operand is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Side {
    variant: Variant,
    weight: bool,
    packing: Packing,
    /// Rows of the tile, words of each, and items of a word.
    rows: u32,
    words: u32,
    items: u32,
}

impl Variant {
    fn side(self, weight: bool) -> Side {
        let packing = if weight { self.w } else { self.x };
        let items = self.items(packing);
        let rows = if weight { COLUMNS } else { self.rows * SIDE };
        Side { variant: self, weight, packing, rows, words: self.depth / items, items }
    }

    fn tile(self) -> Tile {
        Tile {
            rows: self.rows,
            columns: COLUMNS / SIDE,
            depth: self.depth,
            row_pitch: self.rows * SIDE + 1,
            column_pitch: COLUMNS + 1,
            integer: self.integer,
        }
    }
}

/// Open a panel into shared memory, item by item; zeros where the matrix has ended. Neighbouring
/// units read along a row, and the odd pitch spreads their writes over the banks.
#[cube]
fn open<E: Numeric, N: Size>(
    from: &Array<Vector<u32, N>>,
    shared: &mut SharedMemory<E>,
    panel: Panel,
    scales: &Array<f32>,
    zeros: &Array<i32>,
    shape: Shape,
    #[comptime] side: Side,
) {
    let size = N::value();
    let width = comptime!(size as u32);
    let vectors = comptime!(side.words / width);
    let all = comptime!(side.rows * vectors);
    #[unroll]
    for step in 0..comptime!(all.div_ceil(SIDE * SIDE)) {
        let at = step * comptime!(SIDE * SIDE) + UNIT_POS;
        if at < all {
            let row = at / vectors;
            let column = at % vectors * width;
            let mut words = Vector::<u32, N>::new(comptime!(padding(side.packing)));
            let inside = row < panel.rows && panel.from + column < panel.words;
            if inside {
                let place = (panel.first + row) * panel.words + panel.from + column;
                words = from[(place / width) as usize];
            }
            #[unroll]
            for i in 0..width {
                #[unroll]
                for j in 0..side.items {
                    let depth = comptime!(i * side.items + j);
                    let opened = item::<E>(
                        words[comptime!(i as usize)],
                        j,
                        scales,
                        side.packing,
                        side.variant.integer,
                    );
                    let code = (panel.from + column) * side.items + depth;
                    // Rows beyond the last are not stored.
                    let of = panel.first + min(row, panel.rows - 1);
                    let value = valued::<E>(
                        opened,
                        of,
                        code,
                        scales,
                        zeros,
                        shape,
                        side.variant,
                        side.weight,
                    );
                    let to = (column * side.items + depth) * comptime!(side.rows + 1) + row;
                    shared[to as usize] = value;
                }
            }
        }
    }
}

/// What a unit adds up: sums of the group at hand, and of its tokens' codes; groups before.
#[derive(CubeType)]
struct Sums<A: Numeric> {
    sums: Array<A>,
    x_sums: Array<i32>,
    floats: Array<f32>,
}

#[cube]
fn begin<A: Numeric>(#[comptime] variant: Variant) -> Sums<A> {
    let outputs = comptime!(variant.rows * COLUMNS / SIDE);
    Sums::<A> {
        sums: tile::zeros::<A>(outputs),
        x_sums: tile::zeros::<i32>(variant.rows),
        floats: tile::zeros::<f32>(outputs),
    }
}

/// Add the products of a tile, and the codes of its tokens where weights have zero points.
#[cube]
fn multiply<E: Numeric, A: Numeric>(
    xs: &SharedMemory<E>,
    ws: &SharedMemory<E>,
    sums: &mut Sums<A>,
    #[comptime] variant: Variant,
) {
    let tile = comptime!(variant.tile());
    tile::multiply::<E, A>(xs, ws, &mut sums.sums, 0u32, tile);
    if comptime!(variant.w_zero && variant.integer) {
        for k in 0..variant.depth {
            #[unroll]
            for i in 0..variant.rows {
                let value = xs[(k * tile.row_pitch + i * SIDE + UNIT_POS_Y) as usize];
                let sum = sums.x_sums[i as usize];
                sums.x_sums[i as usize] = sum + sum4(u32::cast_from(value));
            }
        }
    }
}

#[cube(launch)]
fn gemm<E: Numeric, A: Numeric, NX: Size, NW: Size>(
    x: &Array<Vector<u32, NX>>,
    w: &Array<Vector<u32, NW>>,
    x_scales: &Array<f32>,
    w_scales: &Array<f32>,
    zeros: &Array<i32>,
    y: &mut Array<f32>,
    shape: Shape,
    #[comptime] variant: Variant,
) {
    let (rows, depth) = comptime!((variant.rows * SIDE, variant.depth));
    let x_side = comptime!(variant.side(false));
    let w_side = comptime!(variant.side(true));
    let mut xs = SharedMemory::<E>::new(comptime!((depth * (rows + 1)) as usize));
    let mut ws = SharedMemory::<E>::new(comptime!((depth * (COLUMNS + 1)) as usize));
    let mut sums = begin::<A>(variant);
    let place = place(shape, rows);
    let items = (shape.x_words * comptime!(x_side.items)).div_ceil(depth);
    // Cubes beyond the last tile do nothing. All units of one make the same steps, so that all of
    // them meet at the barriers.
    let mut step = 0u32;
    let mut steps = 0u32;
    if place.batch < shape.batch {
        steps = shape.pieces * items;
    }
    while step < steps {
        let (piece, from) = (step / items, step % items * depth);
        let x_panel = Panel {
            first: place.token * shape.pieces + piece * shape.time + place.first_t,
            rows: shape.time - place.first_t,
            words: shape.x_words,
            from: from / comptime!(x_side.items),
        };
        let w_panel = Panel {
            first: (place.weight * shape.pieces + piece) * shape.n + place.first_n,
            rows: shape.n - place.first_n,
            words: shape.w_words,
            from: from / comptime!(w_side.items),
        };
        open::<E, NX>(x, &mut xs, x_panel, w_scales, zeros, shape, x_side);
        open::<E, NW>(w, &mut ws, w_panel, w_scales, zeros, shape, w_side);
        sync_cube();
        multiply::<E, A>(&xs, &ws, &mut sums, variant);
        sync_cube();
        step += 1;
        if comptime!(variant.grouped && variant.integer) {
            // A tile is within a group, and the last one ends the last group.
            let codes = min(step * comptime!(4 * depth), shape.piece);
            let open = codes % shape.group;
            if codes == shape.piece || open == 0 {
                let group = (codes - 1) / shape.group;
                settle::<A>(&mut sums, zeros, w_scales, group, place, shape, variant);
            }
        }
    }
    if comptime!(!(variant.grouped && variant.integer)) {
        settle::<A>(&mut sums, zeros, w_scales, 0u32, place, shape, variant);
    }
    store::<A>(&sums, x_scales, w_scales, y, place, shape, variant);
}

/// Scale and write the outputs.
#[cube]
fn store<A: Numeric>(
    sums: &Sums<A>,
    x_scales: &Array<f32>,
    w_scales: &Array<f32>,
    y: &mut Array<f32>,
    place: Place,
    shape: Shape,
    #[comptime] variant: Variant,
) {
    let columns = comptime!(COLUMNS / SIDE);
    #[unroll]
    for i in 0..variant.rows {
        let t = place.first_t + i * SIDE + UNIT_POS_Y;
        #[unroll]
        for j in 0..columns {
            let n = place.first_n + j * SIDE + UNIT_POS_X;
            if place.batch < shape.batch && t < shape.time && n < shape.n {
                let mut scale = x_scales[((place.token + t) * shape.sx_step) as usize];
                if comptime!(!variant.grouped) {
                    let at = (place.weight * shape.n + n) * shape.sw_step;
                    scale *= w_scales[(TABLE + at) as usize];
                }
                let value = sums.floats[comptime!((i * columns + j) as usize)] * scale;
                let row = (place.batch * shape.weights + place.weight) * shape.time + t;
                y[(row * shape.n + n) as usize] = finish(value, shape, variant);
            }
        }
    }
}

/// Which tile a cube makes.
#[derive(CubeType, Clone, Copy)]
struct Place {
    batch: u32,
    weight: u32,
    /// The first token of the sequence, in the whole input.
    token: u32,
    /// The first token and the first row of the weight that the tile has.
    first_t: u32,
    first_n: u32,
}

#[cube]
fn place(shape: Shape, #[comptime] rows: u32) -> Place {
    let across = shape.n.div_ceil(COLUMNS);
    let down = shape.time.div_ceil(rows);
    let tile = CUBE_POS as u32;
    let weight = tile / across / down % shape.weights;
    let batch = tile / across / down / shape.weights;
    Place {
        batch,
        weight,
        token: (batch * shape.inputs + weight * shape.inputs / shape.weights) * shape.time,
        first_t: tile / across % down * rows,
        first_n: tile % across * COLUMNS,
    }
}

/// Take the sums of a group over into the floats, zero points off and under the group's scale, if
/// it has one, and begin again.
#[cube]
fn settle<A: Numeric>(
    sums: &mut Sums<A>,
    zeros: &Array<i32>,
    w_scales: &Array<f32>,
    group: u32,
    place: Place,
    shape: Shape,
    #[comptime] variant: Variant,
) {
    let columns = comptime!(COLUMNS / SIDE);
    let codes = min(shape.group, shape.piece - group * shape.group);
    #[unroll]
    for i in 0..variant.rows {
        // Outputs beyond the last are not stored.
        let t = min(place.first_t + i * SIDE + UNIT_POS_Y, shape.time - 1);
        #[unroll]
        for j in 0..columns {
            let at = comptime!((i * columns + j) as usize);
            let n = min(place.first_n + j * SIDE + UNIT_POS_X, shape.n - 1);
            let scale_at = (place.weight * shape.n + n) * shape.groups + group;
            let mut value = f32::cast_from(sums.sums[at]);
            if comptime!(variant.integer && (variant.x_zero || variant.w_zero)) {
                let x_sum = sums.x_sums[i as usize];
                let token = place.token + t;
                let off = zero_points(x_sum, token, scale_at, codes, zeros, shape, variant);
                value = f32::cast_from(i32::cast_from(u32::cast_from(sums.sums[at]) - off));
            }
            if comptime!(variant.grouped && variant.integer) {
                value *= w_scales[(TABLE + scale_at * shape.sw_step) as usize];
            }
            sums.floats[at] = sums.floats[at] + value;
            sums.sums[at] = A::from_int(0);
        }
        sums.x_sums[i as usize] = 0;
    }
}

/// Enqueue the product.
pub(super) fn enqueue<R: Runtime>(product: &Product, client: &ComputeClient<R>, y: &Output) {
    let (sizes, variant) = (product.sizes, product.variant);
    let tiles = sizes.n.div_ceil(COLUMNS as usize)
        * sizes.time.div_ceil((variant.rows * SIDE) as usize)
        * sizes.weights
        * sizes.batch;
    let width = |weight: bool| {
        let side = variant.side(weight);
        vector([side.words, word(side.packing.words(sizes.piece))])
    };
    let launch = match variant.integer {
        true => gemm::launch::<u32, i32, R>,
        false => gemm::launch::<f32, f32, R>,
    };
    launch(
        client,
        spread(tiles),
        CubeDim::new_2d(SIDE, SIDE),
        width(false),
        width(true),
        product.x.vectors(width(false)),
        product.w.vectors(width(true)),
        product.x_scales.arg(),
        product.w_scales.arg(),
        product.zeros.arg(),
        y.arg(),
        product.shape(),
        variant,
    );
}
