//! Values that tell one formula from another, block by block.
use crate::data::{Stream, block_rng};
use crate::format::codebook::Table;
use rand::Rng;

/// Which kinds of blocks there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::op) enum Planted {
    /// Magnitudes up to some thousands.
    Moderate,
    /// Subnormal and huge ones, infinities and NaN as well.
    Anything,
}

/// Kinds of [`Planted::Moderate`]; those of [`Planted::Anything`] follow.
const MODERATE: usize = 7;
const KINDS: usize = MODERATE + 5;

/// `len` values, each block of `block_len` of a kind of its own:
/// 0 zeros of either sign, 1 multiples of 1/2 to 127 (ties of `q8_0`), 2 multiples of 1/16 to 8
/// (ties of `q4_0`), both ends there in either order, 3 multiples of 1/4 to 6 (ties of `mxfp4`),
/// 4 midpoints of NF4 and their neighbours, 5 -1, 0 and 1, 6 any floats within 20 powers of two;
/// 7 subnormal, 8 huge, 9 just below a power of two, 10 with an infinity, 11 with a NaN.
pub(in crate::op) fn planted(
    (seed, stream): (u64, Stream),
    (len, block_len): (usize, usize),
    which: Planted,
) -> Vec<f32> {
    let kinds = if which == Planted::Moderate { MODERATE } else { KINDS };
    let mut x = vec![0.0f32; len];
    for (block, x) in x.chunks_mut(block_len.max(1)).enumerate() {
        let mut rng = block_rng(seed, stream, block);
        plant(&mut rng, block.wrapping_add(seed as usize) % kinds, x);
    }
    x
}

fn plant(rng: &mut impl Rng, kind: usize, x: &mut [f32]) {
    let midpoints = Table::Nf4.thresholds();
    let unit = 2.0f32.powi(rng.random_range(-3..=3));
    // Dividing by 3 and multiplying by its reciprocal, which is rounded, differ.
    let unit = if kind == 4 && rng.random() { 3.0 * unit } else { unit };
    let below = 2.0f32.powi(rng.random_range(-100..=120));
    for x in x.iter_mut() {
        let sign = if rng.random() { 1.0 } else { -1.0 };
        let mut whole = |most: i16| f32::from(rng.random_range(-most..=most));
        *x = match kind {
            0 => 0.0 * sign,
            // The neighbours of one half are no ties.
            1 => match 0.5 * whole(254) {
                half if half.abs() == 0.5 => {
                    let ulps = rng.random_range(-1..=1);
                    f32::from_bits(half.to_bits().wrapping_add_signed(ulps)) * unit
                }
                x => x * unit,
            },
            2 => whole(128) / 16.0 * unit,
            3 => whole(24) / 4.0 * unit,
            4 => {
                let midpoint = midpoints[rng.random_range(0..midpoints.len())];
                let ulps: i32 = rng.random_range(-1..=1);
                f32::from_bits(midpoint.to_bits().wrapping_add_signed(ulps)) * unit
            }
            5 => whole(1),
            6 => whole(i16::MAX) * 2.0f32.powi(rng.random_range(-20..=0)),
            7 => whole(1000) * f32::from_bits(1),
            8 => whole(i16::MAX) / f32::from(i16::MAX) * f32::MAX,
            9 => {
                let steps = rng.random_range(0..100u32);
                sign * f32::from_bits(below.to_bits() - steps)
            }
            _ => whole(100),
        };
    }
    // What every block of the kind must hold, somewhere.
    let ends: &[f32] = match kind {
        1 => &[127.0],
        2 => &[8.0, -8.0],
        3 => &[6.0],
        4 | 5 => &[1.0],
        10 => &[f32::INFINITY],
        11 => &[f32::NAN],
        _ => &[],
    };
    let unit = if kind == 5 { 1.0 } else { unit };
    for end in ends {
        let at = rng.random_range(0..x.len());
        x[at] = if rng.random() { *end } else { -end } * unit;
    }
}
