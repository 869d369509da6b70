//! The kernel: see [`super`].
use super::tiles::{exp2, fetch, fetch_values, gather};
use crate::cube::tile::{SIDE, Tile, multiply, zeros};
use cubecl::prelude::*;

/// Keys of a tile, and columns of a value that are made at once.
pub(super) const TILE: u32 = 64;
/// Items of queries and keys, and keys of values, that are in shared memory at once.
pub(super) const DEPTH: u32 = 16;
/// Below every score.
const HIDDEN: f32 = -3.0e38;

/// Sizes, in heads of queries, tokens and items.
#[derive(CubeType, CubeLaunch, Clone, Copy)]
pub(super) struct Shape {
    /// Heads of queries in all sequences, of one, and of keys and values of one.
    all: u32,
    heads: u32,
    kv_heads: u32,
    query_len: u32,
    key_len: u32,
    /// Items of a query and a key, and values of a value.
    items: u32,
    value_dim: u32,
    /// Keys that query 0 sees, below 0 where the first queries see none; each later query sees
    /// `causal` more.
    seen: i32,
    causal: i32,
    /// Softmax scale and `log2(e)`.
    factor: f32,
}

/// What a kernel is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Variant {
    pub(super) integer: bool,
    /// Queries that each unit makes.
    pub(super) rows: u32,
    /// Tiles of columns of a value that a cube makes.
    pub(super) values: u32,
}

/// Keys that a query sees.
#[cube]
fn visible(query: u32, shape: Shape) -> u32 {
    let seen = shape.seen + shape.causal * i32::cast_from(query);
    u32::cast_from(clamp(seen, 0, i32::cast_from(shape.key_len)))
}

/// Of the queries of a unit: the largest score, the sum of the weights of its own keys, and sums of
/// weighted values.
#[derive(CubeType)]
struct Queries {
    most: Array<f32>,
    total: Array<f32>,
    answers: Array<f32>,
}

/// Which columns of which queries of which head a cube makes.
#[derive(CubeType, Clone, Copy)]
struct Place {
    head: u32,
    kv_head: u32,
    query: u32,
    column: u32,
}

impl Variant {
    fn queries(self) -> u32 {
        self.rows * SIDE
    }
    fn columns(self) -> u32 {
        self.values * TILE
    }
    /// Queries by keys.
    fn scores(self) -> Tile {
        Tile {
            rows: self.rows,
            columns: TILE / SIDE,
            depth: DEPTH,
            row_pitch: self.queries() + 1,
            column_pitch: TILE + 1,
            integer: self.integer,
        }
    }
    /// Weights of queries by columns of values.
    fn values(self) -> Tile {
        let (columns, column_pitch) = (self.columns() / SIDE, self.columns());
        Tile { columns, column_pitch, integer: false, ..self.scores() }
    }
}

#[cube]
fn begin(#[comptime] variant: Variant) -> Queries {
    let mut most = Array::<f32>::new(comptime!(variant.rows as usize));
    #[unroll]
    for i in 0..variant.rows {
        most[i as usize] = HIDDEN;
    }
    Queries {
        most,
        total: zeros::<f32>(variant.rows),
        answers: zeros::<f32>(comptime!(variant.rows * variant.columns() / SIDE)),
    }
}

/// Products of the cube's queries with 64 keys.
#[cube]
fn products<E: Numeric, A: Numeric, N: Size>(
    q: &Array<Vector<E, N>>,
    k: &Array<Vector<E, N>>,
    place: Place,
    key: u32,
    shape: Shape,
    #[comptime] variant: Variant,
) -> Array<A> {
    let rows = comptime!(variant.queries());
    let mut qs = SharedMemory::<E>::new(comptime!((DEPTH * (rows + 1)) as usize));
    let mut ks = SharedMemory::<E>::new(comptime!((DEPTH * (TILE + 1)) as usize));
    let mut sums = zeros::<A>(comptime!(variant.rows * TILE / SIDE));
    let q_first = place.head * shape.query_len + place.query;
    let k_first = place.kv_head * shape.key_len + key;
    let mut item = 0u32;
    while item < shape.items {
        let there = shape.query_len - place.query;
        let floats = comptime!(!variant.integer);
        fetch::<E, N>(q, &mut qs, q_first, there, item, shape.items, shape.factor, rows, floats);
        let there = shape.key_len - key;
        fetch::<E, N>(k, &mut ks, k_first, there, item, shape.items, shape.factor, TILE, false);
        sync_cube();
        multiply::<E, A>(&qs, &ks, &mut sums, 0u32, comptime!(variant.scores()));
        sync_cube();
        item += DEPTH;
    }
    sums
}

/// Scores of a query with the unit's keys, in powers of two; hidden ones below every other.
#[cube]
fn scores<A: Numeric>(
    sums: &Array<A>,
    q_scales: &Array<f32>,
    k_scales: &Array<f32>,
    place: Place,
    key: u32,
    shape: Shape,
    #[comptime] i: u32,
    #[comptime] variant: Variant,
) -> Array<f32> {
    let per = comptime!(TILE / SIDE);
    let query = min(place.query + i * SIDE + UNIT_POS_Y, shape.query_len - 1);
    let seen = visible(query, shape);
    let mut scores = Array::<f32>::new(comptime!(per as usize));
    #[unroll]
    for j in 0..per {
        let at = key + j * SIDE + UNIT_POS_X;
        let mut score = f32::cast_from(sums[comptime!((i * per + j) as usize)]);
        if comptime!(variant.integer) {
            let q_scale = q_scales[(place.head * shape.query_len + query) as usize];
            let k_at = place.kv_head * shape.key_len + min(at, shape.key_len - 1);
            score *= q_scale * shape.factor * k_scales[k_at as usize];
        }
        scores[j as usize] = select(at < seen, score, HIDDEN);
    }
    scores
}

/// Weights of the queries with the unit's keys, and what was added before under a new maximum.
#[cube]
fn weigh<A: Numeric>(
    sums: &Array<A>,
    queries: &mut Queries,
    weights: &mut SharedMemory<f32>,
    gathered: &mut SharedMemory<f32>,
    q_scales: &Array<f32>,
    k_scales: &Array<f32>,
    place: Place,
    key: u32,
    shape: Shape,
    #[comptime] variant: Variant,
) {
    let per = comptime!(TILE / SIDE);
    let pitch = comptime!(variant.queries() + 1);
    let parts = comptime!(variant.columns() / SIDE);
    #[unroll]
    for i in 0..variant.rows {
        let scores = scores::<A>(sums, q_scales, k_scales, place, key, shape, i, variant);
        let mut largest = scores[0];
        #[unroll]
        for j in 1..per {
            largest = max(largest, scores[j as usize]);
        }
        let before = queries.most[i as usize];
        let now = max(before, gather(largest, gathered, true));
        let shrink = exp2(before - now);
        let mut sum = queries.total[i as usize] * shrink;
        #[unroll]
        for j in 0..per {
            let score = scores[j as usize];
            let weight = select(score > HIDDEN, exp2(score - now), 0.0);
            sum += weight;
            weights[((j * SIDE + UNIT_POS_X) * pitch + i * SIDE + UNIT_POS_Y) as usize] = weight;
        }
        queries.most[i as usize] = now;
        queries.total[i as usize] = sum;
        #[unroll]
        for c in 0..parts {
            let at = comptime!((i * parts + c) as usize);
            queries.answers[at] = queries.answers[at] * shrink;
        }
    }
}

/// Add the weighted values of 64 keys.
#[cube]
fn combine(
    v: &Array<f32>,
    queries: &mut Queries,
    weights: &SharedMemory<f32>,
    vs: &mut SharedMemory<f32>,
    place: Place,
    key: u32,
    end: u32,
    shape: Shape,
    #[comptime] variant: Variant,
) {
    let mut part = 0u32;
    while part < TILE && key + part < end {
        let first = place.kv_head * shape.key_len + key + part;
        let there = shape.key_len - key - part;
        fetch_values(v, vs, first, there, place.column, shape.value_dim, variant.values);
        sync_cube();
        let tile = comptime!(variant.values());
        multiply::<f32, f32>(weights, vs, &mut queries.answers, part, tile);
        sync_cube();
        part += DEPTH;
    }
}

/// Divide by the sums of weights; a query that sees no key has the result 0.
#[cube]
fn finish(
    queries: &Queries,
    gathered: &mut SharedMemory<f32>,
    y: &mut Array<f32>,
    place: Place,
    shape: Shape,
    #[comptime] variant: Variant,
) {
    let parts = comptime!(variant.columns() / SIDE);
    #[unroll]
    for i in 0..variant.rows {
        let query = place.query + i * SIDE + UNIT_POS_Y;
        let all = gather(queries.total[i as usize], gathered, false);
        #[unroll]
        for c in 0..parts {
            let d = place.column + c * SIDE + UNIT_POS_X;
            if place.head < shape.all && query < shape.query_len && d < shape.value_dim {
                let sum = queries.answers[comptime!((i * parts + c) as usize)];
                let mut answer = 0.0f32;
                if all > 0.0 {
                    // A quotient that may be 2.5 ulp off, put right by its remainder.
                    let near = sum / all;
                    answer = near + fma(-near, all, sum) / all;
                }
                let row = place.head * shape.query_len + query;
                y[(row * shape.value_dim + d) as usize] = answer;
            }
        }
    }
}

#[cube(launch)]
pub(super) fn attend<E: Numeric, A: Numeric, N: Size>(
    q: &Array<Vector<E, N>>,
    k: &Array<Vector<E, N>>,
    q_scales: &Array<f32>,
    k_scales: &Array<f32>,
    v: &Array<f32>,
    y: &mut Array<f32>,
    shape: Shape,
    #[comptime] variant: Variant,
) {
    let rows = comptime!(variant.queries());
    let columns = comptime!(variant.columns());
    let mut weights = SharedMemory::<f32>::new(comptime!((TILE * (rows + 1)) as usize));
    let mut vs = SharedMemory::<f32>::new(comptime!((DEPTH * columns) as usize));
    let mut gathered = SharedMemory::<f32>::new(comptime!((SIDE * (SIDE + 1)) as usize));
    let across = shape.value_dim.div_ceil(columns);
    let down = shape.query_len.div_ceil(rows);
    let cube = CUBE_POS as u32;
    let head = cube / across / down;
    let group = shape.heads / shape.kv_heads;
    let place = Place {
        head,
        kv_head: head / shape.heads * shape.kv_heads + head % shape.heads / group,
        query: cube / across % down * rows,
        column: cube % across * columns,
    };
    let mut queries = begin(variant);
    let mut key = 0u32;
    let mut end = 0u32;
    // Cubes beyond the last head do nothing; all units of one make the same steps.
    if head < shape.all {
        end = visible(min(place.query + comptime!(rows - 1), shape.query_len - 1), shape);
    }
    while key < end {
        let sums = products::<E, A, N>(q, k, place, key, shape, variant);
        weigh::<A>(
            &sums,
            &mut queries,
            &mut weights,
            &mut gathered,
            q_scales,
            k_scales,
            place,
            key,
            shape,
            variant,
        );
        combine(v, &mut queries, &weights, &mut vs, place, key, end, shape, variant);
        key += TILE;
    }
    finish(&queries, &mut gathered, y, place, shape, variant);
}
