//! Every named rule under every format of weights and activations it has codes for.
use super::{config, floats, grid, negated, normal, scaled};
use lowbit_reference::format::{ACTIVATION_FORMATS, Levels, WEIGHT_FORMATS, WeightFormat};
use lowbit_reference::rule::named::{activation_rule_words, weight_rule_words};
use lowbit_reference::rule::{
    Code, EpsilonUse, Granularity, Groups, Quantized, Range, Rule, activation_rule, quantize,
    quantize_groups, weight_rule,
};
use proptest::prelude::*;

/// A rule with its name and the format it is used with.
struct Named {
    name: String,
    rule: Rule,
    format: &'static dyn WeightFormat,
}

impl Named {
    fn levels(&self) -> Levels {
        self.format.levels()
    }

    /// One group.
    fn quantize(&self, x: &[f32]) -> Quantized {
        quantize(&self.rule, self.levels(), x, x.len())
    }

    fn dequantize(&self, q: &Quantized) -> Vec<f32> {
        q.codes.iter().map(|code| self.rule.value(*code, &q.shared[0])).collect()
    }

    fn codes(&self, x: &[f32]) -> Vec<Code> {
        self.quantize(x).codes
    }

    fn is(&self, names: &[&str]) -> bool {
        names.contains(&self.name.as_str())
    }
}

/// `weight b158 ternary2`, `activation onnx uint8`, ...
fn all() -> Vec<Named> {
    let mut all = Vec::new();
    let mut add =
        |kind: &str, name: &str, rule: Option<Rule>, format: &'static dyn WeightFormat| {
            let name = format!("{kind} {name} {}", format.name());
            all.extend(rule.map(|rule| Named { name, rule, format }));
        };
    for format in WEIGHT_FORMATS.iter().copied() {
        for word in weight_rule_words() {
            add("weight", word.name, weight_rule(word.name, format.levels()), format);
        }
    }
    for format in ACTIVATION_FORMATS.iter().copied() {
        for word in activation_rule_words() {
            add("activation", word.name, activation_rule(word.name, format.levels()), format);
        }
    }
    all
}

/// Rules under which a quantized group, quantized again, may have other codes. Twice the mean, and
/// the mean times a root of 7: the mean of clamped values is smaller. `llm_awq`: a zero point that
/// is clamped leaves values beyond the codes. Steps of 1/128 with codes up to 127: the largest
/// value loses a step every time.
const UNSTABLE: [&str; 9] = [
    "weight burn_dragon int8",
    "weight burn_dragon int4",
    "weight llm_awq uint4",
    "activation burn_dragon int8",
    "activation burn_dragon int4",
    "activation burn_dragon uint8",
    "activation a48 int4",
    "activation b2_hadamard int4",
    "activation b1 int8",
];

/// Rules with a zero point whose codes are stable unless both ends of the range are ties.
const UNSTABLE_AT_TIES: [&str; 2] = ["weight onnx uint4", "activation onnx uint8"];

/// Rules with an epsilon in the divisor, so that codes depend on the unit of the data.
const WITH_UNITS: [&str; 6] = [
    "weight a48 ternary2",
    "weight a48 ternary3",
    "activation a48 int8",
    "activation a48 int4",
    "activation b2_hadamard int8",
    "activation b2_hadamard int4",
];

/// Signed rules with one more negative code that their range reaches.
const ASYMMETRIC: [&str; 2] = ["activation a48 int4", "activation b2_hadamard int4"];

#[test]
fn the_lists_of_exceptions_are_of_rules_there_are() {
    let all = all();
    assert_eq!(all.len(), 36);
    for name in UNSTABLE.iter().chain(&UNSTABLE_AT_TIES).chain(&WITH_UNITS).chain(&ASYMMETRIC) {
        assert!(all.iter().any(|named| named.name == *name), "{name}");
    }
}

proptest! {
    #![proptest_config(config(512))]

    #[test]
    fn codes_are_stable(x in floats(1..150)) {
        for named in all().iter().filter(|named| !named.is(&UNSTABLE)) {
            let once = named.quantize(&x);
            let again = named.codes(&named.dequantize(&once));
            prop_assert_eq!(&again, &once.codes, "{}", &named.name);
        }
    }

    #[test]
    fn errors_are_half_a_step_within_the_range(x in floats(1..150)) {
        let half = |named: &&Named| named.rule.threshold == 0.5 && named.levels() != Levels::Sign;
        for named in all().iter().filter(half) {
            let Rule { min_code, .. } = named.rule;
            let q = named.quantize(&x);
            let shared = q.shared[0];
            let (least, most) = named.levels().range();
            let least = if named.levels().unsigned() { least } else { least.max(min_code.into()) };
            let step = f64::from(named.rule.step(shared.scale));
            for ((x, code), back) in x.iter().zip(&q.codes).zip(named.dequantize(&q)) {
                let [least, most] = [least, most].map(|c| f64::from(c - shared.zero_point) * step);
                let x = f64::from(*x);
                if !(least - step / 2.0..=most + step / 2.0).contains(&x) {
                    continue;
                }
                // The value has the step without epsilon. Quotient and product round once each.
                let epsilon = step - f64::from(shared.scale);
                let steps = f64::from((code - shared.zero_point).abs());
                let bound = step / 2.0 + steps * epsilon + x.abs() * f64::from(f32::EPSILON);
                let error = (x - f64::from(back)).abs();
                prop_assert!(error <= bound, "{}: {x} {back} {step}", &named.name);
            }
        }
    }

    #[test]
    fn powers_of_two_pass_through(mut x in floats(1..150), k in -8i32..=8) {
        x.extend([1.0, -1.0]);
        for named in all().iter().filter(|named| !named.is(&WITH_UNITS)) {
            let (one, other) = (named.quantize(&x), named.quantize(&scaled(&x, k)));
            prop_assert_eq!(other.scales(), scaled(&one.scales(), k), "{}", &named.name);
            prop_assert_eq!(other.codes, one.codes, "{}", &named.name);
        }
    }

    #[test]
    fn signs_pass_through(x in floats(1..150)) {
        let signed = |named: &&Named| !named.levels().unsigned() && !named.is(&ASYMMETRIC);
        for named in all().iter().filter(signed) {
            let (plus, minus) = (named.quantize(&x), named.quantize(&negated(&x)));
            prop_assert_eq!(plus.scales(), minus.scales(), "{}", &named.name);
            let centre = plus.shared[0].centre;
            for ((x, plus), minus) in x.iter().zip(&plus.codes).zip(&minus.codes) {
                // The sign of zero has no opposite.
                prop_assert!(*plus == -minus || *x == centre, "{} {x}", &named.name);
            }
        }
    }

    #[test]
    fn the_order_of_a_group_does_not_matter(x in grid(1..150), by in 0usize..150) {
        let turned = |codes: &[Code]| [&codes[by % x.len()..], &codes[..by % x.len()]].concat();
        let rotated = [&x[by % x.len()..], &x[..by % x.len()]].concat();
        for named in all() {
            prop_assert_eq!(named.codes(&rotated), turned(&named.codes(&x)), "{}", &named.name);
        }
    }

    #[test]
    fn zeros_at_the_end_change_nothing_under_absmax(x in floats(1..150), zeros in 1usize..40) {
        let padded = [&x[..], &vec![0.0; zeros]].concat();
        let whole = |named: &&Named| match named.rule.range {
            Range::Absmax | Range::Fixed => true,
            Range::Minmax => named.rule.with_zero,
            Range::Absmean => false,
        };
        for named in all().iter().filter(whole) {
            prop_assert_eq!(&named.codes(&padded)[..x.len()], named.codes(&x), "{}", &named.name);
        }
    }

    #[test]
    fn rows_and_groups_keep_to_themselves(x in floats(96), other in floats(64)) {
        // The first of three rows of 32, and what else there is.
        let changed = [&x[..32], &other].concat();
        let local = |named: &&Named| named.rule.granularity != Granularity::Tensor;
        for named in all().iter().filter(local) {
            let rule = Rule { group_size: 16, ..named.rule };
            let codes = |x: &[f32]| {
                let groups = Groups::matrix(&rule, (x.len() / 32, 32)).unwrap();
                quantize_groups(&rule, named.levels(), x, &groups).codes
            };
            let alone = codes(&x[..32]);
            prop_assert_eq!(&codes(&x)[..32], &alone[..], "{}", &named.name);
            prop_assert_eq!(&codes(&changed)[..32], &alone[..], "{}", &named.name);
        }
    }

    #[test]
    fn packed_rows_are_as_long_as_they_say(x in floats(1..150)) {
        for named in all() {
            let codes = named.codes(&x);
            let bytes = named.format.pack(&codes).unwrap();
            prop_assert_eq!(bytes.len(), named.format.row_bytes(x.len()), "{}", &named.name);
            prop_assert!(bytes.len() as f64 * 8.0 >= named.format.bits() * x.len() as f64);
            prop_assert_eq!(named.format.unpack(&bytes, x.len()).unwrap(), codes);
        }
    }
}

/// Some example among many draws in which a property does not hold.
fn example(named: &Named, fails: impl Fn(&[f32]) -> bool) {
    let found = (0..200).any(|seed| fails(&normal(seed, 128)));
    assert!(found, "{} has the property it is said not to have", named.name);
}

#[test]
fn unstable_rules_are_unstable() {
    for named in all().iter().filter(|named| named.is(&UNSTABLE)) {
        // `llm_awq` clamps the zero point of groups far from zero alone; of `a48` int4, whose codes
        // reach 2.6 times the mean, outliers alone are clamped by more than half a step.
        let awq = named.is(&["weight llm_awq uint4"]);
        example(named, |x| {
            let x: Vec<f32> = x.iter().map(|x| if awq { x + 3.0 } else { x.powi(3) }).collect();
            let once = named.quantize(&x);
            named.codes(&named.dequantize(&once)) != once.codes
        });
    }
}

#[test]
fn a_zero_point_that_ties_loses_a_code() {
    // Steps of 1; the zero point of k + 1/2, k even, is k, and the largest code one too small.
    for (named, x) in
        all().iter().filter(|named| named.is(&UNSTABLE_AT_TIES)).zip([[-6.5, 8.5], [-100.5, 154.5]])
    {
        let once = named.quantize(&x);
        let most = named.levels().range().1;
        assert_eq!((once.shared[0].scale, &once.codes[..]), (1.0, &[0, most - 1][..]));
        assert_eq!(named.codes(&named.dequantize(&once)), [0, most], "{}", named.name);
    }
}

#[test]
fn codes_under_an_added_epsilon_depend_on_the_unit() {
    for named in all() {
        assert_eq!(named.rule.epsilon_use == EpsilonUse::Add, named.is(&WITH_UNITS));
        if named.is(&WITH_UNITS) {
            example(&named, |x| named.codes(x) != named.codes(&scaled(x, -12)));
        }
    }
}

#[test]
fn asymmetric_rules_are_asymmetric() {
    for named in all().iter().filter(|n| n.is(&ASYMMETRIC) || n.levels().unsigned()) {
        example(named, |x| {
            let minus: Vec<Code> = named.codes(x).iter().map(|code| -code).collect();
            named.codes(&negated(x)) != minus
        });
    }
}

#[test]
fn zeros_at_the_end_change_codes_under_a_mean() {
    for named in all().iter().filter(|named| named.rule.range == Range::Absmean) {
        // Signs do not depend on a scale; those around a mean depend on the mean.
        if named.levels() == Levels::Sign && !named.rule.centred {
            continue;
        }
        example(named, |x| {
            let shifted: Vec<f32> = x.iter().map(|x| x + 1.0).collect();
            let padded = [&shifted[..], &[0.0; 64]].concat();
            named.codes(&padded)[..128] != named.codes(&shifted)
        });
    }
}

#[test]
fn one_scale_for_a_tensor_makes_a_row_depend_on_the_others() {
    for named in all().iter().filter(|named| named.rule.granularity == Granularity::Tensor) {
        if named.levels() == Levels::Sign && !named.rule.centred {
            continue;
        }
        example(named, |x| {
            let others: Vec<f32> = x.iter().map(|x| 8.0 * x + 1.0).collect();
            named.codes(&[x, &others].concat())[..128] != named.codes(x)
        });
    }
}
