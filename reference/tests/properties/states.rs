//! Every codec of the recurrent state, of both tables.
use super::{config, floats, normal, scaled};
use lowbit_reference::bound;
use lowbit_reference::rho::{
    RHO_COMPRESSIONS, RHO_PRECISIONS, RhoCodec, State, StateShape, rho_compression, rho_precision,
};
use proptest::prelude::*;

/// Two heads of 8 by 12: six blocks of 32, tiles at an edge, a rank below 16.
const SHAPE: [usize; 3] = [2, 8, 12];
const LEN: usize = 192;

/// Every codec with its name; names of both tables with the same codec are given once.
fn all() -> Vec<(&'static str, &'static dyn RhoCodec)> {
    let precisions = RHO_PRECISIONS.iter().map(|p| (p.word.name, p.codec));
    let compressions = RHO_COMPRESSIONS.iter().filter_map(|c| Some((c.word.name, c.codec?)));
    let mut all: Vec<_> = precisions.chain(compressions).collect();
    all.sort_by_key(|(name, _)| *name);
    all.dedup_by_key(|(name, _)| *name);
    all
}

fn kept(codec: &dyn RhoCodec, x: &[f32]) -> Vec<f32> {
    let shape = StateShape::new(&SHAPE).unwrap();
    let state = State::new(shape, x).unwrap();
    let payload = codec.encode(state, None).unwrap();
    assert_eq!(payload.len() as u64, codec.payload_bytes(state));
    codec.decode(&payload, shape, None).unwrap()
}

/// How far a state may be from itself after a second pass, relative to its largest value. None
/// for ternary codes, whose scale is a mean of values that are zero in part, and shrinks.
fn drift(name: &str) -> Option<f64> {
    match name {
        "ternary_block" => None,
        // A scale that is divided by 127, 255 or 448 and multiplied again, and a product.
        "int8_block" | "fp8_block" | "sparse_positive" => Some(bound::gamma(4)),
        // A code -2, which has no opposite, is under twice the scale the next time; what was one
        // step is half of one then, 1/128 of it.
        "blockfp" => Some(1.0 / 128.0),
        // Two factors and 8 products, rounded to f32, and the same once more.
        "lowrank_delta" => Some(2.0 * bound::gamma(3 * 8)),
        _ => Some(0.0),
    }
}

proptest! {
    #![proptest_config(config(256))]

    #[test]
    fn a_second_pass_changes_nothing(x in floats(LEN)) {
        for (name, codec) in all() {
            let once = kept(codec, &x);
            let largest = once.iter().fold(0.0f64, |most, x| most.max(f64::from(x.abs())));
            for (once, again) in once.iter().zip(kept(codec, &once)) {
                let off = (f64::from(*once) - f64::from(again)).abs();
                let same = drift(name).is_none_or(|drift| off <= drift * largest);
                // Whatever the scale, no value changes its code: zero stays zero, a sign a sign.
                let code = |x: f32| (x > 0.0, x < 0.0);
                let free = ["lowrank_delta", "blockfp"].contains(&name);
                let coded = free || code(*once) == code(again);
                prop_assert!(same && coded, "{name}: {once} {again}");
            }
        }
    }

    #[test]
    fn powers_of_two_pass_through(mut x in floats(LEN), k in -1i32..=3) {
        x.iter_mut().for_each(|x| *x = x.signum() * x.abs().max(0.5));
        for (name, codec) in all() {
            prop_assert_eq!(kept(codec, &scaled(&x, k)), scaled(&kept(codec, &x), k), "{}", name);
        }
    }

    #[test]
    fn heads_are_apart(x in floats(LEN), y in floats(LEN / 2)) {
        // A head is three whole blocks, so what is in the other does not matter to any codec.
        let changed = [&x[..LEN / 2], &y].concat();
        for (name, codec) in all() {
            let (one, other) = (kept(codec, &x), kept(codec, &changed));
            prop_assert_eq!(&one[..LEN / 2], &other[..LEN / 2], "{}", name);
        }
    }
}

/// How far a value may be from itself, relative to the largest of its block of 32; none for the
/// codecs that leave out values or have fewer codes than that.
fn error(name: &str) -> Option<f64> {
    // Beside the rounding to a code, a scale and a product are rounded.
    let step = |steps: f64| Some(0.5 / steps + bound::gamma(4));
    match name {
        "fp32" => Some(0.0),
        // Steps of 2^-7 or 2^-3 of a power of two.
        "bf16" | "sparse_tile" => step(128.0),
        "fp8" | "fp8_block" => step(8.0),
        // What is almost 512 becomes 448.
        "blockfp8" => step(4.0),
        "int8_block" => step(127.0),
        // Steps of 1/64 below a power of two that may be almost twice as large.
        "blockfp" => step(64.0),
        _ => None,
    }
}

proptest! {
    #![proptest_config(config(256))]

    #[test]
    fn errors_are_half_a_step(x in floats(LEN)) {
        for (name, codec) in all() {
            let back = kept(codec, &x);
            for (x, back) in x.chunks(32).zip(back.chunks(32)) {
                let largest = x.iter().fold(0.0f64, |most, x| most.max(f64::from(x.abs())));
                for (x, back) in x.iter().zip(back) {
                    let off = (f64::from(*x) - f64::from(*back)).abs();
                    let near = error(name).is_none_or(|error| off <= error * largest);
                    prop_assert!(near, "{name}: {x} {back} of {largest}");
                    // What is kept of the positive part is in its place: in steps of 1/255.
                    let sparse = name != "sparse_positive" || *back == 0.0;
                    prop_assert!(sparse || off <= largest / 500.0, "{name}: {x} {back}");
                }
            }
        }
    }
}

#[test]
fn ternary_states_shrink_with_every_pass() {
    let codec = rho_compression("ternary_block").unwrap().codec.unwrap();
    let once = kept(codec, &normal(5, LEN));
    let again = kept(codec, &once);
    let largest = |x: &[f32]| x.iter().fold(0.0f32, |most, x| most.max(x.abs()));
    assert!(largest(&again) < 0.8 * largest(&once) && largest(&again) > 0.0);
}

#[test]
fn sparse_positive_keeps_nothing_below_zero_and_precisions_do() {
    let x = normal(6, LEN);
    let codec = rho_compression("sparse_positive").unwrap().codec.unwrap();
    assert!(kept(codec, &x).iter().all(|x| *x >= 0.0));
    assert_eq!(kept(rho_precision("fp32").unwrap().codec, &x), x);
}
