//! The largest sums there are: every bound in the kernels' headers, stood upon.
use super::KERNELS;
use crate::context::{Context, Poison};
use crate::hardware::Hardware;
use crate::pool::Pool;
use lowbit_reference::format::Levels;
use lowbit_reference::op::conv2d::{Conv2dProblem, Conv2dShape, Conv2dTensors};
use lowbit_reference::op::linear::max_k;
use lowbit_reference::op::window::Window;

/// Every activation `x` and every weight `w`.
fn problem(shape: Conv2dShape, x: i8, w: i8) -> Conv2dProblem {
    let len = |shape: [usize; 4]| shape.iter().product::<usize>();
    let (x_len, w_len) = (len(shape.input_shape()), len(shape.weight_shape().unwrap()));
    let tensors = Conv2dTensors::Int8 {
        x: vec![x; x_len],
        x_scale: 0.7,
        w: vec![w; w_len],
        w_scales: vec![0.3; shape.outputs],
    };
    let (x_f32, w_f32) = (Vec::new(), Vec::new());
    Conv2dProblem { shape, tensors, x_f32, w_f32, exact: false, seed: 0 }
}

#[test]
fn sums_of_the_largest_codes_are_exact_up_to_the_deepest() {
    let hardware = Hardware::detect();
    // Channels, groups, kernel: the deepest general one, the largest depthwise window in floats,
    // and one whose sums pass 2^24.
    let deepest = max_k(Levels::Int8, Levels::Int8);
    let shapes = [(deepest, 1, [1, 1]), (33, 1, [3, 3]), (2, 2, [3, 341]), (2, 2, [33, 33])];
    for kernel in KERNELS.iter().filter(|kernel| hardware.has(kernel.need()).is_ok()) {
        for (channels, groups, window) in shapes {
            for (x, w) in [(-128, -128), (-128, 127), (127, -128), (127, 127)] {
                let window =
                    Window { kernel: window, stride: [1; 2], pads: [0; 4], dilation: [1; 2] };
                let input = window.kernel.map(|taps| taps + 1);
                let shape =
                    Conv2dShape { batch: 1, channels, input, outputs: 2 * groups, groups, window };
                let problem = problem(shape, x, w);
                let mut context =
                    Context::new(Pool::new(1).unwrap(), hardware.clone(), Poison::Ones);
                let mut run = kernel.prepare(&problem, &mut context).unwrap();
                run.launch().unwrap();
                let depth = i32::try_from(shape.depth().unwrap()).unwrap();
                let want = (depth * i32::from(x) * i32::from(w)) as f32 * (0.7 * 0.3);
                let want = vec![want; 4 * shape.outputs];
                let what = format!("{} {channels} {groups} {x} {w}", kernel.name());
                assert_eq!(run.read().unwrap().f32s("y"), Some(&want[..]), "{what}");
            }
        }
    }
}
