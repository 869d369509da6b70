//! Random cases: legal, reproducible, and from everywhere in a sweep.
use lowbit_scenarios::{Dice, Scenario};
use std::collections::BTreeSet;

const TEXT: &str = r#"{
  "about": "Sizes.",
  "sweeps": [{
    "name": "s", "op": "linear",
    "product": { "weight": ["ternary2", "sign1"], "weight_rule": "burn_dragon", "activation": "int8",
                 "activation_rule": "absmax", "data": ["exact", "realistic"], "m": 2 },
    "zip": [{ "k": [3, 64, 90], "n": [40, 2, 7] }],
    "where": ["k != 50"]
  }]
}"#;

fn drawn(seed: u64, tries: usize) -> Vec<String> {
    let scenario = Scenario::parse("s.json", TEXT).unwrap();
    let mut dice = Dice::new(seed);
    let draw = |_| scenario.draw(0, &mut dice).unwrap().map(|case| case.to_string());
    (0..tries).filter_map(draw).collect()
}

#[test]
fn draws_are_cases_within_the_axes_and_depend_on_the_seed_alone() {
    let cases = drawn(7, 3000);
    assert_eq!(cases, drawn(7, 3000));
    assert_ne!(cases[..20], drawn(8, 40)[..20]);
    let (mut depths, mut seeds, mut words) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for id in &cases {
        let case: lowbit_reference::case::Case = id.parse().unwrap();
        assert_eq!(case.to_string(), *id);
        assert!((3..=90).contains(&case.number("k")) && (2..=40).contains(&case.number("n")));
        assert_eq!(case.number("m"), 2, "an axis with one value stays");
        depths.insert(case.number("k"));
        seeds.insert(case.number("seed"));
        words.insert((case.word("weight"), case.word("data")));
    }
    assert!(!depths.contains(&50), "`where` holds for drawn sizes too");
    assert!(depths.len() > 60, "{depths:?}");
    assert_eq!(words.len(), 4);
    assert_eq!(seeds.len(), cases.len(), "data are never drawn twice");
}

#[test]
fn a_sweep_of_a_file_keeps_the_sizes_of_its_tensor() {
    let text =
        TEXT.replace("[\"exact\", \"realistic\"]", "\"file\", \"file\": \"a\", \"tensor\": \"t\"");
    let scenario = Scenario::parse("s.json", &text).unwrap();
    let mut dice = Dice::new(1);
    for _ in 0..100 {
        let Some(case) = scenario.draw(0, &mut dice).unwrap() else { continue };
        assert!([3, 64, 90].contains(&case.number("k")), "{case}");
    }
}

#[test]
fn what_is_too_much_work_is_never_drawn() {
    let text =
        TEXT.replace("[3, 64, 90]", "[3, 64, 100000]").replace("[40, 2, 7]", "[40, 2, 5000]");
    let scenario = Scenario::parse("s.json", &text).unwrap();
    let mut dice = Dice::new(1);
    let cases = (0..500).filter_map(|_| scenario.draw(0, &mut dice).unwrap());
    let largest = cases.map(|case| case.number("k") * case.number("n")).max();
    assert!(largest.is_some_and(|largest| 2 * largest <= 1 << 20), "{largest:?}");
}
