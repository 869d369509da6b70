//! Pooling: padding, divisors and ceil mode by hand.
use super::normal;
use lowbit_reference::config::viva::PoolConfig;
use lowbit_reference::op::pool2d::{
    Divisor, Pool2dShape, average_pool2d, global_average_pool2d, max_pool2d,
};

#[test]
fn maximum_treats_padding_as_minus_infinity() {
    let pool = PoolConfig::new(3, 2).with_padding(1);
    let x: Vec<f32> = (1..=16).map(|x| -(x as f32)).collect();
    let shape = Pool2dShape::new(&pool, [1, 1, 4, 4]);
    assert_eq!(max_pool2d(&shape, &x).unwrap(), [-1.0, -2.0, -5.0, -6.0]);
    let mut x = x;
    x[15] = f32::NAN;
    let y = max_pool2d(&shape, &x).unwrap();
    assert_eq!(y[..3], [-1.0, -2.0, -5.0]);
    assert!(y[3].is_nan(), "a maximum over NaN is NaN");
    x[15] = f32::INFINITY;
    assert_eq!(max_pool2d(&shape, &x).unwrap()[3], f32::INFINITY);
}

#[test]
fn averages_divide_by_what_they_say() {
    let x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0];
    let shape = Pool2dShape::new(&PoolConfig::new(2, 2).with_padding(1), [1, 1, 3, 3]);
    let valid = average_pool2d(&shape, Divisor::Valid, &x).unwrap();
    assert_eq!(valid, [1.0, 2.5, 5.5, 7.0]);
    let padded = average_pool2d(&shape, Divisor::Padded, &x).unwrap();
    assert_eq!(padded, [0.25, 1.25, 2.75, 7.0]);
    // In ceil mode the last window has one column of the image and none of padding: 3 and 6 of
    // two pixels, however large the window is.
    let shape = Pool2dShape::new(&PoolConfig::new(2, 2), [1, 1, 3, 3]);
    let shape = Pool2dShape { ceil_mode: true, ..shape };
    for divisor in [Divisor::Valid, Divisor::Padded] {
        assert_eq!(average_pool2d(&shape, divisor, &x).unwrap(), [3.0, 4.5, 7.5, 9.0]);
    }
    assert_eq!(global_average_pool2d([1, 1, 3, 3], &x).unwrap(), [5.0]);
    assert_eq!(global_average_pool2d([3, 1, 1, 3], &x).unwrap(), [2.0, 5.0, 8.0]);
}

#[test]
fn a_pool_is_per_channel() {
    let x = normal(5, 2 * 3 * 5 * 4);
    let shape = Pool2dShape::new(&PoolConfig::new(3, 2).with_padding(1), [2, 3, 5, 4]);
    let one = Pool2dShape { batch: 1, channels: 1, ..shape };
    let apart = x.chunks(20).flat_map(|x| max_pool2d(&one, x).unwrap()).collect::<Vec<f32>>();
    assert_eq!(max_pool2d(&shape, &x).unwrap(), apart);
    let average = |shape, x: &[f32]| average_pool2d(shape, Divisor::Valid, x).unwrap();
    let apart = x.chunks(20).flat_map(|x| average(&one, x)).collect::<Vec<f32>>();
    assert_eq!(average(&shape, &x), apart);
}

#[test]
fn empty_pools_are_empty_and_huge_ones_refused() {
    let pool = Pool2dShape::new(&PoolConfig::default(), [1, usize::MAX, 0, 4]);
    assert!(max_pool2d(&pool, &[]).is_err());
    let pool = Pool2dShape::new(&PoolConfig::default(), [0, 1, 4, 4]);
    assert_eq!(max_pool2d(&pool, &[]), Ok(vec![]));
    let window = PoolConfig::new(3, 1).window();
    for pads in [[3, 0, 0, 0], [0, 3, 0, 0], [0, 0, 3, 0], [0, 0, 0, 3]] {
        let window = lowbit_reference::op::window::Window { pads, ..window };
        let pool = Pool2dShape { batch: 1, window, ..pool };
        assert!(max_pool2d(&pool, &[0.0; 16]).unwrap_err().field.starts_with("pad_"));
    }
    assert!(global_average_pool2d([0, 1, usize::MAX, 2], &[]).is_err());
    assert_eq!(global_average_pool2d([1, 2, 0, 4], &[]), Ok(vec![0.0; 2]));
}
