//! Every block format.
use super::{config, floats, grid, negated, normal, scaled};
use lowbit_reference::format::{BLOCK_FORMATS, BlockFormat};
use proptest::prelude::*;

/// Values of the longest block.
const LONGEST: usize = 256;

/// Formats with a code -2 but no 2, which a scale by FLOOR reaches. A block that holds it has
/// another scale when it is encoded again, and a block with the signs turned has not.
const TWOS_COMPLEMENT: [&str; 3] = ["mxint8", "mxint6", "mxint4"];

/// Formats whose codes count from the smallest value, so that `-x` is rounded another way.
const WITH_OFFSET: [&str; 3] = ["q4_1", "q4_k", "q5_1"];

/// A scale that is a mean, and a code for each sign only: zeros make the scale smaller, and the
/// sign of zero has no opposite.
const MEAN: [&str; 1] = ["q1_0"];

/// The first of the largest magnitudes decides on the sign of the scale, so its place matters where
/// there are two of them.
const FIRST_OF_EQUALS: [&str; 2] = ["q4_0", "q5_0"];

/// Every block format but some.
fn without(names: &[&str]) -> impl Iterator<Item = &'static dyn BlockFormat> {
    BLOCK_FORMATS.iter().copied().filter(|format| !names.contains(&format.name()))
}

/// Some block formats.
fn only(names: &[&str]) -> Vec<&'static dyn BlockFormat> {
    let found: Vec<_> =
        BLOCK_FORMATS.iter().copied().filter(|f| names.contains(&f.name())).collect();
    assert_eq!(found.len(), names.len());
    found
}

fn kept(format: &dyn BlockFormat, x: &[f32]) -> Vec<f32> {
    format.decode(&format.encode(x).unwrap()).unwrap()
}

/// Values that share a scale.
fn group_len(format: &dyn BlockFormat) -> usize {
    match format.name() {
        "nvfp4" => 16,
        "q4_k" => 32,
        _ => format.block_len(),
    }
}

/// The largest magnitudes of either sign at the front, and half of every block zero.
fn half_zero(format: &dyn BlockFormat, x: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let mut x = x.to_vec();
    let len = group_len(format);
    x.chunks_mut(len).for_each(|group| group[..2].copy_from_slice(&[5.0, -5.0]));
    let mut zeroed = x.clone();
    zeroed.chunks_mut(len).for_each(|group| group[len / 2..].fill(0.0));
    (x, zeroed)
}

/// Whether the other values of a block are kept as they are where half of it is zero.
fn survives_zeros(format: &dyn BlockFormat, x: &[f32]) -> bool {
    let (whole, zeroed) = half_zero(format, x);
    let (whole, zeroed) = (kept(format, &whole), kept(format, &zeroed));
    let len = group_len(format);
    whole.chunks(len).zip(zeroed.chunks(len)).all(|(a, b)| a[..len / 2] == b[..len / 2])
}

proptest! {
    #![proptest_config(config(512))]

    #[test]
    fn bytes_are_stable(x in floats(LONGEST)) {
        for format in without(&TWOS_COMPLEMENT) {
            let bytes = format.encode(&x).unwrap();
            let again = format.encode(&format.decode(&bytes).unwrap()).unwrap();
            prop_assert_eq!(again, bytes, "{}", format.name());
        }
    }

    #[test]
    fn blocks_are_apart(x in floats(LONGEST), y in floats(LONGEST)) {
        for format in BLOCK_FORMATS {
            let both = [format.encode(&x).unwrap(), format.encode(&y).unwrap()].concat();
            prop_assert_eq!(both.len(), 2 * LONGEST / format.block_len() * format.block_bytes());
            prop_assert_eq!(both, format.encode(&[&x[..], &y].concat()).unwrap());
        }
    }

    #[test]
    fn powers_of_two_pass_through(mut x in floats(LONGEST), k in -1i32..=3) {
        // No element of 1/2 to 4, and no scale of a group of them, is subnormal in any format.
        x.iter_mut().for_each(|x| *x = x.signum() * x.abs().max(0.5));
        for format in BLOCK_FORMATS {
            let want = scaled(&kept(*format, &x), k);
            prop_assert_eq!(kept(*format, &scaled(&x, k)), want, "{}", format.name());
        }
    }

    #[test]
    fn signs_pass_through(x in floats(LONGEST)) {
        for format in without(&[&TWOS_COMPLEMENT[..], &WITH_OFFSET].concat()) {
            let (got, want) = (kept(format, &negated(&x)), negated(&kept(format, &x)));
            prop_assert_eq!(got, want, "{}", format.name());
        }
    }

    #[test]
    fn the_order_of_a_group_does_not_matter(x in grid(LONGEST), by in 0usize..256) {
        for format in BLOCK_FORMATS {
            let len = group_len(*format);
            let mut x = x.clone();
            if FIRST_OF_EQUALS.contains(&format.name()) {
                x.chunks_mut(len).for_each(|group| group[by % len] = -5.0);
            }
            let turn = |x: &[f32]| -> Vec<f32> {
                let turned = |group: &[f32]| [&group[by % len..], &group[..by % len]].concat();
                x.chunks(len).flat_map(turned).collect()
            };
            let (got, want) = (kept(*format, &turn(&x)), turn(&kept(*format, &x)));
            prop_assert_eq!(got, want, "{}", format.name());
        }
    }

    #[test]
    fn zeros_beside_them_change_nothing(x in floats(LONGEST)) {
        let grouped = |format: &&dyn BlockFormat| group_len(*format) > 2;
        for format in without(&MEAN).filter(grouped) {
            prop_assert!(survives_zeros(format, &x), "{}", format.name());
        }
    }
}

/// Some example among many draws.
fn example(format: &dyn BlockFormat, fails: impl Fn(&[f32]) -> bool) {
    let found = (0..100).any(|seed| fails(&normal(seed, LONGEST)));
    assert!(found, "{} has the property it is said not to have", format.name());
}

#[test]
fn a_code_without_an_opposite_is_neither_stable_nor_symmetric() {
    for format in only(&TWOS_COMPLEMENT) {
        example(format, |x| {
            let bytes = format.encode(x).unwrap();
            format.encode(&format.decode(&bytes).unwrap()).unwrap() != bytes
        });
        example(format, |x| kept(format, &negated(x)) != negated(&kept(format, x)));
    }
}

#[test]
fn the_first_of_equal_magnitudes_is_the_exact_one() {
    for format in only(&FIRST_OF_EQUALS) {
        let mut x = [0.0; LONGEST];
        x[..2].copy_from_slice(&[4.0, -4.0]);
        let y = kept(format, &x);
        assert!(y[0] == 4.0 && y[1] > -4.0, "{}", format.name());
        x[..2].copy_from_slice(&[-4.0, 4.0]);
        let y = kept(format, &x);
        assert!(y[0] == -4.0 && y[1] < 4.0, "{}", format.name());
    }
}

#[test]
fn codes_that_count_from_the_smallest_value_are_asymmetric() {
    for format in only(&WITH_OFFSET) {
        example(format, |x| kept(format, &negated(x)) != negated(&kept(format, x)));
    }
}

#[test]
fn zeros_beside_them_make_a_mean_smaller_and_are_not_kept() {
    for format in only(&MEAN) {
        assert!(!survives_zeros(format, &normal(1, LONGEST)));
        let zeros = [0.0; LONGEST];
        assert_eq!(kept(format, &zeros), zeros);
        let mut one = zeros;
        one[0] = -128.0;
        assert_eq!(kept(format, &one)[..2], [-1.0, 1.0]);
        assert_eq!(kept(format, &negated(&one))[..2], [1.0, 1.0]);
    }
}
