//! The product of a single token: 32 units stride over the words of two rows at once, so weights
//! are read once and in order, in vectors of up to four words, and add up in shared memory. Where
//! groups have scales a unit takes whole groups, so that their sums stay integers: lanes then read a
//! group apart, and rows of fewer groups than lanes leave some idle.
use super::{
    Output, Product, Shape, TABLE, Variant, add, finish, item, padding, spread, valued, vector,
    word, zero_points,
};
use crate::cube::sum4;
use crate::cube::tile::{self, Join, gather};
use cubecl::prelude::*;

/// Units that share a row.
const LANES: u32 = 32;
/// Groups of lanes in a cube.
const GROUPS: u32 = 4;
/// Rows a group of lanes makes at once.
const ROWS: u32 = 2;

/// What a unit adds up: sums of its words, and of the token's codes; groups before.
#[derive(CubeType)]
struct Sums<A: Numeric> {
    sums: Array<A>,
    floats: Array<f32>,
    x_sum: i32,
}

#[cube]
fn begin<A: Numeric>() -> Sums<A> {
    let (sums, floats) = (tile::zeros::<A>(ROWS), tile::zeros::<f32>(ROWS));
    Sums::<A> { sums, floats, x_sum: 0i32 }
}

/// Which rows of which weight a unit makes, and in which vectors they are.
#[derive(CubeType, Clone, Copy)]
struct Place {
    weight: u32,
    input: u32,
    first: u32,
    /// Vectors of a row on either side.
    x_vectors: u32,
    w_vectors: u32,
}

/// Add the products of vector `column` of a piece of the unit's rows.
#[cube]
fn multiply<E: Numeric, A: Numeric, NX: Size, NW: Size>(
    x: &Array<Vector<u32, NX>>,
    w: &Array<Vector<u32, NW>>,
    beside: &Array<f32>,
    zeros: &Array<i32>,
    sums: &mut Sums<A>,
    piece: u32,
    column: u32,
    place: Place,
    shape: Shape,
    #[comptime] variant: Variant,
) {
    let (x_size, w_size) = (NX::value(), NW::value());
    let x_width = comptime!(x_size as u32);
    let x_items = comptime!(variant.items(variant.x));
    let w_items = comptime!(variant.items(variant.w));
    let codes = comptime!(w_size as u32 * w_items);
    // Vectors of `x` beside one of `w`, which has as many codes or more.
    let along = comptime!(codes / x_items / x_width);
    let x_row = place.input * shape.pieces + piece;
    let w_row = (place.weight * shape.pieces + piece) * shape.n;
    #[unroll]
    for v in 0..along {
        let x_column = column * along + v;
        let mut values = Vector::<u32, NX>::new(comptime!(padding(variant.x)));
        if x_column < place.x_vectors {
            values = x[(x_row * place.x_vectors + x_column) as usize];
        }
        #[unroll]
        for r in 0..ROWS {
            // Rows beyond the last repeat it; they are not stored.
            let row = w_row + min(place.first + r, shape.n - 1);
            let words = w[(row * place.w_vectors + column) as usize];
            #[unroll]
            for i in 0..comptime!(x_width * x_items) {
                let at = comptime!(v * x_width * x_items + i);
                let x_word = values[comptime!((i / x_items) as usize)];
                let w_word = words[comptime!((at / w_items) as usize)];
                let (x_index, w_index) = comptime!((i % x_items, at % w_items));
                let x_item = item::<E>(x_word, x_index, beside, variant.x, variant.integer);
                let w_item = item::<E>(w_word, w_index, beside, variant.w, variant.integer);
                let code = column * codes + at;
                let input = place.input;
                let value = valued::<E>(x_item, input, code, beside, zeros, shape, variant, false);
                let weight = valued::<E>(w_item, row, code, beside, zeros, shape, variant, true);
                sums.sums[r as usize] =
                    add::<E, A>(sums.sums[r as usize], value, weight, variant.integer);
                if comptime!(variant.w_zero && variant.integer && r == 0) {
                    sums.x_sum += sum4(u32::cast_from(value));
                }
            }
        }
    }
}

/// Take the sums of a group over into the floats, zero points off and under the group's scale, and
/// begin again.
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
    let codes = min(shape.group, shape.piece - group * shape.group);
    #[unroll]
    for r in 0..ROWS {
        let row = place.weight * shape.n + min(place.first + r, shape.n - 1);
        let at = row * shape.groups + group;
        let off = zero_points(sums.x_sum, place.input, at, codes, zeros, shape, variant);
        let sum = u32::cast_from(sums.sums[r as usize]) - off;
        let sum = f32::cast_from(i32::cast_from(sum));
        let scale = w_scales[(TABLE + at * shape.sw_step) as usize];
        sums.floats[r as usize] = sums.floats[r as usize] + sum * scale;
        sums.sums[r as usize] = A::from_int(0);
    }
    sums.x_sum = 0;
}

/// The sums over all lanes, scaled and written.
#[cube]
fn store<A: Numeric>(
    sums: &Sums<A>,
    x_scales: &Array<f32>,
    w_scales: &Array<f32>,
    zeros: &Array<i32>,
    y: &mut Array<f32>,
    place: Place,
    shape: Shape,
    #[comptime] variant: Variant,
) {
    let whole = comptime!(variant.grouped && variant.integer);
    let mut shared = SharedMemory::<A>::new(comptime!((LANES * GROUPS) as usize));
    let mut floats = SharedMemory::<f32>::new(comptime!((LANES * GROUPS) as usize));
    let mut x_sums = SharedMemory::<i32>::new(comptime!((LANES * GROUPS) as usize));
    let mut x_sum = 0i32;
    if comptime!(variant.w_zero && variant.integer && !whole) {
        x_sum = gather::<i32>(sums.x_sum, &mut x_sums, Join::Sum, LANES);
    }
    #[unroll]
    for r in 0..ROWS {
        let row = place.weight * shape.n + place.first + r;
        let value = if comptime!(whole) {
            gather::<f32>(sums.floats[r as usize], &mut floats, Join::Sum, LANES)
        } else {
            let sum = gather::<A>(sums.sums[r as usize], &mut shared, Join::Sum, LANES);
            if comptime!(variant.integer && (variant.x_zero || variant.w_zero)) {
                let at = min(row, shape.weights * shape.n - 1);
                let off = zero_points(x_sum, place.input, at, shape.piece, zeros, shape, variant);
                f32::cast_from(i32::cast_from(u32::cast_from(sum) - off))
            } else {
                f32::cast_from(sum)
            }
        };
        if UNIT_POS_X == 0 && place.weight < shape.weights && place.first + r < shape.n {
            let mut scale = x_scales[(place.input * shape.sx_step) as usize];
            if comptime!(!variant.grouped) {
                scale *= w_scales[(TABLE + row * shape.sw_step) as usize];
            }
            y[row as usize] = finish(value * scale, shape, variant);
        }
    }
}

#[cube(launch)]
fn gemv<E: Numeric, A: Numeric, NX: Size, NW: Size>(
    x: &Array<Vector<u32, NX>>,
    w: &Array<Vector<u32, NW>>,
    x_scales: &Array<f32>,
    w_scales: &Array<f32>,
    zeros: &Array<i32>,
    y: &mut Array<f32>,
    shape: Shape,
    #[comptime] variant: Variant,
) {
    let whole = comptime!(variant.grouped && variant.integer);
    let (x_size, w_size) = (NX::value(), NW::value());
    let cubes = shape.n.div_ceil(comptime!(GROUPS * ROWS));
    let cube = CUBE_POS as u32;
    let weight = cube / cubes;
    let place = Place {
        weight,
        input: weight * shape.inputs / shape.weights,
        first: cube % cubes * comptime!(GROUPS * ROWS) + UNIT_POS_Y * ROWS,
        x_vectors: shape.x_words / comptime!(x_size as u32),
        w_vectors: shape.w_words / comptime!(w_size as u32),
    };
    // What a unit takes at once: a vector, or those of a group.
    let mut taken = 1u32;
    if comptime!(whole) {
        taken = shape.group / comptime!(w_size as u32 * variant.w.per_word());
    }
    let chunks = place.w_vectors.div_ceil(taken);
    let mut sums = begin::<A>();
    let mut chunk = UNIT_POS_X;
    let mut end = 0u32;
    if weight < shape.weights {
        end = shape.pieces * chunks;
    }
    while chunk < end {
        let (piece, within) = (chunk / chunks, chunk % chunks);
        let mut column = within * taken;
        let last = min(column + taken, place.w_vectors);
        while column < last {
            multiply::<E, A, NX, NW>(
                x, w, w_scales, zeros, &mut sums, piece, column, place, shape, variant,
            );
            column += 1;
        }
        if comptime!(whole) {
            settle::<A>(&mut sums, zeros, w_scales, within, place, shape, variant);
        }
        chunk += LANES;
    }
    store::<A>(&sums, x_scales, w_scales, zeros, y, place, shape, variant);
}

/// Enqueue the product.
pub(super) fn enqueue<R: Runtime>(product: &Product, client: &ComputeClient<R>, y: &Output) {
    let (sizes, variant) = (product.sizes, product.variant);
    let [x_items, w_items] = [variant.x, variant.w].map(|packing| variant.items(packing));
    let [x_words, w_words] = [variant.x, variant.w].map(|packing| word(packing.words(sizes.piece)));
    let group = sizes.group.map_or(w_words, |group| word(variant.w.words(group)));
    let w_width = vector([w_words, group]);
    let x_width = vector([x_words, word(w_width) * w_items / x_items]);
    let cubes = sizes.weights * sizes.n.div_ceil((GROUPS * ROWS) as usize);
    let launch = match variant.integer {
        true => gemv::launch::<u32, i32, R>,
        false => gemv::launch::<f32, f32, R>,
    };
    launch(
        client,
        spread(cubes),
        CubeDim::new_2d(LANES, GROUPS),
        x_width,
        w_width,
        product.x.vectors(x_width),
        product.w.vectors(w_width),
        product.x_scales.arg(),
        product.w_scales.arg(),
        product.zeros.arg(),
        y.arg(),
        product.shape(),
        variant,
    );
}
