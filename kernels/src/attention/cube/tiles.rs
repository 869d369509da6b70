//! What units do together: rows into shared memory, and one number for a row; and powers of two.
use super::kernel::{DEPTH, TILE};
use crate::cube::tile::SIDE;
use cubecl::prelude::*;
use std::f32::consts::LN_2;

/// `2^x` for `x <= 0`; 0 below -126.5.
#[cube]
pub(super) fn exp2(x: f32) -> f32 {
    let bounded = max(x, -150.0);
    let whole = (bounded + 0.5).floor();
    let rest = bounded - whole;
    let mut p = 1.525_273_4e-5f32;
    p = p * rest + 1.540_353_e-4;
    p = p * rest + 1.333_355_8e-3;
    p = p * rest + 9.618_129e-3;
    p = p * rest + 5.550_411e-2;
    p = p * rest + 0.240_226_5;
    p = p * rest + LN_2;
    p = p * rest + 1.0;
    let power = i32::cast_from(whole) + 127;
    let scale = f32::reinterpret(u32::cast_from(max(power, 1)) << 23);
    select(power < 1, 0.0, p * scale)
}

/// `rows` rows of tokens into shared memory, item by item, each times a factor where they are
/// `scaled`; zeros where they or the items end.
#[cube]
pub(super) fn fetch<E: Numeric, N: Size>(
    from: &Array<Vector<E, N>>,
    shared: &mut SharedMemory<E>,
    first: u32,
    there: u32,
    item: u32,
    items: u32,
    factor: f32,
    #[comptime] rows: u32,
    #[comptime] scaled: bool,
) {
    let size = N::value();
    let width = comptime!(size as u32);
    let vectors = comptime!(DEPTH / width);
    #[unroll]
    for step in 0..comptime!((rows * vectors).div_ceil(SIDE * SIDE)) {
        let at = step * comptime!(SIDE * SIDE) + UNIT_POS;
        if at < comptime!(rows * vectors) {
            let row = at / vectors;
            let column = at % vectors * width;
            let mut values = Vector::<E, N>::new(E::from_int(0));
            if row < there && item + column < items {
                values = from[(((first + row) * items + item + column) / width) as usize];
            }
            #[unroll]
            for i in 0..width {
                let to = (column + i) * comptime!(rows + 1) + row;
                let mut value = values[comptime!(i as usize)];
                if comptime!(scaled) {
                    value *= E::cast_from(factor);
                }
                shared[to as usize] = value;
            }
        }
    }
}

/// 16 keys' values of some columns; zeros where they end.
#[cube]
pub(super) fn fetch_values(
    v: &Array<f32>,
    shared: &mut SharedMemory<f32>,
    first: u32,
    there: u32,
    column: u32,
    value_dim: u32,
    #[comptime] values: u32,
) {
    let columns = comptime!(TILE * values);
    #[unroll]
    for step in 0..comptime!(DEPTH * columns / (SIDE * SIDE)) {
        let at = step * comptime!(SIDE * SIDE) + UNIT_POS;
        let (key, d) = (at / columns, column + at % columns);
        let mut value = 0.0f32;
        if key < there && d < value_dim {
            value = v[((first + key) * value_dim + d) as usize];
        }
        shared[at as usize] = value;
    }
}

/// The largest, or the sum, of what the 16 units of a row have: two barriers, where the tree of
/// `crate::cube::tile` has six. All units must come here.
#[cube]
pub(super) fn gather(value: f32, shared: &mut SharedMemory<f32>, #[comptime] largest: bool) -> f32 {
    shared[(UNIT_POS_Y * comptime!(SIDE + 1) + UNIT_POS_X) as usize] = value;
    sync_cube();
    let mut all = shared[(UNIT_POS_Y * comptime!(SIDE + 1)) as usize];
    #[unroll]
    for i in 1..SIDE {
        let other = shared[(UNIT_POS_Y * comptime!(SIDE + 1) + i) as usize];
        if comptime!(largest) {
            all = max(all, other);
        } else {
            all += other;
        }
    }
    sync_cube();
    all
}
