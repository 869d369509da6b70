//! Goals: what each becomes on the cases of its sweep, and what is refused with its place.
use lowbit_scenarios::{Cache, Of, Scenario, ThreadCount};

const TEXT: &str = r#"{
  "about": "Goals.",
  "kernels": ["avx2", "peer"],
  "peers": ["peer"],
  "measure": { "threads": [1, "all"], "cache": ["hot", "cold"], "rounds": 5 },
  "sweeps": [
    { "name": "wide", "op": "linear",
      "product": { "weight": "int8", "weight_rule": "absmax", "activation": "int8",
                   "activation_rule": "absmax", "m": [1, 128], "k": 64, "n": 32, "data": "exact" } },
    { "name": "narrow", "op": "linear",
      "product": { "weight": "ternary2", "weight_rule": "b158", "activation": "int8",
                   "activation_rule": "absmax", "m": [1, 128], "k": 64, "n": 32, "data": "exact" },
      "goals": [
        { "row": "avx2", "of": "int8 dot", "at_least": 0.65, "where": "m == 1" },
        { "row": "avx2", "cache": "cold", "threads": "all", "of": { "threads": 1 }, "at_least": 1.85, "where": "m == 1" },
        { "row": "avx2", "of": { "kernel": "peer" }, "at_least": 2, "where": "m == 1" },
        { "row": "avx2", "of": { "sweep": "wide", "kernel": "peer" }, "at_least": 0.95 }
      ] }
  ]
}"#;

fn parse(text: &str) -> Scenario {
    Scenario::parse("g.json", text).unwrap()
}

#[test]
fn a_goal_is_for_the_cases_that_meet_its_conditions() {
    let scenario = parse(TEXT);
    assert_eq!(scenario.peers, ["peer"]);
    assert!(scenario.sweeps.iter().all(|sweep| sweep.measure.rounds == 5));
    let goals = scenario.goals().unwrap();
    assert_eq!(goals.len(), 5);
    assert!(goals.iter().all(|g| g.subject.case.word("weight") == "ternary2"));
    assert_eq!((&goals[0].of, goals[0].at_least), (&Of::Limit("int8 dot"), 0.65));
    assert_eq!(
        (goals[0].subject.threads, goals[0].subject.cache),
        (ThreadCount::Fixed(1), Cache::Hot)
    );
    let Of::Subject(other) = &goals[1].of else { panic!("{:?}", goals[1]) };
    assert_eq!(
        (goals[1].subject.threads, other.threads),
        (ThreadCount::All, ThreadCount::Fixed(1))
    );
    assert_eq!((other.cache, &other.case), (Cache::Cold, &goals[1].subject.case));
    let Of::Subject(other) = &goals[2].of else { panic!("{:?}", goals[2]) };
    assert_eq!((other.kernel.as_str(), &other.case), ("peer", &goals[2].subject.case));
    // The counterpart has the other sweep's formats, and the same sizes.
    for goal in &goals[3..] {
        let Of::Subject(other) = &goal.of else { panic!("{goal:?}") };
        assert_eq!((other.case.word("weight"), other.kernel.as_str()), ("int8", "peer"));
        assert_eq!(other.case.number("m"), goal.subject.case.number("m"));
    }
    assert_ne!(goals[3].subject.case, goals[4].subject.case);
}

#[test]
fn what_is_wrong_with_a_goal_is_said_with_its_place() {
    let first =
        "{ \"row\": \"avx2\", \"of\": \"int8 dot\", \"at_least\": 0.65, \"where\": \"m == 1\" }";
    let with = |from: &str, to: &str| {
        assert!(first.contains(from), "{from}");
        let text = TEXT.replace(first, &first.replace(from, to));
        Scenario::parse("g.json", &text).and_then(|s| s.goals()).unwrap_err().to_string()
    };
    for (from, to, key, message) in [
        ("int8 dot", "int8 dto", "of", "did you mean `int8 dot`?"),
        ("\"int8 dot\"", "{}", "of", "takes a limit, or an object with"),
        ("\"int8 dot\"", "{ \"kernel\": \"peeer\" }", "kernel", "none of the sweep's `kernels`"),
        ("\"int8 dot\"", "{ \"sweep\": \"wid\" }", "of", "did you mean `wide`?"),
        (
            "\"int8 dot\"",
            "{ \"sweep\": \"wide\", \"kernel\": \"scalar\" }",
            "of",
            "does not measure",
        ),
        ("\"int8 dot\"", "{ \"threads\": 3 }", "threads", "is not measured"),
        ("0.65", "0", "at_least", "above 0"),
        ("m == 1", "m == 2", "goals", "leaves none"),
        ("m == 1", "q == 2", "where", "no parameter `q`"),
        ("\"avx2\"", "\"avx3\"", "row", "none of the sweep's `kernels`"),
        ("\"row\": \"avx2\", ", "", "row", "is missing"),
        ("\"row\"", "\"cache\": \"warm\", \"row\"", "cache", "cannot be `warm`"),
        ("\"row\"", "\"kernel\": \"avx2\", \"row\"", "kernel", "unknown key"),
    ] {
        let error = with(from, to);
        assert!(error.starts_with("g.json:14:"), "{to}: {error}");
        assert!(error.contains(&format!("`{key}`: ")) && error.contains(message), "{to}: {error}");
    }
}

#[test]
fn a_counterpart_must_be_one_case() {
    let fail = |text: String| {
        let error = parse(&text).goals().unwrap_err().to_string();
        assert!(error.starts_with("g.json:17:"), "{error}");
        error
    };
    let other = TEXT.replacen("\"m\": [1, 128], \"k\": 64", "\"m\": [1, 127], \"k\": 64", 1);
    assert!(fail(other).contains("has no case of the sizes of"));
    let twice = TEXT.replacen("\"data\": \"exact\"", "\"data\": [\"exact\", \"realistic\"]", 1);
    assert!(fail(twice).contains("has 2 cases of the sizes of"));
    let hot = TEXT.replacen("\"name\": \"wide\",", "\"name\": \"wide\", \"kernels\": \"avx2\",", 1);
    assert!(fail(hot).contains("does not measure `peer` that way"));
}
