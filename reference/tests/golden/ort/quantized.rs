//! Quantizers and integer matrix products.
use super::super::replay::{Replay, Within, integers, size, text};
use super::{Case, Input};
use lowbit_reference::bound;
use lowbit_reference::invalid::Invalid;
use lowbit_reference::op::integer::{
    Affine, Codes, MatMulShape, Requantize, matmul_integer as product,
    qlinear_matmul as requantized,
};
use lowbit_reference::op::matmul_nbits::NBitsWeight;
use lowbit_reference::op::quantize_linear::{
    CodeType, Grouping, QuantizeLinear, dynamic_quantize_linear as dynamic,
};
use serde_json::json;

fn code_type(name: &str) -> Result<CodeType, Invalid> {
    match name {
        "INT8" => Ok(CodeType::Int8),
        "UINT8" => Ok(CodeType::Uint8),
        "INT4" => Ok(CodeType::Int4),
        "UINT4" => Ok(CodeType::Uint4),
        "FLOAT8E4M3FN" => Ok(CodeType::Float8E4m3fn),
        "FLOAT8E5M2" => Ok(CodeType::Float8E5m2),
        _ => Err(Invalid::new("qtype", name, "a known type")),
    }
}

/// Codes, where they could be read, and the values they stand for.
pub(crate) fn quantize_linear(case: &Case, replay: &mut Replay) -> Result<(), Invalid> {
    let [x, scale, zero] = ["x", "scale", "zero_point"].map(|name| case.input(replay, name));
    let (x, scale, zero) = (x?, scale?, zero?);
    let (scales, zero_points) = (scale.floats(), zero.integers::<i32>());
    let axis = case.attribute(replay, "axis").map(size);
    let grouping = match (axis, case.attribute(replay, "block_size").map(size)) {
        (None, _) => Grouping::Tensor,
        (Some(axis), None) => Grouping::Axis(axis),
        (Some(axis), Some(block_size)) => Grouping::Blocks { axis, block_size },
    };
    let parameters = QuantizeLinear {
        shape: &x.shape,
        code_type: code_type(text(replay.input(&case.value["qtype"])))?,
        // ONNX: 1 unless given.
        saturate: !case.value["attrs"]["saturate"].is_u64() || case.flag(replay, "saturate")?,
        grouping,
        scales: &scales,
        zero_points: &zero_points,
    };
    for (name, tensor) in [("scale", &scale), ("zero_point", &zero)] {
        let shape = parameters.scale_shape()?;
        if tensor.shape != shape {
            return Err(Invalid::new(name, format!("{:?}", tensor.shape), format!("{shape:?}")));
        }
    }
    let codes = parameters.quantize(&x.floats())?;
    let values = parameters.dequantize(&codes)?;
    // Codes of some types cannot be taken out of ONNX Runtime; their values can.
    let count = case.value["outputs"].as_array().map_or(0, Vec::len);
    let names = if count == 2 { json!(["q", "dq"]) } else { json!(["dq"]) };
    replay.equal(case.name, "out_names", &case.value["out_names"], &names);
    if count == 2 {
        case.integers(replay, (0, "int32"), &x.shape, codes);
    }
    case.floats(replay, count.saturating_sub(1), &x.shape, &values, None);
    Ok(())
}

pub(crate) fn dynamic_quantize_linear(case: &Case, replay: &mut Replay) -> Result<(), Invalid> {
    let x = case.input(replay, "x")?;
    let (codes, scale, zero_point) = dynamic(&x.floats())?;
    case.integers(replay, (0, "uint8"), &x.shape, codes);
    case.floats(replay, 1, &[], &[scale], None);
    case.integers(replay, (2, "uint8"), &[], [zero_point]);
    Ok(())
}

/// Codes of one type, and their zero points, 0 if there are none.
pub(crate) fn affine<T>(
    case: &Case,
    replay: &mut Replay,
    (codes, zero): (&str, &str),
    run: impl FnOnce(&Input, &Affine, &mut Replay) -> Result<T, Invalid>,
) -> Result<T, Invalid> {
    let input = case.input(replay, codes)?;
    let zero_points: Vec<i32> = match case.has_input(zero) {
        true => case.input(replay, zero)?.integers(),
        false => vec![0],
    };
    let (unsigned, signed);
    let codes = if input.unsigned {
        unsigned = input.integers::<u8>();
        Codes::U8(&unsigned)
    } else {
        signed = input.integers::<i8>();
        Codes::I8(&signed)
    };
    run(&input, &Affine { codes, zero_points: &zero_points }, replay)
}

fn matmul_shape(a: &Input, b: &Input) -> Result<MatMulShape, Invalid> {
    let ([m, k], [depth, n]) = (a.dims(), b.dims());
    Invalid::check_range("b.shape[0]", depth, (k, k))?;
    Ok(MatMulShape { m, k, n })
}

pub(crate) fn matmul_integer(case: &Case, replay: &mut Replay) -> Result<(), Invalid> {
    affine(case, replay, ("A", "azp"), |a_input, a, replay| {
        affine(case, replay, ("B", "bzp"), |b_input, b, replay| {
            let shape = matmul_shape(a_input, b_input)?;
            let y = product(shape, a, b)?;
            case.integers(replay, (0, "int32"), &[shape.m, shape.n], y);
            Ok(())
        })
    })
}

pub(crate) fn qlinear_matmul(case: &Case, replay: &mut Replay) -> Result<(), Invalid> {
    affine(case, replay, ("a", "az"), |a_input, a, replay| {
        affine(case, replay, ("b", "bz"), |b_input, b, replay| {
            let shape = matmul_shape(a_input, b_input)?;
            let zero_point = case.input(replay, "yz")?;
            let (dtype, y_range) =
                if zero_point.unsigned { ("uint8", (0, 255)) } else { ("int8", (-128, 127)) };
            let requantize = Requantize {
                a_scale: case.input(replay, "as")?.scalar(),
                b_scales: &case.input(replay, "bs")?.floats(),
                y_scale: case.input(replay, "ys")?.scalar(),
                y_zero_point: integers(zero_point.data)[0],
                y_range,
            };
            let y = requantized(shape, a, b, &requantize)?;
            case.integers(replay, (0, dtype), &[shape.m, shape.n], y);
            Ok(())
        })
    })
}

/// Bytes, scales and zero points from the float weights, bit for bit, and the product.
pub(crate) fn matmul_nbits(case: &Case, replay: &mut Replay) -> Result<(), Invalid> {
    let inputs = &case.value["inputs"];
    let mut attribute = |name| case.attribute(replay, name).map_or(0, size);
    let (k, n, block_size) = (attribute("K"), attribute("N"), attribute("block_size"));
    Invalid::check_range("bits", attribute("bits"), (4, 4))?;
    // 1: the product is of f32.
    Invalid::check_range("accuracy_level", attribute("accuracy_level"), (1, 1))?;
    let w = case.input(replay, "W_float_KxN")?;
    let symmetric = !case.has_input("zp");
    let weight = NBitsWeight::quantize(&w.floats(), (k, n), block_size, symmetric)?;
    let blocks = k.div_ceil(block_size);
    let shapes = [
        ("B", vec![n, blocks, block_size / 2]),
        ("scales", vec![n * blocks]),
        ("zp", vec![n * blocks.div_ceil(2)]),
    ];
    for (name, shape) in shapes {
        if let Some(stored) = inputs.get(name) {
            replay.input(&stored["dtype"]);
            replay.equal(case.name, &format!("{name}.shape"), &stored["shape"], &json!(shape));
        }
    }
    replay.integers(case.name, "B", &inputs["B"]["data"], weight.bytes.iter().copied());
    let scales = &inputs["scales"]["data"];
    replay.floats(case.name, "scales", scales, &weight.scales, Within::Exactly);
    if let Some(zero_points) = &weight.zero_points {
        replay.integers(case.name, "zp", &inputs["zp"]["data"], zero_points.iter().copied());
    }
    let a = case.input(replay, "A")?;
    let [m, depth] = a.dims();
    Invalid::check_range("A.shape[1]", depth, (k, k))?;
    if w.shape != [k, n] {
        return Err(Invalid::new("W.shape", format!("{:?}", w.shape), format!("{:?}", [k, n])));
    }
    let y = weight.linear(&a.floats(), m)?;
    let a = a.floats();
    let w = weight.dequantize()?;
    let magnitude = |index: usize| {
        let (i, j) = (index / n, index % n);
        (0..k).map(|p| f64::from(a[i * k + p] * w[p * n + j]).abs()).sum()
    };
    let bounds: Vec<f64> = (0..y.len()).map(|index| bound::dot(k, magnitude(index))).collect();
    case.floats(replay, 0, &[m, n], &y, Some(&bounds));
    Ok(())
}
