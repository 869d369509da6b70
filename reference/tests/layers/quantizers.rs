//! Quantizers of tensors: INT8, ONNX, and 4-bit blocks.
use super::{close, normal};
use lowbit_reference::bound;
use lowbit_reference::config::viva::Int8Config;
use lowbit_reference::op::int8::{MAX_DEPTH, int8_linear, quantize_int8, quantize_rows};
use lowbit_reference::op::integer::MatMulShape;
use lowbit_reference::op::matmul_nbits::NBitsWeight;
use lowbit_reference::op::quantize_linear::{
    CodeType, Grouping, QuantizeLinear, dynamic_quantize_linear,
};

#[test]
fn int8_by_hand() {
    // Symmetric: scale 2, quotients 63.5 (a tie, to even), 0.5, 1.5, -127.
    let x = [127.0, 1.0, 3.0, -254.0];
    let tensor = quantize_int8(&Int8Config::default(), &x).unwrap();
    assert_eq!((tensor.codes, tensor.scales), (vec![64, 0, 2, -127], vec![2.0]));
    // Asymmetric: from -51 to 204 in steps of 1, zero point 51.
    let config = Int8Config::default().with_symmetric(false);
    let tensor = quantize_int8(&config, &[-51.0, 204.0, 0.5, 1.5]).unwrap();
    assert_eq!((&tensor.codes, &tensor.zero_points), (&vec![0, 255, 51, 53], &vec![51]));
    assert_eq!(tensor.dequantize(), [-51.0, 204.0, 0.0, 2.0]);
    // Blocks of 3, the last of one value; a block of zeros has scale 1 or the smallest.
    let x = [1.0, 2.0, 4.0, 0.0, 0.0, 0.0, -8.0];
    let tensor = quantize_int8(&config.with_block_size(3), &x).unwrap();
    assert_eq!(tensor.scales, [4.0 / 255.0, 1.0, 8.0 / 255.0]);
    assert_eq!((&tensor.codes[3..], &tensor.zero_points[1..]), (&[0, 0, 0, 0][..], &[0, 255][..]));
    let tensor = quantize_int8(&Int8Config::default().with_block_size(3), &x).unwrap();
    assert_eq!(tensor.codes, [32, 64, 127, 0, 0, 0, -127]);
    assert_eq!(tensor.scales[1], f32::MIN_POSITIVE);
}

#[test]
fn int8_is_within_half_a_step_and_stable() {
    let mut x = normal(9, 1000);
    x[17] = 40.0;
    for config in [0, 1, 7, 64, 5000].map(|block| Int8Config::default().with_block_size(block)) {
        for config in [config, config.with_symmetric(false)] {
            let tensor = quantize_int8(&config, &x).unwrap();
            let values = tensor.dequantize();
            for (at, (x, value)) in x.iter().zip(&values).enumerate() {
                let scale = f64::from(tensor.scales[at / tensor.block_len]);
                // Half a step, rounded quotients and products of up to 255 steps; a zero point
                // that was rounded may cut off up to another half at the end of the range.
                let steps = if config.symmetric { 0.5 } else { 1.0 };
                close(*value, *x, scale * (steps + 255.0 * bound::gamma(3)));
            }
            let again = quantize_int8(&config, &values).unwrap();
            if config.symmetric {
                assert_eq!(again.codes, tensor.codes, "{config}");
            }
        }
    }
    for bad in [f32::NAN, f32::INFINITY] {
        x[3] = bad;
        let error = quantize_int8(&Int8Config::default(), &x).unwrap_err();
        assert_eq!(error.field, "x[3]");
    }
    assert!(quantize_int8(&Int8Config::default(), &[]).unwrap().codes.is_empty());
    let wide = Int8Config::default().with_symmetric(false);
    assert!(quantize_int8(&wide, &[-3e38, 3e38]).is_err(), "the range is beyond f32");
}

#[test]
fn rows_are_quantized_by_the_quotient_of_127() {
    let rows = quantize_rows(&[1.0, -2.0, 0.5, 0.0, 0.0, 0.0], 3).unwrap();
    assert_eq!(rows.codes, [64, -127, 32, 0, 0, 0]);
    assert_eq!(rows.absmax, [2.0, 0.0]);
    // x (127 / absmax), not x / (absmax / 127): values at half a step tell them apart.
    let mut told = [0; 2];
    for absmax in [0.731f32, 0.9, 1.1, 1.3, 1.7] {
        for tie in (0..126u8).map(|step| (f32::from(step) + 0.5) * absmax / 127.0) {
            for x in [tie.next_down(), tie, tie.next_up()] {
                let code = quantize_rows(&[x, absmax], 2).unwrap().codes[0];
                assert_eq!(f32::from(code), (x * (127.0 / absmax)).round_ties_even(), "{x}");
                let others = [x / (absmax / 127.0), x * (1.0 / (absmax / 127.0))];
                for (told, other) in told.iter_mut().zip(others) {
                    *told += usize::from(other.round_ties_even() != f32::from(code));
                }
            }
        }
    }
    assert!(told.iter().all(|told| *told > 0), "{told:?}");
    // So small that 127 / absmax is infinite: only the sign is left.
    assert_eq!(quantize_rows(&[1e-40, 0.0, -1e-41], 3).unwrap().codes, [127, 0, -127]);
}

#[test]
fn int8_linear_is_the_product_of_codes_and_largest_magnitudes() {
    let (m, k, n) = (3, 40, 5);
    let (x, w) = (normal(1, m * k), normal(2, n * k));
    let y = int8_linear(MatMulShape { m, k, n }, &x, &w).unwrap();
    let values = |x: &[f32]| -> Vec<f64> {
        let rows = quantize_rows(x, k).unwrap();
        let value = |(at, code): (usize, &i8)| f64::from(*code) * f64::from(rows.absmax[at / k]);
        rows.codes.iter().enumerate().map(value).collect()
    };
    let (x, w) = (values(&x), values(&w));
    for (at, y) in y.iter().enumerate() {
        let (x, w) = (&x[at / n * k..][..k], &w[at % n * k..][..k]);
        let sum: f64 = x.iter().zip(w).map(|(x, w)| x * w).sum::<f64>() / 16_129.0;
        // f64 roundings of terms up to 127^2 absmax^2, and one to f32.
        close(*y, sum as f32, bound::gamma(1) * sum.abs() + 1e-10);
    }
    assert_eq!(int8_linear(MatMulShape { m: 2, k: 0, n: 1 }, &[], &[]), Ok(vec![0.0; 2]));
    let deep = MatMulShape { m: 0, k: MAX_DEPTH + 1, n: 0 };
    assert_eq!(int8_linear(deep, &[], &[]).unwrap_err().field, "k");
    let k = MAX_DEPTH;
    let y = int8_linear(MatMulShape { m: 1, k, n: 1 }, &vec![1.0; k], &vec![-1.0; k]).unwrap();
    assert_eq!(y, [-(k as f32)]);
}

fn onnx<'a>(shape: &'a [usize], grouping: Grouping, scales: &'a [f32]) -> QuantizeLinear<'a> {
    QuantizeLinear {
        shape,
        code_type: CodeType::Int8,
        saturate: true,
        grouping,
        scales,
        zero_points: &[0; 12][..scales.len()],
    }
}

#[test]
fn groups_lie_along_their_axis() {
    // [2, 3, 2]: every value is its scale, so every code is 1.
    let axis = onnx(&[2, 3, 2], Grouping::Axis(1), &[1.0, 2.0, 4.0]);
    let x = [1.0, 1.0, 2.0, 2.0, 4.0, 4.0, 1.0, 1.0, 2.0, 2.0, 4.0, 4.0];
    assert_eq!(axis.quantize(&x), Ok(vec![1; 12]));
    assert_eq!(axis.dequantize(&[1; 12]), Ok(x.to_vec()));
    let last = onnx(&[2, 3, 2], Grouping::Axis(2), &[1.0, 2.0]);
    assert_eq!(last.dequantize(&[1; 12]).unwrap()[..4], [1.0, 2.0, 1.0, 2.0]);
    // Blocks of 2 along the middle axis of 3: the second block has one value. Scales [2, 2, 2].
    let scales = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0];
    let blocks = onnx(&[2, 3, 2], Grouping::Blocks { axis: 1, block_size: 2 }, &scales);
    let x = [1.0, 2.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 16.0, 32.0, 64.0, 128.0];
    assert_eq!(blocks.scale_shape(), Ok(vec![2, 2, 2]));
    assert_eq!(blocks.dequantize(&[1; 12]), Ok(x.to_vec()));
}

#[test]
fn quotients_are_divisions() {
    // x / s, not x (1 / s): values at half a step tell them apart.
    let (scale, mut told) = (0.37f32, 0);
    for tie in (0..126u8).map(|step| (f32::from(step) + 0.5) * scale) {
        for x in [tie.next_down(), tie, tie.next_up()] {
            let code = onnx(&[1], Grouping::Tensor, &[scale]).quantize(&[x]).unwrap()[0];
            assert_eq!(f32::from(code), (x / scale).round_ties_even(), "{x}");
            told += usize::from((x * (1.0 / scale)).round_ties_even() != f32::from(code));
        }
    }
    assert_eq!(told, 51);
}

#[test]
fn what_does_not_fit_is_named() {
    let good = onnx(&[2, 3], Grouping::Tensor, &[1.0]);
    let field = |parameters: QuantizeLinear| parameters.quantize(&[0.0; 6]).unwrap_err().field;
    for scale in [[0.0], [-1.0], [f32::NAN], [f32::INFINITY]] {
        assert_eq!(field(QuantizeLinear { scales: &scale, ..good }), "scales");
    }
    assert_eq!(field(QuantizeLinear { zero_points: &[128], ..good }), "zero_points");
    assert_eq!(field(QuantizeLinear { zero_points: &[], ..good }), "zero_points");
    let float = QuantizeLinear { code_type: CodeType::Float8E4m3fn, ..good };
    assert_eq!(field(QuantizeLinear { zero_points: &[1], ..float }), "zero_points");
    assert_eq!(field(QuantizeLinear { grouping: Grouping::Axis(2), ..good }), "axis");
    let grouping = Grouping::Blocks { axis: 1, block_size: 0 };
    assert_eq!(field(QuantizeLinear { grouping, ..good }), "block_size");
    assert_eq!(field(QuantizeLinear { shape: &[2, 4], ..good }), "x");
    assert_eq!(field(QuantizeLinear { shape: &[usize::MAX, 3], ..good }), "x");
    let int4 = QuantizeLinear { code_type: CodeType::Int4, ..good };
    assert_eq!(int4.dequantize(&[0, 0, 8, 0, 0, 0]).unwrap_err().field, "codes[2]");
    assert_eq!(onnx(&[0, 3], Grouping::Tensor, &[1.0]).quantize(&[]), Ok(vec![]));
}

#[test]
fn codes_of_what_is_not_finite() {
    let x = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e38];
    let int8 = QuantizeLinear { zero_points: &[5], ..onnx(&[4], Grouping::Tensor, &[1.0]) };
    assert_eq!(int8.quantize(&x), Ok(vec![5, 127, -128, 127]));
    let codes = |code_type, saturate| {
        QuantizeLinear { code_type, saturate, zero_points: &[0], ..int8 }.quantize(&x).unwrap()
    };
    assert_eq!(codes(CodeType::Uint4, true), [0, 15, 0, 15]);
    assert_eq!(codes(CodeType::Float8E4m3fn, true), [0x7f, 0x7e, 0xfe, 0x7e]);
    assert_eq!(codes(CodeType::Float8E4m3fn, false), [0x7f, 0x7f, 0xff, 0x7f]);
    assert_eq!(codes(CodeType::Float8E5m2, true)[1..], [0x7b, 0xfb, 0x7b]);
    assert_eq!(codes(CodeType::Float8E5m2, false)[1..], [0x7c, 0xfc, 0x7c]);
    assert!(dynamic_quantize_linear(&x).is_err());
    assert_eq!(dynamic_quantize_linear(&[]), Ok((vec![], 1.0, 0)));
    // A range so small that its scale is zero.
    assert_eq!(dynamic_quantize_linear(&[1e-45, -1e-45]), Ok((vec![0, 0], 1.0, 0)));
}

#[test]
fn four_bits_by_hand() {
    // One column of 16: scale -16 / -8 = 2, codes x / 2 + 8, ties away from zero.
    let mut w = vec![0.0; 16];
    w[..5].copy_from_slice(&[-16.0, 14.0, 1.0, -1.0, 3.0]);
    let weight = NBitsWeight::quantize(&w, (16, 1), 16, true).unwrap();
    assert_eq!(weight.scales, [2.0]);
    assert_eq!(weight.bytes[..3], [0xf0, 0x89, 0x8a]);
    // From 0 to 15 in steps of 1 with a zero point; a depth of 17 leaves 15 codes of 0.
    let w: Vec<f32> = (0..17).map(|i| if i == 16 { 30.0 } else { i as f32 - 3.0 }).collect();
    let weight = NBitsWeight::quantize(&w, (17, 1), 16, false).unwrap();
    assert_eq!(weight.scales, [1.0, 2.0]);
    assert_eq!(weight.zero_points, Some(vec![0x03]));
    assert_eq!(weight.bytes[..2], [0x10, 0x32]);
    assert_eq!(weight.bytes[8..], [0x0f, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(weight.dequantize(), Ok(w));
    // An odd number of blocks: the zero point that is not there is 8.
    let weight = NBitsWeight::quantize(&[1.0; 16], (16, 1), 16, false).unwrap();
    assert_eq!(weight.zero_points, Some(vec![0x80]));
    // Of -8 and 8 the negative has code 0.
    let w: Vec<f32> = [8.0, -8.0].repeat(8);
    let weight = NBitsWeight::quantize(&w, (16, 1), 16, true).unwrap();
    assert_eq!((weight.scales, weight.bytes), (vec![1.0], vec![0x0f; 8]));
    // Zeros, and values too small to divide by.
    for x in [0.0, 1e-44] {
        let weight = NBitsWeight::quantize(&[x; 16], (16, 1), 16, true).unwrap();
        assert_eq!(weight.bytes, [0x88; 8]);
        assert!(weight.dequantize().unwrap().iter().all(|x| *x == 0.0));
    }
}

#[test]
fn columns_of_four_bits_are_apart_and_their_product_is_of_their_values() {
    let (m, k, n) = (2, 50, 3);
    let w = normal(4, k * n);
    let a = normal(5, m * k);
    for symmetric in [true, false] {
        let weight = NBitsWeight::quantize(&w, (k, n), 16, symmetric).unwrap();
        let values = weight.dequantize().unwrap();
        for column in 0..n {
            let one: Vec<f32> = (0..k).map(|p| w[p * n + column]).collect();
            let apart = NBitsWeight::quantize(&one, (k, 1), 16, symmetric).unwrap();
            let apart = apart.dequantize().unwrap();
            let together: Vec<f32> = (0..k).map(|p| values[p * n + column]).collect();
            assert_eq!(apart, together);
            for (p, (x, value)) in one.iter().zip(&together).enumerate() {
                // Symmetric, the end opposite to the largest value is cut by up to a step.
                let scale = f64::from(weight.scales[column * 4 + p / 16].abs());
                close(*value, *x, scale * (1.0 + 15.0 * bound::gamma(4)));
            }
        }
        let y = weight.linear(&a, m).unwrap();
        for (at, y) in y.iter().enumerate() {
            let (i, j) = (at / n, at % n);
            let products = (0..k).map(|p| f64::from(a[i * k + p]) * f64::from(values[p * n + j]));
            close(*y, products.sum::<f64>() as f32, 0.0);
        }
    }
}

#[test]
fn four_bit_weights_that_do_not_fit_are_named() {
    let quantize = |w: &[f32], k, n, block_size| {
        NBitsWeight::quantize(w, (k, n), block_size, true).map(drop).map_err(|error| error.field)
    };
    assert_eq!(quantize(&[0.0; 24], 24, 1, 24), Err("block_size".into()));
    assert_eq!(quantize(&[0.0; 8], 8, 1, 8), Err("block_size".into()));
    assert_eq!(quantize(&[0.0; 8], 9, 1, 16), Err("w".into()));
    assert_eq!(quantize(&[0.0], 1, 1, 1 << 40), Err("w".into()));
    assert_eq!(quantize(&[0.0, f32::NAN], 2, 1, 16), Err("w[1]".into()));
    assert_eq!(quantize(&[], 0, usize::MAX, 16), Ok(()));
    let wide = NBitsWeight::quantize(&[3e38, -3e38], (2, 1), 16, false);
    assert_eq!(wide.unwrap_err().field, "w");
    let good = NBitsWeight::quantize(&[1.0; 16], (16, 1), 16, false).unwrap();
    assert_eq!(good.linear(&[1.0; 15], 1).unwrap_err().field, "a");
    assert_eq!(good.linear(&[], 0), Ok(vec![]));
    let bad = NBitsWeight { bytes: vec![0; 7], ..good.clone() };
    assert_eq!(bad.dequantize().unwrap_err().field, "bytes");
    let bad = NBitsWeight { scales: vec![], ..good.clone() };
    assert_eq!(bad.dequantize().unwrap_err().field, "scales");
    let bad = NBitsWeight { zero_points: Some(vec![]), ..good };
    assert_eq!(bad.dequantize().unwrap_err().field, "zero_points");
}
