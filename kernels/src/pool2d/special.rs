//! What no drawn data have: NaN and infinities under windows, on every lane and beside padding.
use super::KERNELS;
use crate::context::{Context, Poison};
use crate::hardware::Hardware;
use crate::pool::Pool;
use lowbit_reference::judge::judge;
use lowbit_reference::op::Op;
use lowbit_reference::op::pool2d::{Divisor, Pool2d, Pool2dProblem, Pool2dShape, Pooling};
use lowbit_reference::op::window::Window;

fn problem(pooling: Pooling, kernel: [usize; 2], x: Vec<f32>) -> Pool2dProblem {
    let window = Window { kernel, stride: [1; 2], pads: [0; 4], dilation: [1; 2] };
    let shape = Pool2dShape { batch: 1, channels: 1, input: [7, 41], window, ceil_mode: false };
    Pool2dProblem { shape, pooling, x, exact: false, seed: 0 }
}

#[test]
fn nan_and_infinities_pass_through_every_lane() {
    let hardware = Hardware::detect();
    for kernel in KERNELS.iter().filter(|kernel| hardware.has(kernel.need()).is_ok()) {
        for pooling in [Pooling::Max, Pooling::Average(Divisor::Valid)] {
            for special in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                for (window, at) in (0..7 * 41).flat_map(|at| [([3, 2], at), ([7, 41], at)]) {
                    let mut x: Vec<f32> = (0..7 * 41).map(|i| (i % 19) as f32 - 9.0).collect();
                    x[at] = special;
                    let problem = problem(pooling, window, x);
                    let mut context =
                        Context::new(Pool::new(1).unwrap(), hardware.clone(), Poison::Ones);
                    let mut run = kernel.prepare(&problem, &mut context).unwrap();
                    run.launch().unwrap();
                    let outputs = run.read().unwrap();
                    let reference = Pool2d::reference(&problem);
                    let arithmetic = kernel.arithmetic(&problem);
                    let expectation = Pool2d::expect(&problem, &reference, arithmetic, &outputs);
                    let fault = judge(&expectation, &outputs).fault;
                    assert_eq!(fault, None, "{} {pooling:?} {special} {at}", kernel.name());
                }
            }
        }
    }
}
