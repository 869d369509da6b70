//! AWQ, rotations and masks of rows, and four-bit weights.
use super::{HUGE, INF, NAN, check, floats};
use lowbit_reference::format::Levels;
use lowbit_reference::format::codebook::Table;
use lowbit_reference::format::nf4::{Nf4, Nibbles};
use lowbit_reference::op::awq::{Awq, AwqSearchConfig};
use lowbit_reference::op::hadamard::hadamard;
use lowbit_reference::op::matmul_nbits::NBitsWeight;
use lowbit_reference::op::nf4_linear::Nf4Linear;
use lowbit_reference::op::top_k::top_k_mask;

#[test]
fn awq() {
    let config = AwqSearchConfig { group_size: 2, n_grid: 2, ..AwqSearchConfig::default() };
    let run = |change: fn(&mut Awq), weight: &[f32], tokens: &[f32]| {
        let mut problem = Awq { config, n: 1, k: 2, weight, tokens };
        change(&mut problem);
        let scales = vec![1.0; problem.k.min(2)];
        problem.search()?;
        problem.quantize(&scales, true)?.linear(tokens)
    };
    let one = [1.0; 2];
    check([
        ("zeros", run(|_| {}, &[0.0; 2], &one), Ok(&[0.0])),
        ("zero tokens", run(|_| {}, &[-1.0, 14.0], &[0.0; 2]), Ok(&[0.0])),
        ("nan weight", run(|_| {}, &[1.0, NAN], &one), Err("weight[1]")),
        ("infinite token", run(|_| {}, &one, &[INF, 1.0]), Err("tokens[0]")),
        ("no token", run(|_| {}, &one, &[]), Err("tokens")),
        ("half a token", run(|_| {}, &one, &[1.0; 3]), Err("tokens")),
        ("no outputs", run(|a| a.n = 0, &[], &one), Err("n")),
        ("no inputs", run(|a| a.k = 0, &[], &one), Err("k")),
        ("huge", run(|a| a.n = HUGE, &one, &one), Err("weight")),
        ("no group", run(|a| a.config.group_size = 0, &one, &one), Err("group_size")),
        ("huge group", run(|a| a.config.group_size = HUGE, &one, &one), Err("group_size")),
        ("no ratio", run(|a| a.config.n_grid = 0, &one, &one), Err("n_grid")),
        ("ratios without end", run(|a| a.config.n_grid = HUGE, &one, &one), Err("n_grid")),
        ("levels", run(|a| a.config.levels = Levels::Int8, &one, &one), Err("levels")),
    ]);
}

#[test]
fn rows() {
    let hadamard = |x: &[f64], row_len| floats(hadamard(x, row_len));
    let top_k = |x: &[f32], row_len, fraction| {
        let mask = top_k_mask(x, row_len, fraction)?;
        Ok(mask.into_iter().map(|kept| f32::from(u8::from(kept))).collect())
    };
    check([
        ("hadamard of nan", hadamard(&[f64::NAN, 1.0], 2), Ok(&[NAN, NAN])),
        ("hadamard of one", hadamard(&[3.0], 1), Ok(&[3.0])),
        ("hadamard of infinity", hadamard(&[f64::INFINITY, 1.0], 2), Ok(&[INF, INF])),
        ("hadamard of nothing", hadamard(&[], 1 << 63), Ok(&[])),
        ("no row", hadamard(&[], 0), Err("row_len")),
        ("odd row", hadamard(&[1.0; 3], 3), Err("row_len")),
        ("half a row", hadamard(&[1.0; 3], 2), Err("x")),
        ("nan is last", top_k(&[NAN, 0.0], 2, 0.5), Ok(&[0.0, 1.0])),
        ("infinity is first", top_k(&[1.0, -INF], 2, 0.5), Ok(&[0.0, 1.0])),
        ("only nan", top_k(&[NAN, NAN], 2, 0.5), Ok(&[1.0, 0.0])),
        ("huge row of nothing", top_k(&[], HUGE, 1.0), Ok(&[])),
        ("huge row", top_k(&[1.0], HUGE, 1.0), Err("x")),
        ("no top row", top_k(&[], 0, 0.5), Err("row_len")),
        ("nan fraction", top_k(&[1.0], 1, f64::NAN), Err("fraction")),
        ("negative fraction", top_k(&[1.0], 1, -0.1), Err("fraction")),
    ]);
}

#[test]
fn four_bit_weights() {
    let nbits = |w: &[f32], (k, n), block_size, symmetric| {
        NBitsWeight::quantize(w, (k, n), block_size, symmetric)?.linear(&vec![1.0; k.min(9)], 1)
    };
    let parts = |change: fn(&mut NBitsWeight)| {
        let mut weight = NBitsWeight::quantize(&[1.0], (1, 1), 16, true)?;
        change(&mut weight);
        weight.dequantize()
    };
    let nf4 = Nf4::new(Table::Nf4, 32, None, Nibbles::LowFirst).unwrap();
    let linear = |[m, n, k]: [usize; 3], x: &[f32], w: &[f32]| {
        Nf4Linear { m, n, k, x, weight: &nf4.quantize(w) }.forward()
    };
    check([
        ("zeros", nbits(&[0.0; 2], (2, 1), 16, false), Ok(&[0.0])),
        ("subnormal", nbits(&[1e-45], (1, 1), 16, true), Ok(&[0.0])),
        ("nan", nbits(&[NAN], (1, 1), 16, true), Err("w[0]")),
        ("beyond f32", nbits(&[f32::MAX, f32::MIN], (2, 1), 16, false), Err("w")),
        ("no depth", nbits(&[], (0, 3), 16, true), Ok(&[0.0; 3])),
        ("no columns", nbits(&[], (9, 0), 16, true), Ok(&[])),
        ("huge", nbits(&[1.0], (HUGE, 1), 16, true), Err("w")),
        ("huge nothing", nbits(&[], (0, HUGE), 16, true), Err("y")),
        ("odd block", nbits(&[1.0], (1, 1), 24, true), Err("block_size")),
        ("huge block", nbits(&[1.0], (1, 1), 1 << 63, true), Err("w")),
        ("no bytes", parts(|w| w.bytes.clear()), Err("bytes")),
        ("no scales", parts(|w| w.scales.clear()), Err("scales")),
        ("zero points", parts(|w| w.zero_points = Some(vec![0; 2])), Err("zero_points")),
        ("block of none", parts(|w| w.block_size = 0), Err("block_size")),
        ("huge parts", parts(|w| w.n = HUGE), Err("bytes")),
        ("nan scale", parts(|w| w.scales = vec![NAN]), Ok(&[NAN])),
        ("nf4 nan", linear([1, 1, 1], &[1.0], &[NAN]), Ok(&[NAN])),
        ("nf4 zero times infinity", linear([1, 1, 2], &[INF, 1.0], &[0.0, 1.0]), Ok(&[NAN])),
        ("nf4, no token", linear([0, 1, 1], &[], &[1.0]), Ok(&[])),
        ("nf4, no output", linear([1, 0, 1], &[1.0], &[]), Ok(&[])),
        ("nf4, no depth", linear([1, 1, 0], &[], &[]), Err("k")),
        ("nf4, huge", linear([HUGE, 1, 1], &[1.0], &[1.0]), Err("x")),
        ("nf4, huge weight", linear([1, HUGE, 1], &[1.0], &[1.0]), Err("weight")),
    ]);
}
