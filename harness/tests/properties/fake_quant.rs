//! Rows of `linear` against the product of fake-quantized operands, directly.
//!
//! A straight-through layer multiplies what quantizers leave of its floats. A row on the packed
//! codes must answer the same to what f32 may lose: `gamma(K + 8) sum |x w|`, for the row's own sum
//! and for the two roundings that each operand has here and not there. The row `ste` is Burn's; here
//! the same is multiplied in f64, so that the comparison needs no Burn.
use super::{NIGHTLY, over};
use libtest_mimic::{Failed, Trial};
use lowbit_harness::files::Disk;
use lowbit_kernels::context::{Context, Poison};
use lowbit_kernels::hardware::{Hardware, Need};
use lowbit_kernels::linear::KERNELS;
use lowbit_kernels::pool::Pool;
use lowbit_kernels::{Failure, Kernel};
use lowbit_reference::bound::gamma;
use lowbit_reference::case::Case;
use lowbit_reference::fake_quantize::{ByRule, FakeQuantize};
use lowbit_reference::op::linear::{Linear, LinearProblem, Weight};
use lowbit_reference::op::{Op, Outputs, Tensor};
use proptest::test_runner::{TestCaseError, TestCaseResult};

/// Cases of a row.
const CASES: u32 = if cfg!(feature = "heavy") { 500 } else { 32 };

/// A trial for each native row of `linear`.
pub(super) fn trials() -> Vec<Trial> {
    let native = KERNELS.iter().filter(|row| {
        row.need() != Need::Wgpu && ["plain", "scalar", "avx2", "avx512vnni"].contains(&row.name())
    });
    native
        .map(|row| {
            let name = format!("linear::{} is fake quantization", row.name());
            Trial::test(name, move || agrees(*row))
        })
        .collect()
}

fn agrees(row: &'static dyn Kernel<Linear>) -> Result<(), Failed> {
    let hardware = Hardware::detect();
    if hardware.has(row.need()).is_err() {
        return Ok(());
    }
    over(("linear", row.name()), (NIGHTLY, CASES), |case| one(row, case, &hardware))
}

fn one(row: &dyn Kernel<Linear>, case: &Case, hardware: &Hardware) -> TestCaseResult {
    let problem = Linear::generate(case, &Disk).map_err(TestCaseError::reject)?;
    row.accepts(&problem).map_err(TestCaseError::reject)?;
    let Some((x, w)) = operands(&problem) else {
        return Err(TestCaseError::reject("weights that carry their scales"));
    };
    let outputs = outputs(row, &problem, hardware).map_err(|e| TestCaseError::fail(e.0))?;
    let Some(Tensor::F32(y)) = outputs.get("y") else {
        return Err(TestCaseError::fail("no output y"));
    };
    let (k, n) = (problem.k, problem.n);
    for (at, y) in y.iter().enumerate() {
        let (x, w) = (&x[at / n * k..][..k], &w[at % n * k..][..k]);
        let products = || x.iter().zip(w).map(|(x, w)| f64::from(*x) * f64::from(*w));
        let (want, magnitude) = (products().sum::<f64>(), products().map(f64::abs).sum::<f64>());
        let bound = gamma(k + 8) * magnitude + f64::from(f32::MIN_POSITIVE);
        if f64::from(*y) == want || (y.is_nan() && want.is_nan()) {
            continue;
        }
        let error = (f64::from(*y) - want).abs();
        if error.is_nan() || error > bound {
            let why = format!("y[{at}] is {y}, fake quantization has {want} within {bound:.3e}");
            return Err(TestCaseError::fail(why));
        }
    }
    Ok(())
}

/// What quantizers leave of activations and weights; nothing for formats without a rule.
fn operands(problem: &LinearProblem) -> Option<(Vec<f32>, Vec<f32>)> {
    let Weight::Codes(weight) = &problem.weight else { return None };
    // Nothing to share a scale, and products that nobody sees.
    if problem.k == 0 {
        return None;
    }
    // `linear` drops the centre of a centred rule, and so does a layer that trains through it.
    let centred = weight.rule.centred;
    let by = ByRule { rule: weight.rule, levels: weight.format.levels() };
    let w = by.fake_quantize(&problem.weight_f32, &[problem.n, problem.k]).ok()?;
    let x = match problem.activation.quantization() {
        // The rows have been turned already.
        Some((_, rule)) if rule.rotated => return None,
        Some((levels, rule)) => {
            let by = ByRule { rule, levels };
            by.fake_quantize(&problem.activation_f32, &[problem.m, problem.k]).ok()?
        }
        None => problem.activation_f32.clone(),
    };
    (!centred).then_some((x, w))
}

fn outputs(
    row: &dyn Kernel<Linear>,
    problem: &LinearProblem,
    hardware: &Hardware,
) -> Result<Outputs, Failure> {
    let mut context = Context::new(Pool::new(1)?, hardware.clone(), Poison::Ones);
    let mut prepared = row.prepare(problem, &mut context)?;
    prepared.launch()?;
    prepared.sync()?;
    prepared.read()
}
