//! What conformance cannot see: values that are no numbers, ties, both ends of the range, and the
//! sign of zeros, bit for bit.
use crate::context::{Context, Poison};
use crate::hardware::Hardware;
use crate::pool::Pool;
use crate::{Kernel, Threads, rho_decode, rho_encode};
use lowbit_reference::op::rho::decode::PayloadProblem;
use lowbit_reference::op::rho::payload::StateProblem;
use lowbit_reference::op::{Op, Outputs, Tensor};
use lowbit_reference::rho::StateShape;

const CODECS: [&str; 7] =
    ["bf16", "fp8", "fp8_block", "blockfp8", "blockfp", "sparse_positive", "sparse_tile"];

fn answer<O: Op>(kernel: &dyn Kernel<O>, problem: &O::Problem) -> Outputs {
    let hardware = Hardware::without_devices("not asked");
    let mut context = Context::new(Pool::new(2).unwrap(), hardware, Poison::Ones);
    let mut prepared = kernel.prepare(problem, &mut context).unwrap();
    prepared.launch().unwrap();
    let outputs = prepared.read().unwrap();
    assert_eq!(context.check_guards(), Ok(()));
    outputs
}

/// Every row whose hardware is here, for every codec, to the bit; NaN is NaN.
fn check(shape: &[usize], x: &[f32]) {
    let hardware = Hardware::without_devices("not asked");
    for codec in CODECS {
        let state = || StateProblem::new(codec, StateShape::new(shape).unwrap(), x.to_vec());
        let source = state().unwrap();
        let want = source.payload();
        for kernel in rho_encode::KERNELS.iter().filter(|row| hardware.has(row.need()).is_ok()) {
            assert_eq!(kernel.threads(), Threads::Pool);
            let outputs = answer(*kernel, &source);
            let Some(Tensor::U8(got)) = outputs.get("payload") else { panic!("no payload") };
            let same = got.iter().zip(&want).position(|(got, want)| got != want);
            let what = (kernel.name(), codec, got.len());
            assert_eq!((what, same), ((kernel.name(), codec, want.len()), None));
        }
        let problem = PayloadProblem::new(state().unwrap());
        let want = problem.source.values(&problem.payload);
        for kernel in rho_decode::KERNELS.iter().filter(|row| hardware.has(row.need()).is_ok()) {
            let outputs = answer(*kernel, &problem);
            let got = outputs.f32s("values").unwrap();
            let same = |(got, want): (&f32, &f32)| {
                got.to_bits() == want.to_bits() || (got.is_nan() && want.is_nan())
            };
            let at = got.iter().zip(&want).position(|pair| !same(pair));
            let what = at.map(|at| (x[at], got[at], want[at]));
            assert_eq!(
                (kernel.name(), codec, got.len(), what),
                (kernel.name(), codec, want.len(), None)
            );
        }
    }
}

/// Every exponent with mantissas at, above and below what small floats keep, of either sign.
fn magnitudes() -> Vec<f32> {
    let mantissas = [0, 1, 0x7_ffff, 0x8_0000, 0x8_0001, 0x10_0000, 0x18_0000, 0x7_8000, 0x7f_ffff];
    let exponents = (0..=255u32).map(|exponent| exponent << 23);
    let bits = exponents.flat_map(|exponent| mantissas.map(|mantissa| exponent | mantissa));
    bits.flat_map(|bits| [bits, bits | 1 << 31]).map(f32::from_bits).collect()
}

#[test]
fn every_exponent_alone_in_its_block() {
    // Blocks of 32, and a short one.
    let mut blocks = Vec::new();
    for (i, x) in magnitudes().into_iter().enumerate() {
        let mut block = [0.0f32; 32];
        block[i % 32] = x;
        blocks.extend(block);
    }
    blocks.push(f32::MAX);
    check(&[1, blocks.len()], &blocks);
}

#[test]
fn every_exponent_beside_others() {
    let all = magnitudes();
    check(&[1, all.len()], &all);
    // Neighbours of about the same size, so that no scale hides the others.
    let finite: Vec<f32> = all.iter().copied().filter(|x| x.is_finite()).collect();
    check(&[finite.len() / 64, 64], &finite[..finite.len() / 64 * 64]);
}

#[test]
fn halves_between_codes_under_every_power() {
    let halves = (-1024..=1024).map(|i| i as f32 / 16.0);
    let near: Vec<f32> = halves.flat_map(|x| [x, x.next_up(), x.next_down(), -x]).collect();
    for power in [1.0, 0.25, 3.0, 1e-30, 1e30, f32::from_bits(380)] {
        let x: Vec<f32> = near.iter().map(|x| x * power).collect();
        check(&[1, x.len()], &x);
    }
}

#[test]
fn equal_values_keep_the_earlier() {
    for kept in [15, 16, 17, 31, 32] {
        let mut x = vec![-1.0f32; 96];
        x[..kept].fill(2.0);
        x[32..32 + kept].fill(0.5);
        x[95 - kept / 2..].fill(7.0);
        x[40] = 3.0;
        check(&[1, 96], &x);
        check(&[3, 4, 8], &x);
    }
}

#[test]
fn states_of_no_values_have_no_codes() {
    for shape in [[0, 3, 5], [2, 0, 8], [2, 8, 0]] {
        check(&shape, &[]);
    }
}

#[test]
fn large_states_go_past_the_caches() {
    let (rows, columns) = (1031, 5003);
    let x: Vec<f32> = (0..rows * columns).map(|i| ((i * 7919) % 4099) as f32 - 1500.0).collect();
    check(&[rows, columns], &x);
}
