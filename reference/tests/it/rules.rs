//! Rules by hand and on drawn data: what they cost, and that long sums do not drift.
use lowbit_reference::case::Case;
use lowbit_reference::data::{NoFiles, Stream, realistic};
use lowbit_reference::format::Levels;
use lowbit_reference::op::Op;
use lowbit_reference::op::quantize::{activation::QuantizeActivation, weight::QuantizeWeight};
use lowbit_reference::rule::{activation_rule, mean, quantize, weight_rule};

#[test]
fn an_f64_mean_does_not_drift_with_the_length() {
    // Numerics, defect 7: the source's f32 sum has a mean of 0.02037 here.
    let x = vec![0.02f32; 1 << 22];
    assert_eq!(mean(&x, f32::abs), 0.02);
    let q = quantize(&weight_rule("b158", Levels::Ternary).unwrap(), Levels::Ternary, &x, x.len());
    assert!(q.codes.iter().all(|c| *c == 1));
}

/// What each rule costs on normal data, in dB of SQNR (numerics 4.3); two-sided, since too good
/// would be wrong as well.
#[test]
fn quality_on_normal_data_is_as_calculated() {
    let expected = [
        ("ternary2", "burn_dragon", 4.63),
        ("ternary2", "b158", 5.79),
        ("ternary2", "twn", 7.17),
        ("sign1", "burn_dragon", 4.39),
        ("int4", "burn_dragon", 14.02),
        ("int4", "absmax", 16.04),
        ("int8", "burn_dragon", 14.47),
        ("int8", "absmax", 41.22),
    ];
    for (weight, rule, want) in expected {
        let id = format!(
            "quantize_weight/weight={weight}/weight_rule={rule}/k=4096/n=128/data=realistic/seed=7"
        );
        let case: Case = id.parse().unwrap();
        let problem = QuantizeWeight::generate(&case, &NoFiles).unwrap();
        let reference = QuantizeWeight::reference(&problem);
        let got = QuantizeWeight::quality(&problem, &reference).unwrap().sqnr_db.unwrap();
        assert!((got - want).abs() < 0.1, "{weight} {rule}: {got} dB, calculated {want} dB");
        let expected = QuantizeWeight::expected_error(&problem).unwrap();
        let quality = QuantizeWeight::quality(&problem, &reference).unwrap();
        assert_eq!(quality.unexpected(expected), None, "{weight} {rule}");
        let zeros = reference.codes.iter().filter(|c| **c == 0).count() as f64;
        let share = zeros / reference.codes.len() as f64;
        let predicted = QuantizeWeight::predicted_zeros(&problem).unwrap();
        assert!(
            share <= predicted + 0.005,
            "{weight} {rule}: {share} zeros, {predicted} predicted"
        );
    }
}

/// Rules of a whole tensor whose scale, centre or zero point is no statistic that integrals are taken
/// over: the data say what it is, and the codes of another rule have another error.
#[test]
fn the_error_of_a_whole_tensor_is_calculated_from_what_it_shares() {
    let pairs = [("sign1", "b1", 0.2), ("ternary2", "twn", 0.25), ("uint4", "onnx", 0.02)];
    for (weight, rule, moved) in pairs {
        for distribution in ["normal", "laplace", "relu"] {
            let id = format!(
                "quantize_weight/weight={weight}/weight_rule={rule}/k=4096/n=64/data=realistic\
                 /distribution={distribution}/seed=7"
            );
            let problem = QuantizeWeight::generate(&id.parse::<Case>().unwrap(), &NoFiles).unwrap();
            let expected = QuantizeWeight::expected_error(&problem).expect(&id);
            let mut reference = QuantizeWeight::reference(&problem);
            let quality = |q: &_| QuantizeWeight::quality(&problem, q).unwrap();
            assert_eq!(quality(&reference).unexpected(expected), None, "{id}");
            let (least, most) = expected.nmse(&quality(&reference)).unwrap();
            assert!(least < quality(&reference).nmse && quality(&reference).nmse < most, "{id}");
            // As by a scale that is a little wrong.
            reference.shared[0].scale *= 1.0 + moved;
            let wrong = quality(&reference);
            assert!(wrong.unexpected(expected).is_some(), "{id}");
        }
    }
}

/// The same for activations, whose data the distribution says (numerics 4.3).
#[test]
fn quality_of_activations_is_as_calculated() {
    let expected = [
        ("int8", "burn_dragon", "normal", 14.47),
        ("int8", "absmax", "normal", 41.22),
        ("int8", "burn_dragon", "laplace", 8.70),
        ("int4", "burn_dragon", "normal", 14.02),
        ("int4", "a48", "normal", 18.81),
        ("int4", "b2_hadamard", "normal", 18.81),
        ("int4", "absmax", "normal", 16.04),
        ("uint8", "burn_dragon", "relu", 6.34),
        ("uint8", "burn_dragon", "relu2", 2.7),
    ];
    for (activation, rule, distribution, want) in expected {
        let id = format!(
            "quantize_activation/activation={activation}/activation_rule={rule}/m=128/k=4096\
             /data=realistic/distribution={distribution}/seed=7"
        );
        let case: Case = id.parse().unwrap();
        let problem = QuantizeActivation::generate(&case, &NoFiles).unwrap();
        let reference = QuantizeActivation::reference(&problem);
        let got = QuantizeActivation::quality(&problem, &reference).unwrap().sqnr_db.unwrap();
        assert!((got - want).abs() < 0.15, "{id}: {got} dB, calculated {want} dB");
    }
}

/// By hand: the mean magnitude is 1, so 0.7 is the limit and 2.1 the mean of what is kept.
#[test]
fn ternary_weight_networks_scale_by_what_they_keep() {
    let rule = weight_rule("twn", Levels::Ternary).unwrap();
    let x = [2.0, -2.2, 0.7, -0.6, 0.4, 0.1];
    let q = quantize(&rule, Levels::Ternary, &x, x.len());
    assert_eq!(q.codes, [1, -1, 0, 0, 0, 0]);
    assert_eq!(q.scales(), [2.1]);
}

/// By hand: 128 steps to the largest, which itself saturates at 127.
#[test]
fn b1_activations_saturate_at_their_largest() {
    let rule = activation_rule("b1", Levels::Int8).unwrap();
    let q = quantize(&rule, Levels::Int8, &[2.0, -2.0, 1.0, 0.0078125], 4);
    assert_eq!(q.codes, [127, -127, 64, 0]);
    assert_eq!(q.scales(), [2.0 / 128.0]);
}

#[test]
fn normal_data_are_normal() {
    use lowbit_reference::data::Distribution::Normal;
    let x = realistic(Normal, (1, Stream::Weight), (1 << 18, 512), 1.0);
    let mean = x.iter().map(|x| f64::from(*x)).sum::<f64>() / x.len() as f64;
    let variance = x.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>() / x.len() as f64;
    // Four standard errors of 2^18 draws.
    assert!(
        mean.abs() < 4.0 / 512.0 && (variance - 1.0).abs() < 4.0 * std::f64::consts::SQRT_2 / 512.0
    );
}
