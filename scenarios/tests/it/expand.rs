//! What a scenario expands to.
use lowbit_reference::rho::{RelativeGate, RhoGate};
use lowbit_scenarios::{Cache, GateMode, Gates, Measure, Planned, Scenario, ThreadCount};

fn parse(text: &str) -> Scenario {
    Scenario::parse("suite.json", text).unwrap_or_else(|e| panic!("{e}"))
}

fn ids(planned: &[Planned]) -> Vec<String> {
    planned.iter().map(|planned| planned.case.to_string()).collect()
}

fn expand(sweep: &str) -> Vec<String> {
    let text = format!(r#"{{"about": "x", "sweeps": [{sweep}]}}"#);
    ids(&parse(&text).expand().unwrap_or_else(|e| panic!("{e}")))
}

#[test]
fn product_zip_and_shapes_multiply_and_the_last_advances_fastest() {
    let ids = expand(
        r#"{"name": "s", "op": "linear",
            "product": {"data": "exact", "seed": [7, 8], "m": 1, "weight": "packed2", "weight_rule": "b158"},
            "zip": [{"activation": ["f32", "int8"], "activation_rule": ["none", "absmax"]}],
            "shapes": ["bitnet_2b_4t"]}"#,
    );
    assert_eq!(ids.len(), 2 * 2 * 4);
    let id = |activation, rule, k, n, seed| {
        format!(
            "linear/weight=ternary2/activation={activation}/weight_rule=b158/activation_rule={rule}\
             /m=1/k={k}/n={n}/data=exact/seed={seed}"
        )
    };
    assert_eq!(ids[0], id("f32", "none", 2560, 2560, 7));
    assert_eq!(ids[1], id("f32", "none", 2560, 640, 7));
    assert_eq!(ids[7], id("int8", "absmax", 6912, 2560, 7));
    assert_eq!(ids[15], id("int8", "absmax", 6912, 2560, 8));
}

#[test]
fn shapes_give_only_the_sizes_an_op_has() {
    let weight = r#""weight": "sign1", "weight_rule": "b1", "data": "exact""#;
    let ids = expand(&format!(
        r#"{{"name": "s", "op": "quantize_weight", "product": {{{weight}}}, "shapes": "llama_3_8b_prefill"}}"#
    ));
    assert_eq!(ids.len(), 4);
    assert!(ids[3].contains("/k=14336/n=4096/"), "{}", ids[3]);
    let ids = expand(
        r#"{"name": "s", "op": "rho_pack", "product": {"format": "int8", "data": "exact"}, "shapes": "bdh"}"#,
    );
    assert_eq!(ids.len(), 3);
    assert!(ids[0].contains("/elements=8388608/"), "{}", ids[0]);
    // Tokens may be given beside a set that has its own.
    let activation = |product: &str| {
        expand(&format!(
            r#"{{"name": "s", "op": "quantize_activation", "shapes": "llama_3_8b_decode",
                "product": {{"activation_rule": "absmax", "data": "exact" {product}}}}}"#
        ))
    };
    let own = ["m=1/k=4096", "m=1/k=14336"].map(|shape| shape.to_owned());
    let sizes = |ids: &[String]| {
        ids.iter().map(|id| id.split('/').skip(3).take(2).collect::<Vec<_>>().join("/")).collect()
    };
    let found: Vec<String> = sizes(&activation(""));
    assert_eq!(found, own);
    let found: Vec<String> = sizes(&activation(r#", "m": 3"#));
    assert_eq!(found, own.map(|shape| shape.replace("m=1", "m=3")));
}

#[test]
fn parameters_that_do_not_apply_are_left_out() {
    let ids = expand(
        r#"{"name": "s", "op": "quantize_activation",
            "product": {"activation_rule": "absmax", "m": 1, "k": 8, "data": ["exact", "realistic"],
                        "distribution": ["normal", "relu"]}}"#,
    );
    let tails: Vec<_> = ids.iter().map(|id| id.split_once("data=").unwrap().1).collect();
    let normal = "realistic/distribution=normal/seed=7";
    assert_eq!(tails, ["exact/seed=7", normal, "realistic/distribution=relu/seed=7"]);
}

#[test]
fn a_rule_may_be_spelled_out() {
    let ids = expand(
        r#"{"name": "s", "op": "quantize_weight",
            "product": {"weight": "ternary2", "n": 4, "k": 8, "data": "exact",
                "weight_rule": ["b158", {"threshold": 0.7, "range": "absmean", "steps": 1}]}}"#,
    );
    let rule = r#"/weight_rule={"range":"absmean","steps":1.0,"threshold":0.7"#;
    assert!(ids[1].starts_with(&format!("quantize_weight/weight=ternary2{rule}")), "{}", ids[1]);
}

#[test]
fn conditions_see_numbers_words_and_defaults() {
    let count = |condition: &str| {
        expand(&format!(
            r#"{{"name": "s", "op": "rho_pack", "where": {condition},
                "product": {{"format": ["int8", "ternary"], "elements": [10, 100], "data": ["exact", "realistic"]}}}}"#
        ))
        .len()
    };
    assert_eq!(count(r#""format == \"int8\"""#), 4);
    assert_eq!(count(r#""elements * 2 <= 20""#), 4);
    assert_eq!(count(r#"["elements > 10", "data == \"exact\""]"#), 2);
    assert_eq!(count(r#""seed == 7 && (data == \"exact\" || sigma == 1.0)""#), 8);
    assert_eq!(count(r#""distribution == \"\"""#), 4);
    assert_eq!(count(r#""distribution == \"normal\"""#), 4);
}

/// Two sweeps over the same two cases and a third one.
fn overlap(first: &str, second: &str) -> String {
    let sweep = |name: &str, seeds: &str, kernels: &str| {
        format!(
            r#"{{"name": "{name}", "op": "rho_pack", "kernels": {kernels},
                "product": {{"format": "int8", "elements": 64, "data": "exact", "seed": [{seeds}]}}}}"#
        )
    };
    let sweeps = [sweep("a", "1, 2, 1", first), sweep("b", "1, 2, 3", second)].join(",");
    format!(r#"{{"about": "x", "sweeps": [{sweeps}]}}"#)
}

#[test]
fn a_case_runs_once_on_each_kernel() {
    let same = parse(&overlap(r#""avx*""#, r#""avx*""#)).expand().unwrap();
    assert_eq!(same.iter().map(|p| p.sweep).collect::<Vec<_>>(), [0, 0, 1]);
    let other = parse(&overlap(r#"["avx*", "scalar"]"#, r#"["scalar", "cube-*"]"#));
    let planned = other.expand().unwrap();
    assert_eq!(planned.iter().map(|p| p.sweep).collect::<Vec<_>>(), [0, 0, 1, 1, 1]);
    for kernel in ["avx2", "scalar", "cube-wgpu"] {
        let runs = planned.iter().filter(|p| other.runs(p, kernel)).cloned().collect::<Vec<_>>();
        let mut ids = ids(&runs);
        let total = ids.len();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), total, "{kernel} runs a case twice");
        assert_eq!(total, if kernel == "avx2" { 2 } else { 3 }, "{kernel}");
    }
    let empty = overlap(r#""*""#, r#""*""#).replace("1, 2, 3", "1, 2");
    let error = parse(&empty).expand().unwrap_err();
    assert_eq!(error.key, "b");
    assert!(error.message.contains("no case that an earlier sweep"), "{error}");
}

#[test]
fn kernels_are_globs() {
    let text = r#"{"about": "x", "kernels": ["avx*", "scalar"], "sweeps": [
        {"name": "a", "op": "rho_pack"}, {"name": "b", "op": "rho_pack", "kernels": "cube-*"}]}"#;
    let scenario = parse(text);
    let matching = |i: usize| {
        let names = ["scalar", "avx2", "avx512vnni", "burn", "cube-wgpu", "cube-cuda"];
        names.into_iter().filter(|name| scenario.sweeps[i].kernel_matches(name)).collect::<Vec<_>>()
    };
    assert_eq!(matching(0), ["scalar", "avx2", "avx512vnni"]);
    assert_eq!(matching(1), ["cube-wgpu", "cube-cuda"]);
    let all = parse(r#"{"about": "x", "sweeps": [{"name": "a", "op": "rho_pack"}]}"#);
    assert!(all.sweeps[0].kernel_matches("anything"));
}

#[test]
fn settings_override_those_of_the_file_one_by_one() {
    let text = r#"{"about": "x", "measure": {"threads": [1, "all"], "max_seconds": 0.5}, "sweeps": [
        {"name": "a", "op": "linear"},
        {"name": "b", "op": "rho_pack",
         "measure": {"threads": [2, 4], "cache": "cold", "interval": 0.1},
         "gate": {"correctness": "report", "rho": {"mode": "enforce", "mean_abs_error": 0.5},
                  "rho_relative": {"mode": "enforce", "nmse": 0.25}}},
        {"name": "c", "op": "rho_unpack"}]}"#;
    let scenario = parse(text);
    let file = Measure { max_seconds: 0.5, ..Measure::default() };
    assert_eq!(scenario.sweeps[0].measure, file);
    assert_eq!(scenario.sweeps[0].gate, Gates::default());
    let own = Measure {
        threads: vec![ThreadCount::Fixed(2), ThreadCount::Fixed(4)],
        cache: vec![Cache::Cold],
        interval: 0.1,
        ..file
    };
    assert_eq!(scenario.sweeps[1].measure, own);
    let limits = RhoGate { mean_abs_error: 0.5, ..RhoGate::default() };
    let relative = RelativeGate { nmse: 0.25, ..RelativeGate::default() };
    let relative = Some((GateMode::Enforce, relative));
    let gate = Gates {
        codes: GateMode::Report,
        correctness: GateMode::Report,
        rho: Some((GateMode::Enforce, limits)),
        rho_relative: relative,
    };
    assert_eq!(scenario.sweeps[1].gate, gate);
    let source = Some((GateMode::Report, RhoGate::default()));
    assert_eq!(scenario.sweeps[2].gate.rho, source);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the promise is a time")]
fn a_hundred_thousand_cases_list_in_a_second() {
    let list = |n: u32| (1..=n).map(|i| i.to_string()).collect::<Vec<_>>().join(",");
    let text = format!(
        r#"{{"about": "x", "sweeps": [{{"name": "s", "op": "linear",
            "product": {{"m": [{}], "k": [{}], "n": [{}], "data": "realistic", "distribution": ["normal", "relu"],
                "weight": ["ternary2", "int8"], "weight_rule": "burn_dragon"}},
            "zip": [{{"activation": ["f32", "int8"], "activation_rule": ["none", "absmax"]}}],
            "where": ["m * k * n < 1000000000", "weight != \"sign1\""]}}]}}"#,
        list(25),
        list(25),
        list(20),
    );
    // Other tests share the machine, so the best of three counts.
    let seconds = (0..3).map(|_| {
        let start = std::time::Instant::now();
        let planned = parse(&text).expand().unwrap();
        let bytes: usize = planned.iter().map(|planned| planned.case.to_string().len()).sum();
        assert_eq!(planned.len(), 100_000);
        let seconds = start.elapsed().as_secs_f64();
        println!("{} cases, {bytes} bytes of ids: {seconds:.3} s", planned.len());
        seconds
    });
    let seconds = seconds.fold(f64::INFINITY, f64::min);
    // One second is promised of a release build on an idle machine.
    assert!(seconds < 5.0, "{seconds} s");
}
