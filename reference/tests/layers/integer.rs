//! Integer matrix products: zero points, the guard of i32 and requantization.
use super::normal;
use lowbit_reference::op::integer::{
    Affine, Codes, MatMulShape, Requantize, matmul_integer, qlinear_matmul,
};

const fn shape(m: usize, k: usize, n: usize) -> MatMulShape {
    MatMulShape { m, k, n }
}

#[test]
fn zero_points_come_off_per_row_and_column() {
    // (1-1, 2-1) (3-1, 4-1)  times  (5-0, 6-2) (7-0, 8-2), by hand.
    let a = Affine { codes: Codes::U8(&[1, 2, 3, 4]), zero_points: &[1] };
    let b = Affine { codes: Codes::I8(&[5, 6, 7, 8]), zero_points: &[0, 2] };
    assert_eq!(matmul_integer(shape(2, 2, 2), &a, &b), Ok(vec![7, 6, 31, 26]));
    let per_row = Affine { zero_points: &[1, 4], ..a };
    assert_eq!(matmul_integer(shape(2, 2, 2), &per_row, &b), Ok(vec![7, 6, -5, -4]));
}

#[test]
fn the_product_is_that_of_wide_integers() {
    let (m, k, n) = (3, 37, 4);
    let byte = |x: &f32| (x * 90.0) as i8;
    let a: Vec<u8> = normal(1, m * k).iter().map(|x| byte(x).cast_unsigned()).collect();
    let b: Vec<i8> = normal(2, k * n).iter().map(byte).collect();
    let zeros = [-128, 5, 0, 127];
    let found = matmul_integer(
        shape(m, k, n),
        &Affine { codes: Codes::U8(&a), zero_points: &[131] },
        &Affine { codes: Codes::I8(&b), zero_points: &zeros },
    );
    // sum a b - z_b sum a - z_a sum b + K z_a z_b
    let wanted = (0..m * n).map(|at| {
        let (i, j) = (at / n, at % n);
        let row: Vec<i64> = (0..k).map(|p| i64::from(a[i * k + p])).collect();
        let column: Vec<i64> = (0..k).map(|p| i64::from(b[p * n + j])).collect();
        let dot: i64 = row.iter().zip(&column).map(|(a, b)| a * b).sum();
        let (rows, columns): (i64, i64) = (row.iter().sum(), column.iter().sum());
        let zero = i64::from(zeros[j]);
        i32::try_from(dot - zero * rows - 131 * columns + 37 * 131 * zero).unwrap()
    });
    assert_eq!(found.unwrap(), wanted.collect::<Vec<i32>>());
}

#[test]
fn the_deepest_legal_sum_fits_and_the_next_is_refused() {
    // |a| reaches 255, |b| 128: 65,793 products fit.
    let deepest = i32::MAX.unsigned_abs() as usize / (255 * 128);
    let a = vec![255u8; deepest + 1];
    let b = vec![-128i8; deepest + 1];
    let product = |k: usize| {
        let a = Affine { codes: Codes::U8(&a[..k]), zero_points: &[0] };
        let b = Affine { codes: Codes::I8(&b[..k]), zero_points: &[0] };
        matmul_integer(shape(1, k, 1), &a, &b)
    };
    assert_eq!(product(deepest), Ok(vec![-(65_793 * 255 * 128)]));
    let error = product(deepest + 1).unwrap_err();
    assert_eq!(error.to_string(), "`k` is 65794, must be from 0 to 65793");
}

#[test]
fn requantization_rounds_half_to_even_adds_the_zero_point_and_saturates() {
    // Sums -4, -3, ... 4 at multiplier 1/2.
    let sums: Vec<i8> = (-4..=4).collect();
    let a = Affine { codes: Codes::I8(&[1]), zero_points: &[0] };
    let b = Affine { codes: Codes::I8(&sums), zero_points: &[0] };
    let base = Requantize {
        a_scale: 0.25,
        b_scales: &[4.0],
        y_scale: 2.0,
        y_zero_point: 10,
        y_range: (0, 255),
    };
    let codes = |requantize| qlinear_matmul(shape(1, 1, 9), &a, &b, &requantize);
    assert_eq!(codes(base), Ok(vec![8, 8, 9, 10, 10, 10, 11, 12, 12]));
    let fine = Requantize { y_scale: 0.01, ..base };
    assert_eq!(codes(fine), Ok(vec![0, 0, 0, 0, 10, 110, 210, 255, 255]));
    let signed = Requantize { y_range: (-128, 127), ..fine };
    assert_eq!(codes(signed).unwrap()[..3], [-128, -128, -128]);
    let per_column = [4.0, 4.0, 4.0, 4.0, 4.0, 8.0, 8.0, 8.0, 8.0];
    let columns = Requantize { b_scales: &per_column, ..base };
    assert_eq!(codes(columns), Ok(vec![8, 8, 9, 10, 10, 11, 12, 13, 14]));
    let field = |requantize| codes(requantize).unwrap_err().field;
    assert_eq!(field(Requantize { y_scale: 0.0, ..base }), "a_scale * b_scale / y_scale");
    assert_eq!(field(Requantize { a_scale: f32::NAN, ..base }), "a_scale * b_scale / y_scale");
    assert_eq!(field(Requantize { a_scale: -0.25, ..base }), "a_scale * b_scale / y_scale");
    assert_eq!(field(Requantize { y_zero_point: 256, ..base }), "y_zero_point");
    assert_eq!(field(Requantize { b_scales: &per_column[..2], ..base }), "b_scales");
}

#[test]
fn the_order_of_requantization_is_as_stated() {
    // 21 (0.1 0.3 / y) is exactly half a step for one order of the three roundings, and just off
    // for another; scales are searched that tell them apart.
    let (a, b, sum) = (0.1f32, 0.3f32, 21i8);
    let codes = [sum];
    let product = |y_scale: f32| {
        qlinear_matmul(
            shape(1, 1, 1),
            &Affine { codes: Codes::I8(&[1]), zero_points: &[0] },
            &Affine { codes: Codes::I8(&codes), zero_points: &[0] },
            &Requantize {
                a_scale: a,
                b_scales: &[b],
                y_scale,
                y_zero_point: 0,
                y_range: (-128, 127),
            },
        )
    };
    let mut told = [0; 2];
    for step in 1..100u8 {
        let tie = 21.0 * a * b / (f32::from(step) + 0.5);
        for y in [tie.next_down(), tie, tie.next_up()] {
            let wanted = (21.0 * (a * b / y)).round_ties_even();
            assert_eq!(product(y), Ok(vec![wanted as i16]), "{y}");
            let others = [21.0 * (a * (b / y)), 21.0 * a * b / y];
            for (told, other) in told.iter_mut().zip(others) {
                *told += usize::from(other.round_ties_even() != wanted);
            }
        }
    }
    assert!(told.iter().all(|told| *told > 0), "{told:?}");
}

#[test]
fn empty_huge_and_wrong_shapes() {
    let none = Affine { codes: Codes::U8(&[]), zero_points: &[0] };
    assert_eq!(matmul_integer(shape(2, 0, 2), &none, &none), Ok(vec![0; 4]));
    assert_eq!(matmul_integer(shape(0, 3, 0), &none, &none), Ok(vec![]));
    let field = |shape, a: &Affine, b: &Affine| matmul_integer(shape, a, b).unwrap_err().field;
    assert_eq!(field(shape(1 << 20, 0, 1 << 20), &none, &none), "y");
    assert_eq!(field(shape(usize::MAX, 2, 0), &none, &none), "a");
    let one = Affine { codes: Codes::U8(&[1]), zero_points: &[0] };
    assert_eq!(field(shape(1, 1, 2), &one, &one), "b");
    let bad = Affine { zero_points: &[-1], ..one };
    assert_eq!(field(shape(1, 1, 1), &bad, &one), "a.zero_points");
    let many = Affine { zero_points: &[1, 2], ..one };
    assert_eq!(field(shape(1, 1, 1), &one, &many), "b.zero_points");
}
