//! The schema accepts what is shipped and refuses typos.
use jsonschema::Validator;
use lowbit_scenarios::{Scenario, schema};
use serde_json::{Value, json};

fn suites() -> Vec<(String, Value)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/suites");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            (path.display().to_string(), serde_json::from_str(&text).unwrap())
        })
        .collect()
}

fn validator() -> Validator {
    let schema = schema();
    jsonschema::draft202012::meta::validate(&schema).unwrap();
    jsonschema::draft202012::new(&schema).unwrap()
}

#[test]
fn shipped_suites_validate() {
    let validator = validator();
    let suites = suites();
    assert!(suites.len() >= 6);
    for (path, suite) in suites {
        let errors: Vec<_> = validator.iter_errors(&suite).map(|e| format!("{e}")).collect();
        assert!(errors.is_empty(), "{path}: {errors:?}");
    }
}

/// Every value of a suite with its place.
fn places(value: &Value, pointer: String, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(key, value)| places(value, format!("{pointer}/{key}"), found))
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(i, v)| places(v, format!("{pointer}/{i}"), found));
        }
        _ => {}
    }
    found.push(pointer);
}

#[test]
fn every_mutation_of_a_shipped_suite_is_refused_by_schema_and_parser() {
    let validator = validator();
    let (_, suite) = suites().into_iter().find(|(path, _)| path.contains("quickstart")).unwrap();
    let mut pointers = Vec::new();
    places(&suite, String::new(), &mut pointers);
    let mut mutants = 0;
    let mut check = |what: String, mutant: &Value| {
        mutants += 1;
        assert!(!validator.is_valid(mutant), "the schema accepts {what}");
        let parsed = Scenario::parse("x", &mutant.to_string()).and_then(|s| s.expand());
        assert!(parsed.is_err(), "the parser accepts {what}");
    };
    for pointer in pointers {
        let mut mutant = suite.clone();
        let target = mutant.pointer_mut(&pointer).unwrap();
        let free = ["about", "name", "file", "tensor", "kernels"];
        let is_free = free.iter().any(|key| pointer.split('/').any(|part| part == *key));
        match target.take() {
            // A typo in a key; the shipped suites use no optional key that this makes legal.
            Value::Object(fields) => {
                for key in fields.keys() {
                    let mut typo = fields.clone();
                    let value = typo.remove(key).unwrap();
                    typo.insert(format!("{key}q"), value);
                    *mutant.pointer_mut(&pointer).unwrap() = typo.into();
                    check(format!("{pointer}/{key}q"), &mutant);
                }
            }
            Value::Array(_) => {
                *target = json!([]);
                check(format!("{pointer} empty"), &mutant);
            }
            Value::String(word) if !is_free => {
                *target = format!("{word}q").into();
                check(format!("{pointer} = {word}q"), &mutant);
            }
            Value::String(_) => {
                *target = json!(7);
                check(format!("{pointer} = 7"), &mutant);
            }
            Value::Number(number) => {
                *target = number.to_string().into();
                check(format!("{pointer} as text"), &mutant);
                *mutant.pointer_mut(&pointer).unwrap() = json!(-1);
                check(format!("{pointer} = -1"), &mutant);
            }
            other => panic!("{pointer}: {other}"),
        }
    }
    println!("{mutants} mutants");
    assert!(mutants > 400, "{mutants}");
}

#[test]
fn the_op_decides_what_a_sweep_may_hold() {
    let validator = validator();
    let valid = |op: &str, entries: Value| {
        let mut sweep = json!({ "name": "s", "op": op });
        let fields = entries.as_object().unwrap().clone();
        sweep.as_object_mut().unwrap().extend(fields);
        validator.is_valid(&json!({ "about": "x", "sweeps": [sweep] }))
    };
    assert!(valid("linear", json!({ "product": { "m": [1, 2] } })));
    assert!(!valid("rho_pack", json!({ "product": { "m": [1, 2] } })));
    assert!(valid("rho_pack", json!({ "zip": [{ "elements": [1, 2] }] })));
    assert!(!valid("rho_pack", json!({ "zip": [{ "elements": 1 }] })));
    assert!(!valid("linear", json!({ "zip": [{ "elements": [1] }] })));
    assert!(valid("rho_pack", json!({ "gate": { "rho": { "mode": "off" } } })));
    assert!(!valid("linear", json!({ "gate": { "rho": { "mode": "off" } } })));
    assert!(valid("rho_pack", json!({ "gate": { "rho_relative": { "nmse": 0.1 } } })));
    assert!(!valid("rho_pack", json!({ "gate": { "rho_relative": { "max_abs_error": 1 } } })));
    assert!(!valid("linear", json!({ "gate": { "rho_relative": { "mode": "off" } } })));
    assert!(valid("linear", json!({ "product": { "weight": "packed2" } })), "an alias");
    let rule = |rule: Value| valid("linear", json!({ "product": { "weight_rule": rule } }));
    assert!(rule(json!({ "threshold": 0.7 })));
    assert!(rule(json!(["b158", { "threshold": 0.7 }])));
    assert!(!rule(json!({ "treshold": 0.7 })));
    assert!(!rule(json!({ "range": "absmaxx" })));
}
