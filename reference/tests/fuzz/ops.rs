//! Operations on codes and matrices.
use crate::formats::{format, rule, shared};
use crate::input::Input;
use crate::targets;
use lowbit_reference::config::viva::Int8Config;
use lowbit_reference::format::Levels;
use lowbit_reference::format::codebook::Table;
use lowbit_reference::format::nf4::{Nf4, Nibbles};
use lowbit_reference::op::awq::{Awq, AwqSearchConfig, Scaling};
use lowbit_reference::op::exact::{exact_dot, exact_integer_dot, exact_linear};
use lowbit_reference::op::hadamard::hadamard;
use lowbit_reference::op::int8::{Int8Tensor, int8_linear, quantize_int8, quantize_rows};
use lowbit_reference::op::integer::{
    Affine, Codes, MatMulShape, Requantize, matmul_integer, qlinear_matmul,
};
use lowbit_reference::op::matmul_nbits::NBitsWeight;
use lowbit_reference::op::nf4_linear::Nf4Linear;
use lowbit_reference::op::pack::{pack_words, row_words, unpack_words};
use lowbit_reference::op::quantize_linear::{
    CodeType, Grouping, QuantizeLinear, dynamic_quantize_linear, saturated_code,
};
use lowbit_reference::op::saved_activation::{SavedActivation, SavedFormat};
use lowbit_reference::op::top_k::{kept, top_k_mask};

targets! {
    lanes saved_activations onnx_quantize int8 int8_products integer_products
    nbits_quantize nbits_parts awq rows exact nf4_products
}

fn lanes(input: &mut Input) {
    let (format, codes, row_len) = (format(input), input.codes(70), input.size());
    if let Ok(words) = pack_words(format, &codes, row_len) {
        let rows = codes.len() / row_len;
        assert_eq!(words.len(), rows * row_words(format, row_len));
        assert_eq!(unpack_words(format, &words, row_len), Ok(codes));
    }
    let words: Vec<u32> = (0..input.below(20)).map(|_| input.word() as u32).collect();
    let _ = unpack_words(format, &words, row_len);
}

fn saved_activations(input: &mut Input) {
    let (shape, rank) = (input.sizes::<5>(), input.below(6));
    let x = input.tensor(&shape[..rank]);
    let coded = SavedFormat::Coded { format: format(input), rule: rule(input) };
    let names = ["fp16", "int8", "int4", "uint8"].map(|name| SavedFormat::named(name).unwrap());
    let format = if input.flip() { coded } else { input.pick(&names) };
    let mut saved = match SavedActivation::pack(&x, &shape[..rank], format) {
        Ok(saved) => {
            assert_eq!(saved.unpack().unwrap().len(), x.len());
            saved
        }
        Err(_) => SavedActivation { shape: Vec::new(), format, shared: vec![], bytes: vec![0] },
    };
    match input.below(4) {
        0 => saved.shape = input.sizes::<3>().to_vec(),
        1 => saved.shared = (0..input.below(9)).map(|_| shared(input)).collect(),
        2 => saved.format = input.pick(&names),
        _ => saved.shared.iter_mut().for_each(|group| *group = shared(input)),
    }
    let (size, replace) = (input.len_of(&[saved.bytes.len()]), input.flip());
    if replace {
        saved.bytes = input.bytes(size);
    }
    let _ = (saved.unpack(), saved.byte_len());
}

fn onnx_quantize(input: &mut Input) {
    let (shape, rank) = (input.sizes::<4>(), input.below(5));
    let shape = &shape[..rank];
    let code_type = input.pick(&[
        CodeType::Int8,
        CodeType::Uint8,
        CodeType::Int4,
        CodeType::Uint4,
        CodeType::Float8E4m3fn,
        CodeType::Float8E5m2,
    ]);
    let axis = input.below(5);
    let blocks = Grouping::Blocks { axis, block_size: input.size() };
    let grouping = input.pick(&[Grouping::Tensor, Grouping::Axis(axis), blocks]);
    let (scales, zeros) = ([], []);
    let mut op = QuantizeLinear {
        shape,
        code_type,
        saturate: input.flip(),
        grouping,
        scales: &scales,
        zero_points: &zeros,
    };
    let Ok(scale_shape) = op.scale_shape() else { return };
    let count = input.len_of(&scale_shape);
    let positive = input.flip();
    let fix = |scale: f32| if positive { scale.abs().clamp(1e-3, 1e3) } else { scale };
    let scales: Vec<f32> = input.floats(count).into_iter().map(fix).collect();
    let zero = if positive { 0 } else { i32::from(input.code()) };
    let zeros = vec![zero; count];
    (op.scales, op.zero_points) = (&scales, &zeros);
    if let Ok(codes) = op.quantize(&input.tensor(shape)) {
        assert_eq!(op.dequantize(&codes).unwrap().len(), codes.len());
    }
    let len = input.len_of(shape);
    let codes: Vec<i16> = (0..len).map(|_| input.code()).collect();
    let _ = op.dequantize(&codes);
    let _ = dynamic_quantize_linear(&input.tensor(shape));
    saturated_code(input.float(), input.word() as i32, (input.code(), input.code()));
}

fn int8(input: &mut Input) {
    let len = input.below(40);
    let x = input.floats(len);
    let config = Int8Config::default().with_block_size(input.size()).with_symmetric(input.flip());
    if let Ok(tensor) = quantize_int8(&config, &x) {
        assert_eq!(tensor.dequantize().len(), len);
    }
    let _ = quantize_rows(&x, input.size());
    let zero_points = input.codes(5);
    let (codes, scales) = (input.codes(40), input.floats(zero_points.len()));
    Int8Tensor { codes, scales, zero_points, block_len: input.size() }.dequantize();
}

fn int8_products(input: &mut Input) {
    let [m, k, n] = input.sizes();
    let (x, w) = (input.tensor(&[m, k]), input.tensor(&[n, k]));
    let _ = int8_linear(MatMulShape { m, k, n }, &x, &w);
}

/// Zero points for so many channels, mostly legal ones.
fn zero_points(input: &mut Input, channels: usize) -> Vec<i32> {
    let count = if input.flip() { 1 } else { input.len_of(&[channels]) };
    let legal = !input.once_in(8);
    (0..count).map(|_| if legal { 3 } else { input.word() as i32 }).collect()
}

fn integer_products(input: &mut Input) {
    let [m, k, n] = input.sizes();
    let (a_len, b_len) = (input.len_of(&[m, k]), input.len_of(&[k, n]));
    let (a, b) = (input.bytes(a_len), input.bytes(b_len));
    let signed: Vec<i8> = b.iter().map(|byte| byte.cast_signed()).collect();
    let (a_zeros, b_zeros) = (zero_points(input, m), zero_points(input, n));
    let a = Affine { codes: Codes::U8(&a), zero_points: &a_zeros };
    let codes = if input.flip() { Codes::I8(&signed) } else { Codes::U8(&b) };
    let (b, shape) = (Affine { codes, zero_points: &b_zeros }, MatMulShape { m, k, n });
    let _ = matmul_integer(shape, &a, &b);
    let count = if input.flip() { 1 } else { input.len_of(&[n]) };
    let y_range = if input.flip() { (0, 255) } else { (input.code(), input.code()) };
    let (b_scales, [a_scale, y_scale]) = (input.floats(count), [0; 2].map(|_| input.float()));
    let y_zero_point = i32::from(input.code());
    let requantize = Requantize { a_scale, b_scales: &b_scales, y_scale, y_zero_point, y_range };
    let _ = qlinear_matmul(shape, &a, &b, &requantize);
}

fn nbits_quantize(input: &mut Input) {
    let [k, n, m] = input.sizes();
    let w = input.tensor(&[k, n]);
    let block_size = if input.flip() { 16 } else { input.pick(&[0, 8, 17, 32, 1 << 40, 1 << 63]) };
    let Ok(weight) = NBitsWeight::quantize(&w, (k, n), block_size, input.flip()) else { return };
    assert_eq!(weight.dequantize().unwrap().len(), w.len());
    let _ = weight.linear(&input.tensor(&[m, k]), m);
}

fn nbits_parts(input: &mut Input) {
    let ([k, n, m], block_size) = (input.sizes(), input.pick(&[0, 16, 32, 1 << 63]));
    let blocks = k.div_ceil(block_size.max(1));
    let sizes = [&[n, blocks, block_size / 2][..], &[n, blocks.div_ceil(2)]];
    let [bytes, zeros] = sizes.map(|shape| {
        let len = input.len_of(shape);
        input.bytes(len)
    });
    let scales = input.tensor(&[n, blocks]);
    let zero_points = if input.flip() { Some(zeros) } else { None };
    let weight = NBitsWeight { k, n, block_size, bytes, scales, zero_points };
    let _ = weight.linear(&input.tensor(&[m, k]), m);
}

fn awq(input: &mut Input) {
    let [n, k, tokens] = input.sizes();
    let config = AwqSearchConfig {
        levels: input.pick(&[Levels::Uint4, Levels::Int4, Levels::Uint4, Levels::Sign]),
        group_size: input.size(),
        n_grid: input.size(),
        scaling: input.pick(&[Scaling::Activation, Scaling::Duo]),
        max_tokens: input.size(),
    };
    let (weight, tokens) = (input.tensor(&[n, k]), input.tensor(&[tokens, k]));
    let problem = Awq { config, n, k, weight: &weight, tokens: &tokens };
    let _ = (problem.search(), problem.statistic(), problem.candidate(input.double()));
    let scales = input.tensor(&[k]);
    let Ok(mut quantized) = problem.quantize(&scales, input.flip()) else { return };
    assert_eq!(quantized.dequantize().len(), weight.len());
    quantized.linear(&tokens).unwrap();
    match input.below(3) {
        0 => quantized.channel_scales.clear(),
        1 => quantized.quantized.codes.truncate(input.below(9)),
        _ => quantized.quantized.shared.truncate(input.below(2)),
    }
    let _ = (quantized.dequantize(), quantized.linear(&tokens), quantized.linear(&[]));
}

fn rows(input: &mut Input) {
    let len = input.below(40);
    let x = input.floats(len);
    let (row_len, fraction) = (input.size(), input.double());
    let _ = top_k_mask(&x, row_len, fraction);
    assert!(kept(row_len, fraction) <= row_len);
    let wide: Vec<f64> = x.iter().map(|_| input.double()).collect();
    let _ = (hadamard(&wide, row_len), hadamard(&wide, 1 << input.below(64)));
}

fn exact(input: &mut Input) {
    let [m, n, k] = input.sizes();
    let (x, w) = (input.tensor(&[m, k]), input.tensor(&[n, k]));
    let _ = (exact_linear(&x, &w, [m, n, k]), exact_dot(&x, &w));
    let [a, b] = [0; 2].map(|_| [0; 3].map(|_| input.word().cast_signed()));
    let _ = exact_integer_dot(&a, &b);
}

fn nf4_products(input: &mut Input) {
    let [m, n, k] = input.sizes();
    let format = Nf4::new(Table::Nf4, 32, None, Nibbles::LowFirst).unwrap();
    let (x, weight) = (input.tensor(&[m, k]), format.quantize(&input.tensor(&[n, k])));
    let _ = Nf4Linear { m, n, k, x: &x, weight: &weight }.forward();
}
