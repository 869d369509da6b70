//! INT8, the quantizers of ONNX and saved activations.
use super::{HUGE, INF, NAN, check, floats};
use lowbit_reference::config::viva::Int8Config;
use lowbit_reference::format::{INT4, INT8, UINT8};
use lowbit_reference::op::int8::{Int8Tensor, int8_linear, quantize_int8, quantize_rows};
use lowbit_reference::op::integer::{Affine, Codes, MatMulShape, matmul_integer};
use lowbit_reference::op::quantize_linear::{
    CodeType, Grouping, QuantizeLinear, dynamic_quantize_linear, saturated_code,
};
use lowbit_reference::op::saved_activation::{SavedActivation, SavedFormat};
use lowbit_reference::rule::{Granularity, Rule};

#[test]
fn int8() {
    let config = Int8Config::default();
    let quantize = |config: Int8Config, x: &[f32]| Ok(quantize_int8(&config, x)?.dequantize());
    let rows = |x: &[f32], row_len| floats(quantize_rows(x, row_len).map(|rows| rows.codes));
    let linear =
        |[m, k, n]: [usize; 3], x: &[f32], w: &[f32]| int8_linear(MatMulShape { m, k, n }, x, w);
    // Codes and zero points of any size: 32767 + 32768 is beyond 16 bits.
    let wide = Int8Tensor {
        codes: vec![i16::MAX, i16::MIN],
        scales: vec![1.0],
        zero_points: vec![i16::MIN],
        block_len: 0,
    };
    let block = |block_len| Ok(Int8Tensor { block_len, ..wide.clone() }.dequantize());
    let integer = |[m, k, n]: [usize; 3], zeros: &[i32]| {
        let codes = Codes::U8(&[1, 2]);
        let b = Affine { codes, zero_points: &[0] };
        floats(matmul_integer(MatMulShape { m, k, n }, &Affine { codes, zero_points: zeros }, &b))
    };
    check([
        ("nan", quantize(config, &[NAN]), Err("x[0]")),
        ("infinity", quantize(config.with_symmetric(false), &[1.0, INF]), Err("x[1]")),
        ("nothing", quantize(config, &[]), Ok(&[])),
        ("zeros", quantize(config, &[0.0, -0.0]), Ok(&[0.0, 0.0])),
        ("huge blocks", quantize(config.with_block_size(HUGE), &[127.0]), Ok(&[127.0])),
        ("beyond f32", quantize(config.with_symmetric(false), &[f32::MAX, f32::MIN]), Err("x")),
        ("wide codes", block(2), Ok(&[65535.0, 0.0])),
        ("no block", block(0), Ok(&[65535.0])),
        ("rows of nothing", rows(&[], 0), Ok(&[])),
        ("subnormal row", rows(&[1e-45, 0.0, -1e-45], 3), Ok(&[127.0, 0.0, -127.0])),
        ("nan row", rows(&[NAN], 1), Err("x[0]")),
        ("no depth", linear([1, 0, 2], &[], &[]), Ok(&[0.0, 0.0])),
        ("no output", linear([1, 1, 0], &[1.0], &[]), Ok(&[])),
        ("huge output", linear([HUGE, 0, 1], &[], &[]), Err("y")),
        ("huge depth", linear([1, HUGE, 1], &[1.0], &[1.0]), Err("x")),
        ("deep", linear([1, 1 << 18, 1], &[1.0; 1 << 18], &[1.0; 1 << 18]), Err("k")),
        ("integers", integer([1, 2, 1], &[1]), Ok(&[2.0])),
        ("integers, no depth", integer([2, 0, 1], &[0]), Err("a")),
        ("integers, deep", integer([1, 1 << 20, 1], &[0]), Err("k")),
        ("integers, zero points", integer([1, 2, 1], &[]), Err("a.zero_points")),
        ("integers, no zero point", integer([1, 2, 1], &[-1]), Err("a.zero_points")),
    ]);
}

#[test]
fn onnx_quantizers() {
    let onnx = |shape: &[usize], grouping, scales: &[f32], code_type, x: &[f32]| {
        let zero_points = &vec![0; scales.len()];
        let saturate = true;
        let op = QuantizeLinear { shape, code_type, saturate, grouping, scales, zero_points };
        floats(op.quantize(x))
    };
    let (int8, e5m2, tensor) = (CodeType::Int8, CodeType::Float8E5m2, Grouping::Tensor);
    let blocks = |axis, block_size| Grouping::Blocks { axis, block_size };
    let odd = [NAN, INF, -INF, -0.0];
    let saturate =
        |quotient, zero, range| Ok(vec![f32::from(saturated_code(quotient, zero, range))]);
    check([
        ("not finite", onnx(&[4], tensor, &[1.0], int8, &odd), Ok(&[0.0, 127.0, -128.0, 0.0])),
        ("e5m2", onnx(&[4], tensor, &[1.0], e5m2, &odd), Ok(&[126.0, 123.0, 251.0, 128.0])),
        ("scalar", onnx(&[], tensor, &[0.5], int8, &[1.0]), Ok(&[2.0])),
        ("scalar axis", onnx(&[], Grouping::Axis(0), &[0.5], int8, &[1.0]), Err("axis")),
        ("empty axis", onnx(&[0, 2], Grouping::Axis(0), &[], int8, &[]), Ok(&[])),
        ("empty blocks", onnx(&[2, 0], blocks(1, 4), &[], int8, &[]), Ok(&[])),
        ("no block", onnx(&[2], blocks(0, 0), &[], int8, &[1.0; 2]), Err("block_size")),
        ("huge block", onnx(&[2], blocks(0, HUGE), &[1.0], int8, &[1.0; 2]), Ok(&[1.0, 1.0])),
        ("huge shape", onnx(&[HUGE, 2], tensor, &[1.0], int8, &[]), Err("x")),
        ("huge scales", onnx(&[HUGE, 2], blocks(1, 1), &[1.0], int8, &[]), Err("scales")),
        ("scale of zero", onnx(&[1], tensor, &[0.0], int8, &[1.0]), Err("scales")),
        ("scale of nan", onnx(&[1], tensor, &[NAN], int8, &[1.0]), Err("scales")),
        ("dynamic nan", floats(dynamic_quantize_linear(&[NAN]).map(|q| q.0)), Err("x[0]")),
        ("dynamic nothing", floats(dynamic_quantize_linear(&[]).map(|q| q.0)), Ok(&[])),
        ("saturated", saturate(INF, i32::MIN, (-8, 7)), Ok(&[7.0])),
        ("range upside down", saturate(0.0, 0, (7, -8)), Ok(&[7.0])),
    ]);
}

#[test]
fn saved_activations() {
    let coded = |format, change: fn(&mut Rule)| {
        let mut rule = Rule::default();
        change(&mut rule);
        SavedFormat::Coded { format, rule }
    };
    let save =
        |x: &[f32], shape: &[usize], format| SavedActivation::pack(x, shape, format)?.unpack();
    let fp16 = SavedFormat::Fp16;
    let rows = coded(&INT8, |_| {});
    let groups = coded(&INT8, |rule| (rule.granularity, rule.group_size) = (Granularity::Group, 1));
    let heads =
        coded(&INT8, |rule| (rule.granularity, rule.group_size) = (Granularity::HeadGroup, 1));
    let poisoned = [NAN, NAN, 127.0, 0.0];
    let upside_down = coded(&INT4, |rule| rule.min_code = 100);
    let broken = |change: fn(&mut SavedActivation)| {
        let mut saved = SavedActivation::pack(&[255.0], &[1], coded(&UINT8, |r| r.steps = 255.0))?;
        change(&mut saved);
        saved.unpack()
    };
    check([
        ("not finite", save(&[NAN, INF, -INF], &[3], fp16), Ok(&[NAN, INF, -INF])),
        ("poisoned row", save(&[NAN, 1.0, 127.0, 0.0], &[2, 2], rows), Ok(&poisoned)),
        ("nothing", save(&[], &[3, 0], rows), Ok(&[])),
        ("scalar", save(&[127.0], &[], rows), Ok(&[127.0])),
        ("huge", save(&[], &[HUGE, 2], fp16), Err("x")),
        ("huge rows of nothing", save(&[], &[HUGE, 0], groups), Ok(&[])),
        ("huge heads of nothing", save(&[], &[0, HUGE, HUGE, HUGE], heads), Ok(&[])),
        ("heads of a matrix", save(&[1.0], &[1, 1], heads), Err("granularity")),
        ("codes upside down", save(&[1.0], &[1], upside_down), Err("rule")),
        ("no bytes", broken(|s| s.bytes.clear()), Err("bytes")),
        ("no scale", broken(|s| s.shared.clear()), Err("shared")),
        ("huge shape", broken(|s| s.shape = vec![HUGE]), Err("bytes")),
        ("endless shape", broken(|s| s.shape = vec![HUGE, 2]), Err("shape")),
        ("wide zero point", broken(|s| s.shared[0].zero_point = i16::MIN), Ok(&[33023.0])),
        ("nan scale", broken(|s| s.shared[0].scale = NAN), Ok(&[NAN])),
    ]);
}
