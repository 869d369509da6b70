//! The largest sums there are: every bound in the kernels' headers, stood upon.
use super::KERNELS;
use crate::Threads;
use crate::context::{Context, Poison};
use crate::hardware::Hardware;
use crate::pool::Pool;
use lowbit_reference::format::{INT8, Levels, SIGN1, TERNARY2, TERNARY3, WeightFormat};
use lowbit_reference::op::linear::{
    Activation, ActivationCodes, LinearProblem, PackedWeight, Rows, Weight, max_k,
};
use lowbit_reference::rule::Rule;

/// A tile of four tokens and one of one; a panel of four vectors and part of another (`lanes16`).
const M: usize = 5;
const N: usize = 70;

/// Every activation `x`, every weight byte `byte`: the padding too, so it must not count.
fn problem(
    format: &'static dyn WeightFormat,
    (byte, x): (u8, i8),
    [m, n, k]: [usize; 3],
) -> LinearProblem {
    let row_bytes = format.row_bytes(k);
    let weight = PackedWeight {
        format,
        rule: Rule::default(),
        n,
        k,
        group_size: k,
        groups: 1,
        scales: vec![0.3],
        zero_points: Vec::new(),
        centres: Vec::new(),
        bytes: vec![byte; n * row_bytes],
        row_bytes,
    };
    let activation = Activation::I8(ActivationCodes {
        levels: Levels::Int8,
        rule: Rule::default(),
        codes: vec![x; m * k],
        scales: vec![0.7],
        zero_points: Vec::new(),
    });
    LinearProblem {
        m,
        k,
        n,
        weight: Weight::Codes(weight),
        weight_f32: Vec::new(),
        activation,
        rows: Rows::contiguous(m, k),
        activation_f32: Vec::new(),
        exact: false,
        seed: 0,
    }
}

#[test]
fn sums_of_the_largest_codes_are_exact_up_to_the_largest_k() {
    let hardware = Hardware::detect();
    let weights: [(&'static dyn WeightFormat, u8, i32); 8] = [
        (&TERNARY2, 0b10_10_10_10, 1),
        (&TERNARY2, 0, -1),
        (&TERNARY3, 242, 1),
        (&TERNARY3, 0, -1),
        (&SIGN1, 0xff, 1),
        (&SIGN1, 0, -1),
        (&INT8, 0x7f, 127),
        (&INT8, 0x80, -128),
    ];
    // The native rows: those with threads of the pool.
    let native = KERNELS.iter().filter(|kernel| kernel.threads() == Threads::Pool);
    for kernel in native.filter(|kernel| hardware.has(kernel.need()).is_ok()) {
        for (format, byte, w) in weights {
            let most = max_k(Levels::Int8, format.levels());
            for (x, k) in [(-128, 4099), (127, 4099), (-128, most), (127, most)] {
                // 2^24 deep, one output is enough to wait for.
                let [m, n] = if k > 1 << 20 { [1, 1] } else { [M, N] };
                let problem = problem(format, (byte, x), [m, n, k]);
                let mut context =
                    Context::new(Pool::new(1).unwrap(), hardware.clone(), Poison::Ones);
                let mut run = kernel.prepare(&problem, &mut context).unwrap();
                run.launch().unwrap();
                let sum = i32::try_from(k).unwrap() * i32::from(x) * w;
                let want = vec![sum as f32 * (0.7 * 0.3); m * n];
                let outputs = run.read().unwrap();
                let what = format!("{} {} {w} {x} {k}", kernel.name(), format.name());
                assert_eq!(outputs.f32s("y"), Some(&want[..]), "{what}");
            }
        }
    }
}

#[test]
fn without_tokens_or_rows_there_is_nothing_and_without_depth_there_are_zeros() {
    let hardware = Hardware::detect();
    let native = KERNELS.iter().filter(|kernel| kernel.threads() == Threads::Pool);
    for kernel in native.filter(|kernel| hardware.has(kernel.need()).is_ok()) {
        for format in [&TERNARY2 as &'static dyn WeightFormat, &TERNARY3, &SIGN1, &INT8] {
            for [m, n, k] in [[0, 70, 9], [13, 70, 0], [13, 0, 9], [1, 1, 0], [0, 0, 0]] {
                for float in [false, true] {
                    let mut problem = problem(format, (0, 3), [m, n, k]);
                    if float {
                        problem.activation = Activation::F32(vec![3.0; m * k]);
                    }
                    let mut context =
                        Context::new(Pool::new(2).unwrap(), hardware.clone(), Poison::Ones);
                    let mut run = kernel.prepare(&problem, &mut context).unwrap();
                    run.launch().unwrap();
                    let what = format!("{} {} {m} {k} {n}", kernel.name(), format.name());
                    let outputs = run.read().unwrap();
                    assert_eq!(outputs.f32s("y"), Some(&vec![0.0; m * n][..]), "{what}");
                }
            }
        }
    }
}

#[test]
fn tokens_of_a_second_block_have_sums_of_their_own() {
    let hardware = Hardware::detect();
    // Twelve tokens so deep are a block for every row, ten and more megabytes of f32.
    let [m, n, k] = [15, 3, 180_001];
    let codes = (0..m * k).map(|at| (at / k) as i8 - 7).collect::<Vec<i8>>();
    let floats = codes.iter().map(|x| f32::from(*x)).collect();
    let native = KERNELS.iter().filter(|kernel| kernel.threads() == Threads::Pool);
    for kernel in native.filter(|kernel| hardware.has(kernel.need()).is_ok()) {
        let mut problem = problem(&TERNARY2, (0b10_10_10_10, 0), [m, n, k]);
        for float in [false, true] {
            match &mut problem.activation {
                Activation::I8(x) if !float => x.codes.clone_from(&codes),
                activation => *activation = Activation::F32(Vec::clone(&floats)),
            }
            let mut context = Context::new(Pool::new(1).unwrap(), hardware.clone(), Poison::Ones);
            let mut run = kernel.prepare(&problem, &mut context).unwrap();
            run.launch().unwrap();
            let scale = if float { 0.3 } else { 0.7 * 0.3 };
            let want: Vec<f32> =
                (0..m * n).map(|at| ((at / n) as f32 - 7.0) * k as f32 * scale).collect();
            assert_eq!(run.read().unwrap().f32s("y"), Some(&want[..]), "{} {float}", kernel.name());
        }
    }
}
