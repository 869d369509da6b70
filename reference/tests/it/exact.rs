//! A second opinion on the oracle of `linear`: sums without any rounding, on the data where an
//! f64 loop is most likely to be wrong.
use lowbit_reference::bound;
use lowbit_reference::case::Case;
use lowbit_reference::data::NoFiles;
use lowbit_reference::op::exact::{exact_dot, exact_integer_dot};
use lowbit_reference::op::linear::{Activation, Linear, LinearProblem, PackedWeight, Weight};
use lowbit_reference::op::{Arithmetic, Op, Outputs, Tensor};

fn problem(activation: &str, data: &str) -> LinearProblem {
    let activation_rule = if activation == "f32" { "none" } else { "b158" };
    let id = format!(
        "linear/weight=int8/activation={activation}/weight_rule=absmax/\
         activation_rule={activation_rule}/m=3/k=1000/n=5/data={data}/seed=9"
    );
    let case: Case = id.parse().unwrap();
    Linear::generate(&case, &NoFiles).unwrap()
}

/// The oracle's `y`, all of it.
fn oracle(problem: &LinearProblem) -> Vec<f32> {
    let reference = Linear::reference(problem);
    let expected = Linear::expect(problem, &reference, Arithmetic::INTEGER, &Outputs::default());
    match &expected.outputs[0].want {
        Tensor::F32(y) => y.clone(),
        other => panic!("y is {}", other.type_name()),
    }
}

fn weight(problem: &LinearProblem) -> &PackedWeight {
    match &problem.weight {
        Weight::Codes(weight) => weight,
        other => panic!("codes, not {}", other.name()),
    }
}

/// `(token, output feature, weight codes as floats)` of each element of `y`.
fn elements(problem: &LinearProblem) -> Vec<(usize, usize, Vec<f32>)> {
    let codes = weight(problem).weight_codes();
    let row = |j: usize| codes[j * problem.k..][..problem.k].iter().map(|c| f32::from(*c));
    let element = |at: usize| (at / problem.n, at % problem.n, row(at % problem.n).collect());
    (0..problem.m * problem.n).map(element).collect()
}

/// Every activation has its opposite beside it under nearly the same weight, so that sums are far
/// smaller than their terms; and scaled to the ends of the range of floats.
#[test]
fn f64_sums_are_within_their_bound_of_exact_ones() {
    let normal = problem("f32", "realistic").activation_f32;
    let cancelling = |x: &[f32]| -> Vec<f32> {
        x.chunks(2).flat_map(|pair| [pair[0] * 1e6, -pair[0] * 1e6 + pair[1]]).collect()
    };
    let scaled = |by: f32| normal.iter().map(|x| x * by).collect::<Vec<f32>>();
    // Subnormal, and within a factor of 16 of the largest float.
    let ends = [scaled(1e-41), scaled(2e37)];
    assert!(ends[0].iter().any(|x| x.is_subnormal()) && ends[1].iter().all(|x| x.is_finite()));
    for x in [normal.clone(), cancelling(&normal), ends[0].clone(), ends[1].clone()] {
        let mut problem = problem("f32", "realistic");
        problem.activation = Activation::F32(x.clone());
        problem.activation_f32 = x;
        let y = oracle(&problem);
        for (at, (i, j, w)) in elements(&problem).into_iter().enumerate() {
            let x = &problem.activation_f32[i * problem.k..][..problem.k];
            let scale = f64::from(weight(&problem).scale(j));
            let want = exact_dot(x, &w).unwrap().to_f64() * scale;
            let magnitude: f64 =
                x.iter().zip(&w).map(|(x, w)| (f64::from(*x) * f64::from(*w)).abs()).sum();
            // 1000 additions and a product in f64 (2^-29 of the f32 unit), one rounding to f32.
            let sums = bound::gamma(problem.k + 2) / 2f64.powi(29) * magnitude * scale;
            let rounding = want.abs() * bound::UNIT + 2f64.powi(-150);
            let off = (f64::from(y[at]) - want).abs();
            let overflow = want.abs() > f64::from(f32::MAX) && y[at].is_infinite();
            assert!(off <= sums + rounding || overflow, "{at}: {} {want}", y[at]);
        }
    }
}

#[test]
fn sums_that_are_exact_in_f64_are_the_same_bits() {
    for (activation, data) in [("f32", "exact"), ("int8", "exact"), ("int8", "realistic")] {
        let problem = problem(activation, data);
        let y = oracle(&problem);
        for (at, (i, j, w)) in elements(&problem).into_iter().enumerate() {
            let want = match &problem.activation {
                Activation::F32(_) => {
                    let x = &problem.activation_f32[i * problem.k..][..problem.k];
                    let sum = exact_dot(x, &w).unwrap();
                    (sum.to_f64() * f64::from(weight(&problem).scale(j))) as f32
                }
                Activation::U8(_) => panic!("int8 activations"),
                Activation::I8(codes) => {
                    let w: Vec<i64> = w.iter().map(|w| *w as i64).collect();
                    let x = codes.codes[i * problem.k..][..problem.k].iter().map(|x| i64::from(*x));
                    let sum = exact_integer_dot(&x.collect::<Vec<i64>>(), &w).unwrap();
                    sum as f32 * (problem.activation_scale(i) * weight(&problem).scale(j))
                }
            };
            assert_eq!(y[at].to_bits(), want.to_bits(), "{activation} {data} {at}");
        }
    }
}
