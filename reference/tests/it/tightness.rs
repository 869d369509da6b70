//! A fault of three bounds is caught, and a bound ten times as wide no longer sees it: the bounds
//! of float rows are what catches faults, and nothing stricter stands behind them.
use lowbit_reference::case::Case;
use lowbit_reference::data::NoFiles;
use lowbit_reference::judge::judge;
use lowbit_reference::op::{
    Arithmetic, Expectation, Op, Outputs, Tensor, attention, awq, conv2d, hadamard, linear,
    projection,
};

/// What the reference itself would answer.
fn honest(expectation: &Expectation) -> Outputs {
    let output = |e: &lowbit_reference::op::Expected| (e.name, e.want.clone());
    Outputs(expectation.outputs.iter().map(output).collect())
}

fn check<O: Op>(id: &str, first: Outputs) {
    let case: Case = id.parse().unwrap_or_else(|e| panic!("{id}: {e}"));
    let problem = O::generate(&case, &NoFiles).unwrap();
    let reference = O::reference(&problem);
    let expect = |got: &Outputs| O::expect(&problem, &reference, Arithmetic::FLOAT, got);
    let got = honest(&expect(&first));
    assert_eq!(judge(&expect(&got), &got).fault, None, "{id}");
    let wrong = expect(&got).displaced(&got, 3.0).unwrap_or_else(|| panic!("{id}: no bound"));
    let seen = judge(&expect(&wrong), &wrong);
    assert_eq!(seen.mismatches, 1, "{id}: a fault of three bounds passes");
    let loose = judge(&expect(&wrong).loosened(10.0), &wrong);
    assert_eq!(loose.fault, None, "{id}: caught although bounds are ten times as wide");
    assert!((0.25..0.35).contains(&loose.error_over_bound), "{id}: {}", loose.error_over_bound);
    // The other way, and just inside.
    let wrong = expect(&got).displaced(&got, -3.0).unwrap();
    assert!(judge(&expect(&wrong), &wrong).fault.is_some(), "{id}");
    let inside = expect(&got).displaced(&got, 0.9).unwrap();
    assert_eq!(judge(&expect(&inside), &inside).fault, None, "{id}");
}

#[test]
fn a_fault_of_three_bounds_is_caught_and_survives_ten() {
    let none = Outputs::default();
    let weights = ["ternary2", "int8", "nf4", "q8_0"].into_iter();
    for (weight, rule) in weights.zip(["b158", "absmax", "none", "none"]) {
        let id = format!(
            "linear/weight={weight}/activation=f32/weight_rule={rule}/activation_rule=none\
             /m=3/k=256/n=17/data=realistic"
        );
        check::<linear::Linear>(&id, none.clone());
    }
    let id = "conv2d/format=f32/c_in=5/c_out=4/height=7/width=9/padding_h=1/data=realistic";
    check::<conv2d::Conv2d>(id, none.clone());
    for format in ["f32", "int8"] {
        let id = format!(
            "attention/format={format}/heads=2/kv_heads=1/query_len=9/key_len=33/head_dim=16\
             /data=realistic"
        );
        check::<attention::Attention>(&id, none.clone());
    }
    for pass in ["forward", "backward"] {
        let id = format!(
            "lowrank_projection/weight=int8/activation=f32/weight_rule=onnx/activation_rule=none\
             /pass={pass}/heads=2/time=5/embd=33/packed_latent=9/latent=7/data=realistic"
        );
        type Lowrank = projection::ProjectionOp<projection::LowrankProjection>;
        check::<Lowrank>(&id, none.clone());
        let id = format!(
            "decoder_tail/weight=int8/activation=f32/weight_rule=onnx/activation_rule=none\
             /pass={pass}/heads=2/time=5/latent=9/latent_total=18/dim=7/data=realistic"
        );
        check::<projection::ProjectionOp<projection::DecoderTail>>(&id, none.clone());
    }
    check::<hadamard::HadamardTransform>("hadamard/m=3/k=512/data=realistic", none);
    let id = "awq_search/weight=uint4/m=7/k=64/n=9/group_size=32/data=realistic";
    let case: Case = id.parse().unwrap();
    let problem = awq::AwqSearch::generate(&case, &NoFiles).unwrap();
    let search = awq::AwqSearch::reference(&problem).unwrap();
    let best = (0..search.losses.len())
        .min_by(|a, b| search.losses[*a].total_cmp(&search.losses[*b]))
        .unwrap();
    let choice = Tensor::I32(vec![i32::try_from(best).unwrap()]);
    check::<awq::AwqSearch>(id, Outputs(vec![("choice", choice)]));
}

#[test]
fn what_may_not_be_off_is_not_loosened() {
    let id = "linear/weight=int8/activation=int8/weight_rule=absmax/activation_rule=absmax\
              /m=2/k=64/n=5/data=realistic";
    let case: Case = id.parse().unwrap();
    let problem = linear::Linear::generate(&case, &NoFiles).unwrap();
    let reference = linear::Linear::reference(&problem);
    let expect =
        || linear::Linear::expect(&problem, &reference, Arithmetic::INTEGER, &Outputs::default());
    let mut got = honest(&expect());
    assert!(expect().displaced(&got, 3.0).is_none());
    let Tensor::F32(y) = &mut got.0[0].1 else { panic!("y is f32") };
    y[3] = f32::from_bits(y[3].to_bits() + 1);
    assert!(judge(&expect().loosened(10.0), &got).fault.is_some());
}
