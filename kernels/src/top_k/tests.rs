//! Values that no distribution draws: neighbours, zeros of both signs, infinities and NaN.
use super::KERNELS;
use crate::context::{Context, Poison};
use crate::hardware::Hardware;
use crate::pool::Pool;
use lowbit_reference::judge::judge;
use lowbit_reference::op::Op;
use lowbit_reference::op::top_k::{TopK, TopKProblem};

#[test]
fn neighbours_zeros_and_what_is_no_number_are_ranked_as_the_reference_ranks_them() {
    let next = f32::from_bits(1f32.to_bits() + 1);
    let tiny = f32::from_bits(1);
    let values = [next, 1.0, -next, tiny, 0.0, -0.0, f32::NAN, f32::NEG_INFINITY, f32::MAX];
    let hardware = Hardware::detect();
    for kernel in KERNELS.iter().filter(|kernel| hardware.has(kernel.need()).is_ok()) {
        for row_len in [9, 16, 17, 100] {
            let x: Vec<f32> = (0..3 * row_len).map(|i| values[i * 7 % values.len()]).collect();
            for kept in 0..=row_len {
                let fraction = kept as f64 / row_len as f64;
                let problem = TopKProblem { x: x.clone(), row_len, fraction };
                let mut context =
                    Context::new(Pool::new(1).unwrap(), hardware.clone(), Poison::Ones);
                let mut run = kernel.prepare(&problem, &mut context).unwrap();
                run.launch().unwrap();
                let outputs = run.read().unwrap();
                let reference = TopK::reference(&problem);
                let arithmetic = kernel.arithmetic(&problem);
                let want = TopK::expect(&problem, &reference, arithmetic, &outputs);
                let what = format!("{} {kept} of {row_len}", kernel.name());
                assert_eq!(judge(&want, &outputs).fault, None, "{what}");
            }
        }
    }
}
