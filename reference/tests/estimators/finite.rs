//! Why no difference quotient can test an estimator: it measures another function.
use lowbit_reference::estimator::Estimator;
use lowbit_reference::fake_quantize::{ByRule, FakeQuantize};
use lowbit_reference::format::Levels;
use lowbit_reference::rule::{Range, Rule};

/// `(Q(x + h) - Q(x - h)) / 2h` for a known scale of 0.25.
fn quotient(x: f32, h: f32) -> f32 {
    let rule = Rule { range: Range::Fixed, fixed_scale: 0.25, ..Rule::default() };
    let by = ByRule { rule, levels: Levels::Int8 };
    let at = |x: f32| by.fake_quantize(&[x], &[1, 1]).unwrap()[0];
    assert_eq!(Estimator::Identity.gradient(&by, (&[x], &[1, 1]), &[1.0]).unwrap(), [1.0]);
    (at(x + h) - at(x - h)) / (2.0 * h)
}

#[test]
fn finite_differences_cannot_tell_a_right_estimator_from_a_wrong_one() {
    // Between ties the quantizer is flat: the quotient is 0 where the estimator says 1, at every
    // width that does not reach a tie.
    for h in [0.0625, 1e-2, 1e-3] {
        assert_eq!(quotient(0.25, h), 0.0);
    }
    // Across a tie it is the jump over the width: anything one likes, without a limit.
    assert_eq!([0.0625, 0.015_625, 0.003_906_25].map(|h| quotient(0.375, h)), [2.0, 8.0, 32.0]);
    // Only a width of many steps comes near 1, and that measures the mean of everything between:
    // a gradient doubled or masked at one place moves it by nothing.
    assert!((quotient(0.3, 8.0) - 1.0).abs() < 0.02);
}

#[test]
fn a_statistic_makes_the_quotient_a_third_thing() {
    // The largest of a row sets the scale, so the others move with it: d Q(x_1) / d x_0 is code /
    // 127, and no estimator here has it: scales are constants of the backward pass.
    let rule = lowbit_reference::rule::activation_rule("absmax", Levels::Int8).unwrap();
    let by = ByRule { rule, levels: Levels::Int8 };
    let at = |largest: f32| by.fake_quantize(&[largest, 0.25], &[1, 2]).unwrap()[1];
    // 0.25 is 31.75 steps: 32, and no tie near.
    let (h, code) = (1.0 / 1024.0, 32.0);
    let quotient = (at(1.0 + h) - at(1.0 - h)) / (2.0 * h);
    assert!((quotient - code / 127.0).abs() < 1e-3, "{quotient}");
    for estimator in Estimator::ALL {
        let gradient = estimator.gradient(&by, (&[1.0, 0.25], &[1, 2]), &[0.0, 1.0]).unwrap();
        assert_eq!(gradient, [0.0, 1.0], "{estimator:?}");
    }
}
