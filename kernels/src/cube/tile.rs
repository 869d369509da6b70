//! What 16 x 16 units do with two tiles in shared memory, and what neighbouring units do with one
//! value each.
use super::dot4;
use cubecl::prelude::*;

/// Side of a cube in units.
pub(crate) const SIDE: u32 = 16;

/// Two tiles, depth by depth: unit (x, y) makes rows `y + 16 i` by columns `x + 16 j`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Tile {
    /// Rows and columns that each unit makes.
    pub(crate) rows: u32,
    pub(crate) columns: u32,
    pub(crate) depth: u32,
    /// Items from one depth to the next of either tile.
    pub(crate) row_pitch: u32,
    pub(crate) column_pitch: u32,
    /// Whether items are four codes as bytes of a word.
    pub(crate) integer: bool,
}

/// A sum with the product of two items.
#[cube]
pub(crate) fn add<E: Numeric, A: Numeric>(sum: A, x: E, w: E, #[comptime] integer: bool) -> A {
    if comptime!(integer) {
        sum + A::cast_from(dot4(u32::cast_from(x), u32::cast_from(w)))
    } else {
        sum + A::cast_from(x) * A::cast_from(w)
    }
}

/// Add the products of two tiles, the rows from depth `first` on: `rows + columns` reads of shared
/// memory for `rows columns` products.
#[cube]
pub(crate) fn multiply<E: Numeric, A: Numeric>(
    rows: &SharedMemory<E>,
    columns: &SharedMemory<E>,
    sums: &mut Array<A>,
    first: u32,
    #[comptime] tile: Tile,
) {
    for depth in 0..tile.depth {
        let mut values = Array::<E>::new(comptime!(tile.columns as usize));
        #[unroll]
        for j in 0..tile.columns {
            let at = depth * tile.column_pitch + j * SIDE + UNIT_POS_X;
            values[j as usize] = columns[at as usize];
        }
        #[unroll]
        for i in 0..tile.rows {
            let at = (first + depth) * tile.row_pitch + i * SIDE + UNIT_POS_Y;
            let value = rows[at as usize];
            #[unroll]
            for j in 0..tile.columns {
                let at = comptime!((i * tile.columns + j) as usize);
                sums[at] = add::<E, A>(sums[at], value, values[j as usize], tile.integer);
            }
        }
    }
}

/// Sums of nothing.
#[cube]
pub(crate) fn zeros<A: Numeric>(#[comptime] len: u32) -> Array<A> {
    let mut zeros = Array::<A>::new(comptime!(len as usize));
    #[unroll]
    for i in 0..len {
        zeros[i as usize] = A::from_int(0);
    }
    zeros
}

/// What becomes of two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Join {
    Sum,
    /// The larger; of a NaN and another, what the device makes of it.
    Larger,
    /// The larger, NaN if one of them is.
    LargerOrNan,
}

/// Two values as one.
#[cube]
pub(crate) fn joined<A: Numeric>(a: A, b: A, #[comptime] join: Join) -> A {
    if comptime!(join == Join::Sum) {
        a + b
    } else if comptime!(join == Join::Larger) {
        max(a, b)
    } else {
        select(a > b || f32::cast_from(a).is_nan(), a, b)
    }
}

/// The values of `lanes` neighbouring units as one, for each of them, in a tree. All units of the
/// cube must come here; `shared` has a place for each.
#[cube]
pub(crate) fn gather<A: Numeric>(
    value: A,
    shared: &mut SharedMemory<A>,
    #[comptime] join: Join,
    #[comptime] lanes: u32,
) -> A {
    let unit = UNIT_POS;
    shared[unit as usize] = value;
    sync_cube();
    #[unroll]
    for halving in 0..comptime!(lanes.ilog2()) {
        let step = comptime!(lanes >> (halving + 1));
        if unit % lanes < step {
            let other = shared[(unit + step) as usize];
            shared[unit as usize] = joined::<A>(shared[unit as usize], other, join);
        }
        sync_cube();
    }
    let first = shared[(unit - unit % lanes) as usize];
    // The memory may be used again after this.
    sync_cube();
    first
}
