//! Convolution against a second formulation: windows as columns, then a product of matrices.
use super::{close, magnitudes, normal};
use lowbit_reference::bound;
use lowbit_reference::config::viva::Conv2dConfig;
use lowbit_reference::op::conv2d::{Conv2dShape, conv2d, conv2d_integer};
use lowbit_reference::op::integer::{Affine, Codes};
use lowbit_reference::op::shape::MAX_VALUES;
use lowbit_reference::op::window::{SamePadding, Window};

/// Every window as a column of a matrix, then a matrix product per group: another way to convolve.
fn by_columns(shape: &Conv2dShape, x: &[f32], w: &[f32]) -> Vec<f32> {
    let Window { kernel: [kh, kw], stride: [sh, sw], pads: [top, left, ..], dilation: [dh, dw] } =
        shape.window;
    let [height, width] = shape.input;
    let [_, _, out_h, out_w] = shape.output_shape().unwrap();
    let depth = shape.channels / shape.groups;
    let padded = |n: usize, c: usize, row: usize, column: usize| match (
        row.checked_sub(top),
        column.checked_sub(left),
    ) {
        (Some(row), Some(column)) if row < height && column < width => {
            x[((n * shape.channels + c) * height + row) * width + column]
        }
        _ => 0.0,
    };
    let mut y = Vec::new();
    for n in 0..shape.batch {
        for o in 0..shape.outputs {
            let group = o * shape.groups / shape.outputs;
            let weights = &w[o * depth * kh * kw..][..depth * kh * kw];
            for (i, j) in (0..out_h).flat_map(|i| (0..out_w).map(move |j| (i, j))) {
                let column = (0..depth * kh * kw).map(|p| {
                    let (c, k, l) = (p / (kh * kw), p / kw % kh, p % kw);
                    padded(n, group * depth + c, i * sh + k * dh, j * sw + l * dw)
                });
                let products = column.zip(weights).map(|(x, w)| f64::from(x) * f64::from(*w));
                y.push(products.sum::<f64>() as f32);
            }
        }
    }
    y
}

fn shapes() -> Vec<Conv2dShape> {
    let base = Conv2dConfig::default();
    let configs = [
        base,
        Conv2dConfig::new(1, 1, 1, 0),
        Conv2dConfig::new(2, 3, 2, 1),
        base.with_dilation(2).with_padding_hw(1, 3).with_stride_hw(1, 2),
        base.with_groups(2).with_padding(1),
        base.with_groups(4),
    ];
    let mut shapes = configs.map(|c| Conv2dShape::new(&c, [2, 4, 7, 6], 4)).to_vec();
    let window = Conv2dConfig::same(4, 2).same_window([7, 6], SamePadding::Lower).unwrap();
    shapes.push(Conv2dShape { window, ..shapes[0] });
    let window = Window { pads: [0, 3, 2, 1], ..window };
    shapes.push(Conv2dShape { window, ..shapes[0] });
    shapes
}

#[test]
fn convolution_is_a_product_of_matrices() {
    for (seed, shape) in shapes().iter().enumerate() {
        let x = normal(seed as u64, shape.input_shape().iter().product());
        let w = normal(seed as u64 + 100, shape.weight_shape().unwrap().iter().product());
        let y = conv2d(shape, &x, &w, None).unwrap();
        assert_eq!(y, by_columns(shape, &x, &w), "{shape:?}");
        let bias = [1.0, -2.0, 0.5, 4.0];
        let biased = conv2d(shape, &x, &w, Some(&bias)).unwrap();
        let plane = y.len() / 8;
        let magnitude = conv2d(shape, &magnitudes(&x), &magnitudes(&w), None).unwrap();
        for (index, (biased, y)) in biased.iter().zip(&y).enumerate() {
            let wanted = y + bias[index / plane % 4];
            close(*biased, wanted, bound::gamma(3) * (4.0 + f64::from(magnitude[index])));
        }
    }
}

#[test]
fn integer_convolution_is_the_float_one_of_the_differences() {
    for (seed, shape) in shapes().iter().enumerate() {
        let code = |x: &f32| (x * 80.0).clamp(-128.0, 127.0) as i8;
        let x = normal(seed as u64, shape.input_shape().iter().product());
        let w = normal(seed as u64 + 7, shape.weight_shape().unwrap().iter().product());
        let x: Vec<u8> = x.iter().map(|x| code(x).cast_unsigned() ^ 0x80).collect();
        let w: Vec<i8> = w.iter().map(code).collect();
        let zeros = [3, -128, 127, 0];
        let y = conv2d_integer(
            shape,
            &Affine { codes: Codes::U8(&x), zero_points: &[200] },
            &Affine { codes: Codes::I8(&w), zero_points: &zeros },
        );
        let per_channel = w.len() / 4;
        let x: Vec<f32> = x.iter().map(|x| f32::from(*x) - 200.0).collect();
        let w = w.iter().enumerate().map(|(i, w)| f32::from(*w) - zeros[i / per_channel] as f32);
        let wanted = by_columns(shape, &x, &w.collect::<Vec<f32>>());
        // Sums below 2^24 are exact in f32.
        let y: Vec<f32> = y.unwrap().iter().map(|y| *y as f32).collect();
        assert_eq!(y, wanted, "{shape:?}");
    }
}

#[test]
fn groups_are_convolutions_side_by_side() {
    let config = Conv2dConfig::default().with_padding(1);
    let shape = Conv2dShape::new(&config.with_groups(2), [1, 6, 5, 4], 4);
    let (x, w) = (normal(1, 6 * 20), normal(2, 4 * 3 * 9));
    let whole = conv2d(&shape, &x, &w, None).unwrap();
    let half = Conv2dShape::new(&config, [1, 3, 5, 4], 2);
    let part = |g: usize| conv2d(&half, &x[g * 60..][..60], &w[g * 54..][..54], None).unwrap();
    assert_eq!(whole, [part(0), part(1)].concat());
}

#[test]
fn padding_is_left_out_and_nan_is_not() {
    let shape = Conv2dShape::new(&Conv2dConfig::default().with_padding(1), [1, 1, 1, 1], 1);
    let mut w = [f32::INFINITY; 9];
    w[4] = 2.0;
    assert_eq!(conv2d(&shape, &[3.0], &w, None), Ok(vec![6.0]));
    assert!(conv2d(&shape, &[f32::NAN], &w, None).unwrap()[0].is_nan());
}

#[test]
fn empty_shapes_have_empty_results_and_huge_ones_are_refused() {
    let config = Conv2dConfig::default().with_padding(1);
    let conv = Conv2dShape::new(&config, [0, 2, 4, 4], 3);
    assert_eq!(conv2d(&conv, &[], &[0.0; 54], None), Ok(vec![]));
    let no_channels = Conv2dShape { batch: 1, channels: 0, ..conv };
    assert_eq!(conv2d(&no_channels, &[], &[], Some(&[1.0; 3])), Ok(vec![1.0; 48]));
    let no_outputs = Conv2dShape { batch: 1, outputs: 0, ..conv };
    assert_eq!(conv2d(&no_outputs, &[0.0; 32], &[], None), Ok(vec![]));
    // Padding alone: no pixel is left to sum.
    let no_pixels = Conv2dShape { batch: 1, input: [0, 4], ..conv };
    assert!(conv2d(&no_pixels, &[], &[1.0; 54], None).is_err());
    let no_pixels = Conv2dShape { window: config.with_padding(2).window(), ..no_pixels };
    assert_eq!(conv2d(&no_pixels, &[], &[1.0; 54], None), Ok(vec![0.0; 3 * 2 * 6]));

    let field = |shape: &Conv2dShape, w: usize| {
        conv2d(shape, &[0.0; 32], &vec![0.0; w], None).unwrap_err().field
    };
    let conv = Conv2dShape { batch: 1, ..conv };
    let window = conv.window;
    for huge in [MAX_VALUES, usize::MAX] {
        assert_eq!(field(&Conv2dShape { groups: huge, ..conv }, 54), "groups");
        assert_eq!(field(&Conv2dShape { outputs: huge, ..conv }, 54), "w");
        assert_eq!(field(&Conv2dShape { batch: huge, ..conv }, 54), "x");
        let of = |window| Conv2dShape { window, ..conv };
        let pads = [huge, 1, 1, 1];
        let error = field(&of(Window { pads, ..window }), 54);
        assert!(error == "y" || error == "pad_bottom", "{error}");
        assert_eq!(field(&of(Window { kernel: [huge, 3], ..window }), 54), "w");
        let dilated = Window { dilation: [huge, 1], ..window };
        assert!(field(&of(dilated), 54).ends_with("_h"));
        let strided = of(Window { stride: [huge, huge], ..window });
        assert_eq!(conv2d(&strided, &[0.0; 32], &[0.0; 54], None).unwrap().len(), 3);
    }
}

#[test]
fn a_depth_that_could_overflow_i32_is_refused() {
    let shape = Conv2dShape::new(&Conv2dConfig::new(1, 1, 1, 0), [1, 33_026, 1, 1], 1);
    let (x, w) = (vec![255u8; 33_026], vec![0u8; 33_026]);
    let w = Affine { codes: Codes::U8(&w), zero_points: &[255] };
    let x = Affine { codes: Codes::U8(&x), zero_points: &[0] };
    assert_eq!(conv2d_integer(&shape, &x, &w).unwrap_err().field, "depth");
    let shape = Conv2dShape { channels: 33_025, ..shape };
    let (x, w) = (vec![255u8; 33_025], vec![0u8; 33_025]);
    let w = Affine { codes: Codes::U8(&w), zero_points: &[255] };
    let x = Affine { codes: Codes::U8(&x), zero_points: &[0] };
    assert_eq!(conv2d_integer(&shape, &x, &w), Ok(vec![-33_025 * 255 * 255]));
    let bad = Affine { zero_points: &[256], ..x };
    assert_eq!(conv2d_integer(&shape, &bad, &w).unwrap_err().field, "x.zero_points");
}
