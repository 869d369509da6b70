//! Defects 13 to 16: one formula, written in ways that do not agree to the bit.
use crate::source::{fake, quantize as source};
use lowbit_reference::artifact::Artifact;
use lowbit_reference::data::{Distribution, Stream, realistic};
use lowbit_reference::fake_quantize::{ByRule, FakeQuantize};
use lowbit_reference::format::{INT8, Levels};
use lowbit_reference::rule::{Rounding, Rule, burn_dragon, quantize, weight_rule};

/// The source's five, of a value and a scale: host, tensor, WGSL, fused CUDA, packing CUDA.
const ROUNDINGS: [fn(f32, f32) -> f32; 5] = [
    |x, s| (x / s).round(),
    |x, s| fake::round_nearest(x / s),
    |x, s| (x / s + 0.5f32.copysign(x)).trunc(),
    |x, s| (x * (1.0 / s)).round(),
    |x, s| (x * (1.0 / s)).round_ties_even(),
];

#[test]
fn defect_13_five_rounding_rules() {
    let below_half = 0.5f32.next_down();
    // Value, scale; the five answers; the right one, ties away from zero and ties to even.
    let table = [
        (1.25, 1.0, [1.0; 5], (1.0, 1.0)),
        (2.5, 1.0, [3.0, 3.0, 3.0, 3.0, 2.0], (3.0, 2.0)),
        (-2.5, 1.0, [-3.0, -3.0, -3.0, -3.0, -2.0], (-3.0, -2.0)),
        // The half that is added rounds the sum up: to 1, and to the next even integer.
        (below_half, 1.0, [0.0, 1.0, 1.0, 0.0, 0.0], (0.0, 0.0)),
        (8_388_609.0, 1.0, [8_388_609.0, 8_388_610.0, 8_388_610.0, 8_388_609.0, 8_388_609.0], {
            (8_388_609.0, 8_388_609.0)
        }),
        // A half exactly, but 20.5 * (1 / 41) is less.
        (20.5, 41.0, [1.0, 1.0, 1.0, 0.0, 0.0], (1.0, 0.0)),
        (91.5, 61.0, [2.0, 2.0, 2.0, 1.0, 1.0], (2.0, 2.0)),
    ];
    for (x, s, theirs, (away, even)) in table {
        assert_eq!(ROUNDINGS.map(|round| round(x, s)), theirs, "{x} / {s}");
        assert_eq!(Rounding::HalfAway.round(x / s), away, "{x} / {s}");
        assert_eq!(Rounding::HalfEven.round(x / s), even, "{x} / {s}");
        // The code of a value is that of one division and one rounding, which the rule names.
        for (rounding, want) in [(Rounding::HalfAway, away), (Rounding::HalfEven, even)] {
            let rule = Rule { rounding, ..Rule::default() };
            let code = rule.code(Levels::Int8, x, &rule.under(s));
            assert_eq!(f32::from(code), want.clamp(-127.0, 127.0), "{x} / {s} {rounding:?}");
        }
    }
    assert_eq!(burn_dragon(Levels::Int8).rounding, Rounding::HalfAway);
    assert_eq!(weight_rule("absmax", Levels::Int8).unwrap().rounding, Rounding::HalfEven);
}

#[test]
fn defect_14_two_expressions_for_one_scale() {
    let rule = burn_dragon(Levels::Int8);
    let mut differ = 0;
    for v in 1..=1000u16 {
        let v = f32::from(v);
        let (codes, values) = (source::signed_scale(&[v], 127.0), fake::signed_step(&[v], 127.0));
        differ += usize::from(codes != values);
        // Of one value the mean is the value: 2 v / 127, to the nearest float.
        let exact = 2.0 * f64::from(v) / 127.0;
        assert_eq!(f64::from(rule.scale(v)), f64::from(exact as f32), "{v}");
    }
    assert_eq!(differ, 50);

    let x = realistic(Distribution::Normal, (5, Stream::Weight), (96, 96), 0.02);
    // Values that are no multiple of the scale of their codes, against ours that all are.
    let (scale, codes) = source::signed(&x, 127.0);
    let off_grid = |values: &[f32], codes: &[i16], scale: f32| {
        let pairs = values.iter().zip(codes);
        pairs.filter(|(value, code)| **value != f32::from(**code) * scale).count()
    };
    let wide: Vec<i16> = codes.iter().map(|code| i16::from(*code)).collect();
    assert!(off_grid(&fake::signed(&x, 127.0), &wide, scale) > 48);
    let q = quantize(&rule, Levels::Int8, &x, 96);
    let values = ByRule { rule, levels: Levels::Int8 }.fake_quantize(&x, &[96]).unwrap();
    assert_eq!(off_grid(&values, &q.codes, q.shared[0].scale), 0);
    let artifact = Artifact::pack(&INT8, &[1, 96], q.scales(), &q.codes).unwrap();
    assert_eq!(artifact.values().unwrap(), values, "packed or not, the same values");
}

#[test]
fn defect_14_the_order_of_a_sum_is_in_its_scale() {
    // Ones that vanish beside 2^24 one by one, and do not together.
    let mut x = vec![1.0f32; 1024];
    (x[0], x[1]) = (16_777_216.0, 2.0);
    let reversed: Vec<f32> = x.iter().rev().copied().collect();
    assert_ne!(source::signed_scale(&x, 127.0), source::signed_scale(&reversed, 127.0));
    assert_eq!(fake::scale(&x), (16_777_216.0 + 896.0) / 1024.0, "another order, another sum");
    let scale = |x: &[f32]| quantize(&burn_dragon(Levels::Ternary), Levels::Ternary, x, 1024);
    assert_eq!(scale(&x).scales(), scale(&reversed).scales());
    assert_eq!(scale(&x).scales(), [16_385.0], "2^24 + 1024, by 1024");
}

/// `|x| >= scale` for the codes and `|x| / scale >= 1` for the values. A division that rounds
/// correctly agrees with the comparison; devices divide by a reciprocal, which does not.
#[test]
fn defect_15_a_threshold_by_comparison_and_by_quotient() {
    let by_quotient = |x: f32, s: f32| x.abs() / s >= 1.0;
    let on_a_device = |x: f32, s: f32| x.abs() * (1.0 / s) >= 1.0;
    let rule = burn_dragon(Levels::Ternary);
    let mut differ = 0;
    for s in (1..=1000u16).map(f32::from) {
        let under = rule.under(s);
        for (x, active) in [(s.next_down(), false), (s, true), (s.next_up(), true)] {
            for x in [x, -x] {
                assert_eq!(by_quotient(x, s), active, "{x} {s}");
                differ += usize::from(on_a_device(x, s) != active);
                let code = rule.code(Levels::Ternary, x, &under);
                assert_eq!(f32::from(code), f32::from(u8::from(active)).copysign(x), "{x} {s}");
            }
        }
    }
    assert!(differ > 0 && !on_a_device(41.0, 41.0));
    // Equal magnitudes lie exactly at their mean: all of them are kept, in codes and in values.
    let x = [41.0, -41.0, 41.0, 41.0];
    assert_eq!(source::ternary(&x).1, [1, -1, 1, 1], "and all 0 on the device");
    assert_eq!(quantize(&rule, Levels::Ternary, &x, 4).codes, [1, -1, 1, 1]);
    let values = ByRule { rule, levels: Levels::Ternary }.fake_quantize(&x, &[4]).unwrap();
    assert_eq!(values, x);
}

#[test]
fn defect_16_one_kernel_floors_the_scale_and_another_does_not() {
    let code = |x: f32, scale: f32| (x / scale).round().clamp(-127.0, 127.0);
    let from_f32 = |x: f32, scale: f32| code(x, scale.max(1e-8));
    let prepacked = code;
    assert_eq!((from_f32(1e-8, 1e-9), prepacked(1e-8, 1e-9)), (1.0, 10.0));
    assert!(from_f32(0.0, 0.0) == 0.0 && prepacked(0.0, 0.0).is_nan());
    // Ours floors where the scale is made; from there on there is one scale, which is stored.
    let rule = burn_dragon(Levels::Int8);
    let x = [1e-8, -2e-8, 0.0, 6.4e-7];
    // Twice their mean of 1.675e-7 is 3.35e-7, in 127 steps 2.6e-9: floored.
    let q = quantize(&rule, Levels::Int8, &x, 4);
    assert_eq!((q.scales(), &q.codes[..]), (vec![1e-8], &[1, -2, 0, 64][..]));
    let artifact = Artifact::pack(&INT8, &[1, 4], q.scales(), &q.codes).unwrap();
    assert_eq!(artifact.values().unwrap(), [1e-8, -2e-8, 0.0, 64.0 * 1e-8]);
    for scale in [f32::INFINITY, -1.0, f32::NAN] {
        let error = Artifact::pack(&INT8, &[1, 4], vec![scale], &q.codes).unwrap_err();
        assert_eq!(error.field, "scales[0]", "no kernel ever sees such a scale");
    }
}
