//! The kernels: see [`super`].
use crate::cube::tile::{SIDE, Tile, multiply, zeros};
use crate::cube::{Packing, decode};
use cubecl::prelude::*;

/// Pixels of a tile.
pub(super) const PIXELS: u32 = 64;
/// Items of a tile.
const DEPTH: u32 = 32;
/// Numbers a tap has in the table: of its plane, and its place in rows and columns.
pub(super) const TAP: u32 = 3;

/// Sizes, in pixels, channels of a group, and words.
#[derive(CubeType, CubeLaunch, Clone, Copy)]
pub(super) struct Shape {
    batch: u32,
    groups: u32,
    /// Input and output channels of a group.
    channels: u32,
    outputs: u32,
    height: u32,
    width: u32,
    rows: u32,
    columns: u32,
    stride_h: u32,
    stride_w: u32,
    top: u32,
    left: u32,
    /// Products of an output, and words of a row of the weight.
    depth: u32,
    words: u32,
}

/// What a kernel is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Variant {
    pub(super) packing: Packing,
    /// Codes of an item, and output channels that each unit makes.
    pub(super) codes: u32,
    pub(super) rows: u32,
}

impl Variant {
    pub(super) fn integer(self) -> bool {
        self.codes > 1
    }

    fn tile(self) -> Tile {
        Tile {
            rows: self.rows,
            columns: PIXELS / SIDE,
            depth: DEPTH,
            row_pitch: self.rows * SIDE + 1,
            column_pitch: PIXELS,
            integer: self.integer(),
        }
    }
}

/// The activation under tap `d` of output pixel `pixel` of group `group` of all images, or zero.
#[cube]
fn activation<A: Numeric>(
    x: &Array<u32>,
    taps: &Array<u32>,
    group: u32,
    pixel: u32,
    d: u32,
    shape: Shape,
    #[comptime] packing: Packing,
) -> A {
    let mut value = A::from_int(0);
    if d < shape.depth && pixel < shape.rows * shape.columns {
        let h = pixel / shape.columns * shape.stride_h + taps[(d * TAP + 1) as usize];
        let w = pixel % shape.columns * shape.stride_w + taps[(d * TAP + 2) as usize];
        let inside = h >= shape.top && w >= shape.left;
        if inside && h - shape.top < shape.height && w - shape.left < shape.width {
            let plane = group * shape.channels + taps[(d * TAP) as usize];
            let at = (plane * shape.height + h - shape.top) * shape.width + w - shape.left;
            let per_word = comptime!(packing.per_word());
            value = decode::<A>(x[(at / per_word) as usize], at % per_word, packing);
        }
    }
    value
}

/// Activations of a tile, item by item.
#[cube]
fn fetch_pixels<E: Numeric>(
    x: &Array<u32>,
    taps: &Array<u32>,
    shared: &mut SharedMemory<E>,
    group: u32,
    first: u32,
    item: u32,
    shape: Shape,
    #[comptime] variant: Variant,
) {
    #[unroll]
    for step in 0..comptime!(PIXELS * DEPTH / (SIDE * SIDE)) {
        let at = step * comptime!(SIDE * SIDE) + UNIT_POS;
        // Neighbouring units have neighbouring pixels.
        let (pixel, depth) = (at % PIXELS, at / PIXELS);
        let d = (item + depth) * variant.codes;
        let value = if comptime!(variant.integer()) {
            let mut bytes = 0u32;
            #[unroll]
            for i in 0..4u32 {
                let (tap, packing) = (d + i, comptime!(variant.packing));
                let code = activation::<i32>(x, taps, group, first + pixel, tap, shape, packing);
                bytes |= (u32::cast_from(code) & 255) << comptime!(8 * i);
            }
            E::cast_from(bytes)
        } else {
            activation::<E>(x, taps, group, first + pixel, d, shape, variant.packing)
        };
        shared[(depth * PIXELS + pixel) as usize] = value;
    }
}

/// Weights of a tile.
#[cube]
fn fetch_weights<E: Numeric>(
    w: &Array<u32>,
    shared: &mut SharedMemory<E>,
    first: u32,
    there: u32,
    item: u32,
    shape: Shape,
    #[comptime] variant: Variant,
) {
    let rows = comptime!(variant.rows * SIDE);
    #[unroll]
    for step in 0..comptime!(rows * DEPTH / (SIDE * SIDE)) {
        let at = step * comptime!(SIDE * SIDE) + UNIT_POS;
        let (depth, row) = (at % DEPTH, at / DEPTH);
        let mut value = E::from_int(0);
        if row < there && item + depth < shape.words {
            let bits = w[((first + row) * shape.words + item + depth) as usize];
            if comptime!(variant.integer()) {
                value = E::cast_from(bits);
            } else {
                value = E::cast_from(f32::reinterpret(bits));
            }
        }
        shared[(depth * comptime!(rows + 1) + row) as usize] = value;
    }
}

/// Which outputs a cube makes.
#[derive(CubeType, Clone, Copy)]
struct Place {
    /// The group, of those of one image, and the first channel and pixel of the tile.
    of_image: u32,
    channel: u32,
    pixel: u32,
}

#[cube(launch)]
pub(super) fn convolve<E: Numeric, A: Numeric>(
    x: &Array<u32>,
    w: &Array<u32>,
    taps: &Array<u32>,
    scales: &Array<f32>,
    y: &mut Array<f32>,
    shape: Shape,
    #[comptime] variant: Variant,
) {
    let rows = comptime!(variant.rows * SIDE);
    let per = comptime!(PIXELS / SIDE);
    let mut xs = SharedMemory::<E>::new(comptime!((DEPTH * PIXELS) as usize));
    let mut ws = SharedMemory::<E>::new(comptime!((DEPTH * (rows + 1)) as usize));
    let pixels = shape.rows * shape.columns;
    let (across, down) = (pixels.div_ceil(PIXELS), shape.outputs.div_ceil(rows));
    let cube = CUBE_POS as u32;
    let group = cube / across / down;
    let place = Place {
        of_image: group % shape.groups,
        channel: cube / across % down * rows,
        pixel: cube % across * PIXELS,
    };
    let mut sums = zeros::<A>(comptime!(variant.rows * per));
    let mut item = 0u32;
    let mut end = 0u32;
    if group < shape.batch * shape.groups {
        end = shape.words;
    }
    while item < end {
        let first = place.of_image * shape.outputs + place.channel;
        let there = shape.outputs - place.channel;
        fetch_pixels::<E>(x, taps, &mut xs, group, place.pixel, item, shape, variant);
        fetch_weights::<E>(w, &mut ws, first, there, item, shape, variant);
        sync_cube();
        multiply::<E, A>(&ws, &xs, &mut sums, 0u32, comptime!(variant.tile()));
        sync_cube();
        item += DEPTH;
    }
    #[unroll]
    for i in 0..variant.rows {
        let channel = place.channel + i * SIDE + UNIT_POS_Y;
        #[unroll]
        for j in 0..per {
            let pixel = place.pixel + j * SIDE + UNIT_POS_X;
            if group < shape.batch * shape.groups && channel < shape.outputs && pixel < pixels {
                let sum = f32::cast_from(sums[comptime!((i * per + j) as usize)]);
                let scale = scales[(place.of_image * shape.outputs + channel) as usize];
                y[((group * shape.outputs + channel) * pixels + pixel) as usize] = sum * scale;
            }
        }
    }
}

/// Groups of one output channel: a unit an output.
#[cube(launch)]
pub(super) fn alone<A: Numeric>(
    x: &Array<u32>,
    w: &Array<u32>,
    taps: &Array<u32>,
    scales: &Array<f32>,
    y: &mut Array<f32>,
    shape: Shape,
    #[comptime] variant: Variant,
) {
    let at = CUBE_POS as u32 * comptime!(SIDE * SIDE) + UNIT_POS;
    let pixels = shape.rows * shape.columns;
    let (group, pixel) = (at / pixels, at % pixels);
    if group < shape.batch * shape.groups {
        let of_image = group % shape.groups;
        let mut sum = A::from_int(0);
        for d in 0..shape.depth {
            let bits = w[(of_image * shape.words + d / variant.codes) as usize];
            let weight = decode::<A>(bits, d % variant.codes, variant.packing);
            sum += activation::<A>(x, taps, group, pixel, d, shape, variant.packing) * weight;
        }
        y[at as usize] = f32::cast_from(sum) * scales[of_image as usize];
    }
}
