//! The largest sums there are: every bound in the kernels' headers, stood upon.
use super::KERNELS;
use crate::Threads;
use crate::context::{Context, Poison};
use crate::hardware::Hardware;
use crate::pool::Pool;
use lowbit_reference::format::{INT8, Levels, SIGN1, TERNARY2, WeightFormat};
use lowbit_reference::op::linear::{
    Activation, ActivationCodes, LinearProblem, PackedWeight, Rows, Weight, max_k,
};
use lowbit_reference::rule::Rule;

const M: usize = 5;
const N: usize = 6;

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
    let weights: [(&'static dyn WeightFormat, u8, i32); 6] = [
        (&TERNARY2, 0b10_10_10_10, 1),
        (&TERNARY2, 0, -1),
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
