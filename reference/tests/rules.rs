//! Rules on drawn data: what they cost, and that long sums do not drift.
use lowbit_reference::case::Case;
use lowbit_reference::data::{NoFiles, Stream, realistic};
use lowbit_reference::format::Levels;
use lowbit_reference::op::Op;
use lowbit_reference::op::quantize::weight::QuantizeWeight;
use lowbit_reference::rule::{mean, quantize, weight_rule};

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
        ("sign1", "burn_dragon", 4.39),
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
        let expected = QuantizeWeight::expected_nmse(&problem, &reference).unwrap();
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
