//! Convolution, pooling, attention, rotation and masks.
use super::{config, floats, grid};
use lowbit_reference::bound;
use lowbit_reference::config::viva::AttentionConfig;
use lowbit_reference::op::attention::{
    AttentionInputs, AttentionShape, CausalAlignment, attention,
};
use lowbit_reference::op::conv2d::{Conv2dShape, conv2d_integer};
use lowbit_reference::op::hadamard::hadamard;
use lowbit_reference::op::integer::{Affine, Codes};
use lowbit_reference::op::pool2d::{Divisor, Pool2dShape, average_pool2d, max_pool2d};
use lowbit_reference::op::top_k::{kept, top_k_mask};
use lowbit_reference::op::window::Window;
use proptest::prelude::*;

const WINDOW: Window =
    Window { kernel: [3, 2], stride: [1, 2], pads: [1, 0, 1, 1], dilation: [1, 1] };

/// 2 channels of 5 by 6 in 2 groups, to 4 channels.
const CONV: Conv2dShape =
    Conv2dShape { batch: 1, channels: 2, input: [5, 6], outputs: 4, groups: 2, window: WINDOW };

fn convolve(x: &[i8], w: &[i8]) -> Vec<i32> {
    let [x, w] = [x, w].map(|codes| Affine { codes: Codes::I8(codes), zero_points: &[0] });
    conv2d_integer(&CONV, &x, &w).unwrap()
}

fn codes(len: usize) -> impl Strategy<Value = Vec<i8>> {
    prop::collection::vec(-60i8..=60, len)
}

fn sum<T: Copy + std::ops::Add<Output = T>>(a: &[T], b: &[T]) -> Vec<T> {
    a.iter().zip(b).map(|(a, b)| *a + *b).collect()
}

/// An image of 5 by 6 down by a row and to the right by a stride of the window, zeros behind.
fn shifted(x: &[i8]) -> Vec<i8> {
    let at = |row: usize, column: usize| (row.checked_sub(1), column.checked_sub(2));
    let image = |image: &[i8]| -> Vec<i8> {
        let pixel = |i: usize| match at(i / 6, i % 6) {
            (Some(row), Some(column)) => image[row * 6 + column],
            _ => 0,
        };
        (0..30).map(pixel).collect()
    };
    x.chunks(30).flat_map(image).collect()
}

const POOL: Pool2dShape = Pool2dShape {
    batch: 1,
    channels: 1,
    input: [5, 6],
    window: Window { kernel: [2, 3], stride: [2, 1], pads: [1, 1, 0, 0], dilation: [1, 1] },
    ceil_mode: true,
};

/// 2 heads over 1, 3 queries, 7 keys of 4, values of 5.
fn attend(q: &[f32], k: &[f32], v: &[f32]) -> Vec<f32> {
    let shape = AttentionShape {
        config: AttentionConfig::new(2, 4),
        batch: 1,
        kv_heads: 1,
        query_len: 3,
        key_len: 7,
        value_dim: 5,
        alignment: CausalAlignment::TopLeft,
        seed: 0,
    };
    attention(&shape, &AttentionInputs { q, k, v }).unwrap()
}

proptest! {
    #![proptest_config(config(512))]

    #[test]
    fn convolution_of_codes_is_linear(
        x in codes(60), y in codes(60), w in codes(24), v in codes(24),
    ) {
        prop_assert_eq!(convolve(&sum(&x, &y), &w), sum(&convolve(&x, &w), &convolve(&y, &w)));
        prop_assert_eq!(convolve(&x, &sum(&w, &v)), sum(&convolve(&x, &w), &convolve(&x, &v)));
    }

    #[test]
    fn groups_of_channels_are_apart(x in codes(60), other in codes(30), w in codes(24)) {
        // Two output channels of 5 by 3 each belong to a group.
        let changed = [&x[..30], &other].concat();
        prop_assert_eq!(&convolve(&x, &w)[..30], &convolve(&changed, &w)[..30]);
        let changed = [&other, &x[30..]].concat();
        prop_assert_eq!(&convolve(&x, &w)[30..], &convolve(&changed, &w)[30..]);
    }

    #[test]
    fn convolution_moves_with_its_image(mut x in codes(60), w in codes(24)) {
        // What would move out of the image is zero beforehand.
        for (i, x) in x.iter_mut().enumerate() {
            if i % 30 / 6 == 4 || i % 6 >= 4 {
                *x = 0;
            }
        }
        // Outputs are 5 by 3: a row and a column further, apart from the first of either, which
        // see what moved in.
        let (still, moved) = (convolve(&x, &w), convolve(&shifted(&x), &w));
        for channel in 0..4 {
            for (row, column) in (1..5).flat_map(|row| (1..3).map(move |column| (row, column))) {
                let at = |row: usize, column: usize| (channel * 5 + row) * 3 + column;
                prop_assert_eq!(moved[at(row, column)], still[at(row - 1, column - 1)]);
            }
        }
    }

    #[test]
    fn pooling_is_monotone_and_between_the_extremes(x in floats(30), more in floats(30)) {
        let larger: Vec<f32> = x.iter().zip(&more).map(|(x, more)| x + more.abs()).collect();
        let (low, high) = (max_pool2d(&POOL, &x).unwrap(), max_pool2d(&POOL, &larger).unwrap());
        prop_assert!(low.iter().zip(&high).all(|(low, high)| low <= high));
        prop_assert!(low.iter().all(|max| x.contains(max)));
        let mean = |x: &[f32]| average_pool2d(&POOL, Divisor::Valid, x).unwrap();
        prop_assert!(mean(&x).iter().zip(&mean(&larger)).all(|(low, high)| low <= high));
        prop_assert!(mean(&x).iter().zip(&low).all(|(mean, max)| mean <= max));
    }

    #[test]
    fn average_pooling_commutes_with_powers_of_two(x in grid(30), k in -8i32..=8) {
        for divisor in [Divisor::Valid, Divisor::Padded] {
            let mean = |x: &[f32]| average_pool2d(&POOL, divisor, x).unwrap();
            prop_assert_eq!(mean(&super::scaled(&x, k)), super::scaled(&mean(&x), k));
        }
    }

    #[test]
    fn the_order_of_keys_does_not_matter(
        q in floats(24), k in floats(28), v in floats(35), by in 1usize..7,
    ) {
        let turn = |x: &[f32], row: usize| [&x[by * row..], &x[..by * row]].concat();
        let (one, other) = (attend(&q, &k, &v), attend(&q, &turn(&k, 4), &turn(&v, 5)));
        for (one, other) in one.iter().zip(&other) {
            // Sums in f64 of at most 7 terms differ by far less than the one rounding to f32 of
            // weighted means of values below 4.
            let off = (f64::from(*one) - f64::from(*other)).abs();
            prop_assert!(off <= 4.0 * 2.0 * bound::UNIT, "{one} {other}");
        }
    }

    #[test]
    fn attention_is_a_mean_of_values(q in floats(24), k in floats(28), v in floats(35)) {
        for (i, y) in attend(&q, &k, &v).into_iter().enumerate() {
            let column = || v.iter().skip(i % 5).step_by(5).copied();
            let (least, most) = (column().fold(4.0, f32::min), column().fold(-4.0, f32::max));
            prop_assert!((least.next_down()..=most.next_up()).contains(&y), "{least} {y} {most}");
        }
    }

    #[test]
    fn rotation_is_its_own_inverse_and_keeps_lengths(x in floats(64)) {
        let x: Vec<f64> = x.into_iter().map(f64::from).collect();
        for row_len in [1, 2, 16, 64] {
            let y = hadamard(&x, row_len).unwrap();
            let square = |x: &[f64]| x.iter().map(|x| x * x).sum::<f64>();
            // Six additions and a division round, both ways; sums of 64 values below 4.
            let bound = 64.0 * 4.0 * 16.0 * f64::EPSILON;
            prop_assert!((square(&x) / square(&y) - 1.0).abs() <= bound);
            let back = hadamard(&y, row_len).unwrap();
            prop_assert!(x.iter().zip(&back).all(|(x, back)| (x - back).abs() <= bound));
        }
    }

    #[test]
    fn masks_drop_nothing_larger_than_what_they_keep(x in grid(60), fraction in 0.0f64..=1.0) {
        let mask = top_k_mask(&x, 20, fraction).unwrap();
        for (x, mask) in x.chunks(20).zip(mask.chunks(20)) {
            prop_assert_eq!(mask.iter().filter(|kept| **kept).count(), kept(20, fraction));
            let magnitudes = |wanted: bool| {
                let chosen = x.iter().zip(mask).filter(move |(_, kept)| **kept == wanted);
                chosen.map(|(x, _)| x.abs())
            };
            let least = magnitudes(true).fold(f32::INFINITY, f32::min);
            prop_assert!(magnitudes(false).all(|dropped| dropped <= least));
        }
    }
}
