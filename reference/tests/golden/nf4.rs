//! NF4, FP4 and double quantization as bitsandbytes computes them, and where onnxruntime differs.
use super::replay::{Replay, Within, bytes, floats, size, text};
use lowbit_reference::format::DYNAMIC_MAP;
use lowbit_reference::format::codebook::Table;
use lowbit_reference::format::double_quant::{DOUBLE_QUANT_BLOCK, DoubleQuant, DoubleQuantized};
use lowbit_reference::format::nf4::{Absmax, Nf4, Nf4Tensor, Nibbles};
use lowbit_reference::invalid::Invalid;
use serde_json::Value;

pub(crate) fn replay(document: &Value, replay: &mut Replay) {
    replay.input(&document["source"]);
    replay.input(&document["encoding"]);
    let (nf4, cuda) = (Table::Nf4.thresholds(), cuda_thresholds());
    for (field, got) in [
        ("nf4_code", &Table::Nf4.values()[..]),
        ("nf4_bounds_f32_midpoints", &nf4),
        ("nf4_bounds_cuda_tree", &cuda),
        ("fp4_code_bit_order", Table::Fp4.values()),
        ("dynamic_map_signed_256", &DYNAMIC_MAP),
    ] {
        replay.floats("tables", field, &document[field], got, Within::Exactly);
    }
    for case in document["cases"].as_array().into_iter().flatten() {
        if let Err(error) = quantization(replay, case) {
            replay.fail(text(&case["name"]), error);
        }
    }
    for case in document["double_quant"].as_array().into_iter().flatten() {
        if let Err(error) = double_quantization(replay, case) {
            replay.fail(text(&case["name"]), error);
        }
    }
}

/// A value of the file's `x`, quantized by bitsandbytes and by onnxruntime.
fn quantization(replay: &mut Replay, case: &Value) -> Result<(), Invalid> {
    let name = text(&case["name"]);
    for input in ["name", "quant_type", "block", "note"] {
        replay.input(&case[input]);
    }
    let table = table(&case["quant_type"])?;
    let (x, block) = (floats(&case["x"]), size(&case["block"]));
    let format = Nf4::new(table, block, None, Nibbles::HighFirst)?;
    let tensor = format.quantize(&x);
    let (codes, absmax) = (tensor.codes(), tensor.absmax().dequantize());
    for (i, value) in case["x"].as_array().into_iter().flatten().enumerate() {
        match absmax[i / block].is_infinite() && x[i].is_finite() {
            true => replay.exclude(value, "a finite input whose quotient by infinity is 0"),
            false => _ = replay.input(value),
        }
    }
    replay.integers(name, "n", &case["n"], [x.len() as u32]);
    replay.integers(name, "bnb_codes", &case["bnb_codes"], codes.iter().copied());
    let packed = "bnb_packed_hex_high_nibble_first";
    replay.hex(name, packed, &case[packed], tensor.packed());
    replay.floats(name, "absmax", &case["absmax"], &absmax, Within::Exactly);
    if let Some(want) = case.get("bnb_c_dequant") {
        replay.floats(name, "bnb_c_dequant", want, &tensor.dequantize(), Within::Exactly);
    }
    if case.get("ort_codes_differ_at").is_some() {
        let (ort_codes, ort_absmax) = onnxruntime(table, block, &x);
        let differ: Vec<usize> = (0..x.len()).filter(|i| ort_codes[*i] != codes[*i]).collect();
        let (field, at) = ("ort_codes_differ_at", differ.iter().map(|i| *i as u32));
        replay.integers(name, field, &case[field], at);
        let (field, at) = ("ort_codes_at_diff", differ.iter().map(|i| ort_codes[*i]));
        replay.integers(name, field, &case[field], at);
        // Two NaN are not equal.
        let field = "ort_absmax_equal";
        replay.equal(name, field, &case[field], &(ort_absmax == absmax).into());
    }
    Ok(())
}

fn table(name: &Value) -> Result<Table, Invalid> {
    match text(name) {
        "nf4" => Ok(Table::Nf4),
        "fp4" => Ok(Table::Fp4),
        other => Err(Invalid::new("quant_type", other, "nf4 or fp4")),
    }
}

/// Codes and absmax of onnxruntime's `quantize_matmul_bnb4`, which is not the reference: absmax
/// overlooks NaN, its reciprocal (0 for 0) has no floor, partial blocks multiply as well, NaN is
/// above no threshold, NF4 has the thresholds of CUDA and FP4 is sign and magnitude.
fn onnxruntime(table: Table, block: usize, x: &[f32]) -> (Vec<u8>, Vec<f32>) {
    let (mut codes, mut all) = (Vec::new(), Vec::new());
    for block in x.chunks(block) {
        let absmax = block.iter().fold(0.0f32, |max, x| max.max(x.abs()));
        let reciprocal = if absmax == 0.0 { 0.0 } else { 1.0 / absmax };
        codes.extend(block.iter().map(|x| onnxruntime_code(table, x * reciprocal)));
        all.push(absmax);
    }
    (codes, all)
}

fn onnxruntime_code(table: Table, quotient: f32) -> u8 {
    let above = |thresholds: &[f32], x: f32| thresholds.iter().filter(|t| x > **t).count();
    match table {
        Table::Nf4 => above(&cuda_thresholds(), quotient) as u8,
        Table::Fp4 => {
            let magnitudes = [0.002_604_17, 0.085_937_5, 0.208_333_33, 0.291_666_67, 0.416_666_7];
            let magnitudes = [&magnitudes[..], &[0.583_333, 0.833_333_3]].concat();
            let code = [0, 1, 6, 7, 4, 5, 2, 3][above(&magnitudes, quotient.abs())];
            if quotient < 0.0 { code + 8 } else { code }
        }
    }
}

/// The constants of bitsandbytes' CUDA kernels, which onnxruntime took over. Four midpoints lie
/// halfway between two f32: computed in f32 they are the even neighbour, but written with 16 digits
/// and read as an f32 literal they are the other one.
fn cuda_thresholds() -> Vec<f32> {
    let mut thresholds = Table::Nf4.thresholds();
    [0, 12, 14].into_iter().for_each(|i| thresholds[i] = thresholds[i].next_down());
    thresholds[8] = thresholds[8].next_up();
    thresholds
}

/// The absmax of a tensor, quantized exactly and by the table of the compiled CPU library.
fn double_quantization(replay: &mut Replay, case: &Value) -> Result<(), Invalid> {
    let name = text(&case["name"]);
    for input in ["name", "block", "absmax"] {
        replay.input(&case[input]);
    }
    let (absmax, block) = (floats(&case["absmax"]), size(&case["block"]));
    let scheme = DoubleQuant::Dynamic8;
    replay.integers(name, "block2", &case["block2"], [DOUBLE_QUANT_BLOCK as u32]);
    // numpy's f32 mean of `n` positive values adds runs of at most 128 in eight partial sums and
    // then pairs of runs: no value is rounded more often than this, by 2^-24 each time.
    let offset = scheme.offset(&absmax);
    let roundings = 16.0 + 3.0 + (absmax.len() as f64 / 128.0).max(1.0).log2().ceil() + 2.0;
    let bound = Within::Distance(roundings * f64::from(f32::EPSILON / 2.0 * offset));
    replay.floats(name, "offset_f32_mean", &case["offset_f32_mean"], &[offset], bound);
    // From here on with that mean itself.
    let offset = floats(&case["offset_f32_mean"])[0];
    let exact = scheme.quantize_around(&absmax, offset);
    let codes = exact.codes().iter().copied();
    replay.integers(name, "qabsmax_exact_bucketize", &case["qabsmax_exact_bucketize"], codes);
    replay.floats(name, "absmax2", &case["absmax2"], exact.absmax2(), Within::Exactly);

    let by_table = by_table(&absmax, offset, exact.absmax2());
    let codes = by_table.iter().copied();
    replay.integers(name, "qabsmax_bnb_c_lut", &case["qabsmax_bnb_c_lut"], codes);
    let differ = by_table.iter().zip(exact.codes()).filter(|(a, b)| a != b).count() as u32;
    replay.integers(name, "n_lut_vs_exact_diff", &case["n_lut_vs_exact_diff"], [differ]);
    let stored = DoubleQuantized::new(scheme, by_table, exact.absmax2().to_vec(), offset)?;
    let decoded = stored.dequantize();
    let field = "absmax_dequant_c";
    replay.floats(name, field, &case[field], &decoded, Within::Exactly);
    let errors = decoded.iter().zip(&absmax).map(|(decoded, a)| (decoded / a - 1.0).abs());
    let error = errors.fold(0.0f32, f32::max).into();
    replay.doubles(name, "max_rel_err_absmax", &case["max_rel_err_absmax"], &[error], 0.0);

    let n = size(&case["n"]);
    replay.integers(name, "absmax of n", &(n.div_ceil(block)).into(), [absmax.len() as u32]);
    replay.input(&case["n"]);
    if case.get("x").is_some() {
        return values(replay, case, (block, &absmax), stored);
    }
    for field in ["rmse_nf4", "rmse_nf4_dq"] {
        replay.exclude(&case[field], "the values whose error it is are not in the file");
    }
    Ok(())
}

/// The values under plain and under double-quantized absmax.
fn values(
    replay: &mut Replay,
    case: &Value,
    (block, absmax): (usize, &[f32]),
    stored: DoubleQuantized,
) -> Result<(), Invalid> {
    let name = text(&case["name"]);
    let x = floats(replay.input(&case["x"]));
    replay.integers(name, "n", &case["n"], [x.len() as u32]);
    let plain = Nf4::new(Table::Nf4, block, None, Nibbles::HighFirst)?;
    let double = Nf4::new(Table::Nf4, block, Some(stored.scheme()), Nibbles::HighFirst)?;
    let tensor = plain.quantize(&x);
    if tensor.absmax() != &Absmax::Float(absmax.to_vec()) {
        replay.fail(name, "absmax is not that of x");
    }
    let packed = "bnb_packed_hex_high_nibble_first";
    replay.hex(name, packed, &case[packed], tensor.packed());
    let golden = bytes(&case[packed]);
    let with_stored: Nf4Tensor = double.tensor(golden, Absmax::Double(stored), x.len())?;
    let values = with_stored.dequantize();
    replay.floats(name, "dequant_dq", &case["dequant_dq"], &values, Within::Exactly);
    // A sum of n squares in f64, in another order.
    let relative = x.len() as f64 * f64::EPSILON;
    for (field, values) in [("rmse_nf4", tensor.dequantize()), ("rmse_nf4_dq", values)] {
        let squares = values.iter().zip(&x).map(|(value, x)| f64::from(value - x).powi(2));
        let rmse = (squares.sum::<f64>() / x.len() as f64).sqrt();
        replay.doubles(name, field, &case[field], &[rmse], relative);
    }
    Ok(())
}

/// The codes of `cquantize_blockwise_cpu_fp32`: a quotient in [-1, 1] is rounded to one of 65,536
/// evenly spaced values, and the code is that of the rounded one.
fn by_table(absmax: &[f32], offset: f32, absmax2: &[f32]) -> Vec<u8> {
    let code = |(i, a): (usize, &f32)| {
        let absmax2 = absmax2[i / DOUBLE_QUANT_BLOCK];
        let quotient = (a - offset) * (1.0 / absmax2);
        let entry = ((quotient + 1.0) * 0.5 * 65535.0 + 0.5).floor();
        let rounded = -1.0 + 2.0 * entry / 65535.0;
        let midpoints = DYNAMIC_MAP.windows(2).map(|pair| (pair[0] + pair[1]) / 2.0);
        midpoints.filter(|midpoint| *midpoint < rounded).count() as u8
    };
    absmax.iter().enumerate().map(code).collect()
}
